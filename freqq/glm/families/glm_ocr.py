"""GLM-OCR: 0.9 billion parameters, trained to transcribe pages."""

from typing import Any

from freqq.glm.families.base import PatchFamily
from freqq.glm.families.glm4v import Glm4v


class GlmOcr(Glm4v):
    """GLM-OCR: GLM-4.1V's positions and image processing with its own tower and language model."""

    name = "GLM-OCR"
    architecture = "GlmOcrForConditionalGeneration"
    image_processor = "Glm46VImageProcessorPil"
    short_names = {"glm-ocr": "zai-org/GLM-OCR"}
    adapters = False
    engine = "glm_ocr:GlmOcrForConditionalGeneration"
    text_defaults = {}

    def pass_numbers(self, vision: Any) -> tuple[int, float]:
        """Unlike in GLM-4.1V, ``intermediate_size`` is that of a block's perceptron."""
        return PatchFamily.pass_numbers(self, vision)
