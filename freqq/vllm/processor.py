"""What models in vLLM take from a request: pages with their methods, and a placeholder for each token that is left.

The classes are mixed into those that vLLM has for a model, see `with_methods`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature
from vllm.model_executor.models.qwen2_vl import Qwen2VLMultiModalDataParser, _create_qwen2vl_field_factory
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import DictEmbeddingItems, ImageProcessorItems, MultiModalDataItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
)

from freqq.glm.families import family_of
from freqq.glm.families.base import Family
from freqq.tokens.base import TokenCompressor
from freqq.vllm import spec
from freqq.vllm.config import has_one_row
from freqq.vllm.embeds import CELLS, COUNT, EMBEDS, GRID, check_embeds
from freqq.vllm.positions import check_positions, in_line, layout, most_positions, token_count


class ProcessingInfo(BaseProcessingInfo):
    """What vLLM asks about the inputs: images, no videos; embeddings with their grid."""

    @property
    def family(self) -> Family:
        """The model's."""
        return family_of(self.get_hf_config().model_type)

    @property
    def channels(self) -> int:
        """Of one token of a page."""
        return self.family.channels(self.get_hf_config())

    @property
    def merge(self) -> int:
        """Patches a side of a merged token."""
        return merge_of(self.get_hf_config())

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """As many images as there are."""
        return {"image": None}

    def get_supported_mm_processor_kwargs(self) -> dict[str, set[str]]:
        """Those of images and text. Qwen3-VL's own would add to those of videos, which are not there."""
        return BaseProcessingInfo.get_supported_mm_processor_kwargs(self)

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        """Those of a page that nothing is taken from, whatever the default is: a request may ask for that."""
        return {"image": self.get_max_image_tokens()}

    def get_hf_processor(self, **kwargs: object) -> Any:
        """transformers' processor, which knows nothing of methods.

        If it cuts pages into tiles it does so whatever its image processor is set to, and vLLM counts by that.
        """
        processor = super().get_hf_processor(**_without_spec(kwargs))
        if hasattr(processor.image_processor, "crop_to_patches"):
            processor.image_processor.crop_to_patches = True
        return processor

    def get_data_parser(self) -> "DataParser":
        """That of `DataParser`."""
        return DataParser(
            self.merge,
            channels=self.channels,
            dtype=self.ctx.model_config.dtype,
            expected_hidden_size=self._get_expected_hidden_size(),
            allow_missing_mm_embeddings=self.allow_missing_mm_embeddings,
        )


class DummyInputs(BaseDummyInputsBuilder):
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

    vLLM's own parsers take the first at most.
    """

    def __init__(self, merge: int, *, channels: int, dtype: torch.dtype, **kwargs: Any) -> None:
        super().__init__(merge, **kwargs)
        self._merge = merge
        self._channels = channels
        self._dtype = dtype

    def _parse_image_data(self, data: Any) -> Any:
        if not isinstance(data, dict):
            return super()._parse_image_data(data)
        required, optional = self.embedding_field_sets("image")
        if EMBEDS in data:
            data = check_embeds(data, self._merge, self._channels, self._dtype)
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


OWN_FIELDS = {spec.KEY, EMBEDS, GRID, CELLS, COUNT}
"""Of those of `_fields`, the ones that vLLM's processors do not all have, or cut otherwise."""


@dataclass
class Placeholders(PromptUpdateDetails):
    """Those of a page, and how many positions more than tokens it takes. vLLM's cache keeps them beside the page."""

    beyond: int = 0


