"""A batched forward pass over transformers' GLM-4V modules, for training on pages of equal size.

transformers' forward loops over images and cannot pack several questions after one set of pages. This one uses the same
modules and weights (a test compares the results), batches pages of one size, and lets K question blocks share one
visual prefix: a block attends to the prefix and itself. It also returns attention probabilities, for guidance.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Glm4vForConditionalGeneration

from freqq.glm.place import multiplies_bfloat16
from freqq.glm.train.architecture import IMAGE, IMAGE_END, IMAGE_MEAN, IMAGE_START, IMAGE_STD, MERGE, PATCH, USER


def mixed_precision() -> torch.autocast:
    """A context in which matrix products are bfloat16's where that is no slower than float32."""
    return torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16())


class _RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight with its own backward pass: torch's takes four to eight times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(-1, keepdim=True) + epsilon).to(x.dtype)
        normal = x * scale
        ctx.save_for_backward(normal, scale, weight)
        return normal * weight.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, scale, weight = ctx.saved_tensors
        for_weight = (gradient * normal).flatten(0, -2).sum(0, dtype=torch.float32)
        inner = gradient * weight.to(gradient.dtype)
        return scale * (inner - normal * (inner * normal).mean(-1, keepdim=True)), for_weight, None


def rms(x: Tensor, norm: nn.Module) -> Tensor:
    """RMS norm in the dtype of `x`."""
    return _RmsNorm.apply(x, norm.weight, norm.variance_epsilon)


@dataclass(frozen=True)
class Trace:
    """Inputs of the training aids: hidden states after each layer and attention probabilities of chosen layers.

    ``prefix[i]`` [B, P, D] and ``blocks[i]`` [B, K, T, D] are the hidden states after layer i;
    ``prefix_attention[i]`` [B, H, P, P] and ``block_attention[i]`` [B, H, K, T, P + T] its attention probabilities.
    """

    prefix: list[Tensor]
    blocks: list[Tensor]
    prefix_attention: dict[int, Tensor]
    block_attention: dict[int, Tensor]


