"""Decoding parameters: how tokens are chosen, what ends a response, and whether special tokens are text."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Generation:
    """Decoding parameters.

    Parameters
    ----------
    temperature : float
        0: the most likely token.
    top_k : int or None
        Sample only from this many most likely tokens.
    repetition_penalty : float
        For tokens of the prompt or the response so far, positive logits are divided by it and negative ones multiplied
        (CTRL, arXiv:1909.05858, section 4.1).
    stop_token_ids : tuple of int
        End tokens in addition to the model's own. Ids that a model does not have are ignored.
    special_tokens : bool
        Treat special tokens in a question as tokens instead of text, and keep those of a response, including the end
        token, in its text, as in Glyph's requests to a server.
    """

    temperature: float = 0.0
    top_k: int | None = None
    repetition_penalty: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    special_tokens: bool = False

    def identity(self) -> dict[str, Any]:
        """The parameters that can change an answer."""
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
"""Glyph's evaluation: temperature 1e-4, top_p 1, top_k 50, repetition penalty 1.1, and the ids of its requests:
``<|endoftext|>``, ``<|user|>``, and one that is also an end token in the model's own configuration."""
