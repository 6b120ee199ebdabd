"""Adapters of a GLM-4V model: LoRA on its language model, its own vision merger, or both."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
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
from freqq.glm.adapter_card import CARD, CONFIG, MOST_BYTES, WEIGHTS, AdapterCard, check_base
from freqq.glm.reader import Reader
from freqq.tokens.codebooks import look_in

LAYERS = r".*language_model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|gate_up|down)_proj"
"""Matrices of the language model with low-rank updates: those of all layers except experts."""


class Adapter:
    """An adapter in a reader's model, active except within `off`.

    Parameters
    ----------
    reader : Reader
        Its model is changed in place and must have no other adapter.
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
            warnings.simplefilter("ignore")  # deprecations between peft and transformers
            self.peft: PeftModel = get_peft_model(reader.model, config)
        self.peft.eval()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Use the base model, bit for bit."""
        with self.peft.disable_adapter():
            yield

    def parameters(self) -> dict[str, nn.Parameter]:
        """The adapter's parameters by name; makes them, and only them, trainable."""
        wanted = {name for name in self.peft.state_dict() if ".lora_" in name or ".modules_to_save." in name}
        found = {}
        for name, parameter in self.peft.named_parameters():
            parameter.requires_grad_(name in wanted)
            if name in wanted:
                found[name] = parameter
        return found

    def tensors(self) -> dict[str, Tensor]:
        """The adapter's weights by `peft`'s names."""
        return {
            name: tensor.detach().cpu().contiguous() for name, tensor in get_peft_model_state_dict(self.peft).items()
        }

    def save(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        """Write the folder; each file atomically, the card last."""
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
        """Load weights returned by `tensors`.

        Raises
        ------
        UserError
            If their names or shapes are not those of this adapter.
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
    """Load a stored adapter into a reader's model.

    Raises
    ------
    UserError
        If it is damaged, or belongs to another model.
    """
    card = check_base(folder, reader.model_name, reader.revision)
    file = folder / WEIGHTS
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        raise UserError(f"{folder} has no {WEIGHTS}, the only form of weights that is read, or one that is too large")
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"cannot read {file}: {error}") from error
    look_in(folder)  # an adapter for token-vq may have its own codebook
    adapter = Adapter(reader, card)
    adapter.load({name: tensor.to(reader.model.dtype) for name, tensor in tensors.items()}, file)
    return adapter


def write_merged(reader: Reader, adapter: Path, folder: Path) -> None:
    """Write a model with an adapter merged into its weights, for engines that do not load adapters.

    Parameters
    ----------
    reader : Reader
        The adapter's base; its model is changed in place and cannot be used afterwards.
    adapter, folder : Path
        The adapter's folder, and the output folder.

    Raises
    ------
    UserError
        As for `attach`, or if the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose another folder for the model")
    merged: Any = attach(reader, adapter).peft.merge_and_unload()  # of the LoRA model within
    merged.save_pretrained(folder)
    reader.tokenizer.save_pretrained(folder)
    reader.image_processor.save_pretrained(folder)
