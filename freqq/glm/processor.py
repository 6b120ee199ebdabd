"""What goes in: pages to patches, questions to token ids. No video, hence no torchvision."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, Glm4vImageProcessorPil, Glm46VImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import smart_resize

from freqq.errors import FreqqError, UserError
from freqq.pages.page import Page

QUESTION = "\ue000question\ue000"
"""Stands for the question while a chat template is rendered; private-use characters, so no template contains it."""


def grid_shape(height: int, width: int, image_processor: Any) -> tuple[int, int]:
    """The grid (h, w) of merged tokens that a page of so many pixels becomes; the image processor's own arithmetic.

    Raises
    ------
    UserError
        If the image processor refuses a page, for example one that is 250 times as wide as high.
    """
    side, size = image_processor.patch_size * image_processor.merge_size, image_processor.size
    try:
        resized = smart_resize(
            num_frames=image_processor.temporal_patch_size,
            height=height,
            width=width,
            temporal_factor=image_processor.temporal_patch_size,
            factor=side,
            min_pixels=size["shortest_edge"],
            max_pixels=size["longest_edge"],
        )
    except ValueError as error:
        raise UserError(f"a page of {width} x {height} px cannot be read by the model: {error}") from error
    return resized[0] // side, resized[1] // side


def patch_count(page: Page, image_processor: Any) -> int:
    """How many patches a page has after the image processor has resized it; errors as of `grid_shape`."""
    height, width = page.pixels.shape[:2]
    h, w = grid_shape(height, width, image_processor)
    return int(h * w * image_processor.merge_size**2)


def patches(pages: Sequence[Page], image_processor: Any) -> tuple[Tensor, Tensor]:
    """Pages as the vision tower takes them.

    Returns
    -------
    pixel_values : float32 [patches, channels · time · patch · patch]
    image_grid_thw : int64 [pages, 3], in patches
    """
    images = [Image.fromarray(page.pixels).convert("RGB") for page in pages]
    inputs = image_processor(images=images, return_tensors="pt")
    return inputs["pixel_values"], inputs["image_grid_thw"]


class ChatWriter:
    """Writes a chat of pages and one question as token ids, with the model's own chat template."""

    def __init__(self, tokenizer: Any, image_token_id: int) -> None:
        self._tokenizer = tokenizer
        self._image_token_id = image_token_id
        self._frames: dict[int, tuple[list[int], list[int]]] = {}

    def write(self, question: str, pages: int) -> list[int]:
        """Token ids of a user message (pages, then the question) and of the start of the answer.

        The question is split like any text: ``<|image|>`` in it is nine characters, not a page. Only the template's own
        special tokens are special.

        Raises
        ------
        UserError
            If this tokenizer nevertheless makes an image token of the question's text.
        """
        before, after = self._frame(pages)
        text = self._ids(question, split_special_tokens=True)
        if self._image_token_id in text:
            token = self._tokenizer.convert_ids_to_tokens(self._image_token_id)
            raise UserError(f"the question contains {token}, which this model takes for a page: remove it")
        return [*before, *text, *after]

    def _frame(self, pages: int) -> tuple[list[int], list[int]]:
        """What the template puts before and after the question; the same for all questions about so many pages."""
        if pages not in self._frames:
            content = [{"type": "image"}] * pages + [{"type": "text", "text": QUESTION}]
            chat = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
            before, found, after = chat.partition(QUESTION)
            if not found:
                raise FreqqError("the model's chat template does not show the user's text")
            self._frames[pages] = (self._ids(before), self._ids(after))
        return self._frames[pages]

    def _ids(self, text: str, split_special_tokens: bool = False) -> list[int]:
        # The template is complete: the tokenizer is to add nothing around it.
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=split_special_tokens)
        return list(encoded["input_ids"])


def read_tokenizer(folder: Path) -> Any:
    """A model's tokenizer with its chat template; a `UserError` if it has none."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        tokenizer.chat_template = _legacy_template(folder)
    return tokenizer


def read_image_processor(folder: Path, config: Any) -> Any:
    """A model's image processor, which needs no torchvision."""
    processor = Glm46VImageProcessorPil if config.model_type == "glm46v" else Glm4vImageProcessorPil
    return processor.from_pretrained(folder, local_files_only=True)


def _legacy_template(folder: Path) -> str:
    """The chat template of a folder that keeps it beside the tokenizer, as processors once saved it."""
    file = folder / "chat_template.json"
    if not file.is_file():
        raise UserError(f"{folder} has no chat template: add its chat_template.jinja")
    return str(json.loads(file.read_text())["chat_template"])
