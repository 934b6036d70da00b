"""``python -m bayesseg``."""

from bayesseg.cli import main

if __name__ == "__main__":
    main()
