"""The embedded model's architecture and tokenizer: a small configuration of transformers' `glm4v`."""

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import Glm4vConfig, Glm4vForConditionalGeneration, PreTrainedTokenizerFast

from freqq.data.mini import ORDINALS

SPECIAL = (
    "<|endoftext|>",
    "<|user|>",
    "<|assistant|>",
    "<|begin_of_image|>",
    "<|image|>",
    "<|end_of_image|>",
    "<|begin_of_video|>",
    "<|video|>",
    "<|end_of_video|>",
)
CHARACTERS = "".join(chr(c) for c in range(32, 127)) + "\n"
ORDINAL_TOKENS = tuple(f"{ordinal} (1 indexed) " for ordinal in ORDINALS)
PHRASES = ("Prepend ", " to the ", " about ", ". Do not include any other text in your response.")
VOCABULARY = SPECIAL + tuple(CHARACTERS) + ORDINAL_TOKENS + PHRASES
TOKEN = {token: i for i, token in enumerate(VOCABULARY)}
END, USER, ASSISTANT, IMAGE_START, IMAGE, IMAGE_END = (TOKEN[t] for t in SPECIAL[:6])

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
PATCH, MERGE = 14, 2
CELL = PATCH * MERGE
"""A merged vision token covers CELL x CELL pixels."""

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}"
    "{% if c.type == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def build_config(hidden: int = 256, layers: int = 6, vision_hidden: int = 192, vision_depth: int = 3) -> Glm4vConfig:
    """The configuration. MRoPE sections of one frequency each interleave time, row and column.

    With contiguous sections and GLM-4V's base of 10,000, a small head would have only frequencies for the columns at
    which neighbours are nearly equal; base 200 and interleaving let it distinguish them.
    """
    heads, kv_heads = hidden // 32, hidden // 64
    frequencies = 32 // 4
    config = Glm4vConfig(
        text_config={
            "vocab_size": len(VOCABULARY),
            "hidden_size": hidden,
            "intermediate_size": 2 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 200.0,
                "partial_rotary_factor": 0.5,
                "mrope_section": [1] * frequencies,
            },
            "pad_token_id": END,
            "eos_token_id": END,
        },
        vision_config={
            "depth": vision_depth,
            "hidden_size": vision_hidden,
            "num_heads": vision_hidden // 32,
            "image_size": 224,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": 2,
            "out_hidden_size": hidden,
            "intermediate_size": 2 * hidden,
        },
        image_token_id=IMAGE,
        image_start_token_id=IMAGE_START,
        image_end_token_id=IMAGE_END,
        video_token_id=TOKEN["<|video|>"],
        video_start_token_id=TOKEN["<|begin_of_video|>"],
        video_end_token_id=TOKEN["<|end_of_video|>"],
        tie_word_embeddings=True,
        eos_token_id=END,
        pad_token_id=END,
    )
    config._attn_implementation = "sdpa"
    return config


def build_model(config: Glm4vConfig, seed: int = 0) -> Glm4vForConditionalGeneration:
    """A newly initialized model whose layers start close to the identity.

    With plain fan-in scaling the tower first has to undo its own random layers: it read .6 of random characters after
    2,000 steps of stage 1, now after 300. This is due to small residual branches, orthogonal merging, a larger merger
    output, the probe's initial bias (`VisionHeads`) and its higher rate (`HEADS`).
    """
    torch.manual_seed(seed)
    model = Glm4vForConditionalGeneration(config)
    model.generation_config.eos_token_id = END
    model.generation_config.pad_token_id = END
    visual, language = model.model.visual, model.model.language_model
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
        visual.embeddings.position_embedding.weight.normal_(0, 0.1)
        for block in visual.blocks:
            block.attn.proj.weight.mul_(0.1)
            block.mlp.down_proj.weight.mul_(0.1)
        flat = torch.empty(visual.downsample.weight.shape[0], visual.downsample.weight[0].numel())
        visual.downsample.weight.copy_(1.7 * torch.nn.init.orthogonal_(flat).view_as(visual.downsample.weight))
        torch.nn.init.orthogonal_(visual.merger.proj.weight)
        visual.merger.down_proj.weight.mul_(4)
        # GLM normalizes what a branch adds to the residual stream; small norms keep the embeddings significant.
        language.embed_tokens.weight.normal_(0, 0.25)
        language.norm.weight.fill_(0.25)
        for layer in language.layers:
            layer.post_self_attn_layernorm.weight.fill_(0.2)
            layer.post_mlp_layernorm.weight.fill_(0.2)
    return model


def build_tokenizer(requests: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """Single characters, the fixed phrases of MRCR's question, GLM's special tokens; anything else becomes ``?``.

    `requests` are further texts that become one token each, at the end of the vocabulary.
    """
    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(VOCABULARY + requests)}, unk_token="?"))
    whole = sorted(ORDINAL_TOKENS + PHRASES + requests, key=len, reverse=True)
    escaped = "|".join("".join("\\" + c if c in ".()?" else c for c in token) for token in whole)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(escaped + r"|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[0],
        extra_special_tokens=list(SPECIAL[1:]),
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def save(model: Glm4vForConditionalGeneration, folder: Path, requests: tuple[str, ...] = ()) -> None:
    """Write a model folder as on the hub: bf16 safetensors, configurations, tokenizer, image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = Glm4vForConditionalGeneration(model.config)
    copy.load_state_dict(model.state_dict())
    copy.generation_config = model.generation_config
    copy.to(torch.bfloat16).save_pretrained(folder)
    build_tokenizer(requests).save_pretrained(folder)
    processor = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": IMAGE_MEAN,
        "image_std": IMAGE_STD,
        "image_processor_type": "Glm4vImageProcessor",
        "merge_size": MERGE,
        "patch_size": PATCH,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": 11760000, "shortest_edge": 12544},
        "temporal_patch_size": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
