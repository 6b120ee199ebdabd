"""Embeddings in a request: what fits together passes, anything else is one line."""

import contextlib

import pytest
import torch

from freqq.vllm.embeds import check_embeds

CHANNELS, ROOM = 6, 100


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
    found = check_embeds(sent(), 2, CHANNELS, ROOM)
    assert found["image_tokens"].tolist() == [4, 3]
    assert found["image_positions"].shape == (7, 2)


def test_whole_pages_need_no_positions_and_equal_pages_may_be_stacked():
    grid = torch.tensor([1, 6, 4])
    found = check_embeds(
        {"image_embeds": torch.zeros(2, 6, CHANNELS), "image_grid_thw": grid.repeat(2, 1, 1)}, 2, CHANNELS, ROOM
    )
    assert found["image_embeds"].shape == (12, CHANNELS)
    assert found["image_grid_thw"].tolist() == [[1, 6, 4]] * 2
    separate = {"image_embeds": [torch.zeros(6, CHANNELS)] * 2, "image_grid_thw": [grid, grid]}
    assert check_embeds(separate, 2, CHANNELS, ROOM)["image_embeds"].shape == (12, CHANNELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_embeds": torch.randn(7, 5)}, "have 5 channels, and the model has 6"),
        ({"image_embeds": torch.ones(7, CHANNELS, dtype=torch.int64)}, "channels"),
        ({"image_embeds": torch.full((7, CHANNELS), torch.nan)}, "NaN or infinity"),
        ({"image_embeds": "text"}, "is not a tensor"),
        ({"image_embeds": torch.zeros(0, CHANNELS)}, "is not a tensor"),
        ({"image_grid_thw": None}, "need image_grid_thw"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, 4, 3]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [2, 4, 4]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, -4, 4]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, 2**40, 4]])}, "is not a page grid"),
        ({"image_grid_thw": torch.tensor([[6, 4], [4, 4]])}, "three whole numbers"),
        ({"image_grid_thw": torch.tensor([[1, 6, 4], [1, 4, 220]])}, "take 106 positions more than there are"),
        ({"image_positions": None}, "belong together"),
        ({"image_tokens": None}, "belong together"),
        ({"image_positions": None, "image_tokens": None}, "7 image_embeds for 10 cells"),
        ({"image_tokens": torch.tensor([4, 4])}, "are not those of"),
        ({"image_tokens": torch.tensor([7])}, "are not those of"),
        ({"image_tokens": torch.tensor([7, 0])}, "are not those of"),
        ({"image_positions": torch.zeros(6, 2)}, "a row and a column"),
        ({"image_positions": torch.full((7, 2), 2.0)}, "(2, 2) is outside a page of 3 x 2"),
        ({"image_positions": torch.full((7, 2), -0.1)}, "outside"),
        ({"image_positions": torch.full((7, 2), torch.nan)}, "outside"),
    ],
)
def test_what_does_not_fit_is_one_line(changes, message):
    with pytest.raises(ValueError, match="image_") as caught:
        check_embeds(sent(**changes), 2, CHANNELS, ROOM)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pages_may_take_as_many_positions_more_than_tokens_as_there_is_room_for():
    for side, fits in ((104, True), (105, False)):
        made = sent(image_grid_thw=torch.tensor([[1, 6, 4], [1, 4, 2 * side]]))
        with contextlib.nullcontext() if fits else pytest.raises(ValueError, match="room for 100"):
            check_embeds(made, 2, CHANNELS, ROOM)


def test_cells_in_line_take_a_position_each():
    made = sent(image_grid_thw=torch.tensor([[1, 6, 4], [1, 4, 102]]))  # 6 + 102 cells for 7 tokens
    with pytest.raises(ValueError, match="take 101 positions more"):
        check_embeds(made, 2, CHANNELS, ROOM, one_row=True)
    check_embeds(made, 2, CHANNELS, ROOM + 1, one_row=True)
