"""A folder of streams: what ``freqq compress-tokens`` writes, found again by the page that it was made of."""

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.coding.stream import CorruptStream
from freqq.errors import UserError
from freqq.tokens.container import decode
from freqq.tokens.grid import CompressedGrid

INDEX = "tokens.parquet"
COLUMNS = ("page_hash", "file", "stream_sha256", "model", "model_revision", "method", "level", "params")
PLAIN = ("baseline", "baseline", "{}")


class TokenStore:
    """The pages of a folder.

    The index says which file is which page's, by a digest of the pixels, and which model made it. A stream that is not
    the one that the index was written with is refused.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    UserError
        If the folder has no index, the index is damaged, it has two different streams for one page, or its tokens were
        not all compressed in one way.

    Attributes
    ----------
    method, level, params : str
        What the tokens were compressed by, and its parameters as JSON; ``baseline`` twice and ``{}`` without loss.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            with (folder / INDEX).open("rb") as file:  # pyarrow opens no path that is not UTF-8
                rows = pq.read_table(file, columns=list(COLUMNS)).to_pylist()
        except FileNotFoundError as error:
            raise UserError(f"{folder} has no {INDEX}: give a folder that freqq compress-tokens wrote") from error
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{folder / INDEX} cannot be read as an index of tokens: write the folder again") from error
        self._pages: dict[str, tuple[str, str]] = {}
        for row in rows:
            found = self._pages.setdefault(row["page_hash"], (row["file"], row["stream_sha256"]))
            if found[1] != row["stream_sha256"]:
                raise UserError(f"{folder} has two streams for one page, {found[0]} and {row['file']}: keep one")
        ways: set[tuple[str, str, str]] = {
            PLAIN if r["level"] == "baseline" else (r["method"], r["level"], r["params"]) for r in rows
        }
        if len(ways) != 1:
            listed = ", ".join(sorted(f"{method} ({level})" for method, level, _ in ways)) or "nothing"
            raise UserError(f"{folder} holds tokens of {listed}: write those of one method and level to a folder")
        self.method, self.level, self.params = ways.pop()
        self.models = sorted({(str(row["model"]), str(row["model_revision"])) for row in rows})

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, page_hash: str) -> bool:
        return page_hash in self._pages

    @property
    def is_plain(self) -> bool:
        """Whether the tokens are what the vision tower made."""
        return self.level == "baseline"

    @property
    def revision(self) -> str:
        """16 hex digits that change with any page or stream."""
        content = sorted((page, sha) for page, (_, sha) in self._pages.items())
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    def check_model(self, name: str, revision: str) -> None:
        """Refuse to read tokens for a model that they were not made by.

        Raises
        ------
        UserError
            The message names both.
        """
        for made_by, made_at in self.models:
            if made_at != revision:
                raise UserError(
                    f"the tokens in {self.folder} are of {made_by} at {made_at}, not of {name} at {revision}: "
                    "compress the pages again with this model"
                )

    def page(self, page_hash: str, tokens: int) -> CompressedGrid:
        """A page's tokens, with their stream as payload.

        Parameters
        ----------
        page_hash : `Page.sha256`
        tokens : how many the page has before compression

        Raises
        ------
        UserError
            If the page is not there, its stream is missing, damaged or another, or was made of a grid of another size.
        """
        if page_hash not in self._pages:
            raise UserError(f"{self.folder} has no tokens of the page {page_hash[:12]}")
        file, digest = self._pages[page_hash]
        path = self.folder / Path(file).name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise UserError(f"{path} is not the stream that {INDEX} was written with: compress the page again")
        try:
            return decode(data, tokens)
        except CorruptStream as error:
            raise CorruptStream(f"{path}: {error}") from error
