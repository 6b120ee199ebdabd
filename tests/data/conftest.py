"""The sample files, and token counts that do not depend on the network."""

from pathlib import Path

import pytest
import tiktoken

from freqq.data import bins
from freqq.data.bins import MARK

FILES = Path(__file__).parent / "files"

BYTES = tiktoken.Encoding(
    "bytes", pat_str=r"\S+|\s+", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={MARK: 256}
)
"""A real encoding without merges: a token a byte."""


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate tokens, as on a machine without network."""
    monkeypatch.setattr(bins, "encoding", lambda: None)
