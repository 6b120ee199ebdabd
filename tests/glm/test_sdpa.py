"""Attention of decoding in bfloat16: torch's result, up to its rounding."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from freqq.glm import cpu_attention
from freqq.glm.load import load_reader


class _Layer(torch.nn.Module):
    """What transformers' function asks of a layer."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups, self.is_causal = groups, True


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 3),
    st.integers(1, 80),
    st.sampled_from([1, 5]),
    st.booleans(),
)
def test_it_is_torchs_attention(seed, batch, heads, groups, keys, queries, masked):
    generator = torch.Generator().manual_seed(seed)
    queries = min(queries, keys)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(torch.bfloat16)

    query, key, value = draw(batch, heads * groups, queries, 16), *(draw(batch, heads, keys, 16) for _ in range(2))
    mask = torch.rand(batch, 1, queries, keys, generator=generator) < 0.7 if masked else None
    if mask is not None:
        mask[..., 0] = True
    layer = _Layer(groups)
    given_options = {"dropout": 0.0, "scaling": 0.3}
    found, _ = cpu_attention.attend(layer, query, key, value, mask, **given_options)
    wide = (t.double() for t in (query, key, value))
    exact, _ = sdpa_attention_forward(layer, *wide, mask, **given_options)
    assert found.shape == exact.shape
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, atol=0.06, rtol=0.02)


def test_a_model_in_bfloat16_on_a_cpu_has_it_and_calls_it_sdpa(random_model):
    half = load_reader(random_model, dtype="bfloat16", device="cpu")
    assert half.model.config.text_config._attn_implementation == cpu_attention.NAME
    assert half.attention == "sdpa"
    assert load_reader(random_model, device="cpu").model.config._attn_implementation == "sdpa"
