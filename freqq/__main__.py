"""``python -m freqq``."""

from freqq.cli.app import main

if __name__ == "__main__":
    main()
