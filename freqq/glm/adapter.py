"""An adapter of a GLM-4V model: LoRA on its language model, a vision merger of its own, or both.

On disk it is a folder as `peft` writes it (``adapter_config.json``, ``adapter_model.safetensors``) and ``freqq.json``,
which says what it was trained for. Only these three are read, and nothing in them is code or is unpickled.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.utils.constants import DUMMY_TARGET_MODULES
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from freqq.errors import UserError
from freqq.files import write_whole
from freqq.glm.reader import Reader
from freqq.names import unknown

CARD, CONFIG, WEIGHTS = "freqq.json", "adapter_config.json", "adapter_model.safetensors"
PARTS = ("merger", "lora", "both")
"""What can be trained."""

LAYERS = r".*language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|gate_up|down)_proj"
"""The matrices of the language model that get low-rank additions: all of its layers' but those of experts."""

MOST_RANK, MOST_BYTES = 1024, 1 << 33
"""Bounds on what a file may ask for."""


@dataclass(frozen=True)
class AdapterCard:
    """What an adapter was trained for.

    Parameters
    ----------
    method : str
        The token method, as a user types it.
    levels : tuple of str
        At which it was trained; ``baseline`` among them if it also saw whole grids.
    overrides : tuple of (parameter, value) as text
    base, base_revision : str
        The model that it belongs to; it is refused on any other revision.
    train : ``merger``, ``lora`` or ``both``
    rank : int
        Of LoRA (arXiv:2106.09685); its alpha is twice that.
    data, data_revision : str
        What it was trained on.
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
            If it is no adapter of this kind.
        """
        file = folder / CARD
        if not file.is_file():
            raise UserError(f"{folder} is no adapter: it has no {CARD}; freqq adapt makes one")
        try:
            values = json.loads(file.read_text())
            values["levels"] = tuple(map(str, values["levels"]))
            values["overrides"] = tuple((str(name), str(value)) for name, value in values["overrides"])
            return cls(**{field.name: _of_type(values[field.name], field.type) for field in fields(cls)})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"{file} is damaged: {type(error).__name__}: {error}") from error


def _of_type(value: Any, wanted: Any) -> Any:
    if wanted in (str, int) and type(value) is not wanted:
        raise ValueError(f"{value!r} is not of the type {wanted.__name__}")
    return value


class Adapter:
    """An adapter inside a reader's model: on unless it is switched off.

    Parameters
    ----------
    reader : Reader
        Its model is changed in place: it must have no other adapter.
    card : AdapterCard
    """

    def __init__(self, reader: Reader, card: AdapterCard) -> None:
        self.reader, self.card = reader, card
        config = LoraConfig(
            r=card.rank,
            lora_alpha=2 * card.rank,
            target_modules=DUMMY_TARGET_MODULES if card.train == "merger" else LAYERS,
            modules_to_save=None if card.train == "lora" else ["merger"],
            inference_mode=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what peft and transformers deprecate between themselves
            self.peft: PeftModel = get_peft_model(reader.model, config)
        self.peft.eval()

    @contextmanager
    def off(self) -> Iterator[None]:
        """The base model, bit for bit."""
        with self.peft.disable_adapter():
            yield

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name; made trainable by this."""
        wanted = {name for name in self.peft.state_dict() if ".lora_" in name or ".modules_to_save." in name}
        found = {}
        for name, parameter in self.peft.named_parameters():
            parameter.requires_grad_(name in wanted)
            if name in wanted:
                found[name] = parameter
        return found

    def tensors(self) -> dict[str, Tensor]:
        """The adapter's weights, by the names that `peft` gives them in a file."""
        return {
            name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(self.peft).items()
        }

    def save(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write the folder; each file is there whole or not at all, the card last."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.to(dtype) for name, tensor in self.tensors().items()}
        write_whole(folder / WEIGHTS, lambda file: save_file(weights, file))
        config: Any = self.peft.peft_config["default"]
        plain = {key: sorted(v) if isinstance(v, set) else v for key, v in config.to_dict().items()}
        plain |= {"base_model_name_or_path": self.card.base, "revision": self.card.base_revision}
        text = json.dumps(plain, indent=2, sort_keys=True, default=str) + "\n"
        write_whole(folder / CONFIG, lambda file: file.write_text(text))
        card = json.dumps(asdict(self.card), indent=2) + "\n"
        write_whole(folder / CARD, lambda file: file.write_text(card))

    def load(self, tensors: Mapping[str, Tensor], where: object) -> None:
        """Take weights that `tensors` gave.

        Raises
        ------
        UserError
            If they are not exactly those of this adapter.
        """
        own = {name: tuple(tensor.shape) for name, tensor in self.tensors().items()}
        given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if own != given:
            name = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n))[0]
            raise UserError(
                f"{where} does not fit its card or the model: {name} is {given.get(name)}, not {own.get(name)}"
            )
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise UserError(f"{where} holds NaN or infinity")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            set_peft_model_state_dict(self.peft, dict(tensors))


def attach(reader: Reader, folder: Path) -> Adapter:
    """Put a stored adapter into a reader's model.

    Raises
    ------
    UserError
        If it is damaged, or belongs to another model.
    """
    card = AdapterCard.read(folder)
    if card.base_revision != reader.revision:
        raise UserError(
            f"{folder} adapts {card.base} at revision {card.base_revision}, and this is {reader.model_name} at "
            f"{reader.revision}: use its own base or another adapter"
        )
    file = folder / WEIGHTS
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        raise UserError(f"{folder} has no {WEIGHTS}, the only form of weights that is read, or one that is too large")
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"cannot read {file}: {error}") from error
    adapter = Adapter(reader, card)
    adapter.load({name: tensor.to(reader.model.dtype) for name, tensor in tensors.items()}, file)
    return adapter


def digest(folder: Path) -> str:
    """16 hex digits that change with an adapter's card or weights."""
    total = hashlib.sha256()
    for name in (CARD, WEIGHTS):
        with (folder / name).open("rb") as stream:
            total.update(f"{name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]
