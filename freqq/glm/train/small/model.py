"""The network of `small`: its configuration, its tokenizer's entries, and how it goes on from a tower that reads."""

import math

import torch
from torch import Tensor, nn
from transformers import Glm4vConfig, Glm4vForConditionalGeneration

from freqq.data.tasks.ruler import ONE_NEEDLE
from freqq.glm.train.architecture import VOCABULARY, build_config, build_model
from freqq.glm.train.small.reading import ReadingHead
from freqq.glm.train.small.sheets import SLOTS
from freqq.glm.train.small.tower import SHARPNESS, vision_config

TRANSCRIBE = "Transcribe this conversation image verbatim."
NEEDLE_QUESTION = tuple(ONE_NEEDLE.ask(value="number", query="\0").split("\0"))
"""RULER's question for a number, around the two places of the key."""
REQUESTS = (TRANSCRIBE, *NEEDLE_QUESTION)
ENTRIES = (*VOCABULARY, *REQUESTS)
"""The tokenizer's entries: those of `tiny`, the request to read aloud, and the parts of RULER's question."""

WIDTH, LAYERS, HEADS, MLP = 512, 8, 8, 1152
"""Eight layers, for a question asks for a chain: put a request together, count it, choose, find, copy. The narrow MLP
keeps the weights below 60 MB."""
SIZE = WIDTH // HEADS
PLACES = 64
"""Rows and columns of the table of absolute positions, which is stretched over every page."""

WAVES = (2.0, 5.0, 11.0, 16.0)
"""Waves over a page that its absolute positions start as: the shortest are four entries of the table long."""

PLACE_AMPLITUDE = 0.3


def config() -> Glm4vConfig:
    """As many key-value heads as heads: what a cell says has to pass through the heads that look at it."""
    made = build_config(hidden=WIDTH, layers=LAYERS)
    text = made.text_config
    text.vocab_size = len(ENTRIES)
    text.num_attention_heads = text.num_key_value_heads = HEADS
    text.intermediate_size = MLP
    text.head_dim = SIZE
    text.attention_bias = True
    text.rope_parameters = dict(text.rope_parameters, mrope_section=[1] * (SIZE // 4))
    text.max_position_embeddings = 16_384
    made.vision_config = vision_config(256, 4, WIDTH, image_size=PLACES * 14)
    return made


LOOK_UPS: dict[int, tuple[tuple[int, int, int] | None, ...]] = {
    0: ((-1, -1, -1), (-2, -2, -2), (-3, -3, -3), (-4, -4, -4), (-5, -5, -5), (0, 0, -1), (0, -1, 0), None),
    1: (None, None, None, None, None, None, (-1, -1, -1), (0, 0, -1)),
}
"""Where heads of a layer look at the start, as time, row and column from their own: earlier characters, the cells to
the left and above."""


@torch.no_grad()
def build(tower: dict[str, Tensor], head: ReadingHead, moment: Tensor, seed: int) -> Glm4vForConditionalGeneration:
    """The network with a trained tower, whose tokens are whitened, and the reading head that goes with it.

    Parameters
    ----------
    tower : weights of the vision tower by name
    head : ReadingHead
        Changed in place, so that it reads whitened tokens as it read the tower's.
    moment : [C, C]
        Mean of f fᵀ over the tower's tokens. Their singular values fall by orders of magnitude, and attention sees
        only the largest; whitening, folded into the merger's last matrix, makes all of them equally loud.
    """
    generator = torch.Generator().manual_seed(seed)
    model = build_model(config(), seed)
    visual, language = model.model.visual, model.model.language_model
    own = visual.state_dict()
    kept = {name: value for name, value in tower.items() if "position_embedding" not in name}
    visual.load_state_dict(own | kept)
    visual.embeddings.position_embedding.weight.copy_(_places(visual.config.hidden_size, generator))
    values, axes = torch.linalg.eigh(moment)
    scale = (values + 1e-4 * values.max()).rsqrt()
    loud = 0.5 / (scale * values.sqrt()).square().mean().sqrt()
    white = (axes * scale) @ axes.T * loud
    visual.merger.down_proj.weight.copy_(white @ visual.merger.down_proj.weight)
    head.out.weight.copy_(head.out.weight @ torch.linalg.inv(white))
    language.embed_tokens.weight.normal_(0, 0.5, generator=generator)
    language.norm.weight.fill_(0.12)
    for index, layer in enumerate(language.layers):
        layer.post_self_attn_layernorm.weight.fill_(0.4)
        layer.post_mlp_layernorm.weight.fill_(0.4)
        attention = layer.self_attn
        for bias in (attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias):
            bias.zero_()
        nn.init.orthogonal_(attention.v_proj.weight, generator=generator)
        nn.init.orthogonal_(attention.o_proj.weight, generator=generator)
        _look_up(attention, LOOK_UPS.get(index, ()), model.config.text_config.rope_parameters["rope_theta"])
    return model


def _look_up(attention: nn.Module, offsets: tuple[tuple[int, int, int] | None, ...], theta: float) -> None:
    """Write into the biases of q and k where heads look; pairs of channels turn by time, row and column in turn."""
    count = SIZE // 4
    frequencies = theta ** (-torch.arange(count) / count)
    axis = torch.arange(count) % 3
    high = math.sqrt(SHARPNESS * math.sqrt(SIZE))
    query, key = attention.q_proj.bias.view(HEADS, SIZE), attention.k_proj.bias.view(HEADS, SIZE)
    for head, offset in enumerate(offsets):
        if offset is None:
            continue
        angle = frequencies * torch.tensor(offset, dtype=torch.float)[axis]
        attention.q_proj.weight.view(HEADS, SIZE, WIDTH)[head].mul_(0.3)
        query[head, 0 : 2 * count : 2] = high * angle.cos()
        query[head, 1 : 2 * count : 2] = high * angle.sin()
        key[head, 0 : 2 * count : 2] = high


def _places(width: int, generator: torch.Generator) -> Tensor:
    """Sines and cosines of row and column, each along a direction of its own, for a table of PLACES x PLACES.

    Two cells of a row have the same row's part, whatever the page's size, so a head can find the start of a line from
    its end.
    """
    phase = (torch.arange(PLACES) + 0.5) / PLACES * 2 * math.pi
    waves = torch.cat([f(phase[:, None] * torch.tensor(WAVES)) for f in (torch.sin, torch.cos)], 1)  # [PLACES, 8]
    codes = [waves @ torch.randn(waves.shape[1], width, generator=generator) for _ in range(2)]
    table = codes[0][:, None] + codes[1][None]
    return (table * (PLACE_AMPLITUDE / table.std())).flatten(0, 1)


class SlotHeads(nn.Module):
    """Probes, dropped after training: the slot of the character just written and of the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.written = nn.Linear(WIDTH, SLOTS)
        self.next = nn.Linear(WIDTH, SLOTS)
