"""Stage 2: the language model learns to find the answer in question and to copy it, jointly with the vision tower.

The task is a chain (find equal requests, count them, select one, follow its answer), and a small model trained on the
answer alone makes no progress for a long time. Three kinds of auxiliary losses ("aids") help; all fade to zero:

- probes: linear heads on hidden states predict facts that a solution needs (request, ordinal, position in message);
- guidance: some attention heads are trained to attend where a solution would. A target is always a *set* of tokens, all
  tokens of an exchange equally, so that no single token has to represent the others;
- the characters of stage 1, so that the tower does not forget to read.
"""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqq.data.mini import FORMATS, TOPICS
from freqq.glm.train.architecture import IMAGE
from freqq.glm.train.corpus import (
    ANSWER,
    LATE_REPEATS,
    MAX_EXCHANGES,
    MAX_ORDINAL,
    REPEATS,
    Batch,
    build_batch,
    random_shape,
)
from freqq.glm.train.forward import PackedForward, Trace, mixed_precision
from freqq.glm.train.vision import VisionHeads, reading_accuracy, see, vision_losses

COUNT, SELECT, COPY = 2, 3, 4
"""Layers with guided attention. The layers before COUNT assemble a request and move it to its answer."""
COUNT_HEADS: dict[int, float] = {0: 2.0, 2: 6.0}
"""Guided heads of COUNT, and the weight w of the sequence's start in each, in units of answers.

With n earlier answers the start gets w / (w + n): two weights resolve both small and large counts.
"""
COUNTED = 5
"""An answer is counted by its tokens that begin before this character: always two, after a label of three."""
SELECT_HEADS, COPY_HEADS = (0, 2), (0, 2, 4, 6)
MAX_OFFSET = 40
KINDS = (len(FORMATS), len(TOPICS), MAX_ORDINAL)


class LanguageHeads(nn.Module):
    """Linear probes on the language model's hidden states, dropped after training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.vision = VisionHeads(width)
        self.pair = nn.Linear(width, sum(KINDS[:2]))
        self.ordinal = nn.Linear(width, MAX_ORDINAL)
        self.turn = nn.Linear(width, sum(KINDS) + MAX_OFFSET)
        self.question = nn.Linear(width, sum(KINDS) + ANSWER)


@dataclass(frozen=True)
class Recipe:
    """Batches and weights of stage 2.

    Parameters
    ----------
    samples, questions : int
        Samples per step, and questions per sample.
    largest : int
        Most visual tokens of a sample.
    easy : int
        Number of steps in which chats grow from 4 exchanges to 12.
    see_every : int
        The vision tower learns every so many steps; the other steps skip its backward pass.
    decay : int
        Number of last steps, in which the learning rate falls to zero and chats are long and mostly about one request.
    fade : float
        Share of `decay` in which the weight of the aids falls from 1 to 0.
    """

    samples: int = 4
    questions: int = 6
    largest: int = 320
    easy: int = 600
    see_every: int = 2
    decay: int = 4400
    fade: float = 0.6
    guidance: bool = True

    def aid(self, step: int, steps: int) -> float:
        """Weight of the aids at a step of `steps`."""
        progress = 1 - (steps - step) / min(self.decay, steps)
        return min(1.0, max(0.0, 1 - progress / self.fade))


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), target, ignore_index=-100)


def _facts(logits: Tensor, facts: Tensor) -> Tensor:
    kinds = KINDS if logits.shape[-1] == sum(KINDS) else KINDS[:2]
    parts = logits.float().split(kinds, -1)
    return torch.stack([F.cross_entropy(part, facts[:, i]) for i, part in enumerate(parts)]).sum()


def probe_losses(heads: LanguageHeads, trace: Trace, batch: Batch, visual: Tensor) -> dict[str, Tensor]:
    """Losses of probes on an answer's tokens (its request, ordinal, position in the message) and on the question."""
    facts = batch.facts.gather(1, batch.exchange.clamp(min=0)[..., None].expand(-1, -1, 3))
    answers = ~batch.asks & (batch.exchange >= 0)
    losses = {
        "pair": _facts(heads.pair(trace.prefix[COUNT - 1][:, visual][answers]), facts[answers]),
        "ordinal": _cross_entropy(heads.ordinal(trace.prefix[COUNT][:, visual][answers]), facts[answers][:, 2]),
    }
    turn, offset = heads.turn(trace.prefix[COUNT][:, visual][answers]).split((sum(KINDS), MAX_OFFSET), -1)
    losses["turn"] = _facts(turn, facts[answers])
    losses["offset"] = _cross_entropy(offset, batch.offset[answers].clamp(0, MAX_OFFSET - 1))
    speaking = batch.labels >= 0
    request, place = heads.question(trace.blocks[COUNT][speaking]).split((sum(KINDS), ANSWER), -1)
    wanted = batch.facts.gather(1, batch.wanted[..., None].expand(-1, -1, 3))[:, :, None].expand(
        -1, -1, speaking.shape[2], -1
    )
    losses["question"] = _facts(request, wanted[speaking])
    index = speaking.cumsum(-1) - 1
    losses["index"] = _cross_entropy(place, index[speaking].clamp(max=ANSWER - 1))
    return losses


