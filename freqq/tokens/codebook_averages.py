"""A codebook that follows a model in training: each word is a moving average of the vectors that it stood for.

A. van den Oord, O. Vinyals, K. Kavukcuoglu, "Neural discrete representation learning", arXiv:1711.00937, appendix A.1.
How often a word comes, by which its name is coded, follows in the same way.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from freqq.frequency.ans import scaled
from freqq.frequency.token_codebook import TABLE_BITS, TokenCodebook
from freqq.frequency.vectors import VectorGrid, by_band

DECAY = 0.99
"""Of an average in each step."""

LEAST = 1e-12
"""A word's share does not fall below it, so that a word that no vector takes any more stays where it was."""


class CodebookAverages:
    """The moving averages of all words of a codebook. Rates that nothing is added to stay as they are, bit for bit.

    The axes, the bands and the coding of the DC stay those of the codebook that it starts from, and so does the word 0
    of each group.

    Parameters
    ----------
    book : TokenCodebook
        Where they start.
    """

    def __init__(self, book: TokenCodebook) -> None:
        self.book = book
        arrays = book.arrays
        sizes, widths = (arrays[name].astype(np.int64).tolist() for name in ("sizes", "widths"))
        self._words = [part.view(k, -1) for part, k in zip(_split(arrays["words"], sizes, widths), sizes, strict=True)]
        shares = _split(arrays["frequencies"], sizes, [1] * len(sizes))
        self._shares = [share / share.sum() for share in shares]
        self._sums = [words * share[:, None] for words, share in zip(self._words, self._shares, strict=True)]
        self._followed = torch.zeros(len(sizes), dtype=torch.bool)
        self.forget()

    def add(self, grid: Tensor, coded: VectorGrid) -> None:
        """Take note of what a grid [h, w, C] was coded as, by `book`."""
        groups = self.book.arrays["groups"].astype(np.int64)
        at = int(groups[: coded.rate - 1].sum())
        rate = self.book.rates[coded.rate - 1]
        _, bands = by_band(grid.detach(), self.book)
        for values, names, own in zip(bands, coded.symbols, rate.bands, strict=True):
            for group, column in zip(own, names.T.long().cpu(), strict=True):
                self._new_counts[at] += torch.bincount(column, minlength=len(group.words))
                self._new_sums[at].index_add_(0, column, values[:, group.axes].float().cpu())
                at += 1

    def forget(self) -> None:
        """Drop what was added since the last step."""
        self._new_counts = [torch.zeros_like(share) for share in self._shares]
        self._new_sums = [torch.zeros_like(words) for words in self._words]

    def step(self, total: Callable[[Tensor], Tensor] = lambda mine: mine) -> None:
        """Move the averages by what was added, and `book` with them.

        Parameters
        ----------
        total : callable
            Adds a tensor up over all processes that train.
        """
        counts = total(torch.cat(self._new_counts)).split([len(s) for s in self._shares])
        sums = total(torch.cat([s.ravel() for s in self._new_sums])).split([w.numel() for w in self._words])
        for at, (count, vectors) in enumerate(zip(counts, sums, strict=True)):
            seen = count.sum()
            if seen > 0:
                decay = torch.where(self._shares[at] > LEAST, DECAY, 1.0)
                self._shares[at] = decay * self._shares[at] + (1 - DECAY) * count / seen
                self._sums[at] = decay[:, None] * self._sums[at] + (1 - DECAY) * vectors.view_as(self._sums[at]) / seen
                self._sums[at][0] = 0
                self._followed[at] = True
        self.forget()
        self._rebuild()

    def _rebuild(self) -> None:
        arrays = dict(self.book.arrays)
        starts = np.cumsum([0, *map(len, self._shares)])
        ends = np.cumsum([0, *(words.numel() for words in self._words)])
        words, frequencies = arrays["words"].copy(), arrays["frequencies"].copy()
        for at in torch.nonzero(self._followed)[:, 0].tolist():
            moved = self._sums[at] / self._shares[at][:, None]
            words[ends[at] : ends[at + 1]] = moved.ravel().numpy()
            frequencies[starts[at] : starts[at + 1]] = scaled(self._shares[at].double().numpy(), TABLE_BITS)
        self.book = TokenCodebook(arrays | {"words": words, "frequencies": frequencies})

    def state(self) -> dict[str, Tensor]:
        """What `restore` needs to go on, by name."""
        return {
            "codebook.shares": torch.cat(self._shares),
            "codebook.sums": torch.cat([s.ravel() for s in self._sums]),
            "codebook.followed": self._followed,
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state` of averages that started from the same codebook."""
        self._followed = state["codebook.followed"]
        self._shares = list(state["codebook.shares"].split([len(s) for s in self._shares]))
        sums = state["codebook.sums"].split([w.numel() for w in self._words])
        self._sums = [s.view_as(w) for s, w in zip(sums, self._words, strict=True)]
        self._rebuild()


def _split(values: "np.ndarray[tuple[int], np.dtype[np.float16]]", sizes: list[int], widths: list[int]) -> list[Tensor]:
    """An array's part of each group, float32."""
    counts = [size * width for size, width in zip(sizes, widths, strict=True)]
    return list(torch.from_numpy(values.astype(np.float32)).split(counts))
