"""A run directory: ``run.json``, ``parts/*.parquet``, ``results.parquet``. Files appear whole or not at all."""

import fcntl
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.errors import FreqqError, UserError
from freqq.files import check_writable, write_whole
from freqq.runs.plan import Shard
from freqq.runs.schema import SCHEMA, Row, from_table, to_table
from freqq.runs.settings import Settings

RUN, PARTS, RESULTS, SUMMARY, SCRIPTS = "run.json", "parts", "results.parquet", "summary.json", "slurm"


def write_json(path: Path, value: object) -> None:
    """Write a value as readable JSON."""
    write_whole(path, lambda p: p.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n"))


class RunDirectory:
    """Where a run keeps what it has.

    Parameters
    ----------
    path : Path
        It need not exist yet; nothing is created before `record`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def description(self) -> dict[str, Any] | None:
        """What ``run.json`` says; None if there is none."""
        try:
            return json.loads((self.path / RUN).read_text())
        except FileNotFoundError:
            return None
        except NotADirectoryError as error:
            raise UserError(f"cannot write to {self.path}: a part of that path is a file") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / RUN} is not readable ({error}): choose another --out") from error

    def check(self, settings: Settings) -> None:
        """Refuse, before anything expensive, a folder that cannot be written or holds something else.

        Raises
        ------
        UserError
            The message names the first setting that differs.
        """
        found = self.description()
        if found is not None:
            self._compare(found.get("settings", {}), settings.as_json())
        elif self.path.is_dir() and any(
            p.name not in (PARTS, SCRIPTS) and p.name[0] != "." for p in self.path.iterdir()
        ):
            raise UserError(f"{self.path} holds other files and no {RUN}: choose an empty or new folder with --out")
        check_writable(self.path)

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        for name, value in now.items():
            if before.get(name) != value:
                was, wanted = json.dumps(before.get(name)), json.dumps(value)
                raise UserError(f"{self.path} is a run with {name} = {was}, not {wanted}: choose another --out")

    def record(self, description: dict[str, Any]) -> None:
        """Write ``run.json``, or check that it says the same."""
        (self.path / PARTS).mkdir(parents=True, exist_ok=True)
        found = self.description()
        if found is None:
            write_json(self.path / RUN, description)
        else:
            self._compare(found, json.loads(json.dumps(description)))

    @contextmanager
    def lock(self, shard: Shard) -> Iterator[None]:
        """Hold a shard, until the process ends at the latest: two at the same one would do everything twice."""
        with (self.path / f".lock-{shard.index}-of-{shard.count}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another process is at work in {self.path}: wait for it, or choose another --out"
                ) from error
            except OSError:
                pass  # A file system without locks: go on; a doubled row is found by `rows`.
            yield

    def add(self, rows: Sequence[Row], shard: Shard, metadata: dict[str, Any]) -> None:
        """Write one part."""
        name = f"{shard.index}-of-{shard.count}-{rows[0].started_at:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}.parquet"
        write_table(self.path / PARTS / name, to_table(rows), metadata)

    def part_tables(self) -> list[pa.Table]:
        """All parts; one that is not readable is a `FreqqError`."""
        tables = []
        for part in sorted((self.path / PARTS).glob("*.parquet")):
            try:
                tables.append(pq.read_table(part))
            except (OSError, pa.ArrowException) as error:
                raise FreqqError(f"{part} is damaged ({error}): delete it and run the same command again") from error
            if not tables[-1].schema.equals(SCHEMA):
                raise FreqqError(f"{part} has other columns than this version of freqq writes: choose another --out")
        return tables

    def rows(self) -> list[Row]:
        """All rows so far, one a key. A retried sample's answer stands in for its failures.

        Raises
        ------
        FreqqError
            If a key was answered twice: two differently sharded runs were at work in the folder.
        """
        return one_per_key(row for table in self.part_tables() for row in from_table(table))

    def read(self) -> list[Row]:
        """The rows of ``results.parquet``."""
        return from_table(pq.read_table(self.path / RESULTS))


def write_table(path: Path, table: pa.Table, metadata: dict[str, Any]) -> None:
    """Write a table with our metadata, as JSON, beside Arrow's own."""
    kept = {**(table.schema.metadata or {}), b"freqq": json.dumps(metadata).encode()}
    write_whole(path, lambda p: pq.write_table(table.replace_schema_metadata(kept), p, compression="zstd"))


def read_metadata(table: pa.Table) -> dict[str, Any]:
    """What `write_table` was given."""
    return json.loads((table.schema.metadata or {}).get(b"freqq", b"{}"))


def one_per_key(rows: Iterable[Row]) -> list[Row]:
    """Of the rows of each key, the answer, else the last failure."""
    by_key: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        by_key[row.key].append(row)
    chosen = []
    for key, found in by_key.items():
        answered = [r for r in found if r.error is None]
        if len(answered) > 1:
            raise FreqqError(
                f"sample {key[0]} was answered {len(answered)} times: delete all but one of the parts that hold it"
            )
        chosen.append(answered[0] if answered else max(found, key=lambda r: r.started_at))
    return chosen
