"""A random GLM-4V as wide as GLM-4.1V-9B, with one layer in its tower and one in its language model.

What does not depend on depth costs what it does in the real one: tokens of 4,096 channels, a tower of 1,536, 32 heads
of 128 that share 2 of keys and values. It is made in memory, in some seconds, of 0.9 GB in bfloat16; what it answers
means nothing. A page of Glyph's, 588 x 840 px, is 630 tokens.
"""

import torch
from transformers import Glm4vConfig, Glm4vForConditionalGeneration
from transformers.initialization import no_init_weights

from freqq.glm import sdpa
from freqq.glm.families import family_of
from freqq.glm.load import find, quiet
from freqq.glm.processor import read_tokenizer
from freqq.glm.reader import Reader
from freqq.glm.train.architecture import END, VOCABULARY

CHANNELS, PAGE = 4096, (840, 588)
"""Of a token; and pixels of a page, which becomes a grid of 30 x 21."""


def wide_config() -> Glm4vConfig:
    """GLM-4.1V-9B's, with the vocabulary and the marks of the embedded model, and one layer where there are 24 and 40.

    ``zai-org/GLM-4.1V-9B-Thinking`` has these numbers in its config.json.
    """
    marks = Glm4vConfig.from_pretrained(find("tiny").folder).to_dict()
    return Glm4vConfig(
        text_config={
            "vocab_size": len(VOCABULARY), "hidden_size": CHANNELS, "intermediate_size": 13696, "num_hidden_layers": 1,
            "num_attention_heads": 32, "num_key_value_heads": 2, "max_position_embeddings": 131072,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
                "mrope_section": [8, 12, 12],
            },
            "pad_token_id": END, "eos_token_id": END,
        },
        vision_config={
            "depth": 1, "hidden_size": 1536, "num_heads": 12, "image_size": 336, "patch_size": 14,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": CHANNELS, "intermediate_size": 13696,
        },
        **{name: value for name, value in marks.items() if name.endswith("_token_id")},
        tie_word_embeddings=False,
    )  # fmt: skip


def wide_reader(dtype: torch.dtype = torch.bfloat16, device: str = "cpu") -> Reader:
    """A reader of the model, the same whenever it is made."""
    tiny, config = find("tiny"), wide_config()
    config._attn_implementation = sdpa.register()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights(), quiet():
            model = Glm4vForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    # To draw 430 million numbers takes longer than a test should, so some are repeated; as their count is prime, no row
    # of a matrix repeats another.
    numbers = torch.randn(1_000_003, generator=torch.Generator().manual_seed(0)).to(dtype)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.data.fill_(1.0 if name.endswith("weight") else 0.0)
            continue
        for part in parameter.data.view(-1).split(len(numbers)):
            torch.mul(numbers[: len(part)], parameter[0].numel() ** -0.5, out=part)
    tokenizer = read_tokenizer(tiny.folder)
    processor = family_of(config.model_type).read_image_processor(tiny.folder)
    return Reader(model.to(device).eval(), tokenizer, processor, "wide", "wide")
