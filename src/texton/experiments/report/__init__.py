"""What an experiment has found, as a page, a table and a plot."""
