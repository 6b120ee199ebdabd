"""The output folder of a command: checked before the work, with atomic writes."""

from collections import defaultdict
from collections.abc import Container, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from freqq.errors import UserError
from freqq.files import as_text, check_writable, write_output


def unused(name: str, taken: Container[str]) -> str:
    """The name, or the first of name-2, name-3 and so on, that is not taken."""
    return next(one for one in chain([name], (f"{name}-{i}" for i in count(2))) if one not in taken)


class OutputFolder:
    """A folder for outputs named after inputs.

    Parameters
    ----------
    path : Path
        Created when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self, inputs: Sequence[Path], suffixes: Sequence[str], folders: Sequence[str] = ("",)) -> list[str]:
        """Unique output names for the inputs, without suffix, in UTF-8; those in each of `folders` are checked.

        A name is the input's own; if several folders have it, the folder's name comes first (``s0-10_page-0001``); if
        that is not unique either, as for ``a.png`` and ``a.jpg``, a number is appended.

        Raises
        ------
        UserError
            If the folder cannot be written, or an output would overwrite an input.
        """
        parents: dict[str, set[Path]] = defaultdict(set)
        for source in inputs:
            parents[as_text(source.stem)].add(source.resolve().parent)
        names: dict[str, Path] = {}
        for source in inputs:
            plain = as_text(source.stem)
            if len(parents[plain]) > 1:
                plain = f"{as_text(source.resolve().parent.name)}_{plain}"
            names[unused(plain, names)] = source
        originals = {source.resolve() for source in inputs}
        for output in (self.path / f / (name + s) for f in folders for name in names for s in suffixes):
            if output.resolve() in originals:
                raise UserError(f"{output} would overwrite an input: choose another --out")
        check_writable(self.path)
        return list(names)

    def write(self, name: str, content: bytes) -> None:
        """Write a file atomically."""
        write_output(self.path / name, content)

    def write_table(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows as a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
        self.write(name, buffer.getvalue().to_pybytes())
