"""The vision tower of `small`: its configuration, where it starts, and a batched forward pass.

The forward pass uses transformers' own modules and weights (a test holds it equal to theirs) on gray pages of one size,
with norms and rotations whose backward passes cost a fraction of autograd's on a CPU.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.glm4v.configuration_glm4v import Glm4vVisionConfig
from transformers.models.glm4v.modeling_glm4v import Glm4vVisionModel

from freqq.glm.train.architecture import CELL, IMAGE_MEAN, IMAGE_STD, MERGE, PATCH

NEIGHBOURS = (
    (0, -1), (0, 1), (-1, 0), (1, 0), (0, -2), (0, 2), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -3), (0, 3),
)  # fmt: skip
"""Where the heads of a layer look at the start: rows and columns of patches from their own."""

SHARPNESS = 5.0
"""How much of a head's attention starts on its neighbour: the logit there is this many standard deviations high."""


def vision_config(width: int, depth: int, out: int, image_size: int = 224) -> Glm4vVisionConfig:
    """The tower's configuration: heads of 64 channels, biases, and a base at which neighbouring patches differ."""
    config = Glm4vVisionConfig(
        depth=depth,
        hidden_size=width,
        num_heads=width // 64,
        image_size=image_size,
        patch_size=PATCH,
        spatial_merge_size=MERGE,
        temporal_patch_size=2,
        out_hidden_size=out,
        intermediate_size=2 * out,
        attention_bias=True,
        rope_parameters={"rope_type": "axial", "rope_theta": 100.0},
    )
    config._attn_implementation = "sdpa"
    return config


@torch.no_grad()
def start(visual: Glm4vVisionModel, generator: torch.Generator) -> None:
    """Initial weights. Each head starts as a look-up of one neighbouring patch, written into its q and k biases.

    A character is often cut by the edge of a patch, so reading begins with putting neighbours together; a randomly
    initialised tower first has to find out that it has any. Absolute positions start at zero and are not trained: a
    page of any size is then read alike.
    """

    def normal(parameter: Tensor) -> None:
        parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)

    for parameter in visual.parameters():
        if parameter.ndim >= 2:
            normal(parameter)
    visual.embeddings.position_embedding.weight.zero_()
    # Gray pages: one kernel for all colours and frames.
    one = torch.randn(visual.config.hidden_size, 1, 1, PATCH, PATCH, generator=generator) * 0.025
    visual.patch_embed.proj.weight.copy_(one.expand_as(visual.patch_embed.proj.weight))
    visual.patch_embed.proj.bias.zero_()
    heads = visual.config.num_heads
    size = visual.config.hidden_size // heads
    frequencies = visual.rotary_pos_emb.inv_freq
    count = len(frequencies)
    high = math.sqrt(SHARPNESS * math.sqrt(size))
    for block in visual.blocks:
        block.attn.proj.weight.mul_(0.3)
        block.mlp.down_proj.weight.mul_(0.3)
        query, key, _ = block.attn.qkv.weight.view(3, heads, size, -1).unbind(0)
        query.mul_(0.5)
        key.mul_(0.5)
        bias = block.attn.qkv.bias.view(3, heads, size)
        bias.zero_()
        for head in range(heads):
            down, right = NEIGHBOURS[head % len(NEIGHBOURS)]
            angle = torch.cat([frequencies * down, frequencies * right])
            # The logit of a patch is high² · sum cos(f · (its place - the neighbour's)).
            bias[1, head, : 2 * count] = high
            bias[0, head, : 2 * count] = high * angle.cos()
            bias[0, head, 2 * count :] = high * angle.sin()
    flat = torch.empty(visual.config.out_hidden_size, visual.config.hidden_size * MERGE**2)
    visual.downsample.weight.copy_(
        1.7 * nn.init.orthogonal_(flat, generator=generator).view_as(visual.downsample.weight)
    )
    nn.init.orthogonal_(visual.merger.proj.weight, generator=generator)
    visual.merger.down_proj.weight.mul_(4)


class _RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight; the sums of squares are dot products, 2.5 times as fast as means in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        square = torch.linalg.vecdot(x, x).unsqueeze(-1).float() / x.shape[-1]
        scale = torch.rsqrt(square + epsilon).to(x.dtype)
        normal = x * scale
        ctx.save_for_backward(normal, scale, weight)
        return normal * weight.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, scale, weight = ctx.saved_tensors
        for_weight = (gradient * normal).flatten(0, -2).sum(0, dtype=torch.float32)
        inner = gradient * weight.to(gradient.dtype)
        mean = torch.linalg.vecdot(inner, normal).unsqueeze(-1) / normal.shape[-1]
        return torch.addcmul(inner, normal, mean, value=-1).mul_(scale), for_weight, None


