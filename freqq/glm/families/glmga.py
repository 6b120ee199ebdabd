"""GLM-GA: GLM-4.6V's model behind an image processor that can merge patches further."""

from freqq.glm.families.glm46v import Glm46v


class Glmga(Glm46v):
    """Models of the type ``glmga``, which transformers runs with GLM-4.6V's classes."""

    name = "GLM-GA"
    architecture = "Glm46VForConditionalGeneration"
    image_processor = "GlmgaImageProcessorPil"
    short_names = {}
    adapters = False
