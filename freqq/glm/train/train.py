"""The whole training: read (stage 1), answer (stage 2), and write a model folder."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from freqq.data.mini import margins
from freqq.glm.train.architecture import build_config, build_model, save
from freqq.glm.train.forward import PackedForward
from freqq.glm.train.language import LanguageHeads, Recipe, language_step
from freqq.glm.train.loop import Stage, parameters, restore, run
from freqq.glm.train.vision import template_patches, vision_step

HEADS = 5.0
"""Factor of the probes' learning rate, so that they follow the changes of the network."""

Report = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class Training:
    """Settings of a training; the defaults are those of the embedded model.

    Parameters
    ----------
    vision_steps, language_steps : int
        Optimizer steps of the stages.
    seed : int
        Seed of the initial weights and of every batch.
    vision_scale : float
        Learning rate of the vision tower in stage 2, relative to the language model's.
    """

    vision_steps: int = 2000
    language_steps: int = 8400
    seed: int = 0
    vision_rate: float = 2e-3
    language_rate: float = 1.5e-3
    vision_scale: float = 0.1
    vision_pages: int = 8
    recipe: Recipe = Recipe()


def train(training: Training, folder: Path, report: Report) -> Path:
    """Train with checkpoints in `folder`, from which the same call resumes. Returns the model folder.

    Deterministic on the same kind of machine with the same number of threads.
    """
    model = build_model(build_config(), training.seed)
    template_patches(model.model.visual, *mini_font(), seed=training.seed)
    forward = PackedForward(model)
    heads = LanguageHeads(model.config.text_config.hidden_size)
    whole = nn.ModuleDict({"net": model, "heads": heads})
    reading = Stage("vision", training.vision_steps, training.vision_rate)
    answering = Stage(
        "language", training.language_steps, training.language_rate, decay=training.recipe.decay, warmup=100
    )
    if not (folder / "language.safetensors").is_file():
        run(
            reading,
            whole,
            parameters(whole, {"net.model.visual": 1.0, "heads.vision": HEADS}),
            [lambda step: vision_step(forward, heads.vision, step, training.seed, training.vision_pages)],
            folder,
            report,
        )
        restore(folder / "vision.safetensors", whole)
    run(
        answering,
        whole,
        parameters(whole, {"net.model.visual": training.vision_scale, "net": 1.0, "heads": HEADS}),
        [lambda step: language_step(forward, heads, training.recipe, step, training.language_steps, training.seed)],
        folder,
        report,
    )
    save(model, folder / "model")
    return folder / "model"


def mini_font() -> tuple[str, float]:
    """Font and size of the built-in data, whose glyphs initialize the vision tower."""
    style = margins(random.Random(0), 8, sparse=False)
    return str(style["font"]), float(style["font_size"])
