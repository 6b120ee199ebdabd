"""Parts of the model in vLLM that no request to a healthy server shows."""

from dataclasses import dataclass

import pytest
import torch

from freqq.errors import UserError
from freqq.tokens import compressor
from freqq.tokens.base import Selector
from tests.vllm.conftest import needs_vllm

pytestmark = needs_vllm


@dataclass(frozen=True)
class Failing(Selector):
    """Cannot be done."""

    error: type[Exception] = UserError

    def select(self, grid, small):
        raise self.error("no")


@dataclass(frozen=True)
class Greedy(Selector):
    """Leaves more than it says."""

    def select(self, grid, small):
        return torch.arange(grid.shape[0] * grid.shape[1])


def test_a_page_that_cannot_be_compressed_leaves_as_many_zeros_and_the_engine_lives():
    from freqq.vllm.model import _reconstructed

    grid = torch.randn(6, 4, 8)
    for method in (Failing(), Failing(error=ZeroDivisionError), Greedy()):
        page = _reconstructed(grid, method)
        assert torch.equal(page.features, torch.zeros(12, 8))
        assert page.kept is None
    damaged = grid.masked_fill(grid > 1, torch.nan)
    assert torch.equal(_reconstructed(damaged, compressor("token-prune").at("mild")).features, torch.zeros(12, 8))
    with pytest.raises(torch.OutOfMemoryError):
        _reconstructed(grid, Failing(error=torch.OutOfMemoryError))


def test_rows_of_whole_positions_are_the_tables_and_others_lie_between():
    from freqq.vllm.model import FractionalRows
    from freqq.vllm.positions import encode

    class Rotary:
        base, mscale = 100.0, 1.0

        def _compute_inv_freq(self, base):
            return base ** -(torch.arange(0, 8, 2) / 8)

        def _match_cos_sin_cache_dtype(self, query):
            angles = torch.arange(50)[:, None] * self._compute_inv_freq(self.base)
            return torch.cat([angles.cos(), angles.sin()], 1).to(query.dtype)

    rotary = Rotary()
    for dtype in (torch.float32, torch.bfloat16):
        query = torch.zeros(1, dtype=dtype)
        table, rows = rotary._match_cos_sin_cache_dtype(query), FractionalRows(rotary)(query)
        whole = torch.tensor([[0, 3, 49], [1, 1, 1], [2, 2, 2]])
        assert torch.equal(rows[whole], table[whole])
        assert rows[encode(torch.tensor([[2.25, 3.0]], dtype=torch.float64))].dtype == dtype
    exact = torch.tensor([[2.25, 30.5, 7.0]], dtype=torch.float64)
    angles = exact[..., None] * rotary._compute_inv_freq(100.0).double()
    found = FractionalRows(rotary)(torch.zeros(1))[encode(exact)]
    torch.testing.assert_close(found.double(), torch.cat([angles.cos(), angles.sin()], -1), atol=1e-4, rtol=0)


def test_cells_travel_behind_bfloat16_embeddings_exactly():
    from freqq.vllm.model import CELL_COLUMNS, DIGIT, _with_cells

    cells = torch.tensor([[0, 0], [255, 256], [8191, 4097]])
    made = _with_cells(torch.zeros(3, 4, dtype=torch.bfloat16), cells)
    digits = made[:, -CELL_COLUMNS:].long().reshape(3, 2, 2)
    assert torch.equal(digits[..., 0] * DIGIT + digits[..., 1], cells)
    assert bool((_with_cells(torch.zeros(3, 4), None)[:, -CELL_COLUMNS:] == -1).all())
