"""GLM-4.5V: GLM-4.1V's tower with a mixture-of-experts language model."""

from freqq.glm.families.glm4v import Glm4v


class Glm4vMoe(Glm4v):
    """GLM-4.5V (arXiv:2507.01006), of 106 billion parameters."""

    name = "GLM-4.5V"
    architecture = "Glm4vMoeForConditionalGeneration"
    short_names = {"glm-4.5v": "zai-org/GLM-4.5V"}
    experts = True
    engine = "glm4_1v:Glm4vMoeForConditionalGeneration"
    text_defaults = {"use_qk_norm": False}
