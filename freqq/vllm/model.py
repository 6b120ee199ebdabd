"""GLM-4V in vLLM with compressed pages. All that depends on vLLM's insides is here.

A page's way: `Processor` gives it a specification (`freqq.vllm.spec`) and as many placeholders as its method leaves
tokens; `get_mrope_input_positions` says where those lie, as far as it is known; `embed_multimodal` runs the tower and
the method; `recompute_mrope_positions`, which vLLM has for its pruning of videos, writes the positions of chosen cells.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature
from vllm.distributed import get_tensor_model_parallel_world_size, get_tp_group
from vllm.logger import init_logger
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding
from vllm.model_executor.models import glm4_1v
from vllm.model_executor.models.interfaces import supports_multimodal_pruning
from vllm.model_executor.models.qwen2_vl import Qwen2VLMultiModalDataParser, _create_qwen2vl_field_factory
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import DictEmbeddingItems, MultiModalDataItems
from vllm.multimodal.processing import PromptReplacement, PromptUpdate

from freqq.tokens.base import TokenCompressor
from freqq.tokens.grid import CompressedGrid, whole
from freqq.vllm import refusal, spec
from freqq.vllm.embeds import CELLS, COUNT, EMBEDS, GRID, check_embeds
from freqq.vllm.positions import fraction_part, layout, pages, token_count, whole_part

if (_refused := refusal()) is not None:
    raise RuntimeError(_refused)

logger = init_logger(__name__)

CELL_COLUMNS = 4
"""Behind an embedding, the row and the column of a cell that its page chose, each as two digits of base `DIGIT`; -1
where the position was known before. Exact in bfloat16."""

DIGIT = 256


class ProcessingInfo(glm4_1v.Glm4vProcessingInfo):
    """What vLLM asks about the inputs: images, no videos; embeddings with their grid."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """As many images as there are."""
        return {"image": None}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        """Those of a page that nothing is taken from, whatever the default is: a request may ask for that."""
        return {"image": self.get_max_image_tokens()}

    def get_hf_processor(self, **kwargs: object) -> Any:
        """transformers' processor, which knows nothing of methods."""
        return super().get_hf_processor(**_without_spec(kwargs))

    def get_data_parser(self) -> "DataParser":
        """That of `DataParser`."""
        return DataParser(
            self.get_hf_config().vision_config.spatial_merge_size,
            hidden_size=self.ctx.model_config.get_inputs_embeds_size(),
            expected_hidden_size=self._get_expected_hidden_size(),
            allow_missing_mm_embeddings=self.allow_missing_mm_embeddings,
        )


