"""The paper's figures and claims, with what could refute them."""
