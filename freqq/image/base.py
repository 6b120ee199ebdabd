"""What an image codec is."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Self, TypeAlias

from freqq.levels import Leveled
from freqq.pages.glyph import GlyphConfig
from freqq.pages.page import Page

Watch: TypeAlias = Callable[[], AbstractContextManager[Callable[[Iterable[Page]], Iterable[Page]]]]
"""Shows the progress of learning: a context that takes the pages and yields them again."""


def unwatched() -> AbstractContextManager[Callable[[Iterable[Page]], Iterable[Page]]]:
    """Shows nothing."""
    return nullcontext(lambda pages: pages)


class ImageCodec(Leveled):
    """Base of the methods that act on page images; each is a frozen dataclass of its parameters.

    The model sees what `decode` returns, and the size of a page is that of the bytes that `encode` returns.
    """

    def encode(self, page: Page) -> bytes:
        """A page as a stream, the same for the same pixels."""
        raise NotImplementedError

    def decode(self, stream: bytes) -> Page:
        """The page of a stream, without its text. A damaged stream is a `freqq.coding.stream.CorruptStream`."""
        raise NotImplementedError

    def decoded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what `decode` gives of a page of this size; the same for nearly all codecs."""
        return height, width

    def prepared(
        self,
        configs: Iterable[GlyphConfig],
        note: Callable[[str], object] = lambda text: None,
        watch: Watch | None = unwatched,
    ) -> Self:
        """The codec, with all that it needs for pages of these configurations; it may take a minute to make that.

        Parameters
        ----------
        note : callable
            Called with one line about what is being made, or cannot be.
        watch : callable or None
            Shows the progress. None: make nothing, use what exists.
        """
        return self


def once(note: Callable[[str], object]) -> Callable[[str], None]:
    """Passes each text on the first time only: the levels of a codec say the same."""
    said: set[str] = set()

    def told(text: str) -> None:
        if text not in said:
            said.add(text)
            note(text)

    return told
