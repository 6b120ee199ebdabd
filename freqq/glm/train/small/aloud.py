"""Stage 2: reading aloud. The language model writes a page's text, and the tower learns along.

To write the next character a model has to find the cell of the one just written (by its last characters), go on to the
right slot of that cell or the next, and pick the character there. Trained on the next character alone, a small model
stays at the floor for long, so three aids show the way, and fade:

- guidance: most heads of three layers are drawn to the cell of the character just written, or of the next one;
- probes: linear heads give the slots of both;
- the reading head of stage 1, so that the tower goes on learning to read.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from freqq.glm.train.architecture import ASSISTANT, CELL, END, IMAGE, TOKEN
from freqq.glm.train.forward import PackedForward, Trace, mixed_precision
from freqq.glm.train.small.model import ENTRIES, TRANSCRIBE, SlotHeads
from freqq.glm.train.small.reading import ReadingHead, reading_loss
from freqq.glm.train.small.sheets import COLUMNS, ROWS, STRETCH, Crops, Written, batch, joined, look
from freqq.glm.train.small.text import CHARACTERS, KINDS, Split
from freqq.glm.train.small.tower import Tower
from freqq.pages.glyph import FRAME_PADDING

SHAPES = ((3, 6), (3, 8), (3, 12), (4, 8), (4, 10), (5, 12), (7, 12), (8, 16))
"""Cells of a page, from one or two lines to a paragraph; short ones stay in the mix, or they are forgotten."""

CURRICULUM = (144.0, 132.0, 120.0, 108.0, 96.0, 84.0, 78.0, 72.0)

START = (ENTRIES.index(TRANSCRIBE), ASSISTANT)
MIDDLE = (ASSISTANT,)
"""What a text begins with that is read from the page's start, and from anywhere."""
GIVEN = 8
"""Characters of a text from anywhere that are given: they say where it goes on."""
FARTHEST = 0.6
"""Of a page's characters, how many a text from anywhere leaves out at most."""

LETTER = np.array([TOKEN[c] for c in CHARACTERS])
SPACE = TOKEN[" "]

WRITTEN = (1,)
"""Layers that are guided to the cell of the character just written."""
GUIDED = 6
"""Heads of those layers that are guided."""


@dataclass(frozen=True)
class Pages:
    """B pages of one size with their text.

    ``tokens`` [B, T]: the request, then the text; ``labels`` [B, T]: the next token, or -100; ``cell`` and ``slot``
    [B, T + 1]: where the label of place t - 1 stands (that is, the character at place t), or -1 and -100.
    """

    crops: Crops
    tokens: Tensor
    labels: Tensor
    cell: Tensor
    slot: Tensor


def pages(
    rng: random.Random,
    dpi: float,
    rows: int,
    columns: int,
    count: int,
    split: Split,
    kinds: tuple[str, ...] = KINDS,
    middle: bool = False,
) -> Pages:
    """Whole pages of a size, as many lines as fit; a line's end reads as a space.

    With `middle` their texts begin anywhere and the first `GIVEN` characters are given, as an answer is copied from a
    chat: the place has to be found by what stands there, and not by how much was written.
    """
    # reportlab sets no page that has no room for two lines.
    room = CELL * rows * 72 / dpi / (1 + STRETCH) - 2 * FRAME_PADDING - 2 * look(dpi, 600, 600).leading
    widest = min(10.0, room / 2)
    made = [batch(rng, (dpi,), rows, columns, 1, split, kinds, top=rng.uniform(0.0, widest)) for _ in range(count)]
    crops = Crops(
        np.concatenate([one.pixels for one in made]),
        np.full(count, dpi),
        joined([one.written for one in made], 1),
    )
    start, given = (MIDDLE, GIVEN) if middle else (START, 0)
    texts = [_text(crops.written, i, columns) for i in range(count)]
    if middle:
        cuts = [rng.randrange(max(1, int(FARTHEST * len(letters)))) for letters, _, _ in texts]
        texts = [(a[cut:], b[cut:], c[cut:]) for (a, b, c), cut in zip(texts, cuts, strict=True)]
    longest = max(len(letters) for letters, _, _ in texts) + 1
    first = len(start) - 1
    tokens = torch.full((count, first + longest), END)
    labels = torch.full((count, first + longest), -100)
    cell = torch.full((count, first + longest + 1), -1)
    slot = torch.full((count, first + longest + 1), -100)
    for i, (letters, cells, slots) in enumerate(texts):
        n = len(letters)
        tokens[i, : first + 1] = torch.tensor(start)
        tokens[i, first + 1 : first + 1 + n] = torch.from_numpy(letters)[: longest - 1]
        labels[i, first + given : first + n] = torch.from_numpy(letters[given:])
        labels[i, first + n] = END
        cell[i, first + 1 : first + 1 + n] = torch.from_numpy(cells)
        slot[i, first + 1 : first + 1 + n] = torch.from_numpy(slots)
    return Pages(crops, tokens, labels, cell, slot)


