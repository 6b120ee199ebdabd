"""Positions of a prompt: those that the local backend gives it, as vLLM's buffers hold them."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from freqq.coding.codebook_files import ELSEWHERE
from freqq.glm.sequence import expand, line_positions, positions
from freqq.tokens import COMPRESSORS, compressor
from freqq.tokens.grid import CompressedGrid
from freqq.tokens.vq_training import train
from freqq.vllm.positions import (
    MOST,
    ONE,
    check_positions,
    encode,
    fraction_part,
    in_line,
    layout,
    most_positions,
    pages,
    token_count,
    whole_part,
)

IMAGE, MERGE, CHANNELS = 4, 2, 8
NAMES = [*COMPRESSORS, "token-lowpass+int8", "token-prune+quantize", "token-prune+vq"]

sides = st.integers(1, 12)
methods = st.builds(
    lambda name, level, compact: compressor(name).at(
        level, **({"positions": "compact"} if compact and "lowpass" in name else {})
    ),
    st.sampled_from(NAMES), st.sampled_from(["ultra_mild", "mild", "extreme"]), st.booleans(),
)  # fmt: skip


@given(st.lists(st.floats(0, MOST - 2), min_size=1))
def test_encoded_positions_are_the_positions(values):
    exact = torch.tensor(values, dtype=torch.float64)
    encoded = encode(exact)
    assert bool((encoded < 2**31).all())
    decoded = whole_part(encoded) + fraction_part(encoded).double()
    assert float((decoded - exact).abs().max()) <= 0.5 / ONE
    whole = exact.round()
    assert torch.equal(encode(whole), whole.long())


def page_of(h: int, w: int) -> torch.Tensor:
    return torch.randn(h, w, CHANNELS, generator=torch.Generator().manual_seed(h * w))


@pytest.fixture(scope="module", autouse=True)
def codebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for such pages."""
    folder = tmp_path_factory.mktemp("codebooks")
    (folder / "own.safetensors").write_bytes(train([page_of(12, w) for w in range(1, 13)]).file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ELSEWHERE, str(folder))
        yield


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(methods, sides, sides), max_size=3), st.integers(0, 5), st.integers(1, 5))
def test_a_prompts_positions_are_the_local_ones(made, before, behind):
    compressed: list[CompressedGrid] = []
    parts, lines, ids = [], [], [1] * before
    for method, h, w in made:
        page = method.compress(page_of(h, w))
        compressed.append(page)
        shape, cells = layout(method, h, w)
        count = token_count(method, h, w)
        assert shape == page.shape
        assert count == len(page.features)
        if cells is None:
            cells = page.cells.double().T  # as they are written when the page was seen
        ids += [3, IMAGE]
        parts.append((sum(p[1] - 1 for p in parts) + len(ids) - 1, count, shape, cells))
        lines.append((*parts[-1][:2], *in_line(shape, cells)))
    ids += [1] * behind
    prompt = expand(ids, compressed, IMAGE)
    found, delta = pages(parts, len(prompt))
    expected = positions(prompt, rope_index, MERGE)[1:].double()
    assert float((whole_part(found) + fraction_part(found).double() - expected).abs().max()) < 1e-4
    assert delta == int(expected[0, -1]) + 1 - len(prompt)
    assert delta == sum(max(shape) - count for _, count, shape, _ in parts)
    found, delta = pages(lines, len(prompt))
    assert delta == sum(max(shape) - count for _, count, shape, _ in lines)
    expected = line_positions(prompt).double()
    assert float((whole_part(found) + fraction_part(found).double() - expected)[1:].abs().max()) < 1e-4
    assert delta == int(expected[-1]) + 1 - len(prompt)


@given(st.integers(1, 100), st.integers(-50, 50), st.integers(60, 120))
def test_a_prompt_of_more_positions_than_there_are_is_refused(tokens, beyond, most):
    """Unless pages are not to blame: vLLM has its own word for prompts that are too long."""
    if beyond > 0 and tokens + beyond >= most:
        with pytest.raises(ValueError, match="send fewer pages, or compress them less"):
            check_positions(tokens, beyond, most)
    else:
        check_positions(tokens, beyond, most)


def test_positions_end_with_the_table_or_with_what_integers_hold():
    for length, most in ((8192, 4 * 8192), (MOST, MOST)):
        config = SimpleNamespace(hf_text_config=SimpleNamespace(max_position_embeddings=length))
        assert most_positions(config) == most


def rope_index(input_ids, mm_token_type_ids, image_grid_thw):
    """transformers' ``get_rope_index`` of a GLM-4V, without its model."""
    from transformers import Glm4vConfig, Glm4vModel

    config = Glm4vConfig(image_token_id=IMAGE, vision_config={"spatial_merge_size": MERGE})
    model = Glm4vModel.__new__(Glm4vModel)
    torch.nn.Module.__init__(model)
    model.config = config
    return model.get_rope_index(input_ids=input_ids, mm_token_type_ids=mm_token_type_ids, image_grid_thw=image_grid_thw)
