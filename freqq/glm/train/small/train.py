"""The recipe of `small`, stage by stage; each goes on from its last checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionModel

from freqq.glm.train.loop import Stage, parameters, run
from freqq.glm.train.small.reading import ReadingHead, evaluate, reading_step
from freqq.glm.train.small.tower import Tower, start, vision_config

Report = Callable[[str, int, int, dict[str, float]], None]

VISION_WIDTH, VISION_DEPTH, WIDTH = 256, 4, 512

READING_SCALES = {
    "tower.visual.patch_embed": 0.2,
    "tower.visual.blocks": 1.0,
    "tower.visual.merger": 1.0,
    "tower.visual.downsample": 1.0,
    "tower.visual.post": 1.0,
    "head": 2.0,
}
"""Learning rates relative to the stage's; what is not named stays as it is (absolute positions: zero)."""


@dataclass(frozen=True)
class Training:
    """What a training of `small` is made of; the defaults are the recipe.

    Parameters
    ----------
    reading_steps : int
        Steps of stage 1, in which the tower learns to read.
    crops : int
        Crops at each of a step's five resolutions.
    seed : int
        Of the initial weights and of every batch.
    """

    reading_steps: int = 14_000
    reading_decay: int = 6_000
    crops: int = 4
    seed: int = 0
    evaluate_every: int = 500


def build_reader(seed: int) -> nn.ModuleDict:
    """The tower and its head as they start."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # for what transformers' constructors draw and `start` leaves
    visual = Glm4vVisionModel(vision_config(VISION_WIDTH, VISION_DEPTH, WIDTH))
    start(visual, generator)
    return nn.ModuleDict({"tower": Tower(visual), "head": ReadingHead(WIDTH, generator)})


def train_reading(training: Training, folder: Path, report: Report) -> nn.ModuleDict:
    """Stage 1; the report also gets the accuracy on held-out words every `evaluate_every` steps."""
    whole = build_reader(training.seed)
    tower, head = whole["tower"], whole["head"]
    stage = Stage("reading", training.reading_steps, 3e-3, 9e-3, decay=training.reading_decay, report_every=100)

    def told(name: str, step: int, steps: int, values: dict[str, float]) -> None:
        if step % training.evaluate_every == 0 or step == steps:
            values |= evaluate(tower, head)
        report(name, step, steps, values)

    run(
        stage,
        whole,
        parameters(whole, READING_SCALES),
        lambda step: reading_step(tower, head, step, training.seed, training.crops),
        folder,
        told,
    )
    return whole
