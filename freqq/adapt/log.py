"""The log of a training: a Parquet table, one row a step."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.adapt.validation import NAMES
from freqq.files import write_whole

NAME = "log.parquet"
SCHEMA = pa.schema(
    [
        pa.field("step", pa.int64(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        *(pa.field(name, pa.float64()) for name in ("loss", "answer", "distill", "token", "whole", "rate", "norm")),
        pa.field("seconds", pa.float64()),
        *(pa.field(name, pa.float64()) for name in NAMES),
    ]
)
"""Losses and accuracies of the step's own examples; of held-out ones where a validation followed the step."""


class Log:
    """Rows of the steps that are done; on disk whenever `write` was called.

    Parameters
    ----------
    folder : Path
    steps : int
        Rows beyond this step, which a killed run did after its last checkpoint, are forgotten.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._file = folder / NAME
        known = pq.read_table(self._file, schema=SCHEMA).to_pylist() if steps and self._file.is_file() else []
        self.rows: list[dict[str, Any]] = [row for row in known if row["step"] <= steps]

    def add(self, **values: Any) -> None:
        """One more step."""
        self.rows.append(values)

    def validated(self, scores: dict[str, float]) -> None:
        """What was found behind the last step."""
        self.rows[-1] |= scores

    def write(self) -> None:
        """Put all rows on the disk."""
        table = pa.Table.from_pylist(self.rows, schema=SCHEMA)
        write_whole(self._file, lambda file: pq.write_table(table, file, compression="zstd"))
