"""``python -m texton``: the command, where its script is not on the path."""

from texton.cli import main

if __name__ == "__main__":
    main()
