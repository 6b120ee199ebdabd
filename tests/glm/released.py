"""Chat templates and a tokenizer in the forms of the released models, small and written for tests."""

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_PARTS = (
    "{% macro shown(content) %}{% if content is string %}{{ content }}{% else %}{% for part in content %}"
    "{% if part.type == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}{% endmacro %}"
)
_TURNS = (
    "[gMASK]<sop>" + _PARTS + "{% for m in messages %}<|{{ m.role }}|>\n{{ shown(m.content) }}{{ SUFFIX }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{{ OPENING }}{% endif %}"
)
_OFF = "enable_thinking is defined and not enable_thinking"


def _template(suffix: str = "''", opening: str = "'\\n'") -> str:
    return _TURNS.replace("SUFFIX", suffix).replace("OPENING", opening)


_NOTHINK = f"'/nothink' if m.role == 'user' and {_OFF} and not shown(m.content).endswith('/nothink') else ''"

TEMPLATES = {
    "GLM-4.1V-9B-Thinking": _template(),
    "GLM-4.5V": _template(_NOTHINK, f"'\\n<think></think>' if {_OFF} else ''"),
    "GLM-4.6V": _template(_NOTHINK, f"'\\n<think></think>\\n' if {_OFF} else '\\n'"),
    "thoughts begun": _template(opening="'<think>'"),
    "trimmed": _template().replace("{{ part.text }}", "{{ part.text | trim }}"),
}
"""The first three as released (how a turn is set, the thinking switch, how the answer is begun); the fourth as of later
models of the maker; the last as templates of other makers do."""

SPECIAL = (
    "<|endoftext|> [MASK] [gMASK] [sMASK] <sop> <eop> <|system|> <|user|> <|assistant|> <|observation|> "
    "<|begin_of_image|> <|end_of_image|> <|begin_of_video|> <|end_of_video|> <|image|> <|video|>"
).split()
PLAIN = {
    "GLM-4.1V-9B-Thinking": ["<think>", "</think>", "<answer>", "</answer>"],
    "GLM-4.5V": ["<think>", "</think>", "/nothink", "<|begin_of_box|>", "<|end_of_box|>"],
}
"""Added tokens that are not special, so that every text's own are tokens, too."""

_WORDS = [
    "Prepend aYooSG8CQg to the second (1 indexed) poem about tapirs.\n\nDo not include any other text.\n",
    "\n\nUser: write a poem\nAssistant: the tapir\n\n\nwades\n",
] * 20


def tokenizer(name: str) -> Any:
    """A byte-level tokenizer of GLM's kind with the template and the added tokens of a released model.

    As in GLM's, several line breaks are one token.
    """
    core = Tokenizer(models.BPE())
    words = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(words, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        _WORDS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    )
    core.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    core.add_tokens([AddedToken(token, normalized=False) for token in PLAIN.get(name, PLAIN["GLM-4.5V"])])
    made = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=SPECIAL[0], pad_token=SPECIAL[0])
    made.chat_template = TEMPLATES[name]
    return made
