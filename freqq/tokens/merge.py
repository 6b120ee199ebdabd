"""ToMe-style merging: tokens that are alike become their mean."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from freqq.tokens.base import Cutter
from freqq.tokens.grid import CompressedGrid


@dataclass(frozen=True)
class Merge(Cutter):
    """Merge tokens by bipartite soft matching, in as many rounds as it takes.

    In a round every second token finds the one of the others that it is most like, by cosine, and the most alike pairs
    become one: the mean of all tokens that went into it, at the place of the second. From Token Merging
    (arXiv:2210.09461, section 3), which merges a few tokens in every layer of a vision tower; this is after it.

    Formula
    -------
    Tokens at even places a, at odd ones b; each a has its b of largest cosine; the most alike pairs become (n(a) x(a) +
    n(b) x(b)) / (n(a) + n(b)), n the number of tokens that went into each.

    Source
    ------
    Token Merging, ToMe (arXiv:2210.09461, section 3).
    """

    def cut(self, grid: Tensor, small: tuple[int, int]) -> CompressedGrid:
        """Leave h'·w' tokens."""
        h, w, channels = grid.shape
        tokens = grid.float().reshape(h * w, channels)
        sizes = tokens.new_ones(h * w, 1)
        places = torch.arange(h * w, device=grid.device)
        while (surplus := len(tokens) - small[0] * small[1]) > 0:
            tokens, sizes, places = _merge(tokens, sizes, places, surplus)
        return CompressedGrid(tokens.to(grid.dtype), (h, w), kept=places)


def _merge(tokens: Tensor, sizes: Tensor, places: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """One round: at most `most` of the tokens at even indices go into those at odd ones; the order stays."""
    units = normalize(tokens, dim=1)
    likeness, partner = (units[::2] @ units[1::2].T).max(1)
    merged = torch.argsort(likeness, descending=True, stable=True)[:most]
    sources, targets = 2 * merged, 2 * partner[merged] + 1
    sums = (tokens * sizes).index_add(0, targets, (tokens * sizes)[sources])
    sizes = sizes.index_add(0, targets, sizes[sources])
    stays = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device).index_fill(0, sources, False)
    return (sums / sizes)[stays], sizes[stays], places[stays]
