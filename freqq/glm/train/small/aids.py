"""The aids of stage 3: what probes and guided heads lose."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from freqq.data.mini import FORMATS, TOPICS
from freqq.glm.train.corpus import MAX_ORDINAL
from freqq.glm.train.forward import Trace
from freqq.glm.train.small.model import WIDTH
from freqq.glm.train.small.question_batch import QuestionBatch
from freqq.glm.train.small.sheets import COLUMNS, ROWS
from freqq.glm.train.small.text import CHARACTERS

LINK, BRING, COUNT, SELECT, COPY = 1, 2, 3, 4, 5
"""Layers whose attention is guided: a line's edge finds where the text goes on on the page, a request is brought to its
answer (and what is asked for to what is said), equal ones are counted, one is selected, and its answer is copied."""
TINY = 1e-12
"""Attention whose logarithm is bounded: far below what heads begin with, or they would get no gradient."""
FIRST = 3
"""Characters of an answer that have to be found by the question; what follows them is read on."""
COUNT_HEADS: dict[int, float] = {0: 2.0, 2: 6.0, 4: 0.4}
"""Guided heads of COUNT, and how many earlier answers the start of the sequence weighs as much as in each: with n
earlier ones the start keeps w / (w + n), which tells n from n + 1 best where n is about w."""
LINK_HEADS = (6, 7)
"""Heads of LINK from a line's start to the end of the one before, and from its end to the start of the next."""
BRING_HEADS, ORDINAL_HEAD = (6, 7), 7
"""Heads of BRING for the format and the topic, and of COUNT for the ordinal of a question."""
SELECT_HEADS, COPY_HEADS = (1, 3), (0, 2, 4, 6)
KINDS = (len(FORMATS), len(TOPICS), MAX_ORDINAL)
AROUND = 6
"""Characters of what a token shows of a line, before it, and after it, which it has to know."""
DENSE = 3.0
"""Weight of these relative to the other aids: all tokens of a page learn from them, and what else is found rests on
them."""


class QuestionHeads(nn.Module):
    """Probes, dropped after training."""

    def __init__(self) -> None:
        super().__init__()
        self.format = nn.Linear(WIDTH, KINDS[0])
        self.topic = nn.Linear(WIDTH, KINDS[1])
        self.pair = nn.Linear(WIDTH, sum(KINDS[:2]))
        self.turn = nn.Linear(WIDTH, sum(KINDS))
        self.question = nn.Linear(WIDTH, sum(KINDS))
        self.edges = nn.Linear(WIDTH, 2 * ROWS)
        self.own = nn.Linear(WIDTH, 2 * ROWS * AROUND * len(CHARACTERS))
        self.around = nn.Linear(WIDTH, 2 * ROWS * AROUND * len(CHARACTERS))


def known(heads: QuestionHeads, made: QuestionBatch, seen: Tensor, trace: Trace, visual: Tensor) -> dict[str, Tensor]:
    """What probes lose of tokens that show a request, and of those of its answer."""
    losses = {}
    for column, (name, probe, shown) in enumerate(
        (("format", heads.format, made.formats), ("topic", heads.topic, made.topics))
    ):
        sample, exchange, token = _only(shown).nonzero(as_tuple=True)
        losses[name] = _facts(probe(seen[sample, token]), made.facts[sample, exchange, column : column + 1])
    sample, exchange, token = _only(made.answers).nonzero(as_tuple=True)
    facts = made.facts[sample, exchange]
    before, counted = (trace.prefix[layer][:, visual][sample, token] for layer in (COUNT - 1, COUNT))
    losses["pair"] = _facts(heads.pair(before), facts[:, :2])
    losses["turn"] = _facts(heads.turn(counted), facts)
    return losses


