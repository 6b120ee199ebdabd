"""Stage 1: the tower reads. A linear head says of every merged token which characters stand where in its cell."""

import random
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import Tensor, nn

from freqq.glm.train.forward import mixed_precision
from freqq.glm.train.small.sheets import COLUMNS, DPIS, ROWS, SLOTS, Crops, Written, batch
from freqq.glm.train.small.text import CHARACTERS, KINDS, text
from freqq.glm.train.small.tower import Tower

SHAPES = ((4, 10), (5, 8), (3, 13), (6, 7), (8, 5), (2, 20))
"""Cells of the crops of a step, in turn."""

CLASSES = 1 + len(CHARACTERS)


class ReadingHead(nn.Module):
    """Of each of a cell's slots, whether a character's centre stands in it (a logit) and which one (logits).

    A character may stand in its own column or in the nearest other one: the probabilities of both add up, so that no
    loss is spent on which side of an edge between two columns of 2 px a centre falls.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.out = nn.Linear(width, SLOTS * CLASSES)
        codes = [CHARACTERS.index(c) for c in text(random.Random("prior"), 40_000, "train").replace("\n", " ")]
        counts = np.bincount(codes, minlength=len(CHARACTERS)) + 20.0
        with torch.no_grad():
            self.out.weight.normal_(0, 0.3 * width**-0.5, generator=generator)
            prior = torch.cat([torch.tensor([-1.0]), torch.from_numpy(np.log(counts / counts.sum())).float()])
            self.out.bias.copy_(prior.repeat(SLOTS))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [B n SLOTS, CLASSES] of tokens [B, n, C]; class 0 is the occupancy's."""
        return self.out(tokens).view(-1, CLASSES)


def places(written: Written, rows: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the head's logits for each character's own slot and for the nearest other one, -1 where that is taken."""
    line = (written.crop * rows + written.row // ROWS) * columns

    def at(column: NDArray[np.int64]) -> NDArray[np.int64]:
        return (line + column // COLUMNS) * SLOTS + (written.row % ROWS) * COLUMNS + column % COLUMNS

    own = at(written.column)
    other = np.where(written.other >= 0, at(written.other), -1)
    return own, np.where(np.isin(other, own), -1, other)


def reading_loss(logits: Tensor, written: Written, rows: int, columns: int) -> Tensor:
    """Nats a character. Lines that the crop cuts count neither as text nor as blank."""
    own, other = places(written, rows, columns)
    blank = np.ones(len(logits), bool)
    if not written.whole.all():
        cut = np.unique(written.lines()[~written.whole])
        crop, row = np.divmod(cut, 4096)
        cell = ((crop * rows + row // ROWS) * columns)[:, None] + np.arange(columns)
        slots = ((row % ROWS) * COLUMNS)[:, None] + np.arange(COLUMNS)
        blank.reshape(-1, SLOTS)[cell[:, :, None], slots[:, None]] = False
    own, other, character = own[written.whole], other[written.whole], written.character[written.whole]
    paired = other >= 0
    blank[own] = False
    blank[other[paired]] = False
    order = np.argsort(paired, kind="stable")  # those of one slot first
    first = torch.from_numpy(own[order])
    second = torch.from_numpy(other[order][int((~paired).sum()) :])
    single = len(first) - len(second)
    wanted = torch.from_numpy(character[order])
    log_p = torch.log_softmax(logits[torch.cat((first, second))][:, 1:].float(), -1)
    said = log_p.gather(1, torch.cat((wanted, wanted[single:]))[:, None])[:, 0]
    said_first, said_second = said[: len(first)], said[len(first) :]
    occupied = logits[:, 0].float()
    here, there = occupied[first], occupied[second]
    alone = said_first[:single] + F.logsigmoid(here[:single])
    either = torch.logaddexp(
        said_first[single:] + F.logsigmoid(here[single:]) + F.logsigmoid(-there),
        said_second + F.logsigmoid(there) + F.logsigmoid(-here[single:]),
    )
    nothing = F.logsigmoid(-occupied[torch.from_numpy(np.flatnonzero(blank))])
    return -(alone.sum() + either.sum() + nothing.sum()) / max(1, len(first))


def read(logits: Tensor, crops: int, rows: int, columns: int) -> list[list[str]]:
    """What the head says of each crop, a text a row of slots."""
    grid = logits.view(crops, rows, columns, ROWS, COLUMNS, CLASSES)
    which = torch.where(grid[..., 0] > 0, grid[..., 1:].argmax(-1), -1)
    lines = which.permute(0, 1, 3, 2, 4).reshape(crops, rows * ROWS, -1).numpy()
    return [["".join(CHARACTERS[i] for i in line if i >= 0) for line in crop] for crop in lines]


def accuracy(logits: Tensor, crops: Crops) -> dict[float, float]:
    """By resolution, 1 - edit distance / length over the whole lines, spaces included."""
    count, height, width = crops.pixels.shape
    rows, columns = height // 28, width // 28
    said = read(logits, count, rows, columns)
    wrong: dict[float, int] = {}
    length: dict[float, int] = {}
    written, lines = crops.written, crops.written.lines()
    for line in np.unique(lines[written.whole]):
        crop, row = divmod(int(line), 4096)
        of = np.flatnonzero(lines == line)
        of = of[np.argsort(written.column[of], kind="stable")]
        truth = "".join(CHARACTERS[i] for i in written.character[of]).rstrip()
        dpi = float(crops.dpi[crop])
        wrong[dpi] = wrong.get(dpi, 0) + Levenshtein.distance(truth, said[crop][row].rstrip())
        length[dpi] = length.get(dpi, 0) + len(truth)
    return {dpi: 1 - wrong[dpi] / length[dpi] for dpi in sorted(length)}


TESTED = (72.0, 96.0, 120.0, 144.0)


@cache
def held_out(kinds: tuple[str, ...], crops: int) -> Crops:
    """Crops of words that no training shows."""
    return batch(random.Random(f"test/reading/{kinds}"), TESTED, 4, 10, crops, "test", kinds)


@torch.no_grad()
def evaluate(tower: Tower, head: ReadingHead, kinds: tuple[str, ...] = KINDS, crops: int = 16) -> dict[str, float]:
    """Accuracy on held-out words, by resolution: ``reads_72`` and so on."""
    made = held_out(kinds, crops)
    with mixed_precision():
        parts = [head(tower(torch.from_numpy(made.pixels[i : i + 8]))) for i in range(0, len(made.pixels), 8)]
    return {f"reads_{dpi:g}": value for dpi, value in accuracy(torch.cat(parts).float(), made).items()}


def reading_step(tower: Tower, head: ReadingHead, step: int, seed: int, crops: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one step: one resolution of each pair of neighbours, so that all stay in the mix."""
    rng = random.Random(f"train/reading/{seed}/{step}")
    rows, columns = SHAPES[step % len(SHAPES)]
    dpis = (*(rng.choice(DPIS[i : i + 2]) for i in range(0, len(DPIS), 2)), rng.choice(DPIS[:3]))
    made = batch(rng, dpis, rows, columns, crops, "train")
    with mixed_precision():
        logits = head(tower(torch.from_numpy(made.pixels)))
    return reading_loss(logits, made.written, rows, columns), {}
