"""The atlas: every filter of a network on some photographs, resumable, browsed by anyone."""
