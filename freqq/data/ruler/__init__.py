"""RULER: made here (offline, seeded, at any length), and read from its files."""

from freqq.data.dataset import Maker
from freqq.data.ruler import generate, mini

MAKERS: dict[str, tuple[str, Maker]] = {
    "ruler": (
        generate.REVISION,
        Maker(generate.MADE, generate.CONTEXT, generate.check_context, generate.ruler),
    ),
    "ruler-mini": (mini.REVISION, Maker(mini.MADE, mini.CONTEXT, mini.check_context, mini.ruler_mini)),
}
"""What can be made, by the names of the data, with its revision."""
