"""The same numbers sooner; it may be deleted, and nothing but time changes."""
