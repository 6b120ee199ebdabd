"""Estimate the memory of a training before it starts."""

from typing import Any

from freqq.adapt.loop import Training
from freqq.errors import FreqqError
from freqq.glm.memory import memories

SAMPLED = 4
"""Training examples whose longest stands for all."""

LESS = "use a smaller --batch-size, --gradient-checkpointing, or a lower --rank"

STATE_BYTES = 16
"""Of a trained parameter: itself, its gradient and AdamW's two means, in float32. In a model of fewer bits, its
own copy and that one's gradient are added (`freqq.adapt.optimizers`)."""


def estimate(training: Training) -> dict[str, int]:
    """Bytes of the frozen weights, of the trained parameters, and of the activations of one pass.

    A transformer layer keeps about 34·s·b·h bytes for its backward pass in half precision if attention
    does not keep its square (Korthikanti et al., arXiv:2205.05198, section 4.1). With gradient checkpointing a layer
    keeps its input only, except for one layer at a time, and each question has its own copy of the pages.
    """
    model: Any = training.adapter.reader.model
    config = model.config.text_config
    trained = sum(
        p.numel() * (STATE_BYTES + (0 if p is training.masters[name] else 2 * p.element_size()))
        for name, p in training.parameters.items()
    )
    own = set(training.parameters.values())
    weights = sum(p.numel() * p.element_size() for p in model.parameters() if p not in own)
    tokens = _columns(training)
    layer = 34 * tokens * config.hidden_size
    kept = 2 * tokens * config.hidden_size * config.num_hidden_layers + layer
    activations = kept if training.habits.recompute else layer * config.num_hidden_layers
    return {"weights": weights, "trained": trained, "activations": activations}


def _columns(training: Training) -> int:
    """Columns of a pass at the level with the most tokens, if each example were as long as the longest."""
    student, examples = training.student, [training.data.train(i) for i in range(SAMPLED)]
    reader = training.adapter.reader
    texts = max(
        sum(len(student.ids(q.text)) + len(student.ids(q.answer)) + 2 for q in one.questions) for one in examples
    )
    pages = max(sum(reader.token_count(page) for page in one.pages) for one in examples)
    kept = max(1.0 if c is None else getattr(c, "keep", 1.0) for c in training.compressors)
    repeats = max(len(one.questions) for one in examples) if training.habits.recompute else 1
    return (texts + repeats * int(kept * pages)) * training.adaptation.batch


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
