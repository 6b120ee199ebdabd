"""Small random models of the GLM-4V family, saved as complete model folders."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessorPil,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm46VConfig,
    Glm46VForConditionalGeneration,
    Glm46VImageProcessorPil,
    PreTrainedTokenizerFast,
)

from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.pages.page import Page

SPECIAL = [
    "<|endoftext|>", "<|user|>", "<|assistant|>", "<|begin_of_image|>", "<|image|>", "<|end_of_image|>",
    "<|begin_of_video|>", "<|video|>", "<|end_of_video|>",
]  # fmt: skip
CHARACTERS = [chr(code) for code in range(32, 127)]
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{% for c in m.content %}{% if c.type == 'image' %}"
    "<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
MARKS = {
    "image_start_token_id": 3, "image_token_id": 4, "image_end_token_id": 5,
    "video_start_token_id": 6, "video_token_id": 7, "video_end_token_id": 8,
    "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
TEXT = {
    "vocab_size": len(SPECIAL) + len(CHARACTERS), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "eos_token_id": 0, "pad_token_id": 0,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 200.0, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
    },
}  # fmt: skip
EXPERTS = {"moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1}
VISION = {
    "hidden_size": 32, "depth": 2, "num_heads": 2, "out_hidden_size": 64, "intermediate_size": 48, "image_size": 112,
}  # fmt: skip
FAMILY = {
    "glm4v": (Glm4vConfig, Glm4vForConditionalGeneration, Glm4vImageProcessorPil),
    "glm46v": (Glm46VConfig, Glm46VForConditionalGeneration, Glm46VImageProcessorPil),
    "glm4v_moe": (Glm4vMoeConfig, Glm4vMoeForConditionalGeneration, Glm4vImageProcessorPil),
}


def save_tokenizer(folder: Path, image_is_special: bool = True) -> None:
    """A tokenizer of single characters. Without `image_is_special` the image token is recognised in any text."""
    core = Tokenizer(models.WordLevel({t: i for i, t in enumerate(SPECIAL + CHARACTERS)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    special = [t for t in SPECIAL[1:] if image_is_special or t != "<|image|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=SPECIAL[0], pad_token=SPECIAL[0], extra_special_tokens=special
    )
    if not image_is_special:
        tokenizer.add_tokens(["<|image|>"], special_tokens=False)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


def save_model(kind: str, folder: Path, seed: int = 0, text: dict[str, object] = TEXT) -> Path:
    """A random model of one family member with its tokenizer and image processor."""
    config_class, model_class, processor_class = FAMILY[kind]
    text = text | EXPERTS if kind == "glm4v_moe" else text
    torch.manual_seed(seed)
    model = model_class(config_class(text_config=text, vision_config=VISION, **MARKS))
    # The usual initialisation (0.02) makes nearly flat logits, whose order rounding can change.
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    processor_class().save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session", params=list(FAMILY))
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of each family member in turn."""
    return save_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def reader(model_folder: Path) -> Reader:
    """A reader of each family member in turn."""
    return load_reader(str(model_folder), device="cpu")


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One glm4v model folder, for what does not depend on the family member. Not to be changed."""
    return save_model("glm4v", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small(small_folder: Path) -> Reader:
    """A reader of one glm4v model."""
    return load_reader(str(small_folder), device="cpu")


def noise_page(height: int, width: int, seed: int, colours: bool = False) -> Page:
    """A page of random pixels."""
    shape = (height, width, 3) if colours else (height, width)
    return Page(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
