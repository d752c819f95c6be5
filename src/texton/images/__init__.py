"""Pictures on disk and in memory: read as they are seen, written whole, laid out in sheets."""
