"""Learning a codebook of vision tokens: from a model's pages, and by following a model that is itself in training."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.coding.rans import scaled
from freqq.errors import UserError
from freqq.tokens.grid import check_grid
from freqq.tokens.vq import VectorGrid, by_band
from freqq.tokens.vq_codebook import MOST_WORDS, TABLE_BITS, TokenCodebook, nearest_words, word_biases
from freqq.transforms.bands import BANDS, band_order
from freqq.transforms.dct import dct2

EDGES = (0.25, 0.6)
"""Of the bands: a page's layout, then its text."""

DISTORTIONS = (1.0, 0.3, 0.01, 0.002)
"""Squared errors of a coefficient, in deviations, that the rates are made for."""

MOST_AXES, GROUP_BITS = 8, 6.0
"""A group grows while its axes are worth no more bits than this, as independent Gaussians: words cover the rest."""

ROUNDS = 10
"""Of Lloyd's iteration. More of them gained less than a percent."""

SPREAD = 0.2
"""Words start from vectors drawn by their energy, plus this much of its mean, so that rare large ones have words."""

DC_FRACTION, DC_LEVELS = 0.25, 32
"""The DC's squared error beside that of other coefficients, and the most steps that its deviation has."""

TABLES, HALF_OCTAVES = 16, 4
"""Tables of the DC's symbols: for deviations of 2^-2, 2^-1.5, ... steps."""


def train(grids: Iterable[Tensor], distortions: Sequence[float] = DISTORTIONS, seed: int = 0) -> TokenCodebook:
    """A codebook for the model that made grids [h, w, C], the same for the same grids.

    Parameters
    ----------
    distortions : the coarsest first
    seed : int
        Of the words that the iterations start from.

    Raises
    ------
    UserError
        If there is no grid or fewer tokens than channels.
    """
    pages = [grid.detach().float().cpu() for grid in grids]
    for page in pages:
        check_grid(page)
    tokens = torch.cat([page.flatten(0, 1) for page in pages]) if pages else torch.zeros(0, 1)
    if len(tokens) <= tokens.shape[1]:
        raise UserError(
            f"{len(tokens)} tokens are too few for a codebook of {tokens.shape[1]} channels: give more pages"
        )
    deviations, means = torch.std_mean(tokens, 0, correction=0)
    deviations = torch.maximum(deviations, 1e-6 * tokens.abs().amax(0)).clamp(min=1e-20)
    rotation, variances = principal_axes((tokens - means) / deviations)
    dc, bands = _coefficients([(page - means) / deviations for page in pages], rotation)
    generator = torch.Generator().manual_seed(seed)
    learned = [[_groups(band, distortion, generator) for band in bands] for distortion in distortions]
    steps = np.stack([_dc_steps(dc, distortion) for distortion in distortions])
    groups = [group for rate in learned for band in rate for group in band]
    coded = [sum(words.shape[1] for words, _ in band) for rate in learned for band in rate]
    axes = max(*coded, *(steps > 0).sum(1).tolist(), 1)
    steps = steps[:, :axes]
    tables, frequencies = _dc_tables(dc[:, :axes].numpy(), steps)
    return TokenCodebook(
        {
            "means": means.numpy(), "deviations": deviations.numpy(),
            "rotation": rotation[:axes].numpy().astype(np.float16), "variances": variances[:axes].numpy(),
            "edges": np.array(EDGES), "distortions": np.array(distortions, np.float32),
            "dc_steps": steps, "dc_tables": tables, "dc_frequencies": frequencies,
            "groups": np.array([[len(band) for band in rate] for rate in learned], np.uint16),
            "widths": np.array([words.shape[1] for words, _ in groups], np.uint8),
            "sizes": np.array([len(words) for words, _ in groups], np.uint16),
            "words": np.concatenate([words.ravel() for words, _ in groups] or [np.zeros(0, np.float16)]),
            "frequencies": np.concatenate([table for _, table in groups] or [np.zeros(0, np.uint16)]),
        }
    )  # fmt: skip


