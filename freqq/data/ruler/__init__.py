"""RULER: made here (offline, seeded, at any length), and read from its files."""

from freqq.data.ruler.generate import MAKERS as MAKERS
