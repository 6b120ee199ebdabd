"""What a model's files say of it without its weights: how long its prompts get, and what they take of memory."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from freqq.errors import FreqqError, UserError
from freqq.glm.families import family_of
from freqq.glm.families.base import Family
from freqq.glm.load import Weights, quiet
from freqq.glm.memory import BYTES, tower_digest
from freqq.glm.processor import ChatWriter, read_tokenizer


@dataclass(frozen=True)
class ModelSpec:
    """A model without its weights; made by `read_spec`.

    Parameters
    ----------
    weights : Weights
        Its files.
    config, tokenizer, image_processor : those of transformers
    """

    weights: Weights
    config: Any
    tokenizer: Any
    image_processor: Any

    @property
    def context(self) -> int:
        """The most tokens that a prompt and its answer may have together."""
        return int(self.config.text_config.max_position_embeddings)

    @property
    def channels(self) -> int:
        """Of a vision token, after the merger."""
        return self.family.channels(self.config)

    @property
    def family(self) -> Family:
        """How its pages and prompts are made."""
        return family_of(self.config.model_type)

    @property
    def patches_per_token(self) -> int:
        """Patches of the vision tower that make one token."""
        return self.family.patches_per_token(self.config)

    @cached_property
    def _writer(self) -> ChatWriter:
        return ChatWriter(self.tokenizer, self.config.image_token_id, self.family.page_marks(self.tokenizer))

    @cached_property
    def has_embedded_tower(self) -> bool:
        """Whether it makes the same tokens of a page as the embedded model does."""
        tiny = Path(__file__).parent / "tiny"
        if not (tiny / "config.json").is_file():
            return False
        config = json.loads((tiny / "config.json").read_text())
        if self.channels != config["text_config"]["hidden_size"]:  # towers are large, and reading them takes a while
            return False
        return tower_digest(self.weights.folder) == tower_digest(tiny)

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The grid (h, w) of tokens of a page of so many pixels; a `UserError` if the model cannot read such a page."""
        return self.family.grid_shape(height, width, self.image_processor, self.config)

    def prompt_tokens(self, question: str, pages: int, vision_tokens: int, special_tokens: bool = False) -> int:
        """Length of the prompt of a question about pages of which so many tokens are left.

        `special_tokens`: whether those in the question are tokens or text.
        """
        return len(self._writer.write(question, pages, special_tokens)) - pages + vision_tokens

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Of the key-value cache, over all layers."""
        text = self.config.text_config
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return int(2 * text.num_hidden_layers * text.num_key_value_heads * head * BYTES[dtype])

    def vision_bytes(self, patches: int, dtype: str) -> int:
        """About what one pass of the vision tower holds at once: its input, and one block's largest activations.

        Those are the states before and after the block, queries, keys, values and the attention's output, and three
        vectors of the multilayer perceptron; attention itself is assumed to need no matrix of patches by patches.

        Parameters
        ----------
        patches : int
            Of the pass: at most `freqq.glm.reader.MAX_PATCHES`, or those of one page.
        """
        vision = self.config.vision_config
        pixels, perceptron = self.family.pass_numbers(vision)
        widest = 6 * vision.hidden_size + 3 * perceptron
        return int(patches * (4 * pixels + BYTES[dtype] * widest))


def read_spec(weights: Weights) -> ModelSpec:
    """Read a model's configuration, tokenizer and image processor.

    Raises
    ------
    UserError
        If one of them is missing or damaged.
    """
    folder = weights.folder
    try:
        with quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            image_processor = family_of(config.model_type).read_image_processor(folder)
            return ModelSpec(weights, config, read_tokenizer(folder), image_processor)
    except FreqqError:
        raise
    except Exception as error:  # whatever a damaged file makes the libraries raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"cannot read the configuration of {weights.name}: {lines[0][:200]}") from error
