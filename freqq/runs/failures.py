"""A step of work on a batch, of which a value that fails costs only itself."""

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import torch

from freqq.errors import Interrupted, OutOfMemory
from freqq.glm.device_errors import classified, is_broken_device

A = TypeVar("A")
B = TypeVar("B")
Outcome: TypeAlias = B | Exception


def stage(
    work: Callable[[list[A]], Sequence[B]],
    values: Sequence[Outcome[A]],
    fallbacks: Sequence[Callable[[list[A]], Sequence[B]]] = (),
) -> list[Outcome[B]]:
    """Apply `work` to all values that are not failures, or, if that fails, to each alone.

    What ran out of memory is tried once more, alone, as the first failure gives back what it held: by the first of
    `fallbacks`, which take less, then by the next, or by `work` if there are none.

    Raises
    ------
    BrokenDevice
        If the accelerator fails, which is no fault of a value.
    Interrupted
        If a stop is requested meanwhile.
    """
    good = [i for i, v in enumerate(values) if not isinstance(v, Exception)]
    outcomes: list[Any] = list(values)
    if not good:
        return outcomes
    made: Sequence[Outcome[B]] | Exception = _attempt(work, [outcomes[i] for i in good])
    short = isinstance(made, OutOfMemory)
    if isinstance(made, Exception) and (len(good) > 1 or short):
        ways = [*([] if short and fallbacks else [work]), *fallbacks]
        alone = [_alone(ways, outcomes[i]) for i in good]
        made = [one if isinstance(one, Exception) else one[0] for one in alone]
    for place, i in enumerate(good):
        outcomes[i] = made if isinstance(made, Exception) else made[place]
    return outcomes


def _alone(ways: Sequence[Callable[[list[A]], Sequence[B]]], value: A) -> Sequence[B] | Exception:
    """What the first of some ways makes of a value for which there is memory."""
    for way in ways:
        made = _attempt(way, [value])
        if not isinstance(made, OutOfMemory):
            break
    return made


def _attempt(work: Callable[[list[A]], Sequence[B]], values: list[A]) -> Sequence[B] | Exception:
    """What `work` makes of some values, or why it failed."""
    try:
        made = work(values)
        if len(made) != len(values):
            raise ValueError(f"{len(made)} results for {len(values)} values")
        return made
    except Interrupted:
        raise
    except Exception as error:
        if is_broken_device(error):
            raise classified(error) from error
        # The frames that a traceback keeps hold the tensors that there was no memory for.
        error.__cause__ = error.__context__ = None
        failed = classified(error.with_traceback(None))
    if isinstance(failed, OutOfMemory):
        gc.collect()
        torch.cuda.empty_cache()
    return failed


def padded_cuts(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Cut a row of items into runs whose largest size times their number is at most `limit`, or of one item."""
    start, largest = 0, 0
    for index, size in enumerate(sizes):
        if index > start and max(largest, size) * (index + 1 - start) > limit:
            yield slice(start, index)
            start, largest = index, 0
        largest = max(largest, size)
    if start < len(sizes):
        yield slice(start, len(sizes))
