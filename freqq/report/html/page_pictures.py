"""Images of a page in a report: as rendered, and after a method."""

import base64
import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from freqq.errors import UserError
from freqq.image.base import ImageCodec
from freqq.pages.page import Page
from freqq.runs.settings import Settings

if TYPE_CHECKING:
    from freqq.glm.reader import Reader
    from freqq.runs.methods import Method

MOST_BYTES = 400_000_000
"""Largest weights of a model that is loaded only to show which tokens are kept."""


@dataclass(frozen=True)
class Picture:
    """An image as a ``data:`` URL, its alternative text and its caption."""

    address: str
    width: int
    height: int
    alt: str
    caption: str


def picture(pixels: NDArray[np.uint8], alt: str, caption: str) -> Picture:
    """Pixels [H, W] or [H, W, 3] as lossless WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "webp", lossless=True, method=4)
    address = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(address, pixels.shape[1], pixels.shape[0], alt, caption)


def compressed(name: str, level: str, params: str, settings: Settings, page: Page) -> Picture:
    """A page after a method of a run.

    Raises
    ------
    UserError
        If the method's parameters have changed, or the model cannot be loaded here.
    """
    from freqq.runs.plan import arms  # imports torch, like all imports further down

    own = next((a for a in arms(settings) if (a.name, a.level) == (name, level)), None)
    if own is None or json.loads(own.params) != json.loads(params):
        raise UserError("the compressed page is not shown: this version of freqq has other parameters for it")
    if own.method is None:
        raise UserError("no compressed page is shown: the adapter was given all tokens")
    return _after(own.method, settings, page, f"{name} at {level}")


def _after(method: "Method", settings: Settings, page: Page, name: str) -> Picture:
    if isinstance(method, ImageCodec):
        stream = method.encode(page)
        caption = f"after {name}: {len(stream):,} bytes"
        return picture(method.decode(stream).pixels, f"the same page after {name}", caption)
    from freqq.report.token_pictures import token_pixels

    reader = _reader(settings.model, settings.revision, settings.adapter_folder)
    [grid] = reader.see([page])
    pixels, words = token_pixels(page, grid, method.compress(grid))
    return picture(pixels, f"the same page, marked: {words}", f"{name}: {words}")


@cache
def _reader(model: str, revision: str | None, adapter: Path | None) -> "Reader":
    """A small model on this machine, with an adapter's own merger if there is one.

    Raises
    ------
    UserError
        If it is not on this machine, or too large.
    """
    from freqq.glm.families import short_names
    from freqq.glm.load import find, load_reader
    from freqq.glm.memory import weight_bytes

    if short_names().get(model, "") is not None and not Path(model).is_dir():
        raise UserError(f"which tokens were kept is not shown: the model {model} is not a folder on this machine")
    if weight_bytes(find(model, revision).folder, "float32") > MOST_BYTES:
        raise UserError(f"which tokens were kept is not shown: the model {model} is too large to load for it")
    reader = load_reader(model, revision)
    if adapter is not None:
        from freqq.glm.adapter import attach  # imports peft, which takes as long as loading the model

        attach(reader, adapter)
    return reader
