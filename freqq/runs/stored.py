"""What the index of stored tokens says of them: what they were compressed by, and of which pages they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.runs.rendering import Rendering
from freqq.tokens.store import INDEX


@dataclass(frozen=True)
class Stored:
    """The tokens of a folder.

    Parameters
    ----------
    method, level, params : str
        What they were compressed by, and its parameters as JSON; ``none``, ``baseline`` and ``{}`` without loss.
    pages : frozenset of str
        `Page.sha256` of each.
    """

    method: str
    level: str
    params: str
    pages: frozenset[str]

    @classmethod
    def read(cls, folder: Path) -> "Stored":
        """From a folder's index.

        Raises
        ------
        UserError
            If it cannot be read, or its tokens were not all compressed in one way.
        """
        try:
            rows = pq.read_table(folder / INDEX, columns=["page_hash", "method", "level", "params"]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{folder / INDEX} cannot be read as an index of tokens: write the folder again") from error
        plain = ("none", "baseline", "{}")
        ways = {plain if r["level"] == "baseline" else (r["method"], r["level"], r["params"]) for r in rows}
        if len(ways) != 1:
            listed = ", ".join(sorted(f"{method} ({level})" for method, level, _ in ways)) or "nothing"
            raise UserError(f"{folder} holds tokens of {listed}: write those of one method and level to a folder")
        method, level, params = ways.pop()
        return cls(method, level, params, frozenset(r["page_hash"] for r in rows))

    @property
    def is_plain(self) -> bool:
        """Whether they are what the vision tower made."""
        return self.level == "baseline"

    def lacking(self, samples: Sequence[Sample], rendering: Rendering) -> int:
        """How many samples have a page that is not there. One that cannot be rendered is not counted."""
        return sum(self._lacks(sample, rendering) for sample in samples)

    def _lacks(self, sample: Sample, rendering: Rendering) -> bool:
        try:
            return any(page.sha256 not in self.pages for page in rendering.pages(sample))
        except (UserError, OSError):
            return False  # it fails again when it is read, and becomes a row that says why
