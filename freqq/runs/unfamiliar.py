"""Pages that an embedded model has not learned to read: a run on them says so before it starts."""

from collections.abc import Iterable

from freqq.data.dataset import DataSet
from freqq.data.mini_glyph import HEIGHTS, WIDTHS
from freqq.data.sample import Sample
from freqq.pages.fonts import font_digest
from freqq.pages.glyph import GlyphConfig
from freqq.runs.rendering import Rendering

DPI = (72.0, 144.0)
"""The least and the highest resolution of the pages that `small` has learned to read."""

NOTHING = "its scores there say nothing about a method"
LOOK = GlyphConfig()


def unfamiliar(model: str, data: DataSet, rendering: Rendering, samples: Iterable[Sample]) -> str | None:
    """What a user should know of a model's scores on pages of data; None if it reads such pages, or may."""
    if model == "tiny" and not data.own_look:
        return (
            f"the embedded model (tiny) has learned to read pages that look like mini's and nothing else: {NOTHING}; "
            "they show that a run works, and --model chooses a model that reads any page"
        )
    if model != "small":
        return None
    if data.own_look:
        return f"the embedded model (small) has not learned to read the look of {data.name}: add --look glyph"
    odd = [strange for config in rendering.configs(samples) if (strange := _strange(config))]
    if odd:
        return f"the embedded model (small) has not learned to read {odd[0]}: {NOTHING}"
    return None


def _strange(config: GlyphConfig) -> str | None:
    """What in a look is out of reach for `small`."""
    if font_digest(config.font_path) != font_digest(LOOK.font_path):
        return f"this font ({config.font_path}), only DejaVu Sans"
    if (config.font_size, config.leading, config.horizontal_scale) != (LOOK.font_size, LOOK.leading, 1.0):
        return f"text of {config.font_size:g} pt on {config.leading:g} pt lines, only of 9 on 10"
    width, height = config.page_size
    if width > WIDTHS[1] or height > HEIGHTS[1]:
        return f"pages of {width:g} x {height:g} points, only of up to {WIDTHS[1]} x {HEIGHTS[1]}"
    if not DPI[0] <= config.dpi <= DPI[1]:
        return f"pages of {config.dpi:g} dpi, only of {DPI[0]:g} to {DPI[1]:g}"
    return None
