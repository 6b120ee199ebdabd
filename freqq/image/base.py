"""What an image codec is."""

from freqq.levels import Leveled
from freqq.pages.page import Page


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
        """Height and width of what `decode` gives of a page of so many pixels; the same for nearly all codecs."""
        return height, width
