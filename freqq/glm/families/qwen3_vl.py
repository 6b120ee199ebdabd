"""Qwen3-VL: a page's tokens have several levels; the first layers of the language model read one each."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from freqq.glm.answer_style import AnswerStyle
from freqq.glm.families.qwen2_5_vl import Qwen25VL


class Qwen3VL(Qwen25VL):
    """Qwen3-VL (arXiv:2511.21631), with DeepStack (arXiv:2406.04334) and interleaved rows of positions.

    A token's channels are the concatenation of its levels: the one that replaces the placeholder, then those added
    after the first layers. So a compressor selects and transforms all levels together, and a stored token includes all
    of them. vLLM uses the same layout.
    """

    name = "Qwen3-VL"
    architecture = "Qwen3VLForConditionalGeneration"
    short_names = {
        "qwen3-vl-2b": "Qwen/Qwen3-VL-2B-Instruct",
        "qwen3-vl-4b": "Qwen/Qwen3-VL-4B-Instruct",
        "qwen3-vl-8b": "Qwen/Qwen3-VL-8B-Instruct",
    }
    engine = "qwen3_vl:Qwen3VLForConditionalGeneration"
    # transformers interleaves the rows whatever is said.
    text_defaults = {"rope_parameters": {"mrope_interleaved": True}}

    def levels(self, config: Any) -> int:
        """Levels of a token, including that of the placeholder."""
        return 1 + len(config.vision_config.deepstack_visual_indexes)

    def channels(self, config: Any) -> int:
        """Channels of all levels together."""
        return super().channels(config) * self.levels(config)

    def tokens(self, seen: Any) -> Sequence[Tensor]:
        """Each page's levels, concatenated."""
        return [torch.cat(levels, dim=1) for levels in zip(seen.pooler_output, *seen.deepstack_features, strict=True)]

    def encoder_output(self, features: Sequence[Tensor], config: Any) -> Any:
        """The levels, separated again."""
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        levels = [
            tuple(level) for level in zip(*(page.chunk(self.levels(config), 1) for page in features), strict=True)
        ]
        return BaseModelOutputWithDeepstackFeatures(pooler_output=levels[0], deepstack_features=levels[1:])  # type: ignore[arg-type]

    def answer_style(self, tokenizer: Any) -> AnswerStyle:
        """All tokenizers have tags for reasoning, but only the templates of reasoning models open them."""
        style = super().answer_style(tokenizer)
        return replace(style, thinks=style.opened)
