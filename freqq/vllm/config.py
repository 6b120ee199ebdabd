"""What vLLM has to know of a GLM-4V before it makes one, and does not read from every config.json."""

from typing import Any

from freqq.errors import UserError
from freqq.vllm.positions import MOST

ANY_RATE = 1e-6
"""What the switch of vLLM's own pruning is set to. Its rate is for videos, which the plug-in does not take."""


SCHEDULER = "freqq.vllm.patches.scheduler"


class Glm4vConfig:
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


def complete(config: Any) -> None:
    """Tell vLLM what transformers assumes of a GLM-4V's text model.

    Queries, keys and values have biases in all dense GLM-4V, so transformers writes no ``attention_bias``; vLLM takes
    its absence for False and drops the biases. Sections of one channel each, which transformers deals to time, height
    and width in turn, are what vLLM calls interleaved.
    """
    if config.model_type == "glm4v_text" and getattr(config, "attention_bias", None) is None:
        config.attention_bias = True
    rope = getattr(config, "rope_parameters", None) or {}
    sections = rope.get("mrope_section") or ()
    if len(sections) > 3 and set(sections) == {1}:
        rope["mrope_section"] = [len(sections[axis::3]) for axis in range(3)]
        rope["mrope_interleaved"] = True
