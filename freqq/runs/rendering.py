"""How a sample becomes pages: drawn before, in `mini`'s own look, or by Glyph's configuration."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from freqq.data.chat import turns
from freqq.data.packed import alphabet
from freqq.data.sample import Sample, Turn, context
from freqq.errors import UserError
from freqq.image.files import read_page
from freqq.names import unknown
from freqq.pages.fonts import font_digest, has_cff_outlines, lacking, widths
from freqq.pages.glyph import GlyphConfig
from freqq.pages.glyph_pages import render_glyph
from freqq.pages.page import Page
from freqq.pages.render import layout, render
from freqq.pages.style import Style

REAL, LITERAL = "real", "literal"
LINE_BREAKS = (REAL, LITERAL)
"""What a line break inside a message is on a page: one, or a backslash and the letter n. See `Rendering`."""

SHOWN = 10
"""Characters that a remark names."""


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
    line_breaks : str
        ``real``: pages as Glyph's general function makes them (``word2png_function.py``).
        ``literal``: those of its evaluation (``word2png_mrcr.py``). A line break inside a message is a backslash and
        the letter n, the whole chat is one paragraph, and a tab is four no-break spaces. A turn without a role, such as
        Glyph's own ``context``, has its line breaks where its author wants them, and keeps them.
    """

    config: GlyphConfig = GlyphConfig()
    font: str | None = None
    dpi: float | None = None
    line_breaks: str = REAL

    @classmethod
    def read(
        cls, config: str | Path | None, font: str | None = None, dpi: float | None = None, line_breaks: str = REAL
    ) -> "Rendering":
        """From a ``config.json`` (None: Glyph's evaluation) and what is to hold in place of it.

        Raises
        ------
        UserError
            If the file, the font, the resolution or the line breaks cannot be used.
        """
        if line_breaks not in LINE_BREAKS:
            raise unknown("kind of line breaks", line_breaks, LINE_BREAKS)
        base = GlyphConfig.from_mapping({}, font) if config is None else GlyphConfig.read(config, font)
        widths(base.font_path, base.font_size)  # report a file that is not a font now
        return cls(base if dpi is None else replace(base, dpi=dpi), font, dpi, line_breaks)

    def of(self, sample: Sample) -> GlyphConfig:
        """The configuration of a sample that has no style of its own."""
        config = GlyphConfig.from_mapping(sample.config or {}, self.font, self.config)
        return config if self.dpi is None else replace(config, dpi=self.dpi)

    def configs(self, samples: Iterable[Sample]) -> list[GlyphConfig]:
        """The configurations of samples that have no style of their own, each once."""
        found: dict[GlyphConfig, None] = {}
        for sample in samples:
            if not sample.style:
                with suppress(UserError):  # it comes again when the sample is rendered, and says why
                    found[self.of(sample)] = None
        return list(found)

    def pages(self, sample: Sample) -> Iterator[Page]:
        """A sample's pages, one after another: its images if it has any, else drawn."""
        if sample.images:
            return (read_page(path) for path in sample.images)
        if sample.style:
            return render(messages(sample), sample_style(sample))
        return render_glyph(self.text(sample), self.of(sample), self.line_breaks == LITERAL)

    def text(self, sample: Sample) -> str:
        """The chat of a sample that has no style of its own, as it is rendered."""
        if self.line_breaks == REAL:
            return context(sample)
        turns = tuple(replace(t, text=t.text.replace("\n", "\\n")) if t.role else t for t in sample.turns)
        return context(replace(sample, turns=turns))

    def identity(self) -> dict[str, Any]:
        """All of it that can change a pixel, the font by its content."""
        font = font_digest(self.config.font_path)
        found = {**asdict(self.config), "font_path": font, "font_given": self.font is not None, "dpi_given": self.dpi}
        # Left out as it was before there was a choice, so that the keys of such runs stay.
        return found if self.line_breaks == REAL else {**found, "line_breaks": self.line_breaks}

    def remarks(self, samples: Iterable[Sample]) -> Iterator[str]:
        """What a user should know of the fonts before these samples are rendered, one line a font at most for each."""
        chats: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            if not sample.images and not sample.style:
                with suppress(UserError):  # it comes again when the sample is rendered, and says why
                    chats[self.of(sample).font_path].append(sample)
        for font, drawn in chats.items():
            if has_cff_outlines(font):
                yield (
                    f"{font} has CFF outlines, which Glyph's own pipeline cannot use (reportlab takes TrueType alone): "
                    "pages follow its rules, but cannot be compared with its own"
                )
            boxes = [lacking(font, alphabet(sample.turns)) for sample in drawn]
            if missing := set().union(*boxes):
                shown = "".join(sorted(char for char in missing if char.isprintable())[:SHOWN])
                named = f"{shown}{'...' * (len(missing) > len(shown))}"
                yield (
                    f"{font} lacks {len(missing):,} character{'s'[: len(missing) > 1]} ({named}), which "
                    f"{sum(map(bool, boxes)):,} of {len(drawn):,} chats have and pages show as boxes: choose another "
                    "font with --font"
                )


def render_chat(
    chat: str | Sample | Iterable[Any],
    style: Style | None = None,
    *,
    config: str | Path | None = None,
    font: str | None = None,
    dpi: float | None = None,
    line_breaks: str = REAL,
) -> Iterator[Page]:
    """A chat as pages, one after another, so that a long one needs no more memory than a page.

    >>> pages = list(freqq.render([{"role": "user", "content": "How long is the Nile?"}], dpi=96))

    Parameters
    ----------
    chat : str, Sample, or iterable of messages
        A text, texts that each start on a new line, OpenAI's messages, or a sample of a data set.
    style : Style, optional
        A look like that of the embedded model's pages, for what has none of its own. By default pages are Glyph's.
    config, font, dpi, line_breaks
        As the options of ``freqq render``.

    Raises
    ------
    UserError
        If a message lacks its role or content, or the configuration or font cannot be used.
    """
    if isinstance(chat, Sample):
        return Rendering.read(config, font, dpi, line_breaks).pages(chat)
    given = [chat] if isinstance(chat, str) else list(chat)
    plain = all(isinstance(one, str) for one in given)
    said = tuple(Turn("", one) for one in given) if plain else turns(given, "chat")
    if style is not None:
        return render([turn.text if plain else style.label(turn.role, turn.text) for turn in said], style)
    return Rendering.read(config, font, dpi, line_breaks).pages(Sample("chat", 0, "", said, "", "", ""))


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
