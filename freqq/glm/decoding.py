"""How a next token is chosen: greedily, or by the protocol that Glyph was evaluated with."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generation:
    """A way to choose tokens.

    Parameters
    ----------
    temperature : float
        0 takes the most likely token.
    top_k : int or None
        Only so many of the most likely tokens are drawn from.
    repetition_penalty : float
        Of tokens that stand in the prompt or the response already, a positive logit is divided by it, a negative one
        multiplied (CTRL, arXiv:1909.05858, section 4.1).
    new_tokens : int or None
        The longest response, where a protocol sets it.
    """

    temperature: float = 0.0
    top_k: int | None = None
    repetition_penalty: float = 1.0
    new_tokens: int | None = None

    def identity(self) -> dict[str, Any]:
        """All of it that can change an answer, but for the length."""
        if self == GREEDY:
            return {"greedy": True}
        return {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
        }


GREEDY = Generation()
GLYPH = Generation(temperature=1e-4, top_k=50, repetition_penalty=1.1, new_tokens=8192)
"""Glyph's evaluation: temperature 1e-4, top_p 1, top_k 50, repetition penalty 1.1, 8192 new tokens."""

GENERATIONS = {"greedy": GREEDY, "glyph": GLYPH}
"""By the name that a user types."""