class Processor(BaseMultiModalProcessor):
    """Gives each page its method, and the prompt as many placeholders as that leaves tokens."""

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        model_config = self.info.ctx.model_config
        packed = spec.pack(spec.chosen(hf_kwargs, model_config.multimodal_config.mm_processor_kwargs))
        outputs = super()._apply_hf_processor_main(mm_items, _without_spec(hf_kwargs))
        if "pixel_values" in outputs:
            method = spec.unpack(packed)
            if method is not None:
                spec.check_channels(method, self.info.channels)
            if GRID not in outputs:
                outputs[GRID] = self._grids(mm_items)
            outputs[spec.KEY] = packed.repeat(len(outputs[GRID]), 1)
        elif EMBEDS in outputs and spec.KEY in hf_kwargs and spec.unpack(packed) is not None:
            raise ValueError(f"{spec.KEY}: {EMBEDS} are read as they are sent: leave the method out, or send pages")
        return outputs

    def _get_mm_hashes(self, inputs: Any) -> Any:
        """vLLM's, of a method as text: those of numbers are of their bytes, which different numbers may share."""
        kwargs = inputs.hf_processor_mm_kwargs
        if spec.KEY in kwargs:
            text = spec.pack(kwargs[spec.KEY]).numpy().tobytes()
            inputs = replace(inputs, hf_processor_mm_kwargs={**kwargs, spec.KEY: text})
        return super()._get_mm_hashes(inputs)

    def _grids(self, mm_items: MultiModalDataItems) -> Tensor:
        """``image_grid_thw`` of pages that are cut into tiles, of which vLLM says the number alone."""
        images, info = mm_items.get_items("image", ImageProcessorItems), self.info
        sizes = [images.get_image_size(index) for index in range(len(images))]
        processor, config = info.get_hf_processor().image_processor, info.get_hf_config()
        shapes = [info.family.grid_shape(size.height, size.width, processor, config) for size in sizes]
        return torch.tensor([(1, h * info.merge, w * info.merge) for h, w in shapes])

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        own = {name: field for name, field in _fields(hf_inputs, self.info.merge).items() if name in OWN_FIELDS}
        return {**super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs), **own}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, Any],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        config = self.info.get_hf_config()
        token = config.image_token_id
        before, behind = self.info.family.page_marks(self.info.get_tokenizer())

        def placeholders(index: int) -> Placeholders:
            data = out_mm_kwargs["image"][index].get_data()
            tokens = [token] * _count(data, self.info.merge)
            marked = PromptUpdateDetails.select_token_id(before + tokens + behind, token).is_embed
            return Placeholders(before + tokens + behind, marked if before + behind else None, beyond_of(data, config))

        return [PromptReplacement(modality="image", target=[token], replacement=placeholders)]

    def _apply_prompt_updates(self, token_ids: list[int], mm_prompt_updates: Any) -> Any:
        """The prompt with its placeholders: all pages of a request are known here, also those from the cache."""
        prompt, found = super()._apply_prompt_updates(token_ids, mm_prompt_updates)
        beyond = sum(update.content.beyond for page in mm_prompt_updates.get("image", ()) for update in page)
        check_positions(len(prompt), beyond, most_positions(self.info.ctx.model_config))
        return prompt, found


def with_methods(factories: Any) -> tuple[type, ...]:
    """The classes by which vLLM feeds a model (its ``_ProcessorFactories``: info, processor, dummy inputs), mixed."""
    return tuple(
        type(own.__name__, (own, base), {"__module__": __name__})
        for own, base in (
            (ProcessingInfo, factories.info), (Processor, factories.processor), (DummyInputs, factories.dummy_inputs)
        )
    )  # fmt: skip


def _without_spec(kwargs: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in kwargs.items() if name != spec.KEY}


def method_of(data: Mapping[str, Any]) -> TokenCompressor | None:
    """The method of a page; None: nothing is compressed."""
    return spec.unpack(data[spec.KEY]) if spec.KEY in data else None


def merge_of(config: Any) -> int:
    """Patches a side of a merged token of a model."""
    return isqrt(family_of(config.model_type).patches_per_token(config))


def shape_of(grid_thw: Tensor, merge: int) -> tuple[int, int]:
    """Rows and columns of a page's merged tokens."""
    _, h, w = grid_thw.flatten().tolist()
    return h // merge, w // merge


def span_of(data: Mapping[str, Any], merge: int, one_row: bool) -> tuple[tuple[int, int], Tensor | None]:
    """The grid that a page's positions span, and its tokens' cells on it, as `freqq.vllm.positions.layout`."""
    shape = shape_of(data[GRID], merge)
    shape, cells = (shape, data[CELLS].double().T) if CELLS in data else layout(method_of(data), *shape)
    return in_line(shape, cells) if one_row else (shape, cells)


def beyond_of(data: Mapping[str, Any], config: Any) -> int:
    """How many positions more than tokens a page takes in a model of this config; less than 0 if fewer."""
    merge = merge_of(config)
    shape, _ = span_of(data, merge, has_one_row(config.get_text_config()))
    return max(shape) - _count(data, merge)


def _count(data: Mapping[str, Any], merge: int) -> int:
    """How many tokens a page has in the prompt."""
    return int(data[COUNT]) if COUNT in data else token_count(method_of(data), *shape_of(data[GRID], merge))
