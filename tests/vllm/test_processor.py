"""What a request's pages become before the engine sees them, by vLLM's processor in this process."""

import numpy as np
import pytest
import torch
from PIL import Image

from freqq.glm.load import find
from freqq.vllm.positions import check_positions, layout, most_positions, token_count
from freqq.vllm.spec import pack, unpack
from tests.vllm.conftest import needs_vllm

pytestmark = needs_vllm

TINY = {"method": "token-prune", "keep": 1e-6}
"""Of a page of 1 x 200 tokens it leaves a few, and they span 200 positions."""


@pytest.fixture(scope="module")
def processor():
    """Of the embedded model."""
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.plugins import load_general_plugins

    from tests.vllm.families import look_at_models_here

    load_general_plugins()
    look_at_models_here()
    config = ModelConfig(
        str(find("tiny").folder), dtype="float32", max_model_len=8192, limit_mm_per_prompt={"image": 999},
        enable_mm_embeds=True,
    )  # fmt: skip
    return MULTIMODAL_REGISTRY.create_processor(config)


@pytest.fixture
def cache(processor):
    from vllm.multimodal.cache.base import MultiModalProcessorOnlyCache

    return MultiModalProcessorOnlyCache(processor.info.ctx.model_config)


def inputs(processor, pages, method, cache=None):
    from vllm.multimodal.processing import ProcessorInputs

    return ProcessorInputs(
        [processor.info.get_hf_config().image_token_id] * len(pages),
        processor.info.parse_mm_data({"image": pages}),
        hf_processor_mm_kwargs={"freqq": method},
        cache=cache,
    )


def applied(processor, *given):
    from vllm.multimodal.processing import TimingContext

    return processor.apply(inputs(processor, *given), TimingContext(enabled=False))


def strips(count: int) -> list[Image.Image]:
    return [Image.fromarray(np.full((28, 28 * 200), shade % 256, np.uint8)) for shade in range(count)]


def test_pages_may_span_the_positions_that_there_are_and_no_more(processor, cache):
    """Also those that the cache knows from a request before, of whose sizes vLLM tells nothing."""
    method, most = unpack(pack(TINY)), most_positions(processor.info.ctx.model_config)
    shape, count = layout(method, 1, 200)[0], token_count(method, 1, 200)
    few = next(n for n in range(1, 999) if n * max(shape) >= most) - 1
    assert few * count < 1000  # tokens in a context of 8192
    for known in (None, cache, cache):
        assert len(applied(processor, strips(few), TINY, known)["prompt_token_ids"]) == few * count
        with pytest.raises(ValueError, match="send fewer pages, or compress them less"):
            applied(processor, strips(few + 1), TINY, known)
    with pytest.raises(ValueError, match=f"a prompt of {count * few + count:,} tokens has room for"):
        check_positions(count * (few + 1), (max(shape) - count) * (few + 1), most)
    applied(processor, strips(few + 1)[:30], {"method": "none"}, cache)


def test_methods_share_a_key_if_they_are_the_same(processor):
    """Bytes of 1.0 as a float are those of a whole number, which is another seed."""
    methods = [
        {"method": "token-random", "seed": 1.0}, {"method": "token-random", "seed": 4607182418800017408},
        {"method": "token-random", "seed": 1}, {"method": "token-random", "seed": True}, {"method": "token-random"},
        {"method": "none"},
    ]  # fmt: skip
    found = [processor._get_mm_hashes(inputs(processor, strips(1), method))["image"][0] for method in methods]
    assert len(set(found)) == len(methods)
    again = {"seed": 1, "method": "token-random"}
    assert processor._get_mm_hashes(inputs(processor, strips(1), again))["image"][0] == found[2]


def test_a_method_for_embeddings_is_refused(processor):
    whole = {"image_embeds": torch.zeros(1, 4, 256), "image_grid_thw": torch.tensor([[1, 4, 4]])}

    def asked(method):
        given = inputs(processor, strips(1), method)
        given.mm_data_items = processor.info.parse_mm_data({"image": whole})
        from vllm.multimodal.processing import TimingContext

        return processor.apply(given, TimingContext(enabled=False))

    assert len(asked({"method": "none"})["prompt_token_ids"]) == 4
    with pytest.raises(ValueError, match="image_embeds are read as they are sent"):
        asked({"method": "token-prune"})
