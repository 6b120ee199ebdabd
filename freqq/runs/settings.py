"""What a run is asked to do."""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.names import unknown
from freqq.runs.sources import check_needles, source

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Settings:
    """All that can change a run's rows. What cannot (batch size, shards, device, folder) is not here.

    Parameters
    ----------
    model, revision : str
        A short name, hub id or folder, and a hub revision.
    data : str
        The data set's name.
    needles, methods, levels : tuples
        The run has every combination; level ``baseline`` means the plain arm alone.
    limit, seed : int
        Samples for each needle count, and the stream that they are drawn from.
    overrides : tuple of (name, value)
        Parameters of the methods, as text.
    baseline : bool
        Whether the plain arm is run beside the methods.
    max_new_tokens : int or None
        None: what the data set says.

    Raises
    ------
    UserError
        If a value is out of range or a data set or level is unknown. Methods are looked up by `plan.arms`.
    """

    model: str = "tiny"
    revision: str | None = None
    dtype: str = "auto"
    data: str = "mini"
    needles: tuple[int, ...] = (2,)
    methods: tuple[str, ...] = ("token",)
    levels: tuple[str, ...] = ("ultra_mild",)
    limit: int = 100
    seed: int = 0
    overrides: tuple[tuple[str, str], ...] = ()
    baseline: bool = True
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        check_needles(self.data, self.needles)
        for level in self.levels:
            if level not in LEVELS:
                raise unknown("level", level, (*LEVELS, "all"))
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.limit < 1:
            raise UserError(f"--limit {self.limit}: at least one sample is needed")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UserError(f"--max-new-tokens {self.max_new_tokens}: at least one is needed")
        for name in ("needles", "methods", "levels"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise UserError(f"{name}: give each at least one value, and none twice ({', '.join(map(str, values))})")

    @property
    def new_tokens(self) -> int:
        """The longest response."""
        return self.max_new_tokens or source(self.data).max_new_tokens

    def as_json(self) -> dict[str, object]:
        """The settings as they stand in ``run.json``; a model folder by its absolute path."""
        values = json.loads(json.dumps(asdict(self)))
        if os.path.isdir(self.model):  # Path.is_dir raises if a name is too long to be one
            values["model"] = str(Path(self.model).resolve())
        return values

    def directory(self) -> Path:
        """Where the run goes unless the user says otherwise: readable, and the same for the same settings."""
        values = self.as_json()
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
        needles = "+".join(map(str, self.needles))
        parts = [f"{self.data}-{needles}needle", Path(self.model).name, "+".join(self.methods), "+".join(self.levels)]
        name = "_".join([*parts, f"n{self.limit}", f"s{self.seed}"])
        return Path("runs") / f"{re.sub(r'[^A-Za-z0-9_+.-]', '-', name)[:120]}_{digest}"
