"""Examples of answers: page, question, and where the answer differs from the expected one."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from freqq.data.load import GENERATED
from freqq.data.responses import take_apart
from freqq.data.sample import Sample
from freqq.errors import FreqqError, UserError
from freqq.pages.page import Page, hash_of
from freqq.report.html.differences import Piece, compared
from freqq.report.html.example_choice import BASELINES, Chosen, choose
from freqq.report.html.page_pictures import Picture, compressed, picture
from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.settings import Settings

COLUMNS = "sample_id method level needles bin score answer response graded pages page_hash params".split()
MOST_PAGES = 100
"""Most pages of a sample that are rendered again, which shows whether they are those that the model read."""

MOST_PIXELS = 1_500_000
"""Largest page to show."""

SEARCHED = 24
"""Characters of the expected answer that are searched on the pages."""

MOST_QUESTION = 600


@dataclass(frozen=True)
class Answer:
    """An answer: its score and its differences to the expected one."""

    label: str
    score: float
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Example:
    """A sample to show.

    Parameters
    ----------
    chosen : why it was chosen
    needles, bin, pages : of the sample
    question : None if unknown because the data are missing
    answers : of the baseline and of the method
    before, after : one page of the sample; None if it cannot be shown, and `note` says why
    """

    chosen: Chosen
    needles: int
    bin: str
    pages: int | None
    question: str | None
    expected: tuple[Piece, ...]
    answers: tuple[Answer, ...]
    before: Picture | None
    after: Picture | None
    note: str


def examples(pairs: Sequence[tuple[Path, Path]]) -> list[Example]:
    """Some answers of runs beside those of their baselines; with pages if the data are on this machine."""
    return [_example(one) for one in choose(pairs)]


class ExampleProcess:
    """A second process that makes `examples`; a context manager that ends it.

    Loading torch and a model takes as long as the rest of a report. If torch is already loaded, or with `spawn` False,
    no process is started, and the examples are made in this one.
    """

    def __init__(self, spawn: bool = True) -> None:
        self._pairs: list[tuple[Path, Path]] = []
        self._child: BaseProcess | None = None
        if spawn and "transformers" not in sys.modules:
            context = get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._child = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._child.start()
            theirs.close()

    def __enter__(self) -> "ExampleProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.join()
            self._pipe.close()

    def start(self, pairs: Sequence[tuple[Path, Path]]) -> None:
        """Start to make the examples of some runs."""
        self._pairs = list(pairs)
        if self._child is not None:
            with suppress(OSError):  # if the process ended, `examples` says why
                self._pipe.send(self._pairs)

    def examples(self) -> list[Example]:
        """The examples of the runs given to `start`.

        Raises
        ------
        FreqqError
            If the process failed.
        """
        if self._child is None:
            return examples(self._pairs)
        try:
            found: list[Example] | str = self._pipe.recv()
        except (EOFError, OSError):
            self._child.join()
            found = f"exit status {self._child.exitcode}"
        if isinstance(found, str):
            raise FreqqError(f"the examples could not be made: {found}")
        return found


def _serve(pipe: Connection) -> None:
    """Import what may be needed, then receive pairs of directories and send their examples or an error message."""
    import freqq.glm.load
    import freqq.runs.plan  # noqa: F401 (both in advance)

    try:
        pipe.send(examples(pipe.recv()))
    except Exception as error:  # reported in one line
        pipe.send(" ".join(f"{type(error).__name__}: {error}".split()))


def _example(chosen: Chosen) -> Example:
    base = _row(chosen.baseline, chosen.sample, BASELINES.to_pylist(), "baseline")
    own = _row(chosen.run, chosen.sample, [chosen.method], chosen.level)
    note, question, before, after = "", None, None, None
    try:
        settings, sample = _sample(chosen.run, own["needles"], chosen.sample)
        question = sample.question if len(sample.question) <= MOST_QUESTION else sample.question[:MOST_QUESTION] + " …"
        page, number = _page(settings, sample, own)
        where = f"page {number} of {own['pages']}"
        before = picture(page.pixels, f"{where} as it was rendered", f"{where}, as rendered")
        after = compressed(chosen.method, chosen.level, own["params"], settings, page)
    except (FreqqError, TypeError, KeyError) as error:
        note = " ".join(str(error).split())[:300]
    return Example(
        chosen,
        own["needles"],
        own["bin"],
        own["pages"],
        question,
        tuple(compared(own["answer"], own["answer"])),
        (_answer("baseline", base), _answer(f"{chosen.method} at {chosen.level}", own)),
        before,
        after,
        note,
    )


def _row(run: Path, sample: str, methods: list[str], level: str) -> dict[str, Any]:
    wanted = [("sample_id", "=", sample), ("method", "in", methods), ("level", "=", level)]
    there = set(pq.read_schema(run / RESULTS).names)
    columns = [name for name in COLUMNS if name in there]
    return dict(pq.read_table(run / RESULTS, columns=columns, filters=wanted).to_pylist()[0])


def _answer(label: str, row: dict[str, Any]) -> Answer:
    response = row["response"] or ""
    graded = row.get("graded")
    answer = take_apart(response).answer if graded is None else graded
    return Answer(label, row["score"], tuple(compared(row["answer"], answer or response)))


@cache
def _settings(run: Path) -> Settings:
    """A run's settings.

    Raises
    ------
    UserError
        If its data would have to be downloaded, or have changed.
    """
    plan = RunDirectory(run).plan()
    data = plan["settings"]["data"]
    if data not in GENERATED and not Path(data).exists():
        raise UserError(f"the pages are not shown: the data {data} are not on this machine as a file or folder")
    settings = Settings.from_json(plan["settings"])
    if settings.source.revision != plan["data_revision"]:
        raise UserError(f"the pages are not shown: the data {data} have changed since the run")
    return settings


def _sample(run: Path, needles: int, id: str) -> tuple[Settings, Sample]:
    settings = _settings(run)
    source = settings.source
    # The bins are in the rows; counting tokens again would take long.
    drawn = source.draw(needles, None if settings.bins else settings.limit, settings.seed)
    found = next((s for s in drawn if s.id == id), None)
    if found is None:
        raise UserError(f"the page is not shown: the data no longer have the sample {id}")
    return settings, found


def _page(settings: Settings, sample: Sample, row: dict[str, Any]) -> tuple[Page, int]:
    """The page with the expected answer, or else the first, and its number, if all are those of the row."""
    if (row.get("pages") or 0) > MOST_PAGES:
        raise UserError(f"the page is not shown: more than {MOST_PAGES} pages are not rendered again")
    pages = list(islice(settings.rendering.pages(sample), MOST_PAGES + 1))
    if len(pages) != row.get("pages") or hash_of(pages) != row.get("page_hash"):
        raise UserError("the page is not shown: it renders differently here than in the run")
    searched = row["answer"].removeprefix(sample.prefix)[:SEARCHED].strip()
    # Join lines, since a long answer is wrapped.
    number = next((i for i, p in enumerate(pages) if searched and searched in " ".join(p.text.split())), 0)
    height, width = pages[number].pixels.shape[:2]
    if height * width > MOST_PIXELS:
        raise UserError(f"the page is not shown: it has {height} × {width} pixels")
    return pages[number], number + 1