def _text(written: Written, page: int, columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """A page's characters as tokens in reading order, the cell of each, and its slot there."""
    own = np.flatnonzero(written.crop == page)
    own = own[np.lexsort((written.column[own], written.row[own]))]
    row, column = written.row[own], written.column[own]
    letters = LETTER[written.character[own]]
    cells = (row // ROWS) * columns + column // COLUMNS
    slots = (row % ROWS) * COLUMNS + column % COLUMNS
    ends = np.flatnonzero(np.diff(row)) + 1
    return np.insert(letters, ends, SPACE), np.insert(cells, ends, -1), np.insert(slots, ends, -100)


def with_wrong(tokens: Tensor, labels: Tensor, share: float, seed: str) -> Tensor:
    """Tokens [..., T] of which a share of those that were said are others' tokens, the labels being what they were.

    A model that always goes on from a right text finds its place by the last character alone, and is lost as soon as it
    misreads one.
    """
    said = torch.zeros_like(labels, dtype=torch.bool)
    said[..., 1:] = labels[..., :-1] >= 0
    values = tokens[said]
    generator = torch.Generator().manual_seed(random.Random(seed).getrandbits(40))
    wrong = torch.rand(len(values), generator=generator) < share
    tokens = tokens.clone()
    tokens[said] = torch.where(wrong, values[torch.randperm(len(values), generator=generator)], values)
    return tokens


@dataclass(frozen=True)
class Recipe:
    """How stage 2 draws its batches and weighs its aids.

    Parameters
    ----------
    characters : int
        About how many a step has.
    grow : int
        Steps after which all sizes of page are in the mix.
    finer : int
        Steps after which all resolutions are.
    middle : float
        Share of the steps whose texts begin anywhere on their pages.
    guidance, probes, reading : float
        Weights of the aids.
    fade : (float, float)
        Between which shares of the stage guidance and probes fade to zero.
    wrong : float
        Share of the characters said so far that are wrong.
    next : tuple of int
        Layers that are guided to the next character's cell.
    """

    characters: int = 2400
    grow: int = 1500
    finer: int = 2000
    middle: float = 0.4
    guidance: float = 0.3
    probes: float = 0.2
    reading: float = 0.4
    fade: tuple[float, float] = (0.6, 0.85)
    wrong: float = 0.0
    next: tuple[int, ...] = (2, 3)

    def aid(self, progress: float) -> float:
        """Weight of guidance and probes at a share of the stage."""
        low, high = self.fade
        return min(1.0, max(0.0, (high - progress) / (high - low)))

    def draw(self, rng: random.Random, step: int) -> tuple[float, int, int]:
        """Resolution, rows and columns of a step; the newest size and resolution as often as any other."""
        sizes = 2 + int((len(SHAPES) - 2) * min(1.0, step / self.grow))
        finest = 3 + int((len(CURRICULUM) - 3) * min(1.0, step / self.finer))
        rows, columns = SHAPES[rng.randrange(sizes)]
        return CURRICULUM[rng.randrange(finest)], rows, columns


class Aloud:
    """Forward pass and losses; `net` is transformers' model, whose tower runs in its fast form."""

    def __init__(self, net: torch.nn.Module, head: ReadingHead, slots: SlotHeads) -> None:
        self.net, self.head, self.slots = net, head, slots
        self.tower = Tower(net.model.visual)
        self.packed = PackedForward(net)

    def forward(self, made: Pages, tokens: Tensor, watch: tuple[int, ...] = ()) -> tuple[Tensor, Tensor, Trace]:
        """Logits [B, T, V], the pages' tokens [B, n, C] and the trace."""
        rows, columns = (side // CELL for side in made.crops.pixels.shape[1:])
        seen = self.tower(torch.from_numpy(made.crops.pixels))
        hidden, trace = self.packed.language(1, rows, columns, seen, tokens[:, None], watch)
        return F.linear(hidden[:, 0], self.net.lm_head.weight), seen, trace

    def step(self, recipe: Recipe, step: int, steps: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one step, and what to report of it."""
        rng = random.Random(f"train/aloud/{seed}/{step}")
        dpi, rows, columns = recipe.draw(rng, step)
        expected = rows * columns * 4 * (144 / dpi) ** 2 * 0.75
        count = max(2, round(recipe.characters / expected))
        made = pages(rng, dpi, rows, columns, count, "train", middle=rng.random() < recipe.middle)
        aid = recipe.aid(step / steps)
        tokens = with_wrong(made.tokens, made.labels, recipe.wrong, f"train/aloud/{seed}/{step}/wrong")
        with mixed_precision():
            logits, seen, trace = self.forward(made, tokens, WRITTEN + recipe.next if aid else ())
            read = self.head(seen)
            speaking = made.labels >= 0
            losses = {"write": F.cross_entropy(logits[speaking].float(), made.labels[speaking])}
            losses["read"] = reading_loss(read, made.crops.written, rows, columns)
            total = losses["write"] + recipe.reading * losses["read"]
            if aid:
                losses |= self._aids(made, trace, recipe.next)
                total = total + aid * recipe.guidance * (losses["here"] + losses["there"] / 2)
                total = total + aid * recipe.probes * (losses["slot"] + losses["next_slot"])
        right = (logits.argmax(-1) == made.labels)[speaking].float().mean()
        return total, losses | {"token": right, "dpi": torch.tensor(dpi)}

    def _aids(self, made: Pages, trace: Trace, following: tuple[int, ...]) -> dict[str, Tensor]:
        rows, columns = (side // CELL for side in made.crops.pixels.shape[1:])
        first = self.packed.prefix_ids(1, rows, columns).index(IMAGE)
        length = made.tokens.shape[1]
        found = {}
        for name, layers, shift in (("here", WRITTEN, 0), ("there", following, 1)):
            cell = made.cell[:, shift : shift + length]
            where = (cell + first).clamp(min=0)[:, None, :, None].expand(-1, GUIDED, -1, 1)
            parts = []
            for layer in layers:
                mass = trace.block_attention[layer][:, :GUIDED, 0].gather(-1, where)[..., 0].float()
                parts.append(-mass.clamp(min=1e-5).log().mean(1)[cell >= 0].mean())
            found[name] = torch.stack(parts).sum()
        for name, probe, layer, shift in (("slot", self.slots.written, 1, 0), ("next_slot", self.slots.next, 2, 1)):
            slot = made.slot[:, shift : shift + length]
            hidden = trace.blocks[layer][:, 0].float()
            logits = F.linear(hidden, probe.weight, probe.bias)  # float32: 42 classes over a long sum
            found[name] = F.cross_entropy(logits.flatten(0, 1), slot.flatten(), ignore_index=-100)
        return found

    @torch.no_grad()
    def accuracy(self, dpi: float, rows: int, columns: int, count: int = 16, kinds: tuple[str, ...] = KINDS) -> float:
        """Share of the tokens of held-out pages that are right, given those before."""
        made = pages(random.Random(f"test/aloud/{dpi}/{rows}/{columns}"), dpi, rows, columns, count, "test", kinds)
        with mixed_precision():
            logits, _, _ = self.forward(made, made.tokens)
        speaking = made.labels >= 0
        return float((logits.argmax(-1) == made.labels)[speaking].float().mean())

    @torch.no_grad()
    def error(self, dpi: float, rows: int, columns: int, count: int = 16, kinds: tuple[str, ...] = KINDS) -> float:
        """Character error of held-out pages read aloud greedily: edit distance / length, the end included."""
        made = pages(random.Random(f"test/free/{dpi}/{rows}/{columns}"), dpi, rows, columns, count, "test", kinds)
        tokens = made.tokens[:, : len(START)]
        ended = torch.zeros(count, dtype=torch.bool)
        with mixed_precision():
            for _ in range(made.tokens.shape[1] + 4):
                last = self.forward(made, tokens)[0][:, -1].argmax(-1)
                tokens = torch.cat([tokens, last[:, None]], 1)
                ended |= last == END
                if ended.all():
                    break
        wrong = length = 0
        for said, labels in zip(tokens[:, len(START) :].tolist(), made.labels.tolist(), strict=True):
            said = said[: said.index(END) + 1] if END in said else said
            truth = [label for label in labels if label >= 0]
            wrong += Levenshtein.distance(truth, said)
            length += len(truth)
        return wrong / length

    def evaluate(self) -> dict[str, float]:
        """Accuracy on small and larger held-out pages at four resolutions, and the character error of small ones."""
        found: dict[str, float] = {}
        for dpi in (144.0, 120.0, 96.0, 72.0):
            for rows, columns in ((3, 8), (7, 12)):
                found[f"aloud_{dpi:g}_{rows}x{columns}"] = self.accuracy(dpi, rows, columns)
            found[f"error_{dpi:g}"] = self.error(dpi, 3, 8, 4)
        return found


def moment(tower: Tower, count: int = 24) -> Tensor:
    """Mean of f fᵀ over the tokens of training pages of all resolutions, for whitening."""
    rng = random.Random("moment")
    total, n = torch.zeros(1), 0
    for dpi in CURRICULUM:
        made = pages(rng, dpi, 4, 10, count, "train")
        with torch.no_grad(), mixed_precision():
            tokens = tower(torch.from_numpy(made.crops.pixels)).float().flatten(0, 1)
        total = total + tokens.T @ tokens
        n += len(tokens)
    return total / n