class DummyInputs(glm4_1v.Glm4vDummyInputsBuilder):
    """Images alone, for vLLM's measurement of memory."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """One image token for each image."""
        token = self.info.get_tokenizer().decode([self.info.get_hf_config().image_token_id])
        return token * mm_counts.get("image", 0)

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any) -> Any:
        """The largest images."""
        width, height = self.info.get_image_size_with_most_features()
        count, overrides = mm_counts.get("image", 0), mm_options.get("image")
        return {"image": self._get_dummy_images(width=width, height=height, num_images=count, overrides=overrides)}


class DataParser(Qwen2VLMultiModalDataParser):
    """Takes embeddings with the grid of their page, and with the cells of it that they stand for (`freqq.vllm.embeds`).

    vLLM's own parser of GLM-4V takes neither.
    """

    def __init__(self, merge: int, *, hidden_size: int, **kwargs: Any) -> None:
        super().__init__(merge, **kwargs)
        self._merge = merge
        self._hidden_size = hidden_size

    def _parse_image_data(self, data: Any) -> Any:
        if not isinstance(data, dict):
            return super()._parse_image_data(data)
        required, optional = self.embedding_field_sets("image")
        if EMBEDS in data:
            data = check_embeds(data, self._merge, self._hidden_size)
            required |= {CELLS, COUNT} & data.keys()
        return DictEmbeddingItems(
            data,
            modality="image",
            required_fields=required,
            optional_fields=optional,
            fields_factory=lambda inputs: _fields(inputs, self._merge),
        )


def _fields(inputs: Mapping[str, Any], merge: int) -> Mapping[str, MultiModalFieldConfig]:
    """How what belongs to a page is cut out of what belongs to a prompt."""
    found = dict(_create_qwen2vl_field_factory(merge)(inputs))
    found[spec.KEY] = MultiModalFieldConfig.batched("image", keep_on_cpu=True)
    if CELLS in inputs:
        counts = torch.as_tensor(inputs[COUNT]).flatten()
        found[EMBEDS] = MultiModalFieldConfig.flat_from_sizes("image", counts)
        found[CELLS] = MultiModalFieldConfig.flat_from_sizes("image", counts, keep_on_cpu=True)
        found[COUNT] = MultiModalFieldConfig.batched("image", keep_on_cpu=True)
    return found


class Processor(glm4_1v.Glm4vMultiModalProcessor):
    """Gives each page its method, and the prompt as many placeholders as that leaves tokens."""

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        model_config = self.info.ctx.model_config
        packed = spec.pack(spec.chosen(hf_kwargs, model_config.multimodal_config.mm_processor_kwargs))
        outputs = super()._apply_hf_processor_main(mm_items, _without_spec(hf_kwargs))
        if "pixel_values" in outputs:
            method = spec.unpack(packed)
            if method is not None:
                spec.check_channels(method, model_config.get_inputs_embeds_size())
            outputs[spec.KEY] = packed.repeat(len(outputs[GRID]), 1)
        return outputs

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return _fields(hf_inputs, self.info.get_hf_config().vision_config.spatial_merge_size)

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, Any],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        config = self.info.get_hf_config()

        def placeholders(index: int) -> list[int]:
            data = out_mm_kwargs["image"][index].get_data()
            return [config.image_token_id] * _count(data, config.vision_config.spatial_merge_size)

        return [PromptReplacement(modality="image", target=[config.image_token_id], replacement=placeholders)]


def _without_spec(kwargs: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in kwargs.items() if name != spec.KEY}


def _method(data: Mapping[str, Any]) -> TokenCompressor | None:
    return spec.unpack(data[spec.KEY]) if spec.KEY in data else None


def _shape(grid_thw: Tensor, merge: int) -> tuple[int, int]:
    _, h, w = grid_thw.flatten().tolist()
    return h // merge, w // merge


def _count(data: Mapping[str, Any], merge: int) -> int:
    """How many tokens a page has in the prompt."""
    return int(data[COUNT]) if COUNT in data else token_count(_method(data), *_shape(data[GRID], merge))


class Compressing(glm4_1v.Glm4vForConditionalGeneration):
    """A GLM-4V whose pages are compressed; the interface beside its base's is vLLM's ``SupportsMultiModalPruning``."""

    supports_multimodal_pruning = True
    supported_video_pruning_methods = ("evs",)

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        take_fractions(self.language_model)
        let_cpu_runner_recompute()

    def embed_multimodal(self, **kwargs: Any) -> tuple[Tensor, ...]:
        """Embeddings [k, C + CELL_COLUMNS] of each page of a batch."""
        packed, counts = kwargs.pop(spec.KEY, None), kwargs.pop(COUNT, None)
        kwargs.pop(CELLS, None)
        if counts is not None:
            sizes = torch.as_tensor(counts).flatten().tolist()
            return tuple(_with_cells(page, None) for page in kwargs[EMBEDS].to(self.visual.dtype).split(sizes))
        seen = super().embed_multimodal(**kwargs) or ()
        if packed is None:
            return tuple(_with_cells(page, None) for page in seen)
        merge = self.visual.spatial_merge_size
        return tuple(
            self._compressed(page.reshape(*_shape(thw, merge), -1), spec.unpack(own))
            for page, thw, own in zip(seen, kwargs[GRID], packed, strict=True)
        )

    def _compressed(self, grid: Tensor, method: TokenCompressor | None) -> Tensor:
        h, w, _ = grid.shape
        if method is None:
            return _with_cells(whole(grid).features, None)
        page = _reconstructed(grid, method)
        cells = None if page.kept is None else torch.stack([page.kept // w, page.kept % w], 1)
        made = _with_cells(page.features, cells)
        if layout(method, h, w)[1] is None and get_tensor_model_parallel_world_size() > 1:
            # Sums over ranks may differ in their last bits, and all ranks have to choose the same cells.
            made = get_tp_group().broadcast(made.contiguous(), src=0)
        return made

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[Tensor, int]:
        """Positions of a prompt, those of chosen cells excepted."""
        merge = self.config.vision_config.spatial_merge_size
        parts = []
        for feature in sorted(mm_features, key=lambda f: f.mm_position.offset):
            data = feature.data.get_data()
            shape = _shape(data[GRID], merge)
            if CELLS in data:
                cells: Tensor | None = data[CELLS].double().T
            else:
                shape, cells = layout(_method(data), *shape)
            parts.append((feature.mm_position.offset, feature.mm_position.length, shape, cells))
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
                places = (own == self.config.image_token_id).nonzero().flatten()[: len(chosen)] + num_computed_tokens
                places = places[chosen.to(places.device)]
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
            h, w = _shape(mm_kwargs[GRID].data, self.config.vision_config.spatial_merge_size)
            num_mm_embeds = h * w
        return super().get_mm_lora_token_counts(modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds)


def _reconstructed(grid: Tensor, method: TokenCompressor) -> CompressedGrid:
    """What a method leaves of a page. One that fails must not take the engine with it, and all other requests."""
    h, w, _ = grid.shape
    count = token_count(method, h, w)
    try:
        page = method.reconstruct(grid)
        if len(page.features) != count:
            raise ValueError(f"it left {len(page.features)} tokens and not {count}")
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        logger.error("freqq: a page of %d x %d tokens cannot be compressed by %s: %s", h, w, method, error)
        return CompressedGrid(torch.zeros_like(grid.reshape(h * w, -1)[:count]), (h, w))
    return page


def _with_cells(features: Tensor, cells: Tensor | None) -> Tensor:
    """Features [k, C] with rows and columns int [k, 2] of chosen cells behind them."""
    columns = features.new_full((len(features), CELL_COLUMNS), -1)
    if cells is not None:
        columns.copy_(torch.stack([cells // DIGIT, cells % DIGIT], 2).flatten(1))
    return torch.cat([features, columns], 1)


class FractionalRows:
    """Stands for the table of cosines and sines of a rotary embedding, and reads encoded positions.

    Rows of whole positions are the table's own, to the bit. All layers ask for the same positions, so they are computed
    once a step; in a compiled graph they are part of it.
    """

    def __init__(self, rotary: MRotaryEmbedding) -> None:
        self._table: Callable[[Tensor], Tensor] = rotary._match_cos_sin_cache_dtype
        self._frequencies = rotary._compute_inv_freq(rotary.base)
        self._scale = rotary.mscale
        self._asked: Tensor | None = None

    def __call__(self, query: Tensor) -> "FractionalRows":
        """What is asked for the table in the query's number format."""
        self._whole = self._table(query)
        return self

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Cosines and sines [3, n, dimensions] of encoded positions [3, n]."""
        if torch.compiler.is_compiling():
            return self._rows(positions)
        if self._asked is not positions:
            self._asked, self._answer = positions, self._rows(positions)
        return self._answer

    def _rows(self, positions: Tensor) -> Tensor:
        whole, fraction = whole_part(positions), fraction_part(positions)
        rows = self._whole[whole]
        angles = (whole + fraction)[..., None] * self._frequencies.to(positions.device)
        between = torch.cat([angles.cos(), angles.sin()], -1).mul(self._scale).to(rows.dtype)
        return torch.where((fraction > 0)[..., None], between, rows)


def take_fractions(model: torch.nn.Module) -> None:
    """Let a model's rotary embeddings read encoded positions from now on."""
    for module in model.modules():
        if isinstance(module, MRotaryEmbedding) and not isinstance(module._match_cos_sin_cache_dtype, FractionalRows):
            module._match_cos_sin_cache_dtype = FractionalRows(module)


def let_cpu_runner_recompute() -> None:
    """Let vLLM's runner on a CPU ask for positions: unlike the one it derives from, it does not look whether to."""
    module = sys.modules.get("vllm.v1.worker.cpu_model_runner")
    if module is not None:
        module.CPUModelRunner.is_multimodal_pruning_enabled = property(
            lambda runner: supports_multimodal_pruning(runner.get_model()), lambda runner, value: None
        )


def _registered(kind: type) -> type:
    return MULTIMODAL_REGISTRY.register_processor(Processor, info=ProcessingInfo, dummy_inputs=DummyInputs)(kind)


@_registered
class Glm4vForConditionalGeneration(Compressing):
    """GLM-4.1V, Glyph."""


@_registered
class Glm4vMoeForConditionalGeneration(Compressing, glm4_1v.Glm4vMoeForConditionalGeneration):
    """GLM-4.5V."""
