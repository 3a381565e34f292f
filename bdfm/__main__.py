"""``python -m bdfm``: the command line."""

from bdfm.cli.app import main

if __name__ == "__main__":
    main()