def principal_axes(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal axes [C, C] of tokens [n, C] about 0, by falling variance, and those variances [C]; float32.

    An axis has either sign; here its largest part is positive.
    """
    moments = tokens.double().T @ tokens.double() / len(tokens)
    variances, axes = torch.linalg.eigh(moments)
    axes = axes.T.flip(0)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return (axes * largest.sign()).float(), variances.flip(0).clamp(min=1e-12).float()


def _coefficients(pages: list[Tensor], rotation: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The DCs [pages, P] and for each band all other coefficients [n, P], along the axes."""
    dc, bands = [], [[] for _ in BANDS]  # type: ignore[var-annotated]
    for page in pages:
        h, w, _ = page.shape
        order, counts = band_order(h, w, *EDGES)
        values = (dct2(page).flatten(0, 1) @ rotation.T)[torch.tensor(order)]
        dc.append(values[0])
        for band, part in zip(bands, values[1:].split(counts), strict=True):
            band.append(part)
    return torch.stack(dc), [torch.cat(band) for band in bands]


def _groups(
    values: Tensor, distortion: float, generator: torch.Generator
) -> list[tuple[NDArray[np.float16], NDArray[np.uint16]]]:
    """The words [K, d] and frequencies [K] of each group of a band's coefficients [n, P].

    Axes that vary less than half of the distortion are not worth a word (reverse water-filling).
    """
    if not len(values):
        return []
    variances = values.square().mean(0)
    worth = (0.5 * torch.log2(variances / distortion)).clamp(min=0).tolist()
    coded = torch.nonzero(variances >= distortion / 2)
    end = int(coded.max()) + 1 if len(coded) else 0
    groups, axis = [], 0
    while axis < end:
        last = axis + 1
        while last < end and last - axis < MOST_AXES and sum(worth[axis : last + 1]) <= GROUP_BITS:
            last += 1
        groups.append(learn_words(values[:, axis:last], distortion, generator))
        axis = last
    return groups


def learn_words(
    vectors: Tensor, distortion: float, generator: torch.Generator
) -> tuple[NDArray[np.float16], NDArray[np.uint16]]:
    """At most `MOST_WORDS` words [K, d] for vectors [n, d], the first one zero, and their frequencies [K].

    Lloyd's iteration with the cost of a word's name (Chou, Lookabaugh, Gray 1989); unused words are dropped.
    """
    energy = vectors.square().sum(1)
    weights = energy + SPREAD * energy.mean() + 1e-20
    drawn = torch.multinomial(weights, min(MOST_WORDS - 1, len(vectors)), generator=generator)
    words = torch.cat([torch.zeros(1, vectors.shape[1]), vectors[drawn]])
    counts = torch.ones(len(words))
    for _ in range(ROUNDS + 1):
        biases = word_biases(words, counts, distortion)
        names = torch.cat([nearest_words(part, words, biases) for part in vectors.split(8192)])
        counts = torch.bincount(names, minlength=len(words)).float()
        words = torch.zeros_like(words).index_add_(0, names, vectors) / counts.clamp(min=1)[:, None]
        words[0] = 0  # what is left out of a page costs little
        taken = counts > 0
        taken[0] = True
        words, counts = words[taken], counts[taken] + 0.5
    return words.numpy().astype(np.float16), scaled(counts.double().numpy(), TABLE_BITS).astype(np.uint16)


def _dc_steps(dc: Tensor, distortion: float) -> NDArray[np.float32]:
    """The DC's step on each axis [P], 0 from the axis on where it varies too little to be coded."""
    error = DC_FRACTION * distortion
    energy = dc.square().mean(0)
    coded = torch.nonzero(energy >= error)
    end = int(coded.max()) + 1 if len(coded) else 0
    steps = torch.maximum(torch.tensor(12 * error).sqrt(), energy.sqrt() / DC_LEVELS)
    steps[end:] = 0
    return steps.numpy()


def _dc_tables(dc: NDArray[np.float32], steps: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Which table each step's symbols take [R, P], and the tables [T, 256]; axes alike in spread share one."""
    coded = steps > 0
    widths = np.sqrt(np.square(dc).mean(0)) / np.where(coded, steps, 1)
    tables = np.where(coded, np.rint(2 * np.log2(np.maximum(widths, 1e-6))) + HALF_OCTAVES, 0)
    tables = tables.clip(0, TABLES - 1).astype(np.uint8)
    frequencies = []
    for table in range(TABLES):
        # Tables that few axes use are smoothed towards the bell curve of their width.
        spread = 2 ** ((table - HALF_OCTAVES) / 2)
        counts = np.exp(-0.5 * ((np.arange(MOST_WORDS) - MOST_WORDS // 2) / max(spread, 0.3)) ** 2)
        counts *= 20 / counts.sum()
        for rate, axis in np.argwhere(coded & (tables == table)):
            symbols = np.rint(dc[:, axis] / steps[rate, axis]).astype(np.int64) + MOST_WORDS // 2
            symbols[(symbols < 0) | (symbols >= MOST_WORDS)] = 0
            counts += np.bincount(symbols, minlength=MOST_WORDS)
        frequencies.append(scaled(counts, TABLE_BITS).astype(np.uint16))
    return tables, np.stack(frequencies)


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
        """Record what a grid [h, w, C] was coded as, by `book`."""
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
