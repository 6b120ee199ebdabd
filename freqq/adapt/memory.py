"""Estimate the memory of a training before it starts."""

from dataclasses import dataclass
from typing import Any

import torch

from freqq.adapt.loop import Training
from freqq.adapt.student import MOST_PATCHES
from freqq.errors import FreqqError
from freqq.glm.memory import memories

SAMPLED = 4
"""Training examples whose longest stands for all."""

LESS = "use a smaller --batch-size, --gradient-checkpointing, or a lower --rank"

MASTER_BYTES = 8
"""Of a trained parameter: its float32 master (itself, in a float32 model) and that one's gradient."""


def estimate(training: Training) -> dict[str, int]:
    """Bytes of the frozen weights, of the trained parameters and their optimizers' state, and of what a step adds.

    A step adds the most either while the tower sees the pages, which keeps nothing, or while the language
    model reads them, whose layers keep what their backward passes need. On a CPU attention is plain, with its squares
    (`freqq.adapt.student`). Within 15 % of what was measured with GLM-4.1V's widths in bfloat16 (examples/results).
    """
    model: Any = training.adapter.reader.model
    own = set(training.parameters.values())
    weights = sum(p.numel() * p.element_size() for p in model.parameters() if p not in own)
    trained = sum(
        p.numel() * (MASTER_BYTES + (8 if isinstance(optimizer, torch.optim.AdamW) else 4))
        for optimizer in training.optimizers
        for group in optimizer.param_groups
        for p in group["params"]
    ) + sum(p.numel() * p.element_size() for name, p in training.parameters.items() if p is not training.masters[name])
    load = Load.of(training)
    return {
        "weights": weights,
        "trained": trained,
        "activations": max(_seeing(training, load), _reading(training, load)),
    }


@dataclass(frozen=True)
class Load:
    """What a pass reads at the level with the most tokens, if each example were as long as the longest.

    Parameters
    ----------
    page, pages : tokens of the largest page, and of all pages of an example, before they are compressed
    columns : of the sequence of an example that all of its questions share, or with checkpointing of each sequence
    texts : columns of all questions and answers of an example
    answers : tokens of the answers, each of which has logits
    sequences : that an example is read in
    batch : examples
    """

    page: int
    pages: int
    columns: int
    texts: int
    answers: int
    sequences: int
    batch: int

    @classmethod
    def of(cls, training: Training) -> "Load":
        """That of a training's first examples."""
        student, examples = training.student, [training.data.train(i) for i in range(SAMPLED)]
        count = training.adapter.reader.token_count
        counts = [[count(page) for page in one.pages] for one in examples]
        questions = [[len(student.ids(q.text)) + 2 for q in one.questions] for one in examples]
        answers = [[len(student.ids(q.answer)) for q in one.questions] for one in examples]
        pages = max(map(sum, counts))
        kept = max(1.0 if c is None else getattr(c, "keep", 1.0) for c in training.compressors)
        return cls(
            max(map(max, counts)),
            pages,
            int(kept * pages),
            max(sum(q) + sum(a) for q, a in zip(questions, answers, strict=True)),
            max(map(sum, answers)),
            max(map(len, questions)) if training.habits.recompute else 1,
            training.adaptation.batch,
        )


def _seeing(training: Training, load: Load) -> int:
    """Bytes of a pass of the tower: all pixels, and one block's attention or perceptron for the pages seen at once.

    Of attention that are about 18 vectors a patch, and on a CPU the scores of a page, their exponentials in float32,
    and those narrowed; of the perceptron as in `freqq.glm.spec.ModelSpec.vision_bytes`.
    """
    reader = training.adapter.reader
    vision, size = reader.model.config.vision_config, reader.model.dtype.itemsize
    pixels, perceptron = reader.family.pass_numbers(vision)
    each = reader.family.patches_per_token(reader.model.config)
    patches, page = each * load.batch * load.pages, each * load.page
    at_once = min(patches, max(MOST_PATCHES, page))
    square = (2 * size + 4) * vision.num_heads * page**2 if _is_plain(training) else 0
    attention = square + 18 * size * vision.hidden_size * at_once
    block = max(attention, size * (6 * vision.hidden_size + 3 * perceptron) * at_once)
    return int(4 * pixels * patches + block + size * vision.hidden_size * (patches - at_once))


def _reading(training: Training, load: Load) -> int:
    """Bytes that the language model's layers keep for the backward pass, the logits, and what a trained merger keeps.

    A layer keeps the inputs of its four norms in float32, its queries, repeated keys and values, three vectors of its
    perceptron, and LoRA's inputs in float32; on a CPU the probabilities of attention, too (5 bytes each). With gradient
    checkpointing it keeps its input alone, but for one layer at a time, beside which its gradients are.
    """
    reader = training.adapter.reader
    model: Any = reader.model
    config, size = model.config.text_config, model.dtype.itemsize
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    hidden, perceptron, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    lora = 4 * (5 * hidden + perceptron) if training.adaptation.train != "merger" else 0
    each = 16 * hidden + 3 * size * (heads * head + perceptron) + lora
    columns = load.batch * (load.sequences * load.columns + load.texts)
    length = load.columns + load.texts // load.sequences
    square = 5 * heads * load.batch * load.sequences * length**2 if _is_plain(training) else 0
    layer, layers = columns * each + square, config.num_hidden_layers
    kept = layer * layers
    if training.habits.recompute:
        kept = layer + columns * (size * hidden * layers + (3 * size + 4) * perceptron)
    logits = load.batch * load.answers * config.vocab_size * (size + 8)
    if training.adaptation.train == "lora":
        return kept + logits
    _, wide = reader.family.pass_numbers(model.config.vision_config)
    return int(kept + logits + load.batch * load.pages * 4 * size * (hidden + wide))


def _is_plain(training: Training) -> bool:
    return training.adapter.reader.device.startswith("cpu")


def check_memory(training: Training) -> str:
    """One line with the estimated memory.

    Raises
    ------
    FreqqError
        If it exceeds the available memory.
    """
    parts = estimate(training)
    needed = sum(parts.values())
    there = memories(training.adapter.reader.device, False)[0]
    shown = ", ".join(f"{name} {size / 1e9:.2g} GB" for name, size in parts.items())
    line = f"about {needed / 1e9:.2g} GB are needed ({shown}); {there / 1e9:.0f} GB are there"
    if needed > there:
        raise FreqqError(f"{line}: {LESS}")
    return line
