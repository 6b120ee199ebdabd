"""Quantized weights by bitsandbytes, for the language model's linear layers only."""

from typing import Any

from transformers import BitsAndBytesConfig

from freqq.errors import UserError
from freqq.glm.families.base import Family

KEPT = ("lm_head", "embed_tokens")


def check_quantizable(model: str, family: Family) -> None:
    """Raise a `UserError` for a mixture of experts: transformers' experts are not linear layers and stay as large."""
    if family.experts:
        raise UserError(f"--quantization: {model} is nearly all experts, which bitsandbytes leaves as they are")


def weights_config(quantization: str, dtype: Any, family: Family) -> BitsAndBytesConfig:
    """The ``quantization_config`` of ``from_pretrained``.

    The vision tower is not quantized, so that pages give the same tokens as for codebooks and stored tokens.

    Parameters
    ----------
    quantization : ``int8`` or ``nf4``
        LLM.int8() (arXiv:2208.07339): a scale per row, outliers of the activations separate. Or 4-bit NormalFloat in
        blocks of 64 (QLoRA, arXiv:2305.14314, section 3).
    dtype : torch.dtype
        The dtype of the arithmetic.
    """
    kept = [*family.tower, *KEPT]
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=kept
    )
