"""Attention by blocks of queries: torch's with a mask of all queries, to the last digit. Decoding in bfloat16: up to
its rounding."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask, sliding_window_causal_mask_function

from freqq.glm import sdpa
from freqq.glm.load import load_reader


class _Layer(torch.nn.Module):
    """What transformers' function asks of a layer."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups, self.is_causal = groups, True


@dataclass(frozen=True)
class Case:
    """Prompts of unequal length, the last of whose tokens are read after the others."""

    seed: int
    lengths: tuple[int, ...]
    queries: int
    rows: int
    heads: int = 1
    groups: int = 1
    size: int = 16
    window: int | None = None


def block_sizes(queries: int) -> st.SearchStrategy[int]:
    """Blocks in which torch's kernel for CPUs takes as many queries at a time as in all of them."""
    least, at_once = (768, 256) if queries >= 768 else (192, 64) if queries >= 192 else (32, 32)
    return st.integers(0, 3).map(lambda more: least + more * at_once)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    lengths = tuple(draw(st.lists(st.integers(1, 600), min_size=1, max_size=3)))
    queries = draw(st.one_of(st.just(max(lengths)), st.integers(1, max(lengths))))
    return Case(
        draw(st.integers(0, 2**32 - 1)),
        lengths,
        queries,
        draw(block_sizes(queries)),
        draw(st.sampled_from([1, 2])),
        draw(st.sampled_from([1, 3])),
        draw(st.sampled_from([16, 64])),
        draw(st.one_of(st.none(), st.none(), st.integers(1, 300))),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@given(case=cases())
@example(case=Case(0, (1700, 1100), 1700, sdpa.ROWS, 2, 2, 64))
@example(case=Case(1, (1600,), 1550, sdpa.ROWS))
def test_blocks_give_what_a_mask_of_all_queries_gives(dtype, case):
    generator, longest = torch.Generator().manual_seed(case.seed), max(case.lengths)
    if dtype == torch.bfloat16 and case.queries == 1:
        return  # a test of its own

    def draw(heads, tokens):
        return torch.randn(len(case.lengths), tokens, heads, case.size, generator=generator).to(dtype).transpose(1, 2)

    query, key, value = (
        draw(case.heads * case.groups, case.queries),
        draw(case.heads, longest),
        draw(case.heads, longest),
    )
    unpadded = torch.arange(longest) >= longest - torch.tensor(case.lengths)[:, None]
    causal = causal_mask_function if case.window is None else sliding_window_causal_mask_function(case.window)
    asked = {
        "batch_size": len(case.lengths), "q_length": case.queries, "kv_length": longest,
        "q_offset": longest - case.queries, "mask_function": causal, "attention_mask": unpadded,
        "local_size": case.window,
    }  # fmt: skip
    layer, options = _Layer(case.groups), {"dropout": 0.0, "scaling": 0.3}
    wanted, _ = sdpa_attention_forward(layer, query, key, value, sdpa_mask(**asked), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sdpa, "ROWS", case.rows)
        found, _ = sdpa.attend(layer, query, key, value, sdpa.padding_mask(**asked), **options)
    assert found.is_contiguous()
    assert torch.equal(found, wanted)


@given(st.integers(1, 200_000))
def test_blocks_are_all_queries_in_turn_and_of_a_bounded_size(tokens):
    found = sdpa.blocks(tokens)
    assert [query for start, end in found for query in range(start, end)] == list(range(tokens))
    assert max(end - start for start, end in found) < 2 * sdpa.ROWS
    assert len(found) == 1 or min(end - start for start, end in found) == sdpa.ROWS


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 3),
    st.integers(1, 80),
    st.booleans(),
)
def test_one_query_in_bfloat16_gets_torchs_attention(seed, batch, heads, groups, keys, padded):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(torch.bfloat16)

    query, key, value = draw(batch, heads * groups, 1, 16), *(draw(batch, heads, keys, 16) for _ in range(2))
    unpadded = torch.rand(batch, keys, generator=generator) < 0.7 if padded else None
    if unpadded is not None:
        unpadded[:, -1] = True
    layer = _Layer(groups)
    options = {"dropout": 0.0, "scaling": 0.3}
    found, _ = sdpa.attend(layer, query, key, value, unpadded, **options)
    mask = None if unpadded is None else unpadded[:, None, None]
    exact, _ = sdpa_attention_forward(layer, *(t.double() for t in (query, key, value)), mask, **options)
    assert found.shape == exact.shape
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, atol=0.06, rtol=0.02)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_model_has_it_and_calls_it_sdpa(random_model, dtype):
    reader = load_reader(random_model, dtype=dtype, device="cpu")
    assert reader.model.config.text_config._attn_implementation == sdpa.NAME
    assert reader.attention == "sdpa"