def guidance_losses(trace: Trace, batch: Batch, visual: Tensor) -> dict[str, Tensor]:
    """Losses of the guided heads: minus the log of their attention mass on the target set of tokens."""
    losses = {}
    # Counting: an answer attends to the beginnings of earlier answers to its request, and to the start. A beginning has
    # the same number of tokens in every answer, so the share of attention encodes the number of answers.
    answers = ~batch.asks & (batch.exchange >= 0)
    facts = batch.facts.gather(1, batch.exchange.clamp(min=0)[..., None].expand(-1, -1, 3))
    pair = facts[..., 0] * len(TOPICS) + facts[..., 1]
    counted = answers & (batch.offset >= 0) & (batch.offset < COUNTED)
    before = batch.exchange[:, None] < batch.exchange[:, :, None]
    same = ((pair[:, :, None] == pair[:, None]) & counted[:, None] & before).float()  # [B, V, V]
    earlier = facts[..., 2].clamp(min=0).float()
    per = []
    for head, start in COUNT_HEADS.items():
        rows = torch.log(trace.prefix_attention[COUNT][:, head, visual].float() + 1e-6)
        each = (rows[..., visual] * same).sum(-1) / same.sum(-1).clamp(min=1)
        per.append(-(start * rows[..., 0] + earlier * each) / (start + earlier))
    losses["count"] = torch.stack(per).mean(0)[answers].mean()
    speaking = batch.labels >= 0
    turn = batch.exchange[:, None] == batch.wanted[..., None]  # [B, K, V]
    turn = turn & ~batch.asks[:, None]
    heads = trace.block_attention[SELECT][:, list(SELECT_HEADS)]
    mass = (heads[..., visual] * turn[:, None, :, None]).float().sum(-1)  # [B, heads, K, T]
    losses["select"] = -torch.log(mass + 1e-6).mean(1)[speaking].mean()
    copies = batch.source >= 0
    heads = trace.block_attention[COPY][:, list(COPY_HEADS)][..., visual]
    target = batch.source.clamp(min=0)[:, None, :, :, None].expand(-1, heads.shape[1], -1, -1, -1)
    found = heads.gather(-1, target)[..., 0].float()
    losses["copy"] = -torch.log(found + 1e-6).mean(1)[copies].mean()
    return losses


WEIGHTS = {"count": 0.3, "ordinal": 0.2, "turn": 0.2, "select": 0.3, "copy": 0.5, "characters": 1.0}
"""Weights of the aids; all others are probes with weight 0.1."""


def language_step(
    forward: PackedForward, heads: LanguageHeads, recipe: Recipe, step: int, steps: int, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one step, and values to report."""
    rng = random.Random(f"train/language/{seed}/{step}")
    generator = torch.Generator().manual_seed(rng.getrandbits(40))
    most = min(MAX_EXCHANGES, 4 + (MAX_EXCHANGES - 4) * step // recipe.easy)
    late = step >= steps - recipe.decay
    shape = random_shape(rng, min(recipe.largest, 30 * most), 1.0 if late else 0.5)
    repeats = LATE_REPEATS if late else REPEATS
    batch = build_batch(rng, shape, recipe.samples, recipe.questions, most, repeats)
    aid = recipe.aid(step, steps)
    with mixed_precision():
        learns_to_see = step % recipe.see_every == 0
        with torch.set_grad_enabled(learns_to_see):
            seen = see(forward, batch, 0.1, generator)
        watch = (COUNT, SELECT, COPY) if recipe.guidance and aid > 0 else ()
        visual = torch.tensor(forward.prefix_ids(shape.pages, shape.rows, shape.columns)).eq(IMAGE).nonzero()[:, 0]
        hidden, trace = forward.language(shape.pages, shape.rows, shape.columns, seen, batch.tokens, watch)
        speaking = batch.labels >= 0
        logits = forward.model.lm_head(hidden[speaking]).float()
        losses = {"answer": F.cross_entropy(logits, batch.labels[speaking])}
        values = {"token": (logits.argmax(-1) == batch.labels[speaking]).float().mean()}
        right = torch.ones_like(speaking)
        right[speaking] = logits.argmax(-1) == batch.labels[speaking]
        values["whole"] = right.all(-1).float().mean()
        total = losses["answer"]
        if aid > 0:
            aids = probe_losses(heads, trace, batch, visual)
            if learns_to_see:
                aids |= vision_losses(heads.vision, seen, batch)
            if recipe.guidance:
                aids |= guidance_losses(trace, batch, visual)
            total = total + aid * sum(WEIGHTS.get(name, 0.1) * loss for name, loss in aids.items())
            losses |= aids
        values["reads"] = reading_accuracy(heads.vision, seen, batch)
    return total, losses | values
