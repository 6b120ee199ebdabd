"""What vLLM is told of a model before it makes one."""

import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from freqq import vllm
from freqq.errors import UserError
from freqq.glm.families import family_of
from freqq.vllm.config import PagesConfig, complete, has_one_row, one_row
from freqq.vllm.positions import MOST


def text_config(**values):
    rope = {"mrope_section": [8, 12, 12], "rope_type": "default"}
    return SimpleNamespace(**{"rope_parameters": rope} | values)


def completed(model_type="glm4v", **values):
    complete(config := text_config(**values), family_of(model_type).text_defaults)
    return config


@pytest.mark.parametrize("count", [4, 8, 12, 13])
def test_sections_of_one_are_interleaved(count):
    config = completed(rope_parameters={"mrope_section": [1] * count})
    assert sum(config.rope_parameters["mrope_section"]) == count
    # transformers deals frequency i to axis i % 3; vLLM takes an axis's frequencies below 3 times its section.
    for axis, section in enumerate(config.rope_parameters["mrope_section"]):
        assert list(range(axis, count, 3)) == [i for i in range(axis, 3 * section, 3) if i < count]
    assert config.rope_parameters["mrope_interleaved"] is True


def test_what_is_said_stays():
    config = completed(attention_bias=False)
    assert config.attention_bias is False
    assert config.rope_parameters == {"mrope_section": [8, 12, 12], "rope_type": "default"}


def test_biases_are_there_unless_it_is_a_mixture_of_experts():
    assert completed("glm46v").attention_bias is True
    assert not hasattr(completed("glm4v_moe"), "attention_bias")


def test_sections_of_qwen3_are_always_interleaved():
    expected = {"mrope_section": [8, 12, 12], "rope_type": "default", "mrope_interleaved": True}
    assert completed("qwen3_vl").rope_parameters == expected
    assert completed("qwen3_vl", rope_parameters=expected | {"mrope_interleaved": False}).rope_parameters == expected


def test_a_language_model_that_vllm_does_not_derive_from_the_model_type():
    assert completed().architectures == ["Glm4ForCausalLM"]
    assert completed(architectures=["Another"]).architectures == ["Another"]


def test_one_row_of_positions_is_the_second_of_three():
    config = text_config(rope_parameters={"rope_type": "default"}, hidden_size=64, num_attention_heads=2)
    one_row(config, 512)
    assert config.rope_parameters["mrope_section"] == [0, 16, 0]
    assert has_one_row(config)
    three = text_config()
    one_row(three, 512)
    assert three.rope_parameters == text_config().rope_parameters
    assert not has_one_row(three)


def test_rotary_embeddings_that_are_scaled_for_long_prompts_are_not_for_short_ones():
    def config():
        rope = {"rope_type": "dynamic", "factor": 2.0}
        return text_config(rope_parameters=rope, head_dim=32, max_position_embeddings=512)

    one_row(short := config(), 512)
    assert short.rope_parameters["rope_type"] == "default"
    with pytest.raises(UserError, match="takes no dynamic rotary embeddings for a context of 513: give a shorter"):
        one_row(config(), 513)


def test_longer_contexts_than_positions_are_refused():
    config = SimpleNamespace(
        hf_config=SimpleNamespace(model_type="glm4v"), hf_text_config=text_config(), max_model_len=MOST + 1,
        multimodal_config=SimpleNamespace(video_pruning_rate=None),
    )  # fmt: skip
    with pytest.raises(UserError, match="--max-model-len 131072"):
        PagesConfig.verify_and_update_model_config(config)
    config.max_model_len = MOST
    PagesConfig.verify_and_update_model_config(config)
    assert config.multimodal_config.video_pruning_rate > 0


def test_another_release_is_refused_in_one_line_whatever_it_lacks(monkeypatch):
    """The model's module imports much that other releases do not have."""
    monkeypatch.delenv(vllm.ANY_VERSION, raising=False)
    monkeypatch.setattr(vllm, "installed", lambda: "0.12.0")
    monkeypatch.delitem(sys.modules, "freqq.vllm.model", raising=False)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RuntimeError, match=r"this is 0\.12\.0"):
        import_module("freqq.vllm.model")


@pytest.mark.parametrize(
    ("found", "passes"), [("0.32.0", True), ("0.31.2+cu129", True), ("0.3.1", False), ("0.33.0", False)]
)
def test_other_releases_are_refused_with_a_way_out(found, passes, monkeypatch):
    monkeypatch.setattr(vllm, "installed", lambda: found)
    assert (vllm.refusal() is None) == passes
    if not passes:
        assert f"this is {found}" in vllm.refusal()
        assert vllm.ANY_VERSION in vllm.refusal()
        assert "VLLM_PLUGINS=" in vllm.refusal()
        monkeypatch.setenv(vllm.ANY_VERSION, "1")
        assert vllm.refusal() is None
