"""Many pictures: which, by whom, and where each is kept as it is finished."""
