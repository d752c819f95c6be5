"""The paper's claims, each with the controls that could refute it."""
