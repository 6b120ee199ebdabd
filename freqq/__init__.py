"""freqq: how much of a page image can a vision-language model do without, where, and what does it cost?

The public names below are imported when they are first used, so that ``import freqq`` costs nothing.

>>> result = freqq.evaluate(method="token-prune", level=["mild", "extreme"], limit=20)  # what freqq eval does
>>> result.summary["headline"], result.rows, result.to_pandas(), result.report("report.html")
>>> freqq.compare(result, "runs/another").headline

>>> reader = freqq.load_reader("tiny")
>>> grids = reader.see(freqq.render(sample))  # one [h, w, C] tensor a page
>>> prune = freqq.compressor("token-prune", level="mild")
>>> answer = reader.answer(sample.question, [prune.compress(grid) for grid in grids])
>>> freqq.grade(answer.text, sample.answer, sample.prefix)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freqq.data.mini import mini as mini
    from freqq.data.sample import Sample as Sample
    from freqq.data.tasks import TASKS as TASKS
    from freqq.data.tasks.base import Marks as Marks
    from freqq.data.tasks.base import Task as Task
    from freqq.data.tasks.mrcr import grade as grade
    from freqq.errors import FreqqError as FreqqError
    from freqq.errors import UserError as UserError
    from freqq.glm.load import load_reader as load_reader
    from freqq.glm.reader import Answer as Answer
    from freqq.glm.reader import Reader as Reader
    from freqq.image import CODECS as CODECS
    from freqq.image import codec_at
    from freqq.image.base import ImageCodec as ImageCodec
    from freqq.pages.page import Page as Page
    from freqq.pages.style import Style as Style
    from freqq.report.evaluation import Evaluation as Evaluation
    from freqq.report.evaluation import compare as compare
    from freqq.report.evaluation import evaluate as evaluate
    from freqq.runs.rendering import render_chat
    from freqq.tokens import COMPRESSORS as COMPRESSORS
    from freqq.tokens import compressor_at
    from freqq.tokens.base import TokenCompressor as TokenCompressor

    codec, compressor, render = codec_at, compressor_at, render_chat

__version__ = "0.1.0"

_HOME = {
    # Evaluate and compare: what freqq eval, report and compare do.
    "Evaluation": "freqq.report.evaluation",
    "compare": "freqq.report.evaluation",
    "evaluate": "freqq.report.evaluation",
    # Chats as pages, and a model that reads them.
    "Answer": "freqq.glm.reader",
    "Page": "freqq.pages.page",
    "Reader": "freqq.glm.reader",
    "Sample": "freqq.data.sample",
    "Style": "freqq.pages.style",
    "load_reader": "freqq.glm.load",
    "mini": "freqq.data.mini",
    "render": "freqq.runs.rendering:render_chat",
    # Methods by name.
    "CODECS": "freqq.image",
    "COMPRESSORS": "freqq.tokens",
    "ImageCodec": "freqq.image.base",
    "TokenCompressor": "freqq.tokens.base",
    "codec": "freqq.image:codec_at",
    "compressor": "freqq.tokens:compressor_at",
    # Tasks and grades.
    "Marks": "freqq.data.tasks.base",
    "TASKS": "freqq.data.tasks",
    "Task": "freqq.data.tasks.base",
    "grade": "freqq.data.tasks.mrcr",
    # Errors.
    "FreqqError": "freqq.errors",
    "UserError": "freqq.errors",
}
"""Where each public name is: a module, and behind a colon its name there if that is another."""

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'freqq' has no attribute {name!r}")
    module, _, inner = _HOME[name].partition(":")
    return getattr(import_module(module), inner or name)


def __dir__() -> list[str]:
    return sorted(__all__)
