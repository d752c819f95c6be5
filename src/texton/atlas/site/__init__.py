"""The atlas as pages: the same for an export and for a server that follows a build."""
