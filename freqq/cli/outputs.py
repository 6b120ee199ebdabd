"""The folder that a command writes its files into: checked before the work, each file whole or not there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.files import check_writable, write_whole


class OutputFolder:
    """A folder for outputs that are named after inputs.

    Parameters
    ----------
    path : Path
        Made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, inputs: Sequence[Path], suffixes: Sequence[str]) -> list[str]:
        """Names for the outputs of each input, without suffix: its own, with a number where two would be alike.

        Really writes a file and removes it again, for permission bits do not tell about read-only or full disks.

        Raises
        ------
        UserError
            If the folder cannot be written, or an output would overwrite an input.
        """
        names: list[str] = []
        for source in inputs:
            name, number = source.stem, 2
            while name in names:
                name, number = f"{source.stem}-{number}", number + 1
            names.append(name)
        originals = {source.resolve() for source in inputs}
        for output in (self.path / (name + suffix) for name in names for suffix in suffixes):
            if output.resolve() in originals:
                raise UserError(f"{output} would overwrite an input: choose another --out")
        check_writable(self.path)
        return names

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, then give it its own."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.path / name, lambda temporary: temporary.write_bytes(content))
        except OSError as error:
            raise UserError(f"cannot write {self.path / name}: {error.strerror or error}") from error

    def write_table(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows as a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
        self.write(name, buffer.getvalue().to_pybytes())
