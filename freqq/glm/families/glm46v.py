"""GLM-4.6V: GLM-4.1V's model with its own image processor."""

from freqq.glm.families.glm4v import Glm4v


class Glm46v(Glm4v):
    """GLM-4.6V-Flash and fine-tunes of it."""

    name = "GLM-4.6V"
    architecture = "Glm46VForConditionalGeneration"
    image_processor = "Glm46VImageProcessorPil"
    short_names = {"glm-4.6v-flash": "zai-org/GLM-4.6V-Flash"}
