"""Qwen2.5-VL: pages of any size, a tower that attends within windows, three rows of positions."""

from typing import Any

from freqq.glm.families.base import PatchFamily


class Qwen25VL(PatchFamily):
    """Qwen2.5-VL (arXiv:2502.13923). Its tower processes windows and returns tokens in raster order."""

    name = "Qwen2.5-VL"
    architecture = "Qwen2_5_VLForConditionalGeneration"
    image_processor = "Qwen2VLImageProcessorPil"
    short_names = {
        "qwen2.5-vl-3b": "Qwen/Qwen2.5-VL-3B-Instruct",
        "qwen2.5-vl-7b": "Qwen/Qwen2.5-VL-7B-Instruct",
    }
    engine = "qwen2_5_vl:Qwen2_5_VLForConditionalGeneration"

    def resized(self, height: int, width: int, processor: Any) -> tuple[int, int]:
        """Resized to whole tokens, within the image processor's limits of pixels."""
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

        tall, wide = smart_resize(
            height,
            width,
            factor=processor.patch_size * processor.merge_size,
            min_pixels=processor.size["shortest_edge"],
            max_pixels=processor.size["longest_edge"],
        )
        return tall, wide
