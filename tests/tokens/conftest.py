"""A codebook for the grids of these tests, which are of no model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from freqq.coding.codebook_files import ELSEWHERE
from freqq.tokens.vq_codebook import TokenCodebook
from freqq.tokens.vq_training import train

CHANNELS = 12


def training_grids(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(5 + i % 7, 4 + i % 5, CHANNELS, generator=generator) for i in range(40)]


@pytest.fixture(scope="session")
def book() -> TokenCodebook:
    return train(training_grids())


@pytest.fixture(scope="session")
def book_folder(book: TokenCodebook, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codebooks")
    (folder / "random.safetensors").write_bytes(book.file)
    return folder


@pytest.fixture(autouse=True, scope="module")
def codebooks_elsewhere(book_folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ELSEWHERE, str(book_folder))
        yield
