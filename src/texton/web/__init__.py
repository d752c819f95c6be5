"""A server for this machine: its socket, its headers, and who may ask."""