def around(heads: QuestionHeads, made: QuestionBatch, seen: Tensor, trace: Trace, visual: Tensor) -> dict[str, Tensor]:
    """What is lost of the text that a page's tokens show, and of that before and after it.

    The next character is found by those before it, and behind a line's end these stand at the other side of the page.
    The tower knows in which column a character stands; its place in the text is what can be handed on. Its tokens also
    say which lines start and end there, and guided heads go from these edges to where the text goes on.
    """
    text = reading_order(made)
    size = seen.shape[1]
    total = len(seen) * size
    losses = {}
    for name, probe, layer, wanted in zip(
        ("own", "around"), (heads.own, heads.around), (0, BRING), own_and_around(text, total), strict=True
    ):
        logits = probe(trace.prefix[layer][:, visual]).view(-1, len(CHARACTERS))
        wanted = wanted.flatten()
        losses[name] = DENSE * F.cross_entropy(logits[wanted >= 0].float(), wanted[wanted >= 0])
    edges = torch.zeros(2, ROWS, total)
    linked = []
    attention = trace.prefix_attention[LINK][:, :, visual][..., visual]  # [S, H, V, V]
    for side, (inner, outer) in enumerate(text.edges()):
        edges[side, text.slot[inner], text.cell[inner]] = 1.0
        reached = (outer >= 0) & (text.cell[outer] <= text.cell[inner])
        here, there = (torch.from_numpy(text.cell[i[reached]]) for i in (inner, outer))
        linked.append(attention[here // size, LINK_HEADS[side], here % size, there % size])
    logits = heads.edges(seen).float().view(total, 2, ROWS)
    losses["edges"] = F.binary_cross_entropy_with_logits(logits, edges.permute(2, 0, 1))
    losses["link"] = -torch.log(torch.cat(linked).float() + TINY).mean()
    return losses


@dataclass(frozen=True)
class ReadingOrder:
    """All characters of a batch in the order of reading: the sample, the token ``cell`` (0 to S V), the row ``slot`` of
    that token, the line, and which character each is; int64 [n]."""

    sample: NDArray[np.int64]
    cell: NDArray[np.int64]
    slot: NDArray[np.int64]
    line: NDArray[np.int64]
    character: NDArray[np.int64]

    def edges(self) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The first characters of lines, and the last ones, each with that before or after it, or -1."""
        cuts = np.flatnonzero(np.diff(self.line)) + 1
        first, last = np.r_[0, cuts], np.r_[cuts - 1, len(self.line) - 1]
        same = self.sample[first[1:]] == self.sample[last[:-1]]
        return (first, np.r_[-1, np.where(same, last[:-1], -1)]), (last, np.r_[np.where(same, first[1:], -1), -1])


def reading_order(made: QuestionBatch) -> ReadingOrder:
    """The text of a batch's pages."""
    w = made.written
    order = np.lexsort((w.column, w.row, w.crop))
    crop, row = w.crop[order], w.row[order]
    cell = (crop * made.rows + row // ROWS) * made.columns + w.column[order] // COLUMNS
    return ReadingOrder(crop // made.pages, cell, row % ROWS, w.lines()[order], w.character[order])


def own_and_around(text: ReadingOrder, tokens: int) -> tuple[Tensor, Tensor]:
    """Characters [tokens, 2, ROWS, AROUND] of each token and of each line: those it shows, and those beside them.

    Of its own, first those from the last to the first, then from the first to the last; of the others, those before and
    those after, the nearest first. -100 where there are none, or where they stand on a later token, which causal
    attention does not reach.
    """
    cell, slot, character = text.cell, text.slot, text.character
    cuts = np.flatnonzero(np.diff(cell * ROWS + slot)) + 1
    first, last = np.r_[0, cuts], np.r_[cuts - 1, len(cell) - 1]
    own, beside = (np.full((tokens, 2, ROWS, AROUND), -100) for _ in range(2))
    for side, (end, other, sign) in enumerate(((first, last, -1), (last, first, 1))):
        for k in range(AROUND):
            inside = other + sign * k
            shown = (first <= inside) & (inside <= last)
            own[cell[end], side, slot[end], k] = np.where(shown, character[inside.clip(first, last)], -100)
            at = end + sign * (k + 1)
            there = at.clip(0, len(cell) - 1)
            reached = (at == there) & (text.sample[there] == text.sample[end]) & (cell[there] <= cell[end])
            beside[cell[end], side, slot[end], k] = np.where(reached, character[there], -100)
    return torch.from_numpy(own), torch.from_numpy(beside)


def wanted(heads: QuestionHeads, made: QuestionBatch, trace: Trace) -> Tensor:
    """What the probe of questions loses."""
    speaking = (made.labels >= 0) & (made.wanted >= 0)[..., None]
    s, k, _ = speaking.nonzero(as_tuple=True)
    return _facts(heads.question(trace.blocks[COUNT][speaking]), made.facts[s, made.wanted[s, k]])


def counted(made: QuestionBatch, trace: Trace, visual: Tensor) -> dict[str, Tensor]:
    """Minus the log of what heads that count give to the beginnings of earlier answers to the same request."""
    pair = made.facts[..., 0] * len(TOPICS) + made.facts[..., 1]  # [S, E]
    real = made.facts[..., 0] >= 0
    index = torch.arange(pair.shape[1])
    earlier = (pair[:, :, None] == pair[:, None]) & real[:, :, None] & (index[:, None] > index[None])  # [S, E, E']
    those = _only(made.answers)
    # [S, V, V']: from a token of an answer to the beginnings of earlier answers to the same request
    shows = torch.einsum("sev,sef,sfw->svw", those.float(), earlier.float(), made.beginnings.float()) > 0
    n = torch.einsum("sev,sef->sv", those.float(), earlier.float())
    of = those.any(1)
    per = []
    for head, start in COUNT_HEADS.items():
        rows = torch.log(trace.prefix_attention[COUNT][:, head, visual].float() + TINY)
        each = (rows[..., visual] * shows).sum(-1) / shows.sum(-1).clamp(min=1)
        per.append(-(start * rows[..., 0] + n * each) / (start + n))
    return {"count": torch.stack(per).mean(0)[of].mean() if of.any() else torch.zeros(())}


def brought(made: QuestionBatch, trace: Trace, visual: Tensor) -> dict[str, Tensor]:
    """Minus the log of what an answer's tokens give to those that show its format and its topic."""
    those = _only(made.answers)
    lost = []
    for head, shown in zip(BRING_HEADS, (made.formats, made.topics), strict=True):
        target = torch.einsum("sev,sew->svw", those.float(), shown.float()) > 0
        rows = trace.prefix_attention[BRING][:, head][:, visual][..., visual]
        lost.append(-torch.log((rows * target).float().sum(-1) + TINY)[target.any(-1)])
    return {"bring": torch.cat(lost).mean() if those.any() else torch.zeros(())}


def guidance(made: QuestionBatch, trace: Trace, visual: Tensor) -> dict[str, Tensor]:
    """Minus the log of what guided heads of questions give to the tokens that they should look at."""
    losses = {}
    found = first_characters(made)
    speaking = found & (made.wanted >= 0)[..., None]
    samples = torch.arange(len(made.facts))[:, None]
    turn = made.answers[samples, made.wanted.clamp(min=0)]  # [S, K, V]
    heads = trace.block_attention[SELECT][:, list(SELECT_HEADS)][..., visual]  # [S, H, K, T, V]
    mass = (heads * turn[:, None, :, None]).float().sum(-1)
    chosen = -torch.log(mass + TINY).mean(1)[speaking]
    losses["select"] = chosen.mean() if speaking.any() else torch.zeros(())
    heads = trace.block_attention[COPY][:, list(COPY_HEADS)][..., visual]
    target = made.cell.clamp(min=0)[:, None, :, :, None].expand(-1, heads.shape[1], -1, -1, -1)
    mass = heads.gather(-1, target)[..., 0].float()
    each = -torch.log(mass + TINY).mean(1)
    losses["copy"] = each[found].mean()
    rest = (made.cell >= 0) & ~found
    losses["follow"] = each[rest].mean() if rest.any() else torch.zeros(())
    wrapped = rest & (made.cell.roll(1, -1) < 0)  # the space at a line's end is not drawn
    losses["wrap"] = each[wrapped].mean() if wrapped.any() else torch.zeros(())
    asks = (made.labels >= 0) & (made.wanted >= 0)[..., None]
    places = made.parts.clamp(min=0) + trace.block_attention[BRING].shape[-1] - made.tokens.shape[-1]
    lost = []
    for part, (layer, head) in enumerate(((BRING, BRING_HEADS[0]), (BRING, BRING_HEADS[1]), (COUNT, ORDINAL_HEAD))):
        rows = trace.block_attention[layer][:, head]  # [S, K, T, P + T]
        lost.append(rows.gather(-1, places[..., part, None, None].expand(-1, -1, rows.shape[2], 1))[..., 0][asks])
    losses["ask"] = -torch.log(torch.cat(lost).float() + TINY).mean() if asks.any() else torch.zeros(())
    return losses


def first_characters(made: QuestionBatch) -> Tensor:
    """Places [S, K, T] whose next tokens are the first characters of an answer."""
    copied = made.cell >= 0
    return copied & (copied.cumsum(-1) <= FIRST)


def _only(shows: Tensor) -> Tensor:
    """Of which of [S, E, V] each token shows just one: one that shows two tells neither."""
    return shows & (shows.sum(1, keepdim=True) == 1)


def _facts(logits: Tensor, facts: Tensor) -> Tensor:
    """Cross-entropy of the facts [n, k] that a probe gives, whose classes fill the logits' columns."""
    if not len(facts):
        return logits.sum() * 0
    kinds = KINDS[: facts.shape[1]] if facts.shape[1] > 1 else logits.shape[-1]
    parts = logits.float().split(kinds, -1)
    return torch.stack([F.cross_entropy(part, facts[:, i], ignore_index=-100) for i, part in enumerate(parts)]).sum()
