"""An image found by gradient: what is sought, from what, by which steps."""
