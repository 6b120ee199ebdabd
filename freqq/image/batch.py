"""Recode many pages with many codecs, in parallel; finished work is not repeated."""

import hashlib
import multiprocessing
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.files import as_text, same_file, write_output
from freqq.image.base import ImageCodec
from freqq.image.files import png, read_page
from freqq.image.legibility import legibility
from freqq.image.measures import params, recode
from freqq.image.streams import decode, read_stream
from freqq.pages.page import Line, Page
from freqq.pages.redraw import parse_style

Row = dict[str, Any]


@dataclass(frozen=True)
class Arm:
    """A codec at a level, by the user's names; None stores pages without loss."""

    name: str
    level: str
    codec: ImageCodec | None

    @property
    def folder(self) -> str:
        """The folder of its files if there are several arms."""
        return f"{self.name}-{self.level}" if self.codec else self.name


@dataclass(frozen=True)
class Content:
    """The text of an image, and the style it was drawn in (`freqq.pages.redraw.style_json`) if known."""

    text: str
    style: str | None = None


@dataclass(frozen=True)
class Source:
    """An image file, the name of its outputs, and its content if known."""

    path: Path
    name: str
    content: Content | None = None

    @property
    def sha256(self) -> str:
        """Digest of file and content."""
        known = repr((self.content.text, self.content.style)) if self.content else ""
        return hashlib.sha256(self.path.read_bytes() + known.encode()).hexdigest()

    def page(self) -> Page:
        """The page, with its text."""
        pixels = read_page(self.path).pixels
        if self.content is None:
            return Page(pixels)
        style = None if self.content.style is None else parse_style(self.content.style)
        # Positions of the lines are unknown.
        return Page(pixels, tuple(Line(0, 0, line) for line in self.content.text.split("\n")), style)


@dataclass(frozen=True)
class Task:
    """Remaining work for one source."""

    source: Source
    sha256: str
    arms: tuple[Arm, ...]
    folder: Path
    apart: bool
    ocr: bool


def contents_in(folder: Path) -> dict[Path, Content]:
    """The contents of the images in a folder, from the pages.parquet of 'freqq render' if there is one."""
    rows = read_rows(folder / "pages.parquet")
    return {folder / row["file"]: Content(row["text"], row.get("style")) for row in rows if has(row, "file", "text")}


def read_rows(table: Path) -> list[Row]:
    """The rows of a table; none if there is no such file.

    Raises
    ------
    UserError
        If it is not readable.
    """
    import pyarrow.lib
    import pyarrow.parquet as pq

    if not table.is_file():
        return []
    try:
        with table.open("rb") as file:  # pyarrow opens no path that is not UTF-8
            rows: list[Row] = pq.read_table(file).to_pylist()
    except (OSError, pyarrow.lib.ArrowException) as error:
        raise UserError(f"{table} is not a readable Parquet table: move it elsewhere") from error
    return rows


def output_folders(arms: Sequence[Arm]) -> list[str]:
    """Where arms write: each into its folder ``CODEC-LEVEL`` if there are several, else into the output folder."""
    return [arm.folder for arm in arms] if len(arms) > 1 else [""]


def plan(
    sources: Iterable[Source], arms: Sequence[Arm], folder: Path, ocr: bool, done: Iterable[Row], own: Container[str]
) -> tuple[list[Task], list[Row]]:
    """The tasks of a batch, and the rows of an earlier batch whose source, codec and files are unchanged.

    Parameters
    ----------
    own : the streams in the folder, by name, that an earlier batch wrote

    Raises
    ------
    UserError
        If a file is the result of another image, codec, level or parameters, or no result at all: it would be lost.
    """
    found = {row["file"]: row for row in done}
    apart = len(arms) > 1
    tasks, kept = [], []
    for source in sources:
        digest, rest = source.sha256, []
        for arm in arms:
            file = _file(source, arm, apart)
            row = found.get(file)
            if row:
                _check_same(row, source, digest, arm, folder)
            elif file not in own:
                _check_free(folder / file, arm)
            if row and _is_done(row, digest, arm, folder, ocr):
                kept.append(row)
            else:
                rest.append(arm)
        if rest:
            tasks.append(Task(source, digest, tuple(rest), folder, apart, ocr))
    return tasks, kept


