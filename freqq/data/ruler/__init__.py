"""RULER's samples, generated: offline, seeded, at any length."""

from freqq.data.ruler.generate import IN_GLYPHS_LOOK as IN_GLYPHS_LOOK
from freqq.data.ruler.generate import MAKERS as MAKERS
