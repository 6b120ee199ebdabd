"""Stage 3: questions. The model finds the asked answer on the pages and copies it; some steps go on reading aloud.

A question is a chain (put requests together, count equal ones, choose one, find its answer, copy), which a small model
does not find from answers alone. As in the training of `tiny`, aids show the way and fade to zero before the end:

- guidance: some heads are drawn to what a solution looks at, always a set of tokens, so that none becomes a carrier;
- probes: linear heads give the format and the topic of tokens that show them, as the tower leaves them, the request and
  the running number of an answer's tokens, and what a question asks for.

Tokens of pages learn whose they are by far more chats than can be asked about: these pass the tower and the layers up
to the counting one alone.
"""

import random
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqq.data.mini_glyph import HEIGHTS, WIDTHS
from freqq.glm.train.architecture import CELL, IMAGE
from freqq.glm.train.forward import Trace, mixed_precision
from freqq.glm.train.small.aids import (
    BRING,
    COPY,
    COPY_HEADS,
    COUNT,
    LINK,
    SELECT,
    SELECT_HEADS,
    QuestionHeads,
    around,
    brought,
    counted,
    first_characters,
    guidance,
    known,
    wanted,
)
from freqq.glm.train.small.aloud import CURRICULUM, Aloud, with_wrong
from freqq.glm.train.small.aloud import Recipe as AloudRecipe
from freqq.glm.train.small.model import HEADS, SIZE, WIDTH
from freqq.glm.train.small.question_batch import QuestionBatch, Size, question_batch
from freqq.glm.train.small.reading import reading_loss

SOFTER = 0.02
AID = 0.1
"""Weight of each aid: of the size of reading aloud's gradient and not thirty times that."""

FADE = (0.7, 0.92)
"""Between which shares of the stage the aids fade to zero."""

MOST_PAGES = 5
OFTEN = (3, 2, 3, 2, 3, 1, 1, 1)
"""How often each resolution is drawn: those that are asked about most, more often."""
SIDES = ((150, 170), (80, 110))
"""Widths and heights of pages that training begins with, in points; it ends with those of evaluation, too."""
LEAST_ROOM = 200
"""Characters: two short exchanges need so many."""


@dataclass(frozen=True)
class Recipe:
    """How stage 3 draws its batches and weighs its aids.

    Parameters
    ----------
    tokens : int
        About how many a batch has, of pages and questions.
    questions : int
        Of each sample.
    shown : int
        About how many tokens a batch of pages has about which nothing is asked.
    more : int
        Steps after which such a batch takes turns with more questions: before, requests are too little known.
    grow, finer : int
        Steps after which all numbers and sizes of pages, and all resolutions, are in the mix.
    ruler : float
        Share of the samples that are RULER's.
    whole : float
        Share of the answers that are asked for to their end.
    text : float
        Share of the questions that ask for the pages' text instead, which goes on from page to page.
    aloud : int
        One step in so many reads aloud.
    wrong : float
        Share of an answer's characters said so far that are wrong.
    answer, first, read : float
        Weights of the losses of answers' characters, of the first of them, and of the reading head on the pages. The
        first are few, so their gradient is noisy; the tower forgot how to read at a weight of 1.
    reading : AloudRecipe
        Of those steps.
    fade : (float, float)
        Between which shares of the stage its aids fade to zero.
    """

    tokens: int = 2400
    questions: int = 6
    shown: int = 2400
    more: int = 800
    grow: int = 800
    finer: int = 1000
    ruler: float = 0.25
    whole: float = 0.2
    text: float = 0.25
    aloud: int = 2
    wrong: float = 0.03
    answer: float = 0.5
    first: float = 0.25
    read: float = 1.0
    reading: AloudRecipe = field(
        default_factory=lambda: AloudRecipe(
            grow=1, finer=1, guidance=0.1, probes=0.0, reading=0.8, fade=FADE, wrong=0.03, next=(3, COPY)
        )
    )
    fade: tuple[float, float] = FADE

    def aid(self, progress: float) -> float:
        """Weight of the aids at a share of the stage."""
        low, high = self.fade
        return min(1.0, max(0.0, (high - progress) / (high - low)))

    def draw(self, rng: random.Random, step: int) -> Size:
        """Resolution and pages of a step."""
        grown = min(1.0, step / self.grow)
        finest = 3 + int((len(CURRICULUM) - 3) * min(1.0, step / self.finer))
        dpi = rng.choices(CURRICULUM[:finest], OFTEN[:finest])[0]
        cell = CELL * 72 / dpi
        (narrow, wide), (low, high) = SIDES
        while True:
            pages = rng.randint(1, 2 + round(grown * (MOST_PAGES - 2)))
            columns = round(rng.uniform(narrow, wide + grown * (WIDTHS[1] - wide)) / cell)
            rows = round(rng.uniform(low, high + grown * (HEIGHTS[1] - high)) / cell)
            size = Size(dpi, pages, rows, columns, rng.choice((45, 70, 110)))
            if size.room >= LEAST_ROOM:
                return size


