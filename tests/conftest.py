"""A model for tests of what is above the model: small, random, and loaded like any other."""

from pathlib import Path

import pytest

import freqq
from tests.glm.conftest import save_model

TINY = Path(freqq.__file__).parent / "glm" / "tiny" / "model.safetensors"
needs_tiny = pytest.mark.skipif(not TINY.is_file(), reason="the embedded model is not in this checkout")


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a random GLM-4V model. Its answers are noise, but always the same noise."""
    return str(save_model("glm4v", tmp_path_factory.mktemp("random_model")))
