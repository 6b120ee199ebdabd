"""Making a codebook of tokens: a model's statistics, its channels' principal axes, and codewords for groups of them."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqq.errors import UserError
from freqq.frequency.ans import scaled
from freqq.frequency.bands import BANDS, band_order
from freqq.frequency.dct import dct2
from freqq.frequency.token_codebook import MOST_WORDS, TABLE_BITS, TokenCodebook, nearest_words, word_biases
from freqq.tokens.grid import check_grid

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
    heard = torch.nonzero(variances >= distortion / 2)
    end = int(heard.max()) + 1 if len(heard) else 0
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

    Lloyd's iteration with the cost of a word's name (Chou, Lookabaugh, Gray 1989); a word that no vector takes goes.
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
    heard = torch.nonzero(energy >= error)
    end = int(heard.max()) + 1 if len(heard) else 0
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
        # Tables that few axes take lean on the bell curve of their width.
        spread = 2 ** ((table - HALF_OCTAVES) / 2)
        counts = np.exp(-0.5 * ((np.arange(MOST_WORDS) - MOST_WORDS // 2) / max(spread, 0.3)) ** 2)
        counts *= 20 / counts.sum()
        for rate, axis in np.argwhere(coded & (tables == table)):
            symbols = np.rint(dc[:, axis] / steps[rate, axis]).astype(np.int64) + MOST_WORDS // 2
            symbols[(symbols < 0) | (symbols >= MOST_WORDS)] = 0
            counts += np.bincount(symbols, minlength=MOST_WORDS)
        frequencies.append(scaled(counts, TABLE_BITS).astype(np.uint16))
    return tables, np.stack(frequencies)
