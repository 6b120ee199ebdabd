"""A new family of models in one file: LLaVA-1.5, which freqq does not have.

    python examples/new_family.py doctor
    python examples/new_family.py eval --model llava-1.5-7b --method token-prune --level all --limit 20

A family defines the names of its models, and how pages become grids of tokens. Once it is registered, all commands and
methods work with its models. See examples/new_family.md.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from freqq.cli.app import main
from freqq.glm.families import FAMILIES
from freqq.glm.families.base import Family, as_images
from freqq.glm.sequence import Prompt, line_positions
from freqq.pages.page import Page


class Llava(Family):
    """LLaVA-1.5 (arXiv:2310.03744): every page is one square of 24 x 24 tokens, in one row of positions.

    Its image processor scales a page's shorter side to 336 px and crops the rest, so it sees the middle of a page.
    """

    name = "LLaVA-1.5"
    architecture = "LlavaForConditionalGeneration"
    image_processor = "CLIPImageProcessorPil"
    short_names = {"llava-1.5-7b": "llava-hf/llava-1.5-7b-hf"}
    tower = (r"model\.vision_tower", r"model\.multi_modal_projector")
    flash_attention = False  # it would take the gaps that dropped tokens leave in the positions for sequence borders

    def grid_shape(self, height: int, width: int, processor: Any, config: Any) -> tuple[int, int]:
        """The same for all pages."""
        side = processor.crop_size["height"] // config.vision_config.patch_size
        return side, side

    def patches_per_token(self, config: Any) -> int:
        """Nothing is merged."""
        return 1

    def see(self, model: Any, pages: Sequence[Page], processor: Any) -> list[Tensor]:
        """All pages in one pass."""
        pixels = processor(images=as_images(pages), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            seen = model.model.get_image_features(pixels.to(model.device, model.dtype)).pooler_output
        side = round(len(seen[0]) ** 0.5)
        return [page.reshape(side, side, -1) for page in seen]

    def positions(self, model: Any, prompt: Prompt) -> Tensor:
        """Kept tokens keep their positions in the whole prompt."""
        return line_positions(prompt)

    def encoder_output(self, features: Sequence[Tensor], config: Any) -> Any:
        """The output of ``get_image_features`` for the remaining tokens."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(pooler_output=tuple(features))  # type: ignore[arg-type]

    def pass_numbers(self, vision: Any) -> tuple[int, float]:
        """Pixels of a patch, and the width of a block's perceptron."""
        return vision.num_channels * vision.patch_size**2, vision.intermediate_size


FAMILIES["llava"] = Llava

if __name__ == "__main__":
    main()
