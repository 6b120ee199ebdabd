"""The recipe of `small`, stage by stage; each goes on from its last checkpoint.

1. **Read**: the vision tower says which characters stand in the cell of each token, at 72 to 144 dpi.
2. **Read aloud**: the language model writes a page's text, and the tower learns along.
3. **Questions**: it answers MRCR's and RULER's questions about one to five pages, and goes on reading aloud.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionModel

from freqq.glm.train.architecture import save
from freqq.glm.train.gradients import LossOf
from freqq.glm.train.loop import Stage, parameters, run
from freqq.glm.train.small.aids import QuestionHeads
from freqq.glm.train.small.aloud import Aloud, Recipe, moment
from freqq.glm.train.small.model import REQUESTS, SlotHeads, build
from freqq.glm.train.small.questions import Questions, soften
from freqq.glm.train.small.questions import Recipe as QuestionRecipe
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
    vision_steps : int
        Steps of stage 1, in which the tower learns to read.
    vision_decay, language_decay : int
        The last steps of a stage, in which the learning rate falls to zero.
    language_steps : int
        Steps of stage 2, in which the whole model learns to read aloud. Stage 3 goes on with that, so it is short.
    question_steps, question_decay : int
        Of stage 3, in which it learns to answer questions.
    crops : int
        Crops at each of a step's five resolutions in stage 1.
    seed : int
        Of the initial weights and of every batch.
    """

    vision_steps: int = 8_000
    vision_decay: int = 4_000
    crops: int = 4
    seed: int = 0
    language_steps: int = 4_000
    language_decay: int = 1_200
    recipe: Recipe = Recipe()
    question_steps: int = 6_700
    question_decay: int = 2_000
    questions: QuestionRecipe = QuestionRecipe()
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
    stage = Stage("reading", training.vision_steps, 3e-3, 9e-3, decay=training.vision_decay, report_every=100)

    def loss_of(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return reading_step(tower, head, step, training.seed, training.crops)

    _train(stage, whole, READING_SCALES, [loss_of], lambda: evaluate(tower, head), training, folder, report)
    return whole


ALOUD_SCALES = {
    "net.model.visual.patch_embed": 0.05,
    "net.model.visual": 0.25,
    "net": 1.0,
    "head": 0.5,
    "slots": 1.0,
}
OFTEN = {"warmup": 100, "save_every": 100, "report_every": 50}
"""Of stages 2 and 3, whose steps take seconds."""


def train_aloud(training: Training, whole: nn.ModuleDict, folder: Path, report: Report) -> nn.ModuleDict:
    """Stage 2, from what `train_reading` gave."""
    head = whole["head"]
    net = build(whole["tower"].visual.state_dict(), head, moment(whole["tower"]), training.seed)
    torch.manual_seed(training.seed)
    every = nn.ModuleDict({"net": net, "head": head, "slots": SlotHeads()})
    aloud = Aloud(net, head, every["slots"])
    stage = Stage("aloud", training.language_steps, 3e-3, 8e-3, decay=training.language_decay, **OFTEN)

    def loss_of(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return aloud.step(training.recipe, step, training.language_steps, training.seed)

    _train(stage, every, ALOUD_SCALES, [loss_of], aloud.evaluate, training, folder, report)
    return every


QUESTION_SCALES = ALOUD_SCALES | {"net.model.visual": 0.25, "heads": 5.0}


def train_questions(
    training: Training, whole: nn.ModuleDict, folder: Path, report: Report, processes: int = 1
) -> nn.ModuleDict:
    """Stage 3, from what `train_aloud` gave."""
    torch.manual_seed(training.seed)
    every = nn.ModuleDict({**whole, "heads": QuestionHeads()})
    soften(whole["net"])
    questions = Questions(Aloud(whole["net"], whole["head"], whole["slots"]), every["heads"])
    stage = Stage("questions", training.question_steps, 2e-3, 6e-3, decay=training.question_decay, **OFTEN)

    def asking(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return questions.step(training.questions, step, training.question_steps, training.seed)

    def showing(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        return questions.show(training.questions, step, training.question_steps, training.seed)

    def evaluated() -> dict[str, float]:
        return questions.evaluate() | questions.aloud.evaluate() | evaluate(questions.aloud.tower, whole["head"])

    _train(stage, every, QUESTION_SCALES, [asking, showing], evaluated, training, folder, report, processes)
    return every


def _train(
    stage: Stage,
    whole: nn.ModuleDict,
    scales: dict[str, float],
    parts: Sequence[LossOf],
    evaluated: Callable[[], dict[str, float]],
    training: Training,
    folder: Path,
    report: Report,
    processes: int = 1,
) -> None:
    """Run a stage; every `evaluate_every` steps, and at the end of more, the report gets what `evaluated` gives."""

    def evaluating(name: str, step: int, steps: int, values: dict[str, float]) -> None:
        if step % training.evaluate_every == 0 or training.evaluate_every < step == steps:
            values |= evaluated()
        report(name, step, steps, values)

    run(stage, whole, parameters(whole, scales), parts, folder, evaluating, processes)


def train(training: Training, folder: Path, report: Report, processes: int = 1) -> Path:
    """All stages, with checkpoints in `folder`; the same command goes on after a stop. Returns the model folder.

    `processes`: two compute the parts of a step of stage 3 at once, which changes no result.
    """
    whole = train_aloud(training, train_reading(training, folder, report), folder, report)
    whole = train_questions(training, whole, folder, report, processes)
    save(whole["net"], folder / "model", REQUESTS)
    return folder / "model"
