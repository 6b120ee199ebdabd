"""Small random models of each family, in its real architecture, saved as complete model folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from freqq.glm.families import FAMILIES, family_of
from freqq.glm.load import load_reader
from freqq.glm.reader import Reader
from freqq.pages.page import Page
from freqq.tokens.vq_codebook import TokenCodebook
from freqq.tokens.vq_training import train

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
MROPE = {"rope_type": "default", "rope_theta": 200.0, "mrope_section": [2, 3, 3]}
KINDS = [kind for kind in FAMILIES.own if hasattr(transformers, family_of(kind).image_processor)]
"""The model types of all families that the transformers here has."""

ADAPTED = [kind for kind in KINDS if family_of(kind).adapters]
TILE = {"size": {"height": 56, "width": 56}}


def image_processor(kind: str) -> Any:
    """What a small model of a type comes with."""
    made = getattr(transformers, family_of(kind).image_processor)
    return made(**TILE) if kind == "internvl" else made()


CONFIGS: dict[str, dict[str, Any]] = {
    "glm4v_moe": {"text_config": TEXT | EXPERTS},
    "qwen2_5_vl": {
        "text_config": TEXT | {"rope_parameters": MROPE},
        "vision_config": VISION | {"window_size": 56, "fullatt_block_indexes": [1]},
        "vision_start_token_id": 3, "vision_end_token_id": 5,
    },
    "qwen3_vl": {
        "text_config": TEXT | {"rope_parameters": MROPE | {"mrope_section": [4, 2, 2]}, "head_dim": 16},
        "vision_config": VISION | {"patch_size": 14, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64},
        "vision_start_token_id": 3, "vision_end_token_id": 5,
    },
    "internvl": {
        "text_config": TEXT | {"model_type": "qwen2", "rope_parameters": {"rope_type": "default", "rope_theta": 200.0}},
        "vision_config": {
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
            "image_size": [56, 56], "patch_size": [14, 14],
        },
        "image_seq_length": 4, "tie_word_embeddings": False,
    },
}  # fmt: skip
"""What a model type's configuration has beside or instead of GLM-4.1V's."""


def save_tokenizer(folder: Path, image_is_special: bool = True, template: str = TEMPLATE) -> None:
    """A tokenizer of single characters. Without `image_is_special` the image token is recognised in any text."""
    core = Tokenizer(models.WordLevel({t: i for i, t in enumerate(SPECIAL + CHARACTERS)}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    special = [t for t in SPECIAL[1:] if image_is_special or t != "<|image|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[0],
        extra_special_tokens=special,
        model_specific_special_tokens={"start_image_token": SPECIAL[3], "end_image_token": SPECIAL[5]},
    )
    if not image_is_special:
        tokenizer.add_tokens(["<|image|>"], special_tokens=False)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def save_model(kind: str, folder: Path, seed: int = 0, text: Mapping[str, object] | None = None) -> Path:
    """A random model of a type with its tokenizer and image processor; `text`: how its language model differs."""
    own = {"text_config": TEXT, "vision_config": VISION, **MARKS} | CONFIGS.get(kind, {})
    config = AutoConfig.for_model(kind, **(own | {"text_config": own["text_config"] | (text or {})}))
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    # The usual initialisation (0.02) makes nearly flat logits, whose order rounding can change.
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    image_processor(kind).save_pretrained(folder)
    # InternVL's templates leave to its processor what stands around a page.
    template = TEMPLATE.replace("<|begin_of_image|><|image|><|end_of_image|>", "<|image|>")
    save_tokenizer(folder, template=template if kind == "internvl" else TEMPLATE)
    return folder


@pytest.fixture(scope="session", params=KINDS)
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of each model type in turn."""
    return save_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def reader(model_folder: Path) -> Reader:
    """A reader of each model type in turn."""
    return load_reader(str(model_folder), device="cpu")


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One glm4v model folder, for what does not depend on the family. Not to be changed."""
    return save_model("glm4v", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small(small_folder: Path) -> Reader:
    """A reader of one glm4v model."""
    return load_reader(str(small_folder), device="cpu")


def noise_page(height: int, width: int, seed: int, colours: bool = False) -> Page:
    """A page of random pixels."""
    shape = (height, width, 3) if colours else (height, width)
    return Page(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def own_codebook(reader: Reader) -> TokenCodebook:
    """A codebook of a model's own tokens, as ``freqq codebook train --tokens`` learns it."""
    return train(reader.see([noise_page(28 * 10, 28 * 14, seed) for seed in range(3)]))
