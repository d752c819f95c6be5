"""One file a method: which code it takes, how it modifies it, what it asks the solver for."""
