"""RULER's samples, generated: offline, seeded, at any length."""

from freqq.data.ruler.generate import MAKERS as MAKERS
