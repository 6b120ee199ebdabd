"""``python -m freqq``."""

from freqq.cli.app import main

main()
