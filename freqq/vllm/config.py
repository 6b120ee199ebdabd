"""What vLLM has to know of a model before it makes one, and does not read from every config.json."""

from collections.abc import Mapping
from typing import Any

from freqq.errors import UserError
from freqq.glm.families import family_of
from freqq.vllm.positions import MOST

ANY_RATE = 1e-6
"""What the switch of vLLM's own pruning is set to. Its rate is for videos, which the plug-in does not take."""


SCHEDULER = "freqq.vllm.patches.scheduler"


class PagesConfig:
    """Called by vLLM with a model's configuration; the interface is that of its ``VerifyAndUpdateConfig``."""

    @staticmethod
    def verify_and_update_model_config(model_config: Any) -> None:
        """Complete the text model's config, and let the model give positions along with embeddings."""
        complete(model_config.hf_text_config, family_of(model_config.hf_config.model_type).text_defaults)
        one_row(model_config.hf_text_config, model_config.max_model_len)
        if model_config.max_model_len > MOST:
            raise UserError(f"freqq's plug-in counts positions up to {MOST}: start vLLM with --max-model-len {MOST}")
        if model_config.multimodal_config is not None:
            model_config.multimodal_config.video_pruning_rate = ANY_RATE

    @staticmethod
    def verify_and_update_config(vllm_config: Any) -> None:
        """Let pages that a worker cannot read fail their requests, unless there is another scheduler."""
        if vllm_config.scheduler_config.scheduler_cls is None:
            vllm_config.scheduler_config.scheduler_cls = SCHEDULER


def one_row(config: Any, context: int) -> None:
    """Let vLLM take a text model with one row of positions for one with three, of which it reads the second alone.

    Where there is one, vLLM counts on; where there are three, it asks the model for the positions of pages.

    Parameters
    ----------
    context : tokens of the longest prompt with its answer

    Raises
    ------
    UserError
        If its rotary embeddings are scaled in a way that vLLM has for one row alone.
    """
    rope = config.rope_parameters
    if "mrope_section" in rope:
        return
    if rope.get("rope_type") == "dynamic" and context <= config.max_position_embeddings:
        rope["rope_type"] = "default"  # transformers scales longer prompts alone
    if rope.get("rope_type", "default") != "default":
        raise UserError(
            f"freqq's plug-in for vLLM takes no {rope['rope_type']} rotary embeddings for a context of {context}: "
            "give a shorter --max-model-len, or use --backend local"
        )
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope["mrope_section"] = [0, int(head * rope.get("partial_rotary_factor", 1.0)) // 2, 0]


def has_one_row(config: Any) -> bool:
    """Whether `one_row` was needed for a model with this text model."""
    return bool(config.rope_parameters["mrope_section"][0] == 0)


def complete(config: Any, defaults: Mapping[str, Any]) -> None:
    """Tell vLLM what transformers assumes of a text model.

    Sections of one channel each, which transformers deals to time, height and width in turn, are what vLLM calls
    interleaved.

    Parameters
    ----------
    defaults : a family's ``text_defaults``, which hold where nothing is said; those within a mapping always do
    """
    for name, value in defaults.items():
        said = getattr(config, name, None)
        if isinstance(value, Mapping):
            setattr(config, name, {**(said or {}), **value})
        elif said is None:
            setattr(config, name, value)
    rope = getattr(config, "rope_parameters", None) or {}
    sections = rope.get("mrope_section") or ()
    if len(sections) > 3 and set(sections) == {1}:
        rope["mrope_section"] = [len(sections[axis::3]) for axis in range(3)]
        rope["mrope_interleaved"] = True
