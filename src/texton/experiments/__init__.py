"""The paper's figures and claims, each from one command, claims with what could refute them."""
