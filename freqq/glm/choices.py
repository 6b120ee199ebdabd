"""What a user may choose of a model's placement; apart from `freqq.glm.place`, which takes torch and so a second."""

DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("auto", "sdpa", "eager", "flash_attention_2")
QUANTIZATIONS = ("int8", "nf4")
