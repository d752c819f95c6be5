"""What is measured on pictures and codes, and how sure one can be of it."""
