"""A package that breaks what a worker of vLLM does: a method that fails as it is told to, and a tower without numbers.

For the server of conftest.py it is installed: the method by freqq's entry points, the tower by vLLM's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from freqq.tokens.base import Cutter
from freqq.tokens.grid import CompressedGrid
from freqq.tokens.vq import VectorQuantization

FAILED: list[torch.Size] = []
"""The page that failed once in this process."""


@dataclass(frozen=True)
class Faulty(Cutter):
    """Keeps the first cells, or does what goes wrong."""

    way: str = "none"

    def cut(self, grid: Tensor, small: tuple[int, int]) -> CompressedGrid:
        h, w, channels = grid.shape
        kept = torch.arange(small[0] * small[1])
        features = grid.reshape(-1, channels)[kept]
        match self.way:
            case "codebook":
                VectorQuantization(codebook="0" * 16)
            case "arithmetic":
                raise ZeroDivisionError("division by zero")
            case "memory":
                raise MemoryError("no memory for a page")
            case "once" if not FAILED:
                FAILED.append(grid.shape)
                raise MemoryError("no memory for a page just now")
            case "recursion":
                return self.cut(grid, small)
            case "lines":
                raise RuntimeError("first line\nsecond line " + "x" * 9999)
            case "more":
                features, kept = grid.reshape(-1, channels), torch.arange(h * w)
            case "fewer":
                features, kept = features[1:], kept[1:]
            case "wider":
                features = torch.cat([features, features], 1)
            case "numbers":
                features = features * torch.nan
            case "outside":
                kept = kept + h * w
            case "nothing":
                return None
        return CompressedGrid(features, (h, w), kept)


DARK = 10
"""Pages that are this grey all over have no numbers in them when they leave the tower."""

NORMALIZED = (DARK / 255 - 0.48145466) / 0.26862954
"""What it is if not the tower but what is before it takes the mean from pixels, as the release of vLLM may be."""


def register() -> None:
    from vllm.model_executor.models.glm4_1v import Glm4vVisionTransformer

    forward = Glm4vVisionTransformer.forward

    def broken(self, x: Tensor, grid_thw: Tensor, **kwargs) -> Tensor:
        seen = forward(self, x, grid_thw, **kwargs)
        sizes = [t * h * w for t, h, w in torch.as_tensor(grid_thw).tolist()]
        tokens = seen.split([size // self.spatial_merge_size**2 for size in sizes])
        for page, own in zip(x.split(sizes), tokens, strict=True):
            if bool((page == page[0]).all()) and min(abs(page[0, 0] - grey) for grey in (DARK, NORMALIZED)) < 1e-3:
                own[len(own) // 2] = torch.nan
        return seen

    Glm4vVisionTransformer.forward = broken
