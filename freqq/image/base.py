"""Base class of image codecs."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Self, TypeAlias

from freqq.levels import Leveled
from freqq.pages.glyph import GlyphConfig
from freqq.pages.page import Page

Watch: TypeAlias = Callable[[], AbstractContextManager[Callable[[Iterable[Page]], Iterable[Page]]]]
"""A context that reports the progress of learning; its value passes the pages through."""


def unwatched() -> AbstractContextManager[Callable[[Iterable[Page]], Iterable[Page]]]:
    """No progress report."""
    return nullcontext(lambda pages: pages)


class ImageCodec(Leveled):
    """Base class of methods that compress page images; each is a frozen dataclass of its parameters.

    The model sees what `decode` returns, and the size of a page is the length of what `encode` returns.
    """

    def encode(self, page: Page) -> bytes:
        """Encode a page. Deterministic."""
        raise NotImplementedError

    def decode(self, stream: bytes) -> Page:
        """Decode a page, without its text. Raises `freqq.coding.stream.CorruptStream` for a damaged stream."""
        raise NotImplementedError

    def decoded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the decoded page; equal to the original's for most codecs."""
        return height, width

    def prepared(
        self,
        configs: Iterable[GlyphConfig],
        note: Callable[[str], object] = lambda text: None,
        watch: Watch | None = unwatched,
    ) -> Self:
        """The codec with everything it needs for pages of these configurations; creating that may take a minute.

        Parameters
        ----------
        note : callable
            Called with one line about what is being created, or why it cannot be.
        watch : callable or None
            Reports progress. None: create nothing, use what exists.
        """
        return self


def once(note: Callable[[str], object]) -> Callable[[str], None]:
    """Pass each text to `note` only once: all levels of a codec give the same notes."""
    noted: set[str] = set()

    def note_once(text: str) -> None:
        if text not in noted:
            noted.add(text)
            note(text)

    return note_once
