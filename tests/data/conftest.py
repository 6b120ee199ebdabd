"""The sample files, and token counts that do not depend on the network."""

from pathlib import Path

import pytest

from freqq.data import bins

FILES = Path(__file__).parent / "files"


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate tokens, as on a machine without network."""
    monkeypatch.setattr(bins, "encoding", lambda: None)
