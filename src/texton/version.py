"""The version, on the ground floor: results record it."""

__version__ = "0.1.0"
