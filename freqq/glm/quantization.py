"""Weights in fewer bits, by bitsandbytes: the language model's linear layers, and nothing else."""

from typing import Any

from transformers import BitsAndBytesConfig

from freqq.errors import UserError

KEPT = [r"model\.visual", "lm_head", "embed_tokens"]
"""What stays as it is. The vision tower does, so that pages give the tokens that codebooks and stores were made of."""


def check_can_be(model: str, model_type: str) -> None:
    """Refuse a mixture of experts: they are no linear layers in transformers, and would stay as large as they are.

    Raises
    ------
    UserError
        If the model is one.
    """
    if model_type.endswith("_moe"):
        raise UserError(f"--quantization: {model} is nearly all experts, which bitsandbytes leaves as they are")


def weights_config(quantization: str, dtype: Any) -> BitsAndBytesConfig:
    """What ``from_pretrained`` is to be told.

    Parameters
    ----------
    quantization : ``int8`` or ``nf4``
        LLM.int8() (arXiv:2208.07339): a scale for each row, outliers of the activations apart. Or 4-bit NormalFloat in
        blocks of 64 (QLoRA, arXiv:2305.14314, section 3).
    dtype : torch.dtype
        Of the arithmetic.
    """
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=KEPT)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=KEPT
    )
