"""InternVL: a page is cut into square tiles, and positions count on in one row."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from freqq.glm.answer_style import AnswerStyle
from freqq.glm.families.base import Family, as_images
from freqq.glm.sequence import Prompt, line_positions
from freqq.pages.page import Page


class InternVL(Family):
    """InternVL3 (arXiv:2504.10479) and InternVL3.5 (arXiv:2508.18265), in the form that transformers reads (``-hf``).

    A page is resized to tiles that approximate its aspect ratio; if there are several, a thumbnail of the whole page
    follows as one more. The language model reads tile after tile, each in raster order. So the grid of a page is the
    column of its tiles, in which horizontally adjacent tiles are not neighbours.
    """

    name = "InternVL"
    architecture = "InternVLForConditionalGeneration"
    image_processor = "GotOcr2ImageProcessorPil"
    short_names = {
        "internvl3-1b": "OpenGVLab/InternVL3-1B-hf",
        "internvl3-8b": "OpenGVLab/InternVL3-8B-hf",
        "internvl3.5-1b": "OpenGVLab/InternVL3_5-1B-HF",
        "internvl3.5-8b": "OpenGVLab/InternVL3_5-8B-HF",
    }
    engine = "interns1:InternS1ForConditionalGeneration"
    tower = (r"model\.vision_tower", r"model\.multi_modal_projector")
    flash_attention = False  # it would take the gaps that dropped tokens leave in the positions for packed sequences

    def grid_shape(self, height: int, width: int, processor: Any, config: Any) -> tuple[int, int]:
        """A column of square tiles."""
        patches = processor.size["height"] // config.vision_config.patch_size[0]
        side = int(patches * config.downsample_ratio)
        tiles = processor.get_number_of_image_patches(height, width, {"crop_to_patches": True})
        return tiles * side, side

    def patches_per_token(self, config: Any) -> int:
        """A square of patches, concatenated as channels."""
        return round(config.downsample_ratio**-2)

    def see(self, model: Any, pages: Sequence[Page], processor: Any) -> list[Tensor]:
        """All tiles in one pass."""
        # The default of transformers' processor of this family, independent of the image processor's setting.
        inputs = processor(images=as_images(pages), crop_to_patches=True, return_tensors="pt")
        with torch.no_grad():
            tiles = model.model.get_image_features(inputs["pixel_values"].to(model.device)).pooler_output
        side, channels = round(tiles.shape[1] ** 0.5), tiles.shape[2]
        counts = torch.as_tensor(inputs["num_patches"]).tolist()
        return [page.reshape(-1, side, channels) for page in tiles.split(counts)]

    def positions(self, model: Any, prompt: Prompt) -> Tensor:
        """One row."""
        return line_positions(prompt)

    def encoder_output(self, features: Sequence[Tensor], config: Any) -> Any:
        """All pages' tokens as one tile, the only form in which tiles may differ in length."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(pooler_output=torch.cat(list(features))[None])

    def pass_numbers(self, vision: Any) -> tuple[int, float]:
        """A tile has no time."""
        return vision.num_channels * vision.patch_size[0] * vision.patch_size[1], vision.intermediate_size

    def page_marks(self, tokenizer: Any) -> tuple[list[int], list[int]]:
        """The tokens that transformers' processor adds when it expands a page."""
        return [tokenizer.start_image_token_id], [tokenizer.end_image_token_id]

    def answer_style(self, tokenizer: Any) -> AnswerStyle:
        """InternVL3.5's tokenizer has tags for reasoning, which the model only uses if a system prompt asks for it."""
        style = super().answer_style(tokenizer)
        return replace(style, thinks=style.opened)
