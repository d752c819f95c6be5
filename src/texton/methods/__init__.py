"""One file a method: the options it declares, and how its pictures are made."""