def recode_all(tasks: Sequence[Task], workers: int) -> Iterator[list[Row]]:
    """The rows of each task, in order, after its files are written. One worker runs in this process."""
    if workers == 1 or len(tasks) < 2:
        yield from map(recode_source, tasks)
        return
    # Do not fork: this process has threads (progress bar, matrix products).
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context)
    try:
        yield from pool.map(recode_source, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


def recode_source(task: Task) -> list[Row]:
    """Write the stream (NAME.fqi) and the decoded page (NAME.png) of each arm; returns rows of sizes and measures."""
    page = task.source.page()
    height, width = page.pixels.shape[:2]
    read: dict[str, Mapping[str, float | None]] = {}
    rows = []
    for arm in task.arms:
        try:
            recoded = recode(page, arm.codec)
        except UserError as error:
            raise UserError(f"{task.source.path}: {error}") from error
        file = _file(task.source, arm, task.apart)
        write_output(task.folder / file, recoded.stream)
        write_output((task.folder / file).with_suffix(".png"), recoded.png)
        seen = recoded.page.sha256
        if task.ocr and seen not in read:
            marks = legibility(recoded.page, page.text, height, width)
            read[seen] = {"cer": marks.cer, "word_recall": marks.score}
        rows.append(
            {
                "name": task.source.name,
                "file": file,
                "source": as_text(task.source.path.absolute()),
                "source_sha256": task.sha256,
                "codec": arm.name,
                "level": arm.level,
                "resources": _resources(arm),
                "input_bytes": task.source.path.stat().st_size,
                **recoded.row,
                "cer": None,
                "word_recall": None,
                **read.get(seen, {}),
            }
        )
    return rows


def has(row: Row, *names: str) -> bool:
    """Whether a row has text in all of these columns."""
    return all(isinstance(row.get(name), str) for name in names)


def _file(source: Source, arm: Arm, apart: bool) -> str:
    return f"{arm.folder}/{source.name}.fqi" if apart else f"{source.name}.fqi"


def _resources(arm: Arm) -> str:
    """The digests of the files that a codec uses, separated by spaces."""
    return " ".join(arm.codec.resources) if arm.codec else ""


def _check_free(stream: Path, arm: Arm) -> None:
    """Refuse to replace a file that no table lists, unless a batch was killed between writing it and its table."""
    picture = stream.with_suffix(".png")
    there = [path for path in (stream, picture) if path.exists()]
    if not there:
        return
    try:
        content = read_stream(stream)
        page = arm.codec.decode(content) if arm.codec else decode(content)
        if picture not in there or picture.read_bytes() == png(page):
            return
    except (UserError, OSError):
        pass  # whatever it is, it is not ours
    raise UserError(f"{there[-1]} is no output of an earlier run, and would be replaced: choose another --out")


def _check_same(row: Row, source: Source, digest: str, arm: Arm, folder: Path) -> None:
    """Refuse to replace the result of another image or method; an image that was changed is still the same one."""
    own = arm.name, arm.level, params(arm.codec)
    same_image = row["source_sha256"] == digest or same_file(row["source"], source.path)
    if (row["codec"], row["level"], row["params"]) != own or not same_image:
        raise UserError(
            f"{folder / row['file']} is {row['source']} by {row['codec']}, {row['level']} ({row['params']}), and would "
            "be replaced: choose another --out"
        )


def _is_done(row: Row, digest: str, arm: Arm, folder: Path, ocr: bool) -> bool:
    same = (row["source_sha256"], row["resources"]) == (digest, _resources(arm))
    stream = folder / row["file"]
    there = stream.is_file() and stream.with_suffix(".png").is_file()
    return same and there and stream.stat().st_size == row["stream_bytes"] and not (ocr and row["cer"] is None)
