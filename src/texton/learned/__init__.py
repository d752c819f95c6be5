"""Networks that texton trains: what is in their files, and their modules."""
