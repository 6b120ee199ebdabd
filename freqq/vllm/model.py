"""Models of vLLM with compressed pages, by what vLLM asks of its models; what else is changed is in
`freqq.vllm.patches`.

`Compressing` is mixed into the class of vLLM that a family names as its ``engine``. vLLM finds the result in this
module by the architecture in a config.json (`__getattr__`).

A page's way: `Processor` gives it a specification (`freqq.vllm.spec`) and as many placeholders as its method leaves
tokens; `get_mrope_input_positions` says where those lie, as far as it is known; `embed_multimodal` runs the tower and
the method; `recompute_mrope_positions`, which vLLM has for its pruning of videos, writes the positions of chosen cells.
"""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from freqq.vllm import refusal

if (_refused := refusal()) is not None:  # in one line, before imports of what other releases lack
    raise RuntimeError(_refused)

import torch
from torch import Tensor
from vllm.distributed import get_tensor_model_parallel_world_size, get_tp_group
from vllm.logger import init_logger
from vllm.multimodal import MULTIMODAL_REGISTRY

from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import CompressedGrid, whole
from freqq.vllm import served, spec
from freqq.vllm.config import has_one_row
from freqq.vllm.embeds import COUNT, EMBEDS, GRID
from freqq.vllm.patches import (
    let_cpu_runner_recompute,
    let_frontends_say_why,
    let_workers_report,
    marked,
    take_fractions,
)
from freqq.vllm.positions import layout, pages, token_count, whole_part
from freqq.vllm.processor import merge_of, shape_of, span_of, with_methods

let_frontends_say_why()

logger = init_logger(__name__)

CELL_COLUMNS = 4
"""Behind an embedding, the row and the column of a cell that its page chose, each as two digits of base `DIGIT`; -1
where the position was known before, and `freqq.vllm.patches.MARK` where the page cannot be read. Exact in bfloat16."""

DIGIT = 256


class Compressing(torch.nn.Module):
    """What a model with compressed pages does otherwise; the interface is vLLM's ``SupportsMultiModalPruning``.

    Qwen's models have that for videos. Here it is for pages alone, and the columns behind embeddings are freqq's.
    """

    config: Any
    language_model: Any
    _parse_and_validate_image_input: Callable[..., Any]
    _process_vision_input: Callable[..., Any]

    supports_mrope = True
    supports_multimodal_pruning = True
    supported_video_pruning_methods = ("evs",)

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self._dtype = vllm_config.model_config.dtype
        self._merge = merge_of(self.config)
        self._one_row = has_one_row(self.config.get_text_config())
        take_fractions(self.language_model)
        let_cpu_runner_recompute()
        let_workers_report(CELL_COLUMNS)

    def embed_multimodal(self, **kwargs: Any) -> tuple[Tensor, ...]:
        """Embeddings [k, C + CELL_COLUMNS] of each page of a batch."""
        shapes = [shape_of(thw, self._merge) for thw in kwargs[GRID]]
        if EMBEDS in kwargs:
            counts = kwargs.get(COUNT)
            sizes = [h * w for h, w in shapes] if counts is None else torch.as_tensor(counts).flatten().tolist()
            return tuple(_with_cells(page, None) for page in kwargs[EMBEDS].to(self._dtype).split(sizes))
        packed = kwargs.pop(spec.KEY)
        see = getattr(self, "_process_image_input", None) or self._process_vision_input
        seen = see(self._parse_and_validate_image_input(**kwargs))
        return tuple(
            self._compressed(page.reshape(*shape, -1), spec.unpack(own))
            for page, shape, own in zip(seen, shapes, packed, strict=True)
        )

    def _compressed(self, grid: Tensor, method: TokenCompressor | None) -> Tensor:
        h, w, _ = grid.shape
        made = _embeddings(grid, method, self._one_row)
        if layout(method, h, w)[1] is None and get_tensor_model_parallel_world_size() > 1:
            # Sums over ranks may differ in their last bits, and all ranks have to choose the same cells.
            made = get_tp_group().broadcast(made.contiguous(), src=0)
        return made

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """Positions of a prompt, those of chosen cells excepted."""
        parts = []
        for feature in sorted(mm_features, key=lambda f: f.mm_position.offset):
            shape, cells = span_of(feature.data.get_data(), self._merge, self._one_row)
            first, last = feature.mm_position.extract_embeds_range()[0]
            parts.append((first, last + 1 - first, shape, cells))
        return pages(parts, len(input_tokens))

    def recompute_mrope_positions(
        self,
        input_ids: list[int] | Tensor,
        multimodal_embeddings: Sequence[Tensor],
        mrope_positions: Tensor,
        num_computed_tokens: int,
    ) -> tuple[Sequence[Tensor], Tensor, int]:
        """Take the cells off the embeddings of this step, and put them where their tokens are."""
        if len(multimodal_embeddings):
            cells = torch.cat([page[:, -CELL_COLUMNS:] for page in multimodal_embeddings])
            chosen = cells[:, 0] >= 0
            if bool(chosen.any()):
                cells = cells[chosen].to(mrope_positions.device).long()
                own = torch.as_tensor(input_ids[num_computed_tokens:], device=mrope_positions.device)
                tokens = torch.eq(own, self.config.image_token_id).nonzero().flatten()[: len(chosen)]
                places = tokens[chosen.to(tokens.device)] + num_computed_tokens
                mrope_positions = mrope_positions.clone()
                start = mrope_positions[0, places]
                mrope_positions[1, places] = start + cells[:, 0] * DIGIT + cells[:, 1]
                mrope_positions[2, places] = start + cells[:, 2] * DIGIT + cells[:, 3]
        # Behind the last token of a prompt, which is text or the last of a whole page, all three rows go on alike.
        delta = int(whole_part(mrope_positions[:, -1]).max()) + 1 - mrope_positions.shape[1]
        return [page[:, :-CELL_COLUMNS] for page in multimodal_embeddings], mrope_positions, delta

    def get_mm_lora_token_counts(self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int) -> tuple[int, int | None]:
        """Tokens in the tower and behind its merger, where a LoRA may be: those of the whole page."""
        if mm_kwargs is not None:
            h, w = shape_of(mm_kwargs[GRID].data, self._merge)
            num_mm_embeds = h * w
        counts: tuple[int, int | None] = super().get_mm_lora_token_counts(  # type: ignore[misc]
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds
        )
        return counts


