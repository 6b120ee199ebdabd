"""A random GLM-4V whose language model outweighs its tower as those of released models do: 94 M to 5 M parameters.

    python tests/bench/random_glm4v.py FOLDER
    freqq bench --model FOLDER --dtype bfloat16 --method token-prune --level mild --level aggressive --pages 4

What it answers means nothing; what it takes to answer is what a prefill-bound engine does.
"""

import shutil
import sys
from pathlib import Path

import torch
from transformers import Glm4vConfig, Glm4vForConditionalGeneration

from freqq.glm.load import find
from freqq.glm.train.architecture import END, MERGE, PATCH, VOCABULARY


def make(folder: Path) -> None:
    tiny = find("tiny").folder
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    marks = Glm4vConfig.from_pretrained(tiny).to_dict()
    config = Glm4vConfig(
        text_config={
            "vocab_size": len(VOCABULARY), "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 6,
            "num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 16384,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5, "mrope_section": [4, 6, 6],
            },
            "pad_token_id": END, "eos_token_id": END,
        },
        vision_config={
            "depth": 3, "hidden_size": 192, "num_heads": 6, "image_size": 224, "patch_size": PATCH,
            "spatial_merge_size": MERGE, "temporal_patch_size": 2, "out_hidden_size": 1024, "intermediate_size": 512,
        },
        **{name: value for name, value in marks.items() if name.endswith("_token_id")},
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Glm4vForConditionalGeneration(config).to(torch.bfloat16)
    tower = sum(p.numel() for p in model.model.visual.parameters())
    print(
        f"tower {tower / 1e6:.1f} M, language model {(sum(p.numel() for p in model.parameters()) - tower) / 1e6:.1f} M"
    )
    model.save_pretrained(folder)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
