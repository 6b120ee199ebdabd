"""The data of an evaluation: which set, for which task, and what suits it."""

from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from freqq.data.dataset import DataSet
from freqq.data.load import load
from freqq.errors import UserError
from freqq.runs.rendering import LITERAL, REAL

if TYPE_CHECKING:
    from freqq.tokens.store import TokenStore

MOST_ENTRIES = 20_000
"""Of a folder, what is looked at for changes; `load` refuses one that has more."""


def source(
    name: str, task: str | None = None, context: int | None = None, skip_bad: bool = False, look: str | None = None
) -> DataSet:
    """The data set of a name or path, for a task or sub-task and a length of context in tokens (None: its own).

    `skip_bad` and `look` are as in `freqq.data.load.load`.

    Raises
    ------
    UserError
        If there is none, its files are damaged, or it does not fit the task or length.
    """
    path = Path(name)
    found = [path] if path.is_file() else islice(path.rglob("*"), MOST_ENTRIES) if path.is_dir() else []
    files = sorted(p for p in found if p.is_file())
    stamp = tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files)
    return _source(name, task, context, skip_bad, look, stamp)


@lru_cache(maxsize=4)
def _source(
    name: str,
    task: str | None,
    context: int | None,
    skip_bad: bool,
    look: str | None,
    stamp: tuple[tuple[str, int, int], ...],
) -> DataSet:
    found = load(name, skip_bad, look)
    found = found if task is None else found.with_task(task)
    return found if context is None else found.with_context(context)


def token_store(folder: str) -> "TokenStore":
    """The token streams of a folder.

    Raises
    ------
    UserError
        If there are none.
    """
    from freqq.tokens.store import INDEX  # takes torch, which most commands that ask for data do without

    index = Path(folder) / INDEX
    return _store(folder, index.stat().st_mtime_ns if index.is_file() else 0)


@lru_cache(maxsize=4)
def _store(folder: str, stamp: int) -> "TokenStore":
    from freqq.tokens.store import TokenStore

    return TokenStore(Path(folder))


def check_needles(data: DataSet, needles: tuple[int, ...]) -> None:
    """Refuse needle counts that a data set does not have."""
    for count in needles:
        if count not in data.needles:
            known = "no needles: leave out --needle" if data.needles == (0,) else f"{_listed(data.needles)} needles"
            raise UserError(f"--needle {count}: {data.name} has {known}")


def check_drawing(data: DataSet, **options: object) -> None:
    """Refuse options that say how pages are drawn (None: not given) if a data set's have a look of their own."""
    if data.own_look and (given := [name for name, value in options.items() if value is not None]):
        raise UserError(f"--{given[0]}: the pages of {data.name} have a look of their own; leave it out")


def usual_needles(data: DataSet) -> tuple[int, ...]:
    """The needle counts that are asked for unless the user says so: 2, or all if there is no such chat."""
    return (2,) if 2 in data.needles else data.needles


def usual_line_breaks(data: DataSet) -> str:
    """What a line break inside a message becomes unless the user says so: in its three suites what Glyph's evaluation
    makes of it.

    A transcript is compared with the chat itself, whose line breaks are then real ones.
    """
    return LITERAL if data.task != "transcribe" and data.format in ("mrcr", "glyph", "ruler", "longbench") else REAL


def usual_batch_size(data: DataSet, by_tokens: bool = False) -> int:
    """Samples that are read together unless the user says so; if their tokens are limited, the most that may be."""
    return 16 if data.small or by_tokens else 1


def usual_new_tokens(data: DataSet) -> int:
    """The longest response unless the user says so. Glyph's protocol allows 8192 for all its suites."""
    if not data.small:
        return 8192
    return 64 if data.own_look and data.task != "transcribe" else 512


def _listed(needles: tuple[int, ...]) -> str:
    return ", ".join(map(str, needles))
