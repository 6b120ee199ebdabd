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


def test_a_page_that_cannot_be_read_is_marked_with_the_reason():
    from freqq.vllm.model import CELL_COLUMNS, _embeddings
    from freqq.vllm.patches import failed_pages

    grid = torch.randn(6, 4, 8)
    prune = compressor("token-prune").at("mild")
    cache = {
        "good": _embeddings(grid, prune), "plain": _embeddings(grid, None),
        "a": _embeddings(grid, Failing()), "b": _embeddings(grid, Failing(error=ZeroDivisionError)),
        "nan": _embeddings(grid.masked_fill(grid > 1, torch.nan), prune),
        "plain nan": _embeddings(grid.masked_fill(grid > 1, torch.nan), None),
    }  # fmt: skip
    assert all(len(page) == (24 if "plain" in name else 12) for name, page in cache.items())
    for dtype in (torch.float32, torch.bfloat16):
        found = failed_pages({name: page.to(dtype) for name, page in cache.items()}, CELL_COLUMNS)
        assert found.keys() == {"a", "b", "nan", "plain nan"}
        assert found["a"] == found["b"] or "Failing" in found["a"]
        assert "NaN" in found["plain nan"]
        assert "a page of 6 x 4 tokens cannot be read by Prune(" in found["nan"]
    assert all(bool((cache[name][:, :8] == 0).all()) for name in found)
    with pytest.raises(torch.OutOfMemoryError):
        _embeddings(grid, Failing(error=torch.OutOfMemoryError))


def test_a_worker_that_met_many_reasons_still_says_that_it_failed():
    from freqq.vllm import patches

    kept = dict(patches.REASONS)
    try:
        cache = {str(i): patches.marked(torch.zeros(2, 8), 4, f"reason {i}").bfloat16() for i in range(600)}
        found = patches.failed_pages(cache, 4)
        assert len(found) == 600
        assert found["0"] == "reason 0"
        assert found["599"] == patches.OTHER_REASON
    finally:
        patches.REASONS.clear()
        patches.REASONS.update(kept)


def test_rows_of_whole_positions_are_the_tables_and_others_lie_between():
    from freqq.vllm.patches import FractionalRows
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
