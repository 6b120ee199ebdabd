"""How a response is made: which tokens may be chosen, what ends it, and whether special tokens are text."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generation:
    """A way to make responses.

    Parameters
    ----------
    temperature : float
        0 takes the most likely token.
    top_k : int or None
        Only so many of the most likely tokens are drawn from.
    repetition_penalty : float
        Of tokens that stand in the prompt or the response already, a positive logit is divided by it, a negative one
        multiplied (CTRL, arXiv:1909.05858, section 4.1).
    stop_token_ids : tuple of int
        End a response in addition to the model's own end tokens. Ids that a model does not have are ignored.
    special_tokens : bool
        Special tokens that a question holds are tokens and not text, and those of a response stay in its text, the end
        token included: as Glyph's requests ask a server for.
    """

    temperature: float = 0.0
    top_k: int | None = None
    repetition_penalty: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    special_tokens: bool = False

    def identity(self) -> dict[str, Any]:
        """All of it that can change an answer."""
        if self == GREEDY:
            return {"greedy": True}
        found: dict[str, Any] = {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
        }
        if self.stop_token_ids:
            found["stop_token_ids"] = list(self.stop_token_ids)
        if self.special_tokens:
            found["special_tokens"] = True
        return found


GREEDY = Generation()
GLYPH = Generation(
    temperature=1e-4,
    top_k=50,
    repetition_penalty=1.1,
    stop_token_ids=(151329, 151336, 151348),
    special_tokens=True,
)
"""Glyph's evaluation: temperature 1e-4, top_p 1, top_k 50, repetition penalty 1.1. The ids are what its requests name:
``<|endoftext|>``, ``<|user|>``, and one that the model's own configuration has among its end tokens, too."""
