"""A line of a paragraph after it was broken: what is on it, and how that is aligned."""

from typing import NamedTuple

from freqq.pages.markup import Part, merged


class SetLine(NamedTuple):
    """A line as it was broken.

    ``parts`` are texts and their colours; ``extra`` is what is left of its width (pt; negative: spaces must shrink);
    ``words`` counts them for justification; ``forced``: a line break of the markup ended it; ``cut``: how the line is
    without the first piece of a long word that it ends with; ``within``: it is no more than a middle piece of one.
    """

    parts: tuple[Part, ...]
    extra: float
    words: int
    forced: bool
    cut: "Cut | None" = None
    within: bool = False

    def word_space(self, alignment: str, last: bool) -> float:
        """What is added to every space of the line (pt), positive or negative."""
        if alignment == "JUSTIFY":
            kept = self.forced or -1e-8 < self.extra <= 1e-8 or (last and self.extra > -1e-8)
        else:
            kept = self.extra > -1e-8
        if kept:
            return 0.0
        gaps = self.words + sum(text.count("\xa0") for _, text in self.parts) - 1
        return self.extra / gaps if gaps > 0 else 0.0

    def shift(self, alignment: str) -> float:
        """How far right of its indent the line begins (pt)."""
        gaps = self.words + sum(text.count("\xa0") for _, text in self.parts) - 1
        if self.extra <= -1e-8 and gaps > 0:
            return 0.0
        return self.extra * {"CENTER": 0.5, "RIGHT": 1.0}.get(alignment, 0.0)


class Cut(NamedTuple):
    """The line without the first piece of a long word, that piece, its width, and the line's (pt)."""

    before: SetLine
    head: tuple[Part, ...]
    width: float
    room: float


def rejoin(lines: list[SetLine], later: float) -> list[SetLine]:
    """The lines of a page that ends within a paragraph, `later` wide but for the first.

    reportlab breaks such lines once more, with what they have of a long word as one word. If only two pieces of it are
    there, they may be no wider than a line together; the word is then not cut, but stands on the second line alone.
    """
    if lines[-1].cut is not None and not lines[-1].cut.width:
        return [*lines[:-1], lines[-1].cut.before]  # the first piece was empty, and nothing is left of it
    if len(lines) < 2 or lines[-2].cut is None or not lines[-1].within:
        return lines
    *others, first, second = lines
    before, head, width, room = first.cut  # type: ignore[misc]
    width += later - second.extra
    if width > room:
        return lines
    return [*others, before, SetLine(merged([*head, *second.parts]), later - width, 1, False)]
