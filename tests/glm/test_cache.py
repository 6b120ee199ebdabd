"""A cache with room gives what transformers' own gives, to the last digit, and copies only what is new."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from freqq.glm.cache import ROOM, PreallocatedLayer, preallocated_cache
from freqq.glm.reader import Reader

STEPS = st.lists(st.integers(1, ROOM + 40), min_size=1, max_size=6)


def states(tokens: int, seed: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    keys, values = torch.randn(2, batch, 3, tokens, 4, generator=torch.Generator().manual_seed(seed))
    return keys, values


@given(STEPS, st.sampled_from(["nothing", "crop", "reorder", "reset", "copies"]))
def test_a_layer_holds_what_transformers_own_does(steps: list[int], between: str) -> None:
    own, usual = PreallocatedLayer(), DynamicLayer()
    for seed, tokens in enumerate(steps):
        given = states(tokens, seed)
        for mine, theirs in zip(own.update(*given), usual.update(*given), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        assert own.get_seq_length() == usual.get_seq_length()
        for layer in (own, usual):
            if between == "crop" and layer.get_seq_length() > 3:
                layer.crop(-3)
            elif between == "reorder":
                layer.reorder_cache(torch.tensor([1, 0]))
            elif between == "reset" and seed % 2:
                layer.reset()
            elif between == "copies":
                layer.keys, layer.values = layer.keys.clone(), layer.values.clone()


def test_tokens_are_added_where_those_before_are() -> None:
    layer = PreallocatedLayer()
    layer.update(*states(50, 0))
    layer.update(*states(1, 1))
    place = layer.keys.data_ptr(), layer.values.data_ptr()
    for seed in range(ROOM):
        layer.update(*states(1, seed))
    assert (layer.keys.data_ptr(), layer.values.data_ptr()) == place
    layer.update(*states(1, 2))
    assert layer.keys.data_ptr() != place[0]
    assert layer.get_seq_length() == 50 + 1 + ROOM + 1


@pytest.mark.parametrize("chunk", [None, 5])
def test_a_model_continues_prompts_alike(chunk: int | None, small: Reader) -> None:
    model = small.model
    ids = torch.randint(1, 50, (3, 17), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, :6] = 0
    config = model.config.get_text_config(decoder=True)
    mine, theirs = (
        model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=9, min_new_tokens=9, do_sample=False,
            prefill_chunk_size=chunk, past_key_values=cache, return_dict_in_generate=True, output_logits=True,
        )
        for cache in (preallocated_cache(config), DynamicCache(config=config))
    )  # fmt: skip
    assert mine.sequences.tolist() == theirs.sequences.tolist()
    for one, other in zip(mine.logits, theirs.logits, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