class PackedForward:
    """The forward pass of one model, for pages of [rows, columns] merged tokens."""

    def __init__(self, model: Glm4vForConditionalGeneration) -> None:
        self.model = model
        self._positions: dict[tuple[int, int, int], Tensor] = {}
        self._patches: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}

    def prefix_ids(self, pages: int, rows: int, columns: int) -> list[int]:
        """Token ids before the question: the user marker and the pages."""
        return [USER] + pages * ([IMAGE_START] + [IMAGE] * (rows * columns) + [IMAGE_END])

    def positions(self, pages: int, rows: int, columns: int) -> Tensor:
        """MRoPE positions [3, P] of the prefix, computed by the model."""
        key = (pages, rows, columns)
        if key not in self._positions:
            ids = torch.tensor([self.prefix_ids(*key)])
            grid = torch.tensor([[1, rows * MERGE, columns * MERGE]] * pages)
            self._positions[key] = self.model.model.get_rope_index(ids, (ids == IMAGE).int(), image_grid_thw=grid)[0][
                :, 0
            ]
        return self._positions[key]

    def _patch_geometry(self, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
        if (rows, columns) not in self._patches:
            visual = self.model.model.visual
            r, c, a, b = torch.meshgrid(*(torch.arange(n) for n in (rows, columns, MERGE, MERGE)), indexing="ij")
            where = torch.stack([(r * MERGE + a).flatten(), (c * MERGE + b).flatten()])
            cos, sin = visual.rotary_pos_emb(torch.zeros(1), where.T)
            size = torch.tensor([rows * MERGE, columns * MERGE]).view(2, 1)
            grid = ((where + 0.5) / size * 2 - 1).flip(0).T[None, :, None]
            self._patches[rows, columns] = (cos, sin, grid)
        return self._patches[rows, columns]

    def vision(self, patches: Tensor, rows: int, columns: int) -> Tensor:
        """Merged tokens [B, rows * columns, D] of gray patches [B, 4 * rows * columns, 196] in 0..1."""
        visual = self.model.model.visual
        cos, sin, grid = self._patch_geometry(rows, columns)
        # Gray pages repeat one value over colours and frames, so the 3-D convolution reduces to one matrix.
        mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
        kernel = visual.patch_embed.proj.weight.sum(2)
        bias = visual.patch_embed.proj.bias - (kernel * (mean / std)).sum((1, 2, 3))
        x = F.linear(patches, (kernel / std).sum(1).flatten(1), bias)
        x = rms(x, visual.post_conv_layernorm)
        batch, count, width = x.shape
        table = visual.embeddings.position_embedding.weight
        side = int(table.shape[0] ** 0.5)
        table = table.view(side, side, width).permute(2, 0, 1)[None].float()
        place = F.grid_sample(table, grid, mode="bicubic", align_corners=False, padding_mode="border")
        x = x + place[0, :, :, 0].T.to(x.dtype)
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)

        def rotate(t: Tensor) -> Tensor:
            left, right = t.chunk(2, -1)
            return t * cos + torch.cat((-right, left), -1) * sin

        for block in visual.blocks:
            attention = block.attn
            q, k, v = (
                attention.qkv(rms(x, block.norm1)).view(batch, count, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
            )
            weights = torch.softmax((rotate(q) * attention.scaling) @ rotate(k).transpose(-1, -2), -1, dtype=x.dtype)
            x = x + attention.proj((weights @ v).transpose(1, 2).reshape(batch, count, width))
            x = x + block.mlp(rms(x, block.norm2))
        x = rms(x, visual.post_layernorm).view(batch, rows * columns, MERGE * MERGE, width)
        down = visual.downsample
        x = F.linear(x.transpose(-1, -2).flatten(2), down.weight.flatten(1), down.bias)
        return visual.merger(x)

    def language(
        self,
        pages: int,
        rows: int,
        columns: int,
        seen: Tensor,
        blocks: Tensor,
        watch: tuple[int, ...] = (),
        layers: int | None = None,
    ) -> tuple[Tensor, Trace]:
        """Final hidden states [B, K, T, D] of the question blocks, and the trace.

        Parameters
        ----------
        seen : [B, pages * rows * columns, D]
            Merged vision tokens, page after page.
        blocks : int64 [B, K, T]
            Question, answer and end tokens of each block, padded at the end.
        watch : tuple of int
            Layers whose attention probabilities the trace keeps.
        layers : int, optional
            How many of the first layers run; None: all.
        """
        language = self.model.model.language_model
        ids = torch.tensor(self.prefix_ids(pages, rows, columns))
        batch, count, length = blocks.shape
        prefix = language.embed_tokens(ids).expand(batch, -1, -1)
        prefix = prefix.to(seen.dtype).index_copy(1, (ids == IMAGE).nonzero()[:, 0], seen)
        x = language.embed_tokens(blocks).to(seen.dtype)
        place = self.positions(pages, rows, columns)
        first = int(place.max()) + 1
        block_place = torch.arange(first, first + length).expand(3, -1)
        turn = [
            tuple(t[0].to(seen.dtype) for t in language.rotary_emb(torch.zeros(1), p[:, None]))
            for p in (place, block_place)
        ]
        trace = Trace([], [], {}, {})
        causal_prefix = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
        causal_block = torch.ones(length, length, dtype=torch.bool).tril()
        for index, layer in enumerate(language.layers[:layers]):
            attention = layer.self_attn
            heads, size = attention.num_heads, attention.head_dim
            groups = attention.num_key_value_groups

            def project(
                t: Tensor, cos: Tensor, sin: Tensor, layer: nn.Module = layer, groups: int = groups, size: int = size
            ) -> list[Tensor]:
                t = rms(t, layer.input_layernorm)
                a = layer.self_attn
                q, k, v = (p(t).unflatten(-1, (-1, size)).transpose(-3, -2) for p in (a.q_proj, a.k_proj, a.v_proj))
                q, k = (rotate_pairs(y, cos, sin) for y in (q, k))
                return [q * a.scaling, k.repeat_interleave(groups, -3), v.repeat_interleave(groups, -3)]

            q, k, v = project(prefix, *turn[0])  # [B, H, P, d]
            bq, bk, bv = project(x, *turn[1])  # [B, K, H, T, d]
            weights = _softmax(q @ k.transpose(-1, -2), causal_prefix)
            prefix = self._finish(layer, prefix, (weights @ v).transpose(1, 2).flatten(2))
            # Blocks attend to the prefix as one long query [B, H, K T, P], and to themselves in a batch of K.
            far = (bq.transpose(1, 2).flatten(2, 3) @ k.transpose(-1, -2)).unflatten(2, (count, length))
            near = (bq @ bk.transpose(-1, -2)).masked_fill(~causal_block, -30000.0).transpose(1, 2)
            block_weights = torch.softmax(torch.cat((far, near), -1), -1, dtype=far.dtype)
            far, near = block_weights.split((len(ids), length), -1)
            mixed = (far.flatten(2, 3) @ v).unflatten(2, (count, length)) + near @ bv.transpose(1, 2)
            x = self._finish(layer, x, mixed.permute(0, 2, 3, 1, 4).reshape(batch, count, length, heads * size))
            trace.prefix.append(prefix)
            trace.blocks.append(x)
            if index in watch:
                trace.prefix_attention[index], trace.block_attention[index] = weights, block_weights
        return rms(x, language.norm), trace

    @staticmethod
    def _finish(layer: nn.Module, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + rms(layer.self_attn.o_proj(mixed), layer.post_self_attn_layernorm)
        return x + rms(layer.mlp(rms(x, layer.post_attention_layernorm)), layer.post_mlp_layernorm)


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """GLM's partial rotary embedding: adjacent pairs of the first ``cos.shape[-1]`` dimensions."""
    size = cos.shape[-1]
    part = x[..., :size]
    rotated = torch.stack((-part[..., 1::2], part[..., 0::2]), -1).flatten(-2)
    return torch.cat((part * cos + rotated * sin, x[..., size:]), -1)


def _softmax(scores: Tensor, mask: Tensor) -> Tensor:
    return torch.softmax(scores.masked_fill(~mask, -30000.0), -1, dtype=scores.dtype)


def to_patches(pixels: Tensor) -> Tensor:
    """Gray pages uint8 [B, H, W] to patches [B, H W / 196, 196] in 0..1, in the order of GLM's image processor."""
    batch, height, width = pixels.shape
    cell = PATCH * MERGE
    x = pixels.view(batch, height // cell, MERGE, PATCH, width // cell, MERGE, PATCH)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, -1, PATCH * PATCH).float() / 255
