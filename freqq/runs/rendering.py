"""How a sample becomes pages: drawn before, in `mini`'s own look, or by Glyph's configuration."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from freqq.data.sample import Sample, context
from freqq.image.files import read_page
from freqq.pages.glyph import GlyphConfig
from freqq.pages.page import Page
from freqq.pages.paint import render_glyph
from freqq.pages.render import layout, render
from freqq.pages.style import Style, font_file
from freqq.pages.widths import widths


@dataclass(frozen=True)
class Rendering:
    """The look of the pages of a run.

    Parameters
    ----------
    config : GlyphConfig
        What holds for keys that a sample's own configuration does not give.
    font : str or None
        In place of every ``font-path``, those of the samples included.
    dpi : float or None
        In place of every ``dpi``, likewise.
    """

    config: GlyphConfig = GlyphConfig()
    font: str | None = None
    dpi: float | None = None

    @classmethod
    def read(cls, config: str | Path | None, font: str | None = None, dpi: float | None = None) -> "Rendering":
        """From a ``config.json`` (None: Glyph's evaluation) and what is to hold in place of it.

        Raises
        ------
        UserError
            If the file, the font or the resolution cannot be used.
        """
        base = GlyphConfig.from_mapping({}, font) if config is None else GlyphConfig.read(config, font)
        widths(base.font_path, base.font_size)  # a file that is no font is the user's to hear of now
        return cls(base if dpi is None else replace(base, dpi=dpi), font, dpi)

    def of(self, sample: Sample) -> GlyphConfig:
        """The configuration of a sample that has no style of its own."""
        config = GlyphConfig.from_mapping(sample.config or {}, self.font, self.config)
        return config if self.dpi is None else replace(config, dpi=self.dpi)

    def pages(self, sample: Sample) -> Iterator[Page]:
        """A sample's pages, one after another: its images if it has any, else drawn."""
        if sample.images:
            return (read_page(path) for path in sample.images)
        if sample.style:
            return render(messages(sample), sample_style(sample))
        return render_glyph(context(sample), self.of(sample))

    def identity(self) -> dict[str, Any]:
        """All of it that can change a pixel, the font by its content."""
        font = hashlib.sha256(Path(font_file(self.config.font_path)).read_bytes()).hexdigest()
        return {**asdict(self.config), "font_path": font, "font_given": self.font is not None, "dpi_given": self.dpi}


def sample_style(sample: Sample) -> Style:
    """How the pages of a sample with a style of its own look."""
    return Style().with_overrides(sample.style)


def messages(sample: Sample) -> list[str]:
    """The chat of a sample with a style of its own, as it is rendered."""
    style = sample_style(sample)
    return [style.label(turn.role, turn.text) for turn in sample.turns]


def length(sample: Sample) -> int:
    """How long a sample's prompt gets, up to a factor that is the same for all of a data set. Nothing is drawn."""
    if sample.images:
        return len(sample.images)
    if sample.style:
        style = sample_style(sample)
        return sum(style.width * style.height for _ in layout(messages(sample), style))
    return sum(len(turn.text) for turn in sample.turns)
