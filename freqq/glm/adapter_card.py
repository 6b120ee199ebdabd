"""The card of an adapter: what it was trained for, and its base model; readable without loading the adapter.

An adapter is a folder in `peft`'s format (``adapter_config.json``, ``adapter_model.safetensors``) with ``freqq.json``.
Only card and weights are read; neither contains code or is unpickled.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zlib import crc32

from freqq.errors import UserError
from freqq.names import unknown

CARD, CONFIG, WEIGHTS = "freqq.json", "adapter_config.json", "adapter_model.safetensors"
PARTS = ("merger", "lora", "both")
"""What can be trained."""

MOST_RANK, MOST_BYTES = 1024, 1 << 33
"""Bounds on values from a file."""

SHIPPED = Path(__file__).parent / "adapters"
"""Adapters of the embedded model, each in a folder of its name."""

OWN_CHATS = ("mini", "mini-glyph")
"""Formats of data whose training chats are made by freqq, and are none of evaluation's."""

HELD_OUT = 10
"""One in this many samples of a file is held out for validation."""


def is_held_out(sample_id: str) -> bool:
    """Whether a sample of a file is held out from training, by a hash of its id."""
    return crc32(sample_id.encode()) % HELD_OUT == 0


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter was trained for.

    Parameters
    ----------
    method : str
        Name of the token method.
    levels : tuple of str
        Levels of the training; includes ``baseline`` if it also saw uncompressed grids.
    overrides : tuple of (parameter, value) as text
    base, base_revision : str
        The base model; any other revision is refused.
    train : ``merger``, ``lora`` or ``both``
    rank : int
        Rank of LoRA (arXiv:2106.09685); alpha is twice the rank.
    data, data_revision : str
        The training data.
    seed : int
    """

    method: str
    levels: tuple[str, ...]
    overrides: tuple[tuple[str, str], ...]
    base: str
    base_revision: str
    train: str
    rank: int
    data: str
    data_revision: str
    seed: int

    def __post_init__(self) -> None:
        if self.train not in PARTS:
            raise unknown("part to train", self.train, PARTS)
        if not 1 <= self.rank <= MOST_RANK:
            raise UserError(f"rank {self.rank}: use 1 to {MOST_RANK}")

    @classmethod
    def read(cls, folder: Path) -> "AdapterCard":
        """The card of an adapter's folder.

        Raises
        ------
        UserError
            If it is not such an adapter.
        """
        file = folder / CARD
        if not file.is_file():
            raise UserError(f"{folder} is not an adapter: it has no {CARD}; freqq adapt makes one")
        try:
            values = json.loads(file.read_text())
            values["levels"] = tuple(map(str, values["levels"]))
            values["overrides"] = tuple((str(name), str(value)) for name, value in values["overrides"])
            return cls(**{field.name: _of_type(values[field.name], field.type) for field in fields(cls)})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{file} is damaged: {type(error).__name__}: {error}") from error


def adapter_folder(name: str) -> Path:
    """The folder of an adapter, given by that folder or by the name of an adapter in the package.

    Raises
    ------
    UserError
        If there is neither.
    """
    folder = Path(name).expanduser()
    if folder.exists():
        return folder
    known = shipped_adapters()
    if name in known:
        return SHIPPED / name
    raise UserError(f"{unknown('adapter', name, known)}; or a folder that freqq adapt made")


def shipped_adapters() -> list[str]:
    """The names of the adapters in the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{CARD}"))


def _of_type(value: Any, wanted: Any) -> Any:
    if wanted in (str, int) and type(value) is not wanted:
        raise ValueError(f"{value!r} is not of the type {wanted.__name__}")
    return value


def check_base(folder: Path, model: str, revision: str) -> AdapterCard:
    """The card of an adapter for a model.

    Raises
    ------
    UserError
        If it is not an adapter, or belongs to another model.
    """
    card = AdapterCard.read(folder)
    if card.base_revision != revision:
        raise UserError(
            f"{folder} adapts {card.base} at revision {card.base_revision}, and this is {model} at {revision}: use its "
            "own base or another adapter"
        )
    return card


def digest(folder: Path) -> str:
    """Hash of an adapter's card and weights, 16 hex digits.

    Raises
    ------
    UserError
        If one of the two is missing.
    """
    total = hashlib.sha256()
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is not an adapter: it has no {name}; freqq adapt makes one")
        with (folder / name).open("rb") as stream:
            total.update(f"{name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]