def _read(grid: Tensor, method: TokenCompressor | None) -> CompressedGrid:
    """What a method leaves of a page as the language model can read it.

    Raises
    ------
    ValueError
        If it is not that; whatever else the method raises.
    """
    h, w, channels = grid.shape
    page = whole(grid) if method is None else method.reconstruct(grid)
    expected = (token_count(method, h, w), channels)
    if page.features.shape != expected:
        raise ValueError(f"it left {list(page.features.shape)} numbers and not {list(expected)}")
    if not bool(torch.isfinite(page.features).all()):
        raise ValueError("it holds NaN or infinity")
    if page.kept is not None and not bool(((page.kept >= 0) & (page.kept < h * w)).all()):
        raise ValueError(f"it kept cells outside of {h} x {w}")
    return page


def _embeddings(grid: Tensor, method: TokenCompressor | None, one_row: bool = False) -> Tensor:
    """Embeddings [k, C + CELL_COLUMNS] of a page [h, w, C]; `marked` ones if it cannot be read.

    Its request fails then. An exception would end the engine, and all other requests with it.
    """
    h, w, _ = grid.shape
    try:
        page = _read(grid, method)
    except torch.OutOfMemoryError:  # the page is not to blame
        raise
    except Exception as error:
        by = "" if method is None else f" by {method}"
        reason = " ".join(f"freqq: a page of {h} x {w} tokens cannot be read{by}: {error!s:.200}".split())
        logger.error("%s", reason)
        return marked(grid.flatten(0, 1)[: token_count(method, h, w)], CELL_COLUMNS, reason)
    if page.kept is None:
        return _with_cells(page.features, None)
    rows, columns = (page.kept, page.kept) if one_row else (page.kept // w, page.kept % w)
    return _with_cells(page.features, torch.stack([rows, columns], 1))


def _with_cells(features: Tensor, cells: Tensor | None) -> Tensor:
    """Features [k, C] with rows and columns int [k, 2] of chosen cells behind them."""
    columns = features.new_full((len(features), CELL_COLUMNS), -1)
    if cells is not None:
        columns.copy_(torch.stack([cells // DIGIT, cells % DIGIT], 2).flatten(1))
    return torch.cat([features, columns], 1)


@cache
def __getattr__(architecture: str) -> type:
    """The class of a config.json's architecture: that of vLLM, its pages compressed.

    Raises
    ------
    AttributeError
        If no family that vLLM serves has that architecture.
    """
    family = served().get(architecture)
    if family is None or family.engine is None:
        raise AttributeError(f"{__name__} has no {architecture}")
    module, _, name = family.engine.partition(":")
    base = getattr(import_module(f"vllm.model_executor.models.{module}"), name)
    made = type(architecture, (Compressing, base), {"__module__": __name__, "__doc__": base.__doc__})
    info, processor, dummy_inputs = with_methods(base._processor_factory)
    return MULTIMODAL_REGISTRY.register_processor(processor, info=info, dummy_inputs=dummy_inputs)(made)
