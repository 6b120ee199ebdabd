"""A model for tests of what is above the model: small, random, and loaded like any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import freqq
from tests.glm.conftest import save_model

if TYPE_CHECKING:
    from freqq.glm.reader import Reader
    from tests.serve.faulty import Server

TINY = Path(freqq.__file__).parent / "glm" / "tiny" / "model.safetensors"
needs_tiny = pytest.mark.skipif(not TINY.is_file(), reason="the embedded model is not in this checkout")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds codebooks that were learned before, or leaves some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREQQ_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random GLM-4V model. Its answers are noise, but always the same noise."""
    return str(save_model("glm4v", tmp_path_factory.mktemp("random_model")))


@pytest.fixture(scope="session")
def served_reader(random_model: str) -> "Reader":
    """The reader behind `server`."""
    from freqq.glm.load import load_reader

    return load_reader(random_model, device="cpu")


@pytest.fixture
def server(served_reader: "Reader") -> "Iterator[Server]":
    """A real HTTP server with the random model, to which things can be made to happen."""
    from tests.serve.faulty import Server

    server = Server(served_reader)
    yield server
    server.stop()
