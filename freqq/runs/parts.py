"""Parts: the files of rows that a run consists of while it grows. Each appears whole or not at all."""

import errno
import hashlib
import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.errors import FreqqError
from freqq.files import name_of, write_whole
from freqq.runs.schema import Row, conform, to_table
from freqq.runs.shard import Shard

PARTS = "parts"
SAMPLES_A_PART = 16
SECONDS_A_PART = 60.0
"""What a process that is killed can lose at most: its rows of so many samples, or of so long."""

DIGITS = 16
"""Hex digits of its content's SHA-256 that a part's name ends in."""

TEXTS = ("answer", "response", "graded")
"""Columns that make up most of a part."""

NEVER = -math.inf
"""No row failed before."""

Key = tuple[str, str]
"""A row's sample and config hash."""


class PartWriter:
    """Gathers the rows of one process, and writes a part before too much could be lost.

    What is held may be written by any thread, so that it is not lost with one that hangs.

    Parameters
    ----------
    run : Path
        The run directory.
    shard : Shard
        Whose rows they are; files are named after it.
    metadata : dict
        Goes into each part.
    """

    def __init__(self, run: Path, shard: Shard, metadata: dict[str, Any]) -> None:
        self._run = run
        self._shard = shard
        self._metadata = metadata
        self._rows: list[Row] = []
        self._since = monotonic()
        self._lock = threading.RLock()

    @property
    def held(self) -> int:
        """Rows that are not on the disk yet."""
        return len(self._rows)

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows; all that are held are written if the oldest came long ago."""
        with self._lock:
            if not self._rows:
                self._since = monotonic()
            self._rows += rows
        if monotonic() - self._since >= SECONDS_A_PART:
            self.flush()

    def end_batch(self) -> None:
        """Write what is held if the samples are enough; called when all arms of a batch are in."""
        if len({row.sample_id for row in self._rows}) >= SAMPLES_A_PART:
            self.flush()

    def flush(self) -> None:
        """Write what is held.

        Raises
        ------
        FreqqError
            If the disk is full, for example; all parts so far stay as they are.
        """
        with self._lock:
            if not self._rows:
                return
            content = parquet(to_table(self._rows), self._metadata)
            name = f"{self._shard.index}-of-{self._shard.count}-{self._rows[0].started_at:%Y%m%dT%H%M%S}"
            path = part_path(self._run, name, content)
            with writing(path):
                write_whole(path, lambda file: file.write_bytes(content))
            self._rows = []


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say where it was if the disk is full or fails."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        raise FreqqError(
            f"cannot write to {path.parent}: {reason}. All that was stored before is kept: "
            "make room and run the same command again"
        ) from error


def parquet(table: pa.Table, metadata: dict[str, Any]) -> bytes:
    """A table as a Parquet file with our metadata, as JSON, beside Arrow's own.

    Of so few rows only texts are worth a compression; without any for the numbers it is read in half of the time.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(packed(table.schema, metadata)),
        sink,
        compression={name: "zstd" if name in TEXTS else "none" for name in table.column_names},
        use_dictionary=False,
        write_statistics=False,
    )
    return sink.getvalue().to_pybytes()


def _digest(content: bytes) -> str:
    """What a part's name ends in. Parquet's own checksums leave out headers, in which a bit can matter, too."""
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def packed(schema: pa.Schema, metadata: dict[str, Any]) -> dict[bytes, bytes]:
    """A schema's metadata with ours beside it."""
    return {**(schema.metadata or {}), b"freqq": json.dumps(metadata).encode()}


def read_metadata(table: pa.Table) -> dict[str, Any]:
    """What `parquet` was given."""
    return schema_metadata(table.schema)


def schema_metadata(schema: pa.Schema) -> dict[str, Any]:
    """As `read_metadata`, of a file whose rows are not read."""
    return json.loads((schema.metadata or {}).get(b"freqq", b"{}"))


def part_path(run: Path, name: str, content: bytes) -> Path:
    """Where a part goes, by a name and what it holds."""
    return run / PARTS / f"{name}-{_digest(content)}.parquet"


def part_files(run: Path) -> list[Path]:
    """The parts of a run, in the order of their names."""
    return sorted((run / PARTS).glob("*.parquet"))


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A part with its metadata, or some of its columns.

    Raises
    ------
    FreqqError
        If it is not readable, or not what its name says. Older versions gave parts a name of another length.
    """
    try:
        content = path.read_bytes()
        named = path.stem.rpartition("-")[2]
        if len(named) == DIGITS and named != _digest(content):
            raise OSError("its content is not that of its name")
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            # Most parts are so small that giving their columns to threads takes longer than reading them.
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise FreqqError(f"{path} is damaged ({reason}): delete it and run the same command again") from error


def read_rows(path: Path) -> pa.Table:
    """A part as a table of `SCHEMA`."""
    return conform(read_part(path), path)


def answered(run: Path, retry_failed: bool = False, before: float = math.inf) -> set[Key]:
    """Keys of the rows that are there; with `retry_failed`, not of those that failed before a time, in Unix seconds."""
    keys: set[Key] = set()
    for path in part_files(run):
        table = read_part(path, ["sample_id", "config_hash", "error", "started_at"])
        columns = (table[name].to_pylist() for name in ("sample_id", "config_hash", "error"))
        for i, (sample, known_as, error) in enumerate(zip(*columns, strict=True)):
            if error is None or not retry_failed or table["started_at"][i].as_py().timestamp() >= before:
                keys.add((sample, known_as))
    return keys


def begin_retry(run: Path, shard: Shard) -> float:
    """When failures began to be tried again, in Unix seconds: now, unless a process did that was stopped since.

    What failed before that time is tried again, once, however often the command is started until it is done.
    """
    file = _retry_file(run, shard)
    with suppress(OSError, ValueError, TypeError, KeyError):
        return float(json.loads(file.read_text())["since"])
    since = time()
    with writing(file):
        write_whole(file, lambda path: path.write_text(json.dumps({"since": since}) + "\n"))
    return since


def end_retry(run: Path, shard: Shard) -> None:
    """All is done: what failed may be tried once more."""
    _retry_file(run, shard).unlink(missing_ok=True)


def _retry_file(run: Path, shard: Shard) -> Path:
    return run / f".retry-{shard.index}-of-{shard.count}.json"


def sweep(run: Path, shard: Shard) -> None:
    """Give parts that were written whole their names, and remove what killed processes left half written.

    Only whoever holds the shard may do this. A part is left under its temporary name by a process that was killed
    before it renamed it, or by a network file system that lost the new name.
    """
    for path in (run / PARTS).glob(f".{shard.index}-of-{shard.count}-*.tmp"):
        named = name_of(path)
        with writing(named):
            if named.stem.rpartition("-")[2] == _digest(path.read_bytes()):
                path.replace(named)
            else:
                path.unlink(missing_ok=True)
