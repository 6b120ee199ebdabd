"""What vLLM has to know of a model before it makes one, and does not read from every config.json."""

from typing import Any

from freqq.errors import UserError
from freqq.vllm.positions import MOST

ANY_RATE = 1e-6
"""What the switch of vLLM's own pruning is set to. Its rate is for videos, which the plug-in does not take."""


SCHEDULER = "freqq.vllm.patches.scheduler"


class PagesConfig:
    """Called by vLLM with a model's configuration; the interface is that of its ``VerifyAndUpdateConfig``."""

    @staticmethod
    def verify_and_update_model_config(model_config: Any) -> None:
        """Complete the text model's config, and let the model give positions along with embeddings."""
        complete(model_config.hf_text_config)
        if model_config.max_model_len > MOST:
            raise UserError(f"freqq's plug-in counts positions up to {MOST}: start vLLM with --max-model-len {MOST}")
        if model_config.multimodal_config is not None:
            model_config.multimodal_config.video_pruning_rate = ANY_RATE

    @staticmethod
    def verify_and_update_config(vllm_config: Any) -> None:
        """Let pages that a worker cannot read fail their requests, unless there is another scheduler."""
        if vllm_config.scheduler_config.scheduler_cls is None:
            vllm_config.scheduler_config.scheduler_cls = SCHEDULER


ASSUMED: dict[str, dict[str, Any]] = {
    # All dense GLM-4V have biases of queries, keys and values; vLLM drops those of a checkpoint that does not say so.
    # It takes the language model's class from the model type, and does not know all that have this one.
    "glm4v_text": {"attention_bias": True, "architectures": ["Glm4ForCausalLM"]},
    "glm4v_moe_text": {"use_qk_norm": False},
}
"""What transformers assumes of a text model and therefore writes into no config.json, by its model type."""


def complete(config: Any) -> None:
    """Tell vLLM what transformers assumes of a text model.

    Sections of one channel each, which transformers deals to time, height and width in turn, are what vLLM calls
    interleaved. Those of Qwen3-VL always are.
    """
    for name, value in ASSUMED.get(config.model_type, {}).items():
        if getattr(config, name, None) is None:
            setattr(config, name, value)
    rope = getattr(config, "rope_parameters", None) or {}
    sections = rope.get("mrope_section") or ()
    if len(sections) > 3 and set(sections) == {1}:
        rope["mrope_section"] = [len(sections[axis::3]) for axis in range(3)]
        rope["mrope_interleaved"] = True
    if config.model_type == "qwen3_vl_text":
        rope["mrope_interleaved"] = True
