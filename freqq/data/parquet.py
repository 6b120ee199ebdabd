"""MRCR's Parquet files, a few records at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.data.fields import listed
from freqq.data.mrcr import FIELDS, needles_of
from freqq.errors import UserError

ROWS = 8
"""Records that are held at a time: one can have millions of characters."""


def parquet_records(
    path: Path, columns: Sequence[str] = FIELDS, rows: int = ROWS
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a Parquet file with where they stand.

    Raises
    ------
    UserError
        If the file is damaged or lacks one of MRCR's columns.
    """
    try:
        # Buffering ahead would hold the whole file in the end, instead of a row group.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            _check_columns(path, file.schema_arrow.names)
            row = 0
            for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
                for record in batch.to_pylist():
                    yield f"{path}, row {row}", record
                    row += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is not a whole Parquet file ({reason}): copy it again") from error


def parquet_needles(path: Path) -> set[int]:
    """The needle counts of a Parquet file. Its texts are not read."""
    return {needles_of(record, where) for where, record in parquet_records(path, ["n_needles"], rows=4096)}


def _check_columns(path: Path, names: Sequence[str]) -> None:
    for name in FIELDS:
        if name not in names:
            raise UserError(f"{path} has no column {name!r}, so it is not MRCR's Parquet; it has {listed(names)}")
