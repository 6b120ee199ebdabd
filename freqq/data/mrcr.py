"""MRCR's official records (`openai/mrcr`) as samples: from a fixed commit on the Hugging Face hub, or from files."""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from freqq.data.chat import turns
from freqq.data.fields import as_object, bounded, kind, listed, text, value
from freqq.data.sample import Sample
from freqq.errors import UserError

HUB = "openai/mrcr"
REVISION = "f4c69fae7cf81f7ca26b9fee34b392a50f6b8a1d"
"""A commit after the repair of 2025-12-05, which replaced about one sample in ten. Counted with o200k, the bins no
longer hold exactly 100 samples each."""

NEEDLES = (2, 4, 8)


def hub_records(needles: int, repository: str = HUB, revision: str = REVISION) -> Iterator[tuple[str, dict[str, Any]]]:
    """The official records of a needle count and their locations, downloaded by `datasets` on first use.

    Parameters
    ----------
    repository : str
        A data set of the hub, or a folder with its layout: ``2needle/2needle_0.parquet`` and so on.

    Raises
    ------
    UserError
        If the hub cannot be reached and the files are not in its cache.
    """
    import datasets  # takes a second to import

    files = [f"{needles}needle/{needles}needle_{part}.parquet" for part in (0, 1)]
    try:
        with _without_warnings("huggingface_hub"):  # one per retry; the final error says it all
            table = datasets.load_dataset(repository, revision=revision, data_files={"train": files}, split="train")
    except Exception as error:  # no network, offline mode, a proxy: every client library raises its own errors
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"cannot get {repository} from the hub ({reason}): connect once to fill the cache, or give the folder of a "
            "copy instead"
        ) from error
    for row, record in enumerate(table):
        yield f"{repository}, {needles} needles, row {row}", record


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Let a library log errors only."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


FIELDS = ("prompt", "answer", "random_string_to_prepend", "n_needles")

MOST_NEEDLES = 64


def sample_from_record(
    record: Mapping[str, Any],
    sample_id: str,
    bin: str,
    style: Mapping[str, float | str | bool] | None = None,
    where: str = "",
) -> Sample:
    """Split a record's message list into the chat that is rendered and the question that stays text.

    Errors begin with `where` or, if that is empty, with the id.

    Raises
    ------
    UserError
        If a field is missing or has the wrong type, or `prompt` is not a JSON list of messages that ends with a user's.
    """
    where = where or f"sample {sample_id}"
    needles = needles_of(record, where)
    prompt = value(record, "prompt", where)
    try:
        messages = json.loads(bounded(prompt, where)) if isinstance(prompt, str) else prompt
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: 'prompt' is not a JSON list of messages ({error})") from error
    chat = turns(messages, f"{where}, 'prompt'")
    if not chat or chat[-1].role != "user":
        raise UserError(f"{where}: the last message has to be the user's question")
    return Sample(
        id=sample_id,
        needles=needles,
        bin=bin,
        turns=chat[:-1],
        question=chat[-1].text,
        answer=text(record, "answer", where),
        prefix=text(record, "random_string_to_prepend", where),
        style=style or {},
    )


def needles_of(record: Mapping[str, Any], where: str) -> int:
    """A record's number of needles."""
    found = value(record, "n_needles", where)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 < found <= MOST_NEEDLES:
        shown = found if isinstance(found, int) else kind(found)
        raise UserError(f"{where}: field 'n_needles' has to be a number from 1 to {MOST_NEEDLES}, not {shown}")
    return found


def samples(
    records: Iterable[tuple[str, Any]], needles: int | None, ids: Collection[str] | None = None
) -> Iterator[Sample]:
    """The records of one needle count (or all) as samples; those of some ids alone, or (None) all.

    Ids are ``2needle-0``, ``2needle-1`` and so on, numbered per needle count in the order of the files, so that they
    are the same from the hub, its files or a copy in another format.
    """
    counts: dict[int, int] = {}
    for where, record in records:
        found = needles_of(as_object(record, where), where)
        index = counts[found] = counts.get(found, -1) + 1
        id = f"{found}needle-{index}"
        if needles in (None, found) and (ids is None or id in ids):
            yield sample_from_record(record, id, "", where=where)


ROWS = 8
"""Records held in memory at a time; one can have millions of characters."""

BUFFER = 2**20
"""Packed bytes of a column that are held at a time."""


def parquet_records(
    path: Path, columns: Sequence[str] = FIELDS, rows: int = ROWS
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a Parquet file and their locations.

    Raises
    ------
    UserError
        If the file is damaged or lacks one of MRCR's columns.
    """
    import pyarrow as pa  # not needed for `mini`, which uses this module too
    import pyarrow.parquet as pq

    try:
        # pre_buffer would end up holding the whole file, and without a buffer a whole column is held.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER) as file:
            _check_columns(path, file.schema_arrow.names)
            row = 0
            for batch in file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
                for record in batch.to_pylist():
                    yield f"{path}, row {row}", record
                    row += 1
        # Of a file, all texts of a column may be unpacked at once; in this thread, so that it can be given back.
        pa.default_memory_pool().release_unused()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is not a whole Parquet file ({reason}): copy it again") from error


def parquet_needles(path: Path) -> set[int]:
    """The needle counts of a Parquet file; other columns are not read."""
    return {needles_of(record, where) for where, record in parquet_records(path, ["n_needles"], rows=4096)}


def _check_columns(path: Path, names: Sequence[str]) -> None:
    for name in FIELDS:
        if name not in names:
            raise UserError(f"{path} has no column {name!r}, so it is not MRCR's Parquet; it has {listed(names)}")