@torch.no_grad()
def soften(net: nn.Module) -> None:
    """Let the heads that are guided to the answer begin undecided.

    After reading aloud they look at the text alone, so hard that pages get an attention of 0 and no gradient.
    """
    for layer, heads in ((SELECT, SELECT_HEADS), (COPY, COPY_HEADS)):
        query = net.model.language_model.layers[layer].self_attn.q_proj
        for head in heads:
            query.weight.view(HEADS, SIZE, WIDTH)[head].mul_(SOFTER)
            query.bias.view(HEADS, SIZE)[head].mul_(SOFTER)


class Questions:
    """Forward pass and losses of questions, beside those of `aloud`, whose network it shares."""

    def __init__(self, aloud: Aloud, heads: QuestionHeads) -> None:
        self.aloud, self.heads = aloud, heads

    def forward(self, made: QuestionBatch, tokens: Tensor, watch: tuple[int, ...] = ()) -> tuple[Tensor, Tensor, Trace]:
        """Final hidden states [S, K, T, C] of the questions, the pages' tokens [S, V, C], and the trace."""
        seen = self.see(made)
        hidden, trace = self.aloud.packed.language(made.pages, made.rows, made.columns, seen, tokens, watch)
        return hidden, seen, trace

    def see(self, made: QuestionBatch) -> Tensor:
        """The pages' tokens [S, V, C]."""
        return self.aloud.tower(torch.from_numpy(made.pixels)).view(len(made.facts), -1, WIDTH)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of final hidden states [..., C]."""
        return F.linear(hidden, self.aloud.net.lm_head.weight)

    def step(self, recipe: Recipe, step: int, steps: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one step that asks or reads aloud, and what to report of it."""
        if step % recipe.aloud == recipe.aloud - 1:
            total, values = self.aloud.step(recipe.reading, step, steps, seed + 1)
            return total, {f"aloud_{name}": value for name, value in values.items()}
        return self._ask(recipe, step, steps, f"train/questions/{seed}/{step}")

    def show(self, recipe: Recipe, step: int, steps: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of chats about which nothing is asked; of questions beside reading aloud, and without aids."""
        aid = recipe.aid(step / steps)
        if not aid or (step >= recipe.more and step % recipe.aloud == recipe.aloud - 1):
            return self._ask(recipe, step, steps, f"train/shown/{seed}/{step}")
        rng = random.Random(f"train/shown/{seed}/{step}")
        size = replace(recipe.draw(rng, step), usual=45)
        count = max(1, round(recipe.shown / (size.pages * size.rows * size.columns)))
        made = question_batch(rng, size, count, 0, 0.0, 0.0)
        with mixed_precision():
            seen = self.see(made)
            _, trace = self.aloud.packed.language(
                made.pages, made.rows, made.columns, seen, made.tokens, (LINK, BRING, COUNT), COUNT + 1
            )
            visual = self._visual(made)
            losses = {"read": self._read(made, seen)} | known(self.heads, made, seen, trace, visual)
            losses |= counted(made, trace, visual) | brought(made, trace, visual)
            losses |= around(self.heads, made, seen, trace, visual)
        total = recipe.read * losses["read"]
        total = total + aid * torch.stack([AID * loss for name, loss in losses.items() if name != "read"]).sum()
        return total, {f"shown_{name}": value for name, value in losses.items()}

    def _ask(self, recipe: Recipe, step: int, steps: int, seed: str) -> tuple[Tensor, dict[str, Tensor]]:
        rng = random.Random(seed)
        size = recipe.draw(rng, step)
        length = size.pages * size.rows * size.columns + recipe.questions * 75
        count = max(1, round(recipe.tokens / length))
        made = question_batch(rng, size, count, recipe.questions, recipe.whole, recipe.ruler, recipe.text)
        aid = recipe.aid(step / steps)
        tokens = with_wrong(made.tokens, made.labels, recipe.wrong, f"{seed}/wrong")
        with mixed_precision():
            hidden, seen, trace = self.forward(made, tokens, (LINK, BRING, COUNT, SELECT, COPY) if aid else ())
            speaking = made.labels >= 0
            logits = self.logits(hidden[speaking]).float()
            each = F.cross_entropy(logits, made.labels[speaking], reduction="none")
            first = first_characters(made)[speaking]
            losses = {"answer": each.mean(), "first": each[first].mean(), "read": self._read(made, seen)}
            total = recipe.answer * losses["answer"] + recipe.first * losses["first"] + recipe.read * losses["read"]
            if aid:
                visual = self._visual(made)
                aids = known(self.heads, made, seen, trace, visual) | counted(made, trace, visual)
                aids |= (
                    brought(made, trace, visual)
                    | around(self.heads, made, seen, trace, visual)
                    | guidance(made, trace, visual)
                    | {"question": wanted(self.heads, made, trace)}
                )
                total = total + aid * torch.stack([AID * loss for loss in aids.values()]).sum()
                losses |= aids
        right = logits.argmax(-1) == made.labels[speaking]
        found = torch.ones_like(speaking)
        found[speaking] = right
        return total, losses | {"token": right.float().mean(), "right": found.all(-1).float().mean()}

    def _read(self, made: QuestionBatch, seen: Tensor) -> Tensor:
        return reading_loss(self.aloud.head(seen), made.written, made.rows, made.columns)

    def _visual(self, made: QuestionBatch) -> Tensor:
        """Where the pages' tokens stand in the prefix."""
        ids = torch.tensor(self.aloud.packed.prefix_ids(made.pages, made.rows, made.columns))
        return ids.eq(IMAGE).nonzero()[:, 0]

    @torch.no_grad()
    def accuracy(self, size: Size, ruler: bool, count: int = 8, questions: int = 3) -> tuple[float, float]:
        """Of held-out streams: shares of the tokens that are right given those before, and of whole answers."""
        made = question_batch(
            random.Random(f"test/questions/{size}/{ruler}"), size, count, questions, 0.0, float(ruler)
        )
        with mixed_precision():
            hidden, _, _ = self.forward(made, made.tokens)
            logits = self.logits(hidden)
        speaking = made.labels >= 0
        right = (logits.argmax(-1) == made.labels) | ~speaking
        return float(right[speaking].float().mean()), float(right.all(-1).float().mean())

    def evaluate(self) -> dict[str, float]:
        """Tokens and whole answers of chats at four resolutions, and of RULER's needles."""
        found: dict[str, float] = {}
        for dpi in (144.0, 120.0, 96.0, 72.0):
            for name, ruler in (("chat", False), ("ruler", True)):
                cell = CELL * 72 / dpi
                size = Size(dpi, 2, round(140 / cell), round(220 / cell), 70)
                token, whole = self.accuracy(size, ruler)
                found |= {f"{name}_{dpi:g}_token": token, f"{name}_{dpi:g}_whole": whole}
        return found
