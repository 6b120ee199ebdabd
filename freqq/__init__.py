"""freqq: how much of a page image can a vision-language model do without, where, and what does it cost?

The public names below are imported when they are first used, so that ``import freqq`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqq.data.mini import mini as mini
    from freqq.data.sample import Sample as Sample
    from freqq.data.tasks import TASKS as TASKS
    from freqq.data.tasks.base import Marks as Marks
    from freqq.data.tasks.mrcr import grade as grade
    from freqq.errors import FreqqError as FreqqError
    from freqq.errors import UserError as UserError
    from freqq.glm.load import load_reader as load_reader
    from freqq.glm.reader import Answer as Answer
    from freqq.glm.reader import Reader as Reader
    from freqq.image import CODECS as CODECS
    from freqq.pages.page import Page as Page
    from freqq.pages.render import render as render
    from freqq.pages.style import Style as Style
    from freqq.tokens import COMPRESSORS as COMPRESSORS

__version__ = "0.1.0"

_HOME = {
    "Answer": "freqq.glm.reader",
    "CODECS": "freqq.image",
    "COMPRESSORS": "freqq.tokens",
    "FreqqError": "freqq.errors",
    "Marks": "freqq.data.tasks.base",
    "Page": "freqq.pages.page",
    "Reader": "freqq.glm.reader",
    "Sample": "freqq.data.sample",
    "Style": "freqq.pages.style",
    "TASKS": "freqq.data.tasks",
    "UserError": "freqq.errors",
    "grade": "freqq.data.tasks.mrcr",
    "load_reader": "freqq.glm.load",
    "mini": "freqq.data.mini",
    "render": "freqq.pages.render",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'freqq' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
