"""The settings of an adapter's training."""

import json
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from freqq.errors import UserError
from freqq.files import write_whole
from freqq.glm.adapter_card import CARD, OWN_CHATS, PARTS
from freqq.glm.place import DTYPES
from freqq.levels import LEVELS
from freqq.names import unknown
from freqq.runs.rendering import Rendering
from freqq.runs.sources import check_drawing, check_needles, source, usual_line_breaks

if TYPE_CHECKING:
    from freqq.data.dataset import DataSet
    from freqq.tokens.base import TokenCompressor

NAME, CHECKPOINT = "adapt.json", "checkpoint.safetensors"

NEWER = {"skip_bad": False, "look": None, "config": None, "font": None, "dpi": None}
"""Settings that older trainings do not name, and what they had."""


@dataclass(frozen=True)
class Adaptation:
    """What decides an adapter's weights; a run that goes on must have the same.

    Parameters
    ----------
    method : str
        A token method, as given by the user.
    levels : tuple of str
        One is drawn for each batch; ``baseline`` is the whole grid.
    overrides : tuple of (parameter, value) as text
    train : ``merger``, ``lora`` or ``both``
    rank : int
        Rank of LoRA.
    steps : int
        Optimizer steps; 0: as many as fit into the minutes.
    minutes : float
        Duration of the training over all of its runs, with loading and validation; the number of steps depends on
        their speed.
    batch, questions, accumulate : int
        Examples per pass, questions per example (for data with several), and passes per step.
    rate, merger_rate : float
        Peak learning rates of LoRA (AdamW) and of the merger's matrices (Muon).
    distill : float in [0, 1]
        Weight in the loss of the divergence from the uncompressed base model.
    learn_codebook : bool
        Whether the codebook of ``token-vq`` is trained, too (`freqq.tokens.vq_training`).
    first_weight : float
        Weight of the first token after an answer's random string; others have 1.
    skip_bad : bool
        Whether unreadable files of a data folder are skipped rather than refused.
    look, config, font, dpi
        How pages are drawn, as for ``freqq eval``.
    """

    model: str
    revision: str | None
    method: str
    levels: tuple[str, ...]
    overrides: tuple[tuple[str, str], ...] = ()
    train: str = "both"
    rank: int = 16
    steps: int = 0
    minutes: float = 0.0
    data: str = "mini"
    needles: tuple[int, ...] = ()
    bins: tuple[str, ...] = ()
    batch: int = 4
    questions: int = 6
    accumulate: int = 1
    rate: float = 2e-3
    merger_rate: float = 2e-3
    distill: float = 0.0
    learn_codebook: bool = False
    first_weight: float = 3.0
    seed: int = 0
    dtype: str = "auto"
    skip_bad: bool = False
    look: str | None = None
    config: str | None = None
    font: str | None = None
    dpi: float | None = None

    def __post_init__(self) -> None:
        if self.train not in PARTS:
            raise unknown("part to train", self.train, PARTS)
        if not self.levels:
            raise UserError("no level to train at: give --level")
        for level in self.levels:
            if level not in LEVELS:
                raise unknown("level", level, LEVELS)
        if (self.steps > 0) == (self.minutes > 0):
            raise UserError("give either --steps or --minutes, above 0")
        if not (isfinite(self.minutes) and isfinite(self.rate) and isfinite(self.merger_rate)):
            raise UserError("--minutes, --rate and --merger-rate must be finite")
        for name in ("batch", "questions", "accumulate", "rank"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: at least 1 is needed")
        for name in ("rate", "merger_rate", "first_weight"):
            if not getattr(self, name) > 0:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name):g}: it must be above 0")
        if not 0 <= self.distill <= 1:
            raise UserError(f"--distill {self.distill:g}: a share from 0 to 1")
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.source.format not in OWN_CHATS:
            check_needles(self.source, self.needles)
        check_drawing(self.source, config=self.config, font=self.font, dpi=self.dpi)
        self.rendering  # noqa: B018 - report a bad font or configuration now
        self._check_method()

    @property
    def source(self) -> "DataSet":
        """The data set; of `OWN_CHATS` only its look counts, as training has chats of its own."""
        return source(self.data, skip_bad=self.skip_bad, look=self.look)

    @property
    def rendering(self) -> Rendering:
        """How pages without a look of their own are drawn."""
        return Rendering.read(self.config, self.font, self.dpi, usual_line_breaks(self.source))

    def _check_method(self) -> None:
        from freqq.tokens.vq import VectorQuantization  # imports torch; other errors are reported before

        learners = [c for c in self.compressors() if c is not None]
        if self.learn_codebook and not (learners and all(isinstance(c, VectorQuantization) for c in learners)):
            raise UserError(f"--learn-codebook is for --method token-vq, and {self.method} has no codebook")

    def compressors(self) -> "list[TokenCompressor | None]":
        """The compressor at each level; None at ``baseline``.

        Raises
        ------
        UserError
            If the method is none that acts on tokens, or does not know a parameter.
        """
        from freqq.runs.methods import check_overrides, method_at
        from freqq.tokens.base import TokenCompressor

        check_overrides((self.method,), dict(self.overrides))
        found: list[TokenCompressor | None] = []
        for level in self.levels:
            method = method_at(self.method, "mild" if level == "baseline" else level, dict(self.overrides))
            if not isinstance(method, TokenCompressor):
                raise UserError(f"--method {self.method} acts on images: an adapter is for a token method")
            found.append(None if level == "baseline" else method)
        return found

    @property
    def name(self) -> str:
        """The method's canonical name."""
        from freqq.runs.methods import canonical

        return canonical(self.method)


@dataclass(frozen=True)
class Habits:
    """Settings that affect when a training ends and what is kept, but no step.

    Parameters
    ----------
    validate_every : int
        Steps between two validations, each of which also writes a checkpoint.
    patience : int
        Validations without a lower held-out loss after which training ends; 0: never early.
    held_out, answers : int
        Chats for validation, and answers to generate, at most one per chat.
    recompute : bool
        Store fewer activations and recompute them (gradient checkpointing).
    """

    validate_every: int = 250
    patience: int = 0
    held_out: int = 32
    answers: int = 32
    recompute: bool = False


def check_free(folder: Path) -> None:
    """Refuse a folder with other files but no training.

    Raises
    ------
    UserError
        If it does.
    """
    if folder.is_dir() and not (folder / NAME).is_file() and any(p.name[0] != "." for p in folder.iterdir()):
        raise UserError(f"{folder} holds other files and no {NAME}: choose an empty or new folder with --out")


def claim(folder: Path, adaptation: Adaptation, base_revision: str, data_revision: str) -> None:
    """Write the settings into a training's folder, or compare them with the stored ones if anything was trained there.

    Raises
    ------
    UserError
        If they differ.
    """
    revisions = {"base_revision": base_revision, "data_revision": data_revision}
    now = json.loads(json.dumps(asdict(adaptation) | revisions))
    file = folder / NAME
    if file.is_file() and any((folder / name).is_file() for name in (CHECKPOINT, CARD)):
        try:
            before = dict(json.loads(file.read_text()))
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{file} is damaged: choose another --out") from error
        before = NEWER | {"data_revision": data_revision} | before
        other = [f"{k} {before.get(k)!r} there, {v!r} here" for k, v in now.items() if before.get(k) != v]
        if other:
            raise UserError(f"{folder} holds another training ({'; '.join(other)}): choose another --out")
        return
    write_whole(file, lambda path: path.write_text(json.dumps(now, indent=2) + "\n"))
