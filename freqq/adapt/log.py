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
        *(pa.field(name, pa.int64()) for name in ("pass_examples", "vision_pass_pages")),
    ]
)
"""Losses and accuracies on the step's examples, and on held-out ones if a validation followed; and, where there was no
memory for as many as usual, the examples of a pass and the fewest pages that the tower was given at once."""


class Log:
    """Rows of finished steps; stored by `write`.

    Parameters
    ----------
    folder : Path
    steps : int
        Stored rows beyond this step, which followed the last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._file = folder / NAME
        known = pq.read_table(self._file, schema=SCHEMA).to_pylist() if steps and self._file.is_file() else []
        self.rows: list[dict[str, Any]] = [row for row in known if row["step"] <= steps]

    def add(self, **values: Any) -> None:
        """Add a step."""
        self.rows.append(values)

    def validated(self, scores: dict[str, float]) -> None:
        """Add a validation to the last step."""
        self.rows[-1] |= scores

    def write(self) -> None:
        """Store all rows."""
        table = pa.Table.from_pylist(self.rows, schema=SCHEMA)
        write_whole(self._file, lambda file: pq.write_table(table, file, compression="zstd"))
