"""Properties of a model from its files without its weights: prompt lengths and memory."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from freqq.errors import FreqqError, UserError
from freqq.glm.families import EMBEDDED, family_of
from freqq.glm.families.base import Family
from freqq.glm.load import Weights, quiet
from freqq.glm.memory import BYTES, tower_digest
from freqq.glm.processor import ChatWriter, read_tokenizer
from freqq.glm.sdpa import blocks
from freqq.tokens.base import TokenCompressor

LIBRARIES_BYTES = 20_000_000
"""What the libraries of matrix products take when they are first used, whatever the size; measured on a CPU."""


@dataclass(frozen=True)
class ModelSpec:
    """A model without its weights; created by `read_spec`.

    Parameters
    ----------
    weights : Weights
        Its files.
    config, tokenizer, image_processor : of transformers
    """

    weights: Weights
    config: Any
    tokenizer: Any
    image_processor: Any

    @property
    def context(self) -> int:
        """The most tokens of a prompt and its answer together."""
        return int(self.config.text_config.max_position_embeddings)

    @property
    def channels(self) -> int:
        """Channels of a vision token, after the merger."""
        return self.family.channels(self.config)

    @property
    def family(self) -> Family:
        """Its family."""
        return family_of(self.config.model_type)

    @property
    def patches_per_token(self) -> int:
        """Patches of the vision tower per token."""
        return self.family.patches_per_token(self.config)

    @cached_property
    def _writer(self) -> ChatWriter:
        return ChatWriter(self.tokenizer, self.config.image_token_id, self.family.page_marks(self.tokenizer))

    @cached_property
    def has_embedded_tower(self) -> bool:
        """Whether its vision tower is an embedded model's."""
        for folder in (Path(__file__).parent / name for name in EMBEDDED):
            file = folder / "config.json"
            # The width first, so that no large tower is read in vain.
            if file.is_file() and json.loads(file.read_text())["text_config"]["hidden_size"] == self.channels:
                return tower_digest(self.weights.folder) == tower_digest(folder)
        return False

    def check_method(self, method: TokenCompressor) -> None:
        """Refuse a method that lacks something for its tokens, such as a codebook.

        Raises
        ------
        UserError
            Which says how to get it.
        """
        method.check_model(self.channels, bool(method.resources) and self.has_embedded_tower)

    def grid_shape(self, height: int, width: int) -> tuple[int, int]:
        """The token grid (h, w) of a page of this size in pixels; `UserError` if the model cannot read it."""
        return self.family.grid_shape(height, width, self.image_processor, self.config)

    def prompt_tokens(self, question: str, pages: int, vision_tokens: int, special_tokens: bool = False) -> int:
        """Length of the prompt of a question about pages with so many remaining tokens.

        `special_tokens`: whether special tokens in the question are tokens instead of text.
        """
        return len(self._writer.write(question, pages, special_tokens)) - pages + vision_tokens

    def kv_bytes_per_token(self, dtype: str) -> int:
        """Bytes of the key-value cache per token, over all layers."""
        text = self.config.text_config
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return int(2 * text.num_hidden_layers * text.num_key_value_heads * head * BYTES[dtype])

    def vision_bytes(self, patches: int, dtype: str) -> int:
        """Estimated memory of a vision pass: its input, and one block's largest activations.

        Those are the states before and after the block, queries, keys, values and the attention's output, and three
        vectors of the multilayer perceptron; attention is assumed to need no matrix of patches by patches.

        Parameters
        ----------
        patches : int
            Patches of the pass: at most `freqq.glm.reader.MAX_PATCHES`, or those of one page.
        """
        vision = self.config.vision_config
        pixels, perceptron = self.family.pass_numbers(vision)
        widest = 6 * vision.hidden_size + 3 * perceptron
        return int(patches * (4 * pixels + BYTES[dtype] * widest))

    def prompt_bytes(self, tokens: int, vision_tokens: int, piece: int | None, dtype: str) -> int:
        """About what reading a prompt takes at most beside the weights, which grows with its tokens, not their square.

        All through it there are the pages' tokens, twice (the model makes a sequence of them), and the key-value cache.
        To that come what one layer holds at once for a piece: attention's queries and output, the keys and values so
        far, repeated for every head, and a block of queries' mask; or the perceptron's four vectors and the states.
        Within 4 % of what was measured with SDPA on a CPU at 4,096 channels, in a process that returns freed memory at
        once. glibc's allocator keeps up to 100 MB more of a process's own.

        Parameters
        ----------
        tokens, vision_tokens : int
            Of the prompt, and of pages among them.
        piece : int or None
            Tokens that are read at once (``--prefill-chunk``); None: all, for which attention needs no mask.
        """
        text, size = self.config.text_config, BYTES[dtype]
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        heads, at_once = text.num_attention_heads * head, min(tokens, piece or tokens)
        block = max(end - start for start, end in blocks(at_once))
        mask = 0 if at_once == tokens else block * tokens * (1 + size)
        attention = size * heads * (2 * tokens + 4 * at_once) + mask
        perceptron = size * at_once * (4 * text.intermediate_size + 3 * text.hidden_size)
        lasting = 2 * size * vision_tokens * self.channels + tokens * self.kv_bytes_per_token(dtype)
        return int(lasting + max(attention, perceptron) + LIBRARIES_BYTES)


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
    except Exception as error:  # the libraries raise anything for damaged files
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"cannot read the configuration of {weights.name}: {lines[0][:200]}") from error


def check_needs(weights: Weights, methods: Iterable[TokenCompressor]) -> None:
    """Refuse methods that need what a model lacks, such as a codebook; errors as of `ModelSpec.check_method`."""
    if needy := [method for method in methods if method.resources]:
        spec = read_spec(weights)
        for method in needy:
            spec.check_method(method)
