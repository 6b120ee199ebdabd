"""Work beside the model, in threads: ahead of it, what it will read; behind it, what only rows report.

Zlib, pcodec and numpy let other threads run while they work, and a model on a GPU leaves the processor alone, so
threads are enough: nothing is copied to them.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST_WAITING = 256
"""Streams that may be waiting to be written: of Glyph's pages at 4,096 channels, 0.7 to 1.3 GB."""


@dataclass(frozen=True)
class Total:
    """A number of a row that is still being counted: the sum over a sample's pages, or what those that are counted say.

    Parameters
    ----------
    parts : the pages' numbers
    share : (int, int)
        How much of the sample they are, such as (2, 16) tokens: their sum is enlarged by as much.
    """

    parts: Sequence[Future[int]]
    share: tuple[int, int] = (1, 1)

    @property
    def done(self) -> bool:
        """Whether `value` does not wait."""
        return all(part.done() for part in self.parts)

    def value(self) -> int:
        """The number, rounded; whatever error a part ended with."""
        counted, full = self.share
        return (2 * full * sum(part.result() for part in self.parts) + counted) // (2 * counted)


class Background:
    """The threads of one process's evaluation.

    Parameters
    ----------
    threads : int
        Of all work but drawing, which has one of its own: it takes little time, and fonts are not for two at once.
    most : int
        So many calls of `behind` may be waiting. Who asks for more waits until one is done.
    """

    def __init__(self, threads: int, most: int = MOST_WAITING) -> None:
        self._drawing = ThreadPoolExecutor(1, "freqq-drawing")
        self._others = ThreadPoolExecutor(threads, "freqq-background")
        self._room = threading.BoundedSemaphore(most)

    def draw(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Work on pages that the model has not read yet, one after the other."""
        return self._drawing.submit(work, *args, **kwargs)

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Work that takes little memory to wait."""
        return self._others.submit(work, *args, **kwargs)

    def behind(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Work on what the model has been given, whose size is bounded by `most`."""
        self._room.acquire()
        future = self._others.submit(work, *args, **kwargs)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def end(self) -> None:
        """Let the threads end with what they are doing."""
        for pool in (self._drawing, self._others):
            pool.shutdown(wait=False, cancel_futures=True)
