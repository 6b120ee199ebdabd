"""GLM-4.1V and Glyph: a dense language model that reads pages of any size with three rows of positions."""

from typing import Any

from freqq.glm.families.base import PatchFamily


class Glm4v(PatchFamily):
    """GLM-4.1V (arXiv:2507.01006) and Glyph (arXiv:2510.17800)."""

    name = "GLM-4.1V"
    architecture = "Glm4vForConditionalGeneration"
    image_processor = "Glm4vImageProcessorPil"
    short_names = {"glyph": "zai-org/Glyph", "glm-4.1v-9b": "zai-org/GLM-4.1V-9B-Thinking"}
    adapters = True
    engine = "glm4_1v:Glm4vForConditionalGeneration"
    # vLLM drops the biases of a checkpoint that does not say that there are any. It takes the language model's class
    # from the model type, and does not know all that have this one.
    text_defaults = {"attention_bias": True, "architectures": ["Glm4ForCausalLM"]}

    def resized(self, height: int, width: int, processor: Any) -> tuple[int, int]:
        """An image counts as one frame of a video that is repeated."""
        from transformers.models.glm4v.image_processing_pil_glm4v import smart_resize

        frames, size = processor.temporal_patch_size, processor.size
        tall, wide = smart_resize(
            num_frames=frames,
            height=height,
            width=width,
            temporal_factor=frames,
            factor=processor.patch_size * processor.merge_size * getattr(processor, "patch_expand_factor", 1),
            min_pixels=size["shortest_edge"],
            max_pixels=size["longest_edge"],
        )
        return tall, wide

    def pass_numbers(self, vision: Any) -> tuple[int, float]:
        """A block's perceptron is ``out_hidden_size`` wide; ``intermediate_size`` is the merger's, on merged tokens."""
        pixels, merger = super().pass_numbers(vision)
        return pixels, max(vision.out_hidden_size, merger // vision.spatial_merge_size**2)
