"""Embeddings in a request: what fits together passes, anything else is one line."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freqq.vllm.embeds import check_embeds

CHANNELS = 6


ANY_DTYPE = [
    getattr(torch, name)
    for name in "float32 bfloat16 float16 float64 int64 int32 int16 uint8 uint16 uint64 bool complex64".split()
]
OVERFLOWING = torch.tensor([10**10, 2**62, 2**62, 2**62, 2**62 + 7 - 10**10])
"""Whose sum is 7 in int64."""


def sent(**changes):
    """Two pages of 3 x 2 and 2 x 2 tokens, of which 4 and 3 are left."""
    whole = {
        "image_embeds": torch.randn(7, CHANNELS),
        "image_grid_thw": torch.tensor([[1, 6, 4], [1, 4, 4]]),
        "image_positions": torch.tensor([[0, 0], [0, 1], [2, 0], [2, 1], [0, 0], [0.5, 0.5], [1, 1]]),
        "image_tokens": torch.tensor([[4], [3]]),
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def test_pages_pass():
    found = check_embeds(sent(), 2, CHANNELS)
    assert found["image_tokens"].tolist() == [4, 3]
    assert found["image_positions"].shape == (7, 2)


def test_whole_pages_need_no_positions_and_equal_pages_may_be_stacked():
    grid = torch.tensor([1, 6, 4])
    found = check_embeds(
        {"image_embeds": torch.zeros(2, 6, CHANNELS), "image_grid_thw": grid.repeat(2, 1, 1)}, 2, CHANNELS
    )
    assert found["image_embeds"].shape == (12, CHANNELS)
    assert found["image_grid_thw"].tolist() == [[1, 6, 4]] * 2
    separate = {"image_embeds": [torch.zeros(6, CHANNELS)] * 2, "image_grid_thw": [grid, grid]}
    assert check_embeds(separate, 2, CHANNELS)["image_embeds"].shape == (12, CHANNELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_embeds": torch.randn(7, 5)}, "have 5 channels, and the model has 6"),
        ({"image_embeds": torch.ones(7, CHANNELS, dtype=torch.int64)}, "are of int64: send a plain tensor of float32"),
        ({"image_embeds": torch.zeros(7, CHANNELS, dtype=torch.complex64)}, "are of complex64"),
        ({"image_embeds": torch.zeros(7, CHANNELS).to(torch.float8_e4m3fn)}, "are of float8_e4m3fn"),
        ({"image_embeds": torch.ones(7, CHANNELS).to_sparse()}, "send a plain tensor"),
        ({"image_embeds": torch.zeros(CHANNELS)}, "is not a tensor of at least 2 dimensions"),
        ({"image_embeds": [torch.zeros(CHANNELS)]}, "is not a tensor of at least 2 dimensions"),
        ({"image_embeds": [torch.zeros(4, CHANNELS), torch.zeros(3, CHANNELS + 1)]}, "end in dimensions of [6, 7]"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, 4, 4]]).to(torch.uint16)}, "are of uint16"),
        ({"image_tokens": torch.tensor([4, 3]).to(torch.complex64)}, "are of complex64"),
        ({"image_embeds": torch.full((7, CHANNELS), torch.nan)}, "NaN or infinity"),
        ({"image_embeds": "text"}, "is not a tensor"),
        ({"image_embeds": torch.zeros(0, CHANNELS)}, "is not a tensor"),
        ({"image_grid_thw": None}, "need image_grid_thw"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, 4, 3]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [2, 4, 4]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, -4, 4]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, 2**40, 4]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[6, 4], [4, 4]])}, "three whole numbers"),
        ({"image_positions": None}, "belong together"),
        ({"image_tokens": None}, "belong together"),
        ({"image_positions": None, "image_tokens": None}, "7 image_embeds for 10 cells"),
        ({"image_tokens": torch.tensor([4, 4])}, "are not those of"),
        ({"image_tokens": torch.tensor([7])}, "are not those of"),
        ({"image_tokens": torch.tensor([7, 0])}, "are not those of"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4]] * 5), "image_tokens": OVERFLOWING}, "are not those of 5 pages"),
        ({"image_positions": torch.zeros(6, 2)}, "a row and a column"),
        ({"image_positions": torch.full((7, 2), 2.0)}, "(2, 2) is outside a page of 3 x 2"),
        ({"image_positions": torch.full((7, 2), -0.1)}, "outside"),
        ({"image_positions": torch.full((7, 2), torch.nan)}, "outside"),
    ],
)
def test_what_does_not_fit_is_one_line(changes, message):
    with pytest.raises(ValueError, match="image_") as caught:
        check_embeds(sent(**changes), 2, CHANNELS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_embeddings_are_finite_in_the_models_format(dtype):
    """The model casts them."""
    for sent_as in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        found = check_embeds(sent(image_embeds=torch.full((7, CHANNELS), 6e4, dtype=sent_as)), 2, CHANNELS, dtype)
        assert found["image_embeds"].dtype == dtype
        large = torch.full((7, CHANNELS), torch.finfo(sent_as).max, dtype=sent_as)
        if bool(large.to(dtype).isfinite().all()):
            check_embeds(sent(image_embeds=large), 2, CHANNELS, dtype)
        else:
            with pytest.raises(ValueError, match=f"numbers too large for {str(dtype)[6:]}"):
                check_embeds(sent(image_embeds=large), 2, CHANNELS, dtype)


@given(st.data())
def test_whatever_tensors_are_sent_they_are_read_or_refused_in_one_line(data):
    """Of any number format, shape and number of pages."""
    shapes = st.lists(st.integers(0, 7), max_size=4)

    def tensor():
        return torch.full(data.draw(shapes), data.draw(st.integers(0, 4))).to(data.draw(st.sampled_from(ANY_DTYPE)))

    changes = {}
    for name in data.draw(st.sets(st.sampled_from(sorted(sent())))):
        changes[name] = [tensor(), tensor()] if data.draw(st.booleans()) else tensor()
    try:
        found = check_embeds(sent(**changes), 2, CHANNELS)
    except ValueError as error:
        found, line = None, str(error)
    if found is None:
        assert "image_" in line
        assert "\n" not in line
    else:
        assert found["image_embeds"].ndim == found["image_grid_thw"].ndim == 2
