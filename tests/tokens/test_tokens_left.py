"""How many tokens are left is a function of the grid's shape alone, and is known without the grid."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.levels import LEVELS
from freqq.runs.methods import method_at
from freqq.tokens import COMPRESSORS
from freqq.tokens.base import TokenCompressor
from freqq.tokens.codebooks import token_codebooks
from freqq.tokens.grid import CompressedGrid

COMBINED = ("token-lowpass+quantize", "token-prune+int4")


@pytest.mark.parametrize("name", [*COMPRESSORS, *COMBINED])
@settings(max_examples=12)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(LEVELS[1:]), st.integers(0, 3))
def test_as_many_tokens_are_left_as_said(name, h, w, level, seed):
    book = next(token_codebooks())
    method = method_at(name, level, {"codebook": book.id.hex()})
    grid = torch.randn(h, w, book.channels, generator=torch.Generator().manual_seed(seed))
    assert len(method.compress(grid).features) == method.tokens_left(h, w)


@dataclass(frozen=True)
class FirstRow(TokenCompressor):
    """A method of someone else's, which says nothing of the number of tokens."""

    def compress(self, grid):
        return CompressedGrid(grid[0], (1, grid.shape[1]))


def test_a_method_that_does_not_say_it_is_tried():
    assert FirstRow().tokens_left(5, 7) == 7
