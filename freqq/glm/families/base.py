"""Base classes of model families: how pages become grids of tokens, and the tokens' positions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from freqq.errors import FreqqError, UserError
from freqq.glm.answer_style import AnswerStyle, style_of
from freqq.glm.sequence import Prompt, positions
from freqq.pages.page import Page


class Family(ABC):
    """A family of models.

    Families are stateless: models, configurations and image processors are those of transformers, passed as arguments.
    A family's module imports transformers, which takes seconds, only within methods.
    `PatchFamily` implements models that read pages of any size; examples/new_family.md adds a family.

    Attributes
    ----------
    name : str
        Its name in messages.
    architecture : str
        The architecture in config.json, beside the ``model_type`` that the family is registered for.
    image_processor : str
        The image processor's class in transformers: the PIL version, which does not need torchvision.
    short_names : mapping of str to str
        Short names of hub ids.
    tower : tuple of str
        Regular expressions for the modules of the vision tower and the merger, which are never quantized.
    experts : bool
        Whether most of the language model are experts, which bitsandbytes does not quantize.
    flash_attention : bool
        Whether FlashAttention can be used.
    adapters : bool
        Whether ``freqq adapt`` can train an adapter for it.
    engine : str or None
        The class by which `freqq.vllm` serves it, as ``module:class`` in ``vllm.model_executor.models``.
    text_defaults : mapping
        What transformers assumes of the text model if its configuration does not say it, and vLLM does not assume;
        what stands within another mapping (``rope_parameters``) is assumed whatever the configuration says.
    """

    name: ClassVar[str]
    architecture: ClassVar[str]
    image_processor: ClassVar[str]
    short_names: ClassVar[Mapping[str, str]] = {}
    tower: ClassVar[tuple[str, ...]] = (r"model\.visual",)
    experts: ClassVar[bool] = False
    flash_attention: ClassVar[bool] = True
    adapters: ClassVar[bool] = False
    engine: ClassVar[str | None] = None
    text_defaults: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def grid_shape(self, height: int, width: int, processor: Any, config: Any) -> tuple[int, int]:
        """The token grid (h, w) of a page of this size in pixels.

        Raises
        ------
        UserError
            If the image processor refuses such a page.
        """

    @abstractmethod
    def patches_per_token(self, config: Any) -> int:
        """Patches of the vision tower per token of the language model."""

    @abstractmethod
    def see(self, model: Any, pages: Sequence[Page], processor: Any) -> list[Tensor]:
        """A grid [h, w, C] for each page, in the model's dtype and on its device."""

    @abstractmethod
    def positions(self, model: Any, prompt: Prompt) -> Tensor:
        """Positions [k] or [rows, k] of a prompt's k kept columns, equal to those in the whole prompt.

        int64; float32 if a smaller grid is spread over a page.
        """

    @abstractmethod
    def encoder_output(self, features: Sequence[Tensor], config: Any) -> Any:
        """``mm_encoder_outputs["image"]`` for the features [k, C] of each page of a batch.

        A new object in each call, because ``generate`` may change it in place.
        """

    @abstractmethod
    def pass_numbers(self, vision: Any) -> tuple[int, float]:
        """Values per patch in a pass of the tower: of its pixels, and of one vector of a block's perceptron.

        Parameters
        ----------
        vision : the ``vision_config``
        """

    def channels(self, config: Any) -> int:
        """Channels of a token."""
        return int(config.text_config.hidden_size)

    def read_image_processor(self, folder: Path) -> Any:
        """The image processor of a model's folder."""
        import transformers

        return getattr(transformers, self.image_processor).from_pretrained(folder, local_files_only=True)

    def page_marks(self, tokenizer: Any) -> tuple[list[int], list[int]]:
        """Token ids before and after a page's tokens that are not in the chat template."""
        return [], []

    def answer_style(self, tokenizer: Any) -> AnswerStyle:
        """The form of its models' answers."""
        return style_of(tokenizer)


class PatchFamily(Family):
    """Pages of any size, cut into patches, merged by squares; positions in three rows (MRoPE, arXiv:2409.12191)."""

    @abstractmethod
    def resized(self, height: int, width: int, processor: Any) -> tuple[int, int]:
        """A page's size (height, width) after the image processor's resizing; a ValueError if it refuses."""

    def grid_shape(self, height: int, width: int, processor: Any, config: Any) -> tuple[int, int]:
        """By the image processor's own arithmetic."""
        try:
            tall, wide = self.resized(height, width, processor)
        except ValueError as error:
            raise UserError(f"a page of {width} x {height} px cannot be read by the model: {error}") from error
        side = processor.patch_size * processor.merge_size
        return tall // side, wide // side

    def patches_per_token(self, config: Any) -> int:
        """A square of patches."""
        return int(config.vision_config.spatial_merge_size**2)

    def see(self, model: Any, pages: Sequence[Page], processor: Any) -> list[Tensor]:
        """In one pass; attention stays within a page."""
        pixel_values, grid_thw = patches(pages, processor)
        with torch.no_grad():
            seen = model.model.get_image_features(pixel_values.to(model.device), grid_thw.to(model.device))
        merged = (grid_thw[:, 1:] // processor.merge_size).tolist()
        return [as_grid(tokens, h, w) for tokens, (h, w) in zip(self.tokens(seen), merged, strict=True)]

    def tokens(self, seen: Any) -> Sequence[Tensor]:
        """The tokens [h·w, C] of each page in the output of ``get_image_features``."""
        found: Sequence[Tensor] = seen.pooler_output
        return found

    def positions(self, model: Any, prompt: Prompt) -> Tensor:
        """Four rows: the text row, then those of time, height and width, from the model's own ``get_rope_index``."""
        return positions(prompt, model.model.get_rope_index, model.config.vision_config.spatial_merge_size)

    def encoder_output(self, features: Sequence[Tensor], config: Any) -> Any:
        """Pages may differ in size, so they are a tuple."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        return BaseModelOutputWithPooling(pooler_output=tuple(features))  # type: ignore[arg-type]

    def pass_numbers(self, vision: Any) -> tuple[int, float]:
        """A block's perceptron is ``intermediate_size`` wide."""
        return vision.in_channels * vision.temporal_patch_size * vision.patch_size**2, vision.intermediate_size


def as_images(pages: Sequence[Page]) -> list[Image.Image]:
    """Pages as input of image processors."""
    return [Image.fromarray(page.pixels).convert("RGB") for page in pages]


def patches(pages: Sequence[Page], image_processor: Any) -> tuple[Tensor, Tensor]:
    """Pages as input of a `PatchFamily`'s tower.

    Returns
    -------
    pixel_values : float32 [patches, channels · time · patch · patch]
    image_grid_thw : int64 [pages, 3], in patches
    """
    inputs = image_processor(images=as_images(pages), return_tensors="pt")
    return inputs["pixel_values"], inputs["image_grid_thw"]


def as_grid(tokens: Tensor, h: int, w: int) -> Tensor:
    """Reshape a page's tokens [h·w, C] to a grid [h, w, C]; a `FreqqError` if their number is wrong."""
    if tokens.shape[0] != h * w:
        raise FreqqError(f"the vision tower gave {tokens.shape[0]} tokens for a page of {h} x {w}")
    return tokens.reshape(h, w, -1)