def rms(x: Tensor, norm: nn.Module) -> Tensor:
    """RMS norm in the type of `x`."""
    return _RmsNorm.apply(x, norm.weight, norm.variance_epsilon)


class _Rotation(torch.autograd.Function):
    """Rotary embedding of halves, written into one buffer."""

    @staticmethod
    def turn(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
        half = x.shape[-1] // 2
        left, right = x.chunk(2, -1)
        cos, sin = cos[:, :half], sin[:, :half]
        out = torch.empty(x.shape, dtype=x.dtype)
        first, second = out.chunk(2, -1)
        torch.mul(left, cos, out=first)
        first.addcmul_(right, sin, value=-sign)
        torch.mul(right, cos, out=second)
        second.addcmul_(left, sin, value=sign)
        return out

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _Rotation.turn(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Rotation.turn(gradient, *ctx.saved_tensors, -1), None, None


class Tower(nn.Module):
    """A forward pass over gray pages of one size; `visual` holds the weights."""

    def __init__(self, visual: Glm4vVisionModel) -> None:
        super().__init__()
        self.visual = visual
        self._rotations: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._grids: dict[tuple[int, int], Tensor] = {}

    def forward(self, pixels: Tensor) -> Tensor:
        """Merged tokens [B, h w, C] of uint8 pages [B, 28 h, 28 w], in raster order; in autocast's dtype."""
        visual = self.visual
        batch, rows, columns = pixels.shape[0], pixels.shape[1] // CELL, pixels.shape[2] // CELL
        x = pixels.view(batch, rows, MERGE, PATCH, columns, MERGE, PATCH).permute(0, 1, 4, 2, 5, 3, 6)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        ink = 1 - x.reshape(batch, -1, PATCH * PATCH).to(dtype) / 255
        # Colours and frames repeat one value, so the 3-D convolution folds into one matrix; blank patches become zero,
        # which keeps bfloat16 exact where most of a page is.
        mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
        kernel = visual.patch_embed.proj.weight.sum(2)
        bias = visual.patch_embed.proj.bias + (kernel * ((1 - mean) / std)).sum((1, 2, 3))
        x = F.linear(ink, -(kernel / std).sum(1).flatten(1), bias)
        x = rms(x, visual.post_conv_layernorm)
        x = x + self._places(rows, columns).to(x.dtype)
        cos, sin = (t.to(x.dtype) for t in self._rotation(rows, columns))
        for block in visual.blocks:
            x = self._block(block, x, cos, sin)
        x = rms(x, visual.post_layernorm).view(batch, rows * columns, MERGE**2, -1)
        x = F.linear(x.transpose(-1, -2).flatten(2), visual.downsample.weight.flatten(1), visual.downsample.bias)
        return visual.merger(x)

    @staticmethod
    def _block(block: nn.Module, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, width = x.shape
        attention = block.attn
        qkv = attention.qkv(rms(x, block.norm1)).view(batch, length, 3, attention.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = (_Rotation.apply(t, cos, sin) for t in (q * attention.scaling, k))
        # Written out: the backward pass of torch's fused attention takes twice as long in bfloat16 on a CPU.
        weights = torch.softmax(q @ k.transpose(-1, -2), -1, dtype=x.dtype)
        x = x + attention.proj((weights @ v).transpose(1, 2).reshape(batch, length, width))
        return x + block.mlp(rms(x, block.norm2))

    def _places(self, rows: int, columns: int) -> Tensor:
        """Absolute positions [patches, width]: the table, interpolated to the page as transformers does it."""
        if (rows, columns) not in self._grids:
            size = torch.tensor([rows * MERGE, columns * MERGE]).view(2, 1)
            grid = (_patches(rows, columns) + 0.5) / size * 2 - 1
            self._grids[rows, columns] = grid.flip(0).T[None, :, None]
        table = self.visual.embeddings.position_embedding.weight
        side = math.isqrt(table.shape[0])
        table = table.view(side, side, -1).permute(2, 0, 1)[None].float()
        grid = self._grids[rows, columns]
        found = F.grid_sample(table, grid, mode="bicubic", align_corners=False, padding_mode="border")
        return found[0, :, :, 0].T

    def _rotation(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        if (rows, columns) not in self._rotations:
            self._rotations[rows, columns] = self.visual.rotary_pos_emb(torch.zeros(1), _patches(rows, columns).T)
        return self._rotations[rows, columns]


def _patches(rows: int, columns: int) -> Tensor:
    """Row and column [2, n] of each patch, in the order of GLM's image processor: the four of a cell together."""
    r, c, a, b = torch.meshgrid(*(torch.arange(n) for n in (rows, columns, MERGE, MERGE)), indexing="ij")
    return torch.stack([(r * MERGE + a).flatten(), (c * MERGE + b).flatten()])
