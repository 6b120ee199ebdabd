"""Split chat text into words, like Glyph's pipeline and reportlab's paragraph parser.

Glyph joins 30 lines at a time to one paragraph of markup. Four properties of reportlab decide where lines break: any
white space is one space; two or more spaces become as many no-break spaces, which are part of a word; a character
reference is a separate fragment (several in a row are one here, with the same result); and a fragment that begins with
a space after a word without one adds an empty word between the two.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby, islice
from operator import itemgetter
from typing import Literal
from xml.sax.saxutils import escape

from PIL import ImageColor

from freqq.errors import UserError

LINES_PER_PARAGRAPH = 30
MAX_MARKUP = 1000
TAB = "&nbsp;" * 4
"""A tab in Glyph's evaluation."""

Color = tuple[int, int, int]
Tag = Color | Literal["break", "close"]
"""Effect of a tag: a colour for the following text, a line break, or the end of a colour."""

_SPACE = "\t\n\v\f\r\x1c-\x1f \x85\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPACES = re.compile(f"[{_SPACE}]+")
_UNUSUAL_SPACE = re.compile(f"[{_SPACE.replace(' ', '')}]|  ")
_MANY_BLANKS = re.compile(" {2,}")
_TOKEN = re.compile("<[^<>]*>|(?:&[#a-zA-Z0-9]+;){1,999}")
_COLOR_TAG = re.compile(r"<(?:font|span)\s+color\s*=\s*(\"[^\"]*\"|'[^']*')\s*>")
_SLICE = 1 << 16


Part = tuple[Color | None, str]
"""A text and its colour; None: the configuration's."""

Word = tuple[tuple[Part, ...], bool]
"""The parts of a word, and whether a space follows it."""


@lru_cache(maxsize=64)
def parse_markup(markup: str) -> Mapping[str, Tag]:
    """The effect of each tag of a newline markup.

    Raises
    ------
    UserError
        If there is a tag other than ``<br/>`` and ``<font color=...>``, or one is not closed.
    """
    if len(markup) > MAX_MARKUP:
        raise UserError(f"newline-markup is longer than {MAX_MARKUP} characters")
    tags: dict[str, Tag] = {}
    depth = 0
    for tag in re.findall("<[^<>]*>?|>", markup):
        if re.fullmatch(r"<br\s*/>", tag):
            tags[tag] = "break"
        elif tag in ("</font>", "</span>"):
            tags[tag] = "close"
            depth -= 1
        elif match := _COLOR_TAG.fullmatch(tag):
            tags[tag] = _named_color(match[1][1:-1])
            depth += 1
        else:
            depth = -1
        if depth < 0:
            break
    if depth:
        raise UserError(f'newline-markup {markup!r}: only <br/> and <font color="#RRGGBB"> ... </font> are known')
    return tags


def _named_color(name: str) -> Color:
    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError as error:
        raise UserError(f"newline-markup: no colour {name!r}; write it as #RRGGBB") from error
    return red, green, blue


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Join adjacent parts of the same colour."""
    return tuple((color, "".join([text for _, text in run])) for color, run in groupby(parts, key=itemgetter(0)))


def paragraphs(text: str, newline_markup: str, whole: bool = False) -> Iterator[str]:
    """Split a text into paragraphs of `LINES_PER_PARAGRAPH` lines of markup, or make one paragraph of the `whole` text.

    As in Glyph, soft hyphens and zero-width spaces are removed and white space is normalized. A tab is a space (Glyph's
    general function) or, with `whole`, four no-break spaces (its evaluation).
    """
    if whole:
        yield _clean(text, newline_markup, TAB)
        return
    start = 0
    while True:
        end = start - 1
        for _ in range(LINES_PER_PARAGRAPH):
            end = text.find("\n", end + 1)
            if end < 0:
                yield _clean(text[start:], newline_markup)
                return
        yield _clean(text[start:end], newline_markup)
        start = end + 1


def _clean(lines: str, newline_markup: str, tab: str = "\t") -> str:
    joined = escape(lines.replace("\xad", "").replace("\u200b", ""))
    joined = _MANY_BLANKS.sub(lambda match: "&nbsp;" * len(match.group()), joined)
    joined = joined.replace("\t", tab).replace("\n", newline_markup)
    if _UNUSUAL_SPACE.search(joined):
        joined = _SPACES.sub(" ", joined)
    return joined.strip(" ")


def lone_fragment(paragraph: str, tags: Mapping[str, Tag]) -> Part | None:
    """The only fragment of a paragraph, else None: reportlab breaks it by a simpler rule. A line break is empty."""
    if "<" not in paragraph and "&" not in paragraph:
        return None, paragraph
    some = list(islice(fragments(paragraph, tags), 2))
    if len(some) != 1 or (paragraph.startswith("&") and paragraph.count(";") > 1):
        return None
    return some[0] or (None, "")


def plain_words(text: str) -> Iterator[str]:
    """The words of a text with single spaces, split in slices to bound memory."""
    start = 0
    while (end := text.find(" ", start + _SLICE)) >= 0:
        yield from text[start:end].split(" ")
        start = end + 1
    yield from text[start:].split(" ")


def fragments(paragraph: str, tags: Mapping[str, Tag]) -> Iterator[Part | None]:
    """The coloured texts of a paragraph; None is a line break."""
    colors: list[Color] = []
    start = 0
    for token in _TOKEN.finditer(paragraph):
        if token.start() > start:
            yield (colors[-1] if colors else None), paragraph[start : token.start()]
        start = token.end()
        tag = tags.get(token.group())
        if tag == "break":
            yield None
        elif tag == "close":
            colors.pop()
        elif tag is not None:
            colors.append(tag)
        else:
            yield (colors[-1] if colors else None), html.unescape(token.group().replace("&nbsp;", "\xa0"))
    if start < len(paragraph):
        yield (colors[-1] if colors else None), paragraph[start:]


def words(paragraph: str, tags: Mapping[str, Tag]) -> Iterator[Word | None]:
    """The words of a paragraph of markup; None is a line break."""
    parts: list[Part] = []  # of a word that may continue in the next fragment
    after_space = False  # whether the word before this fragment is followed by a space
    strip, nothing = True, True
    for fragment in fragments(paragraph, tags):
        if fragment is None:
            if parts:
                yield tuple(parts), False
                parts = []
            yield None
            strip, after_space, nothing = True, False, False
            continue
        color, text = fragment
        if strip:
            text = text.lstrip(" ")
            if not text:
                continue
            strip = False
        nothing = False
        begins, ends = text[0] == " ", text[-1] == " "
        # If it contains a no-break space, reportlab splits by a pattern that leaves empty words at the fragment's ends.
        inner = text if "\xa0" in text else text.strip(" ")
        if begins:
            if parts:
                yield tuple(parts), False
                parts, after_space = [], False
            if not after_space:
                yield ((color, ""),), True
                after_space = True
        if begins and not inner:
            continue
        held = None
        for word in plain_words(inner):
            if held is not None:
                if parts:
                    yield (*parts, (color, held)), True
                    parts = []
                else:
                    yield ((color, held),), True
            held = word
        if held is not None:
            parts.append((color, held))
            after_space = ends
            if ends:
                yield tuple(parts), True
                parts = []
            elif len(parts) > _SLICE:
                parts = list(merged(parts))
    if parts:
        yield tuple(parts), False
    elif nothing and paragraph:
        yield ((None, ""),), False
