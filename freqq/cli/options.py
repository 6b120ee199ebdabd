"""Options shared by commands."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from freqq.cli.command import option, switch
from freqq.image import ALIASES as CODEC_ALIASES
from freqq.image import CODECS
from freqq.levels import LEVELS
from freqq.tokens import COMPRESSORS

METHODS, DATA, PAGES = "What is compared", "Data", "Pages"
MODEL, MACHINE, SERVER = "Model and answers", "What it runs on", "Engines and servers"
"""Titles of the groups in a help text."""


def method_names() -> list[str]:
    """All methods, including those of installed packages."""
    from freqq.runs.methods import method_names

    return method_names()


def token_method_names() -> list[str]:
    """The token methods."""
    return list(COMPRESSORS)


def codec_names(methods: Iterable[str] = CODECS) -> list[str]:
    """The short names of image codecs, without image-."""
    names = {method: alias for alias, method in CODEC_ALIASES.items()}
    return [names.get(name, name).removeprefix("image-") for name in methods if name not in CODEC_ALIASES]


def model_names() -> list[str]:
    """The short names of models, including those of installed families."""
    from freqq.glm.families import short_names

    return list(short_names())


def task_names() -> list[str]:
    """The tasks and their parts."""
    from freqq.data.tasks import names

    return names()


# A field of `EvalOptions` finds its option by name: max_new_tokens is MaxNewTokens.

Method = Annotated[
    list[str],
    option(
        "--method", "NAME,...", "How to compress: image, token, or others such as token-lowpass or "
        "token-lowpass+quantize; 'freqq methods' lists all.", METHODS, method_names,
    ),
]  # fmt: skip
Level = Annotated[
    list[str], option("--level", "NAME,...", f"Some of {', '.join(LEVELS)}, or all.", METHODS, (*LEVELS, "all"))
]
OneLevel = Annotated[list[str], option("--level", "NAME", f"One of {', '.join(LEVELS)}.", METHODS, LEVELS)]
OneTokenMethod = Annotated[list[str], option("--method", "NAME", "A token method.", METHODS, token_method_names)]
MILD = ["mild"]
"""Default level of most commands."""
Keep = Annotated[
    str | None,
    option("--keep", "FRACTION", "Fraction of coefficients or tokens to keep, instead of the level's.", METHODS),
]
Bits = Annotated[
    str | None,
    option("--bits", "L,M,H", "Bits of the low, middle and high band, instead of the level's.", METHODS),
]
Block = Annotated[str | None, option("--block", "PX", "Side of an image method's blocks; 14 by default.", METHODS)]
Set = Annotated[
    list[str] | None,
    option("--set", "NAME=VALUE,...", "Any parameters of a method, instead of the level's.", METHODS),
]
NoBaseline = Annotated[bool, switch("--no-baseline", "Leave out the run without compression.", METHODS)]
TokensFrom = Annotated[
    str | None,
    option(
        "--tokens-from", "DIR", "Read tokens stored by compress-tokens, without running the vision tower.", METHODS
    ),
]  # fmt: skip
Adapter = Annotated[
    Path | None,
    option(
        "--adapter", "DIR", "An adapter of freqq adapt, or the name of a shipped one; used for its method, not for the "
        "baseline.", METHODS,
    ),
]  # fmt: skip

Data = Annotated[
    str,
    option(
        "--data", "NAME|PATH", "mini, mrcr, ruler, ruler-mini, or a file or folder: MRCR, RULER, LongBench, Glyph's, "
        "ConvBench, or chats of OpenAI, ShareGPT or ChatGPT; 'freqq data list' shows them.", DATA,
        ("mini", "mrcr", "ruler", "ruler-mini"),
    ),
]  # fmt: skip
Look = Annotated[
    str | None,
    option(
        "--look", "NAME", "glyph: longer texts of mini and ruler-mini in Glyph's look, at any --dpi, which small "
        "reads and tiny does not.", DATA, ("glyph",),
    ),
]  # fmt: skip
Task = Annotated[
    str | None,
    option(
        "--task", "NAME", "mrcr, ruler, longbench, transcribe, or a part such as niah_multikey_1 or qasper; by default "
        "the task of the data.", DATA, task_names,
    ),
]  # fmt: skip
Context = Annotated[
    str | None,
    option("--context", "TOKENS", "Length of generated contexts, such as 8k; 4k by default for ruler.", DATA),
]
Needle = Annotated[
    list[str] | None,
    option("--needle", "2,4,8", "Needles in a chat; 2 by default, where the data have such chats.", DATA),
]
Bin = Annotated[
    list[str] | None, option("--bin", "RANGE,...", "Lengths of context in tokens, such as 0-8k or 8k-128k.", DATA)
]
Limit = Annotated[
    int,
    option(
        "--limit", "N", "Samples for each needle count, drawn in proportion from all lengths of context. A larger N "
        "adds to the same run.", DATA,
    ),
]  # fmt: skip
Seed = Annotated[int, option("--seed", "S", "Which samples are drawn.", DATA)]
SkipBad = Annotated[bool, switch("--skip-bad", "Skip the files of a folder that cannot be read.", DATA)]

Config = Annotated[
    str | None, option("--config", "FILE", "Glyph's rendering configuration; its own by default.", PAGES)
]
Font = Annotated[
    str | None,
    option(
        "--font", "FILE", "A font instead of the configuration's: TrueType, OpenType or a collection (fonts.ttc#1 is "
        "its second font).", PAGES,
    ),
]  # fmt: skip
Dpi = Annotated[float | None, option("--dpi", "DPI", "Resolution, instead of the configuration's.", PAGES)]
LineBreaks = Annotated[
    str | None,
    option(
        "--line-breaks", "NAME", "How line breaks in a message are drawn: real, or literal (a backslash and an n, as "
        "in Glyph's evaluation); by default literal for MRCR, else real.", PAGES, ("real", "literal"),
    ),
]  # fmt: skip

Model = Annotated[
    str,
    option(
        "--model", "NAME", "tiny, small, glyph, glm-4.1v-9b or another short name (freqq doctor lists them), a hub id "
        "(owner/name), or a folder.", MODEL, model_names,
    ),
]  # fmt: skip
Revision = Annotated[str | None, option("--revision", "REF", "Branch, tag or commit of a hub model.", MODEL)]
Dtype = Annotated[
    str,
    option(
        "--dtype", "NAME", "auto, float32, bfloat16 or float16.", MODEL, ("auto", "float32", "bfloat16", "float16")
    ),
]  # fmt: skip
Attention = Annotated[
    str,
    option(
        "--attention", "NAME", "sdpa, eager or flash_attention_2; auto takes flash_attention_2 on a GPU in half "
        "precision if it is installed, else sdpa.", MODEL, ("auto", "sdpa", "eager", "flash_attention_2"),
    ),
]  # fmt: skip
Quantization = Annotated[
    str | None,
    option(
        "--quantization", "int8|nf4", "Store the linear layers of the language model in 8 or 4 bits, by bitsandbytes, "
        "which freqq's extra quantization installs.", MODEL, ("int8", "nf4"),
    ),
]  # fmt: skip
Protocol = Annotated[
    str | None,
    option(
        "--protocol", "NAME", "How samples are asked, answered and graded: official (the default: greedy decoding, the "
        "data set's own metric on the answer after the model's thoughts), or glyph, as in Glyph's scripts "
        "(temperature 1e-4, top_k 50, repetition penalty 1.1, 8192 new tokens).", MODEL, ("official", "glyph"),
    ),
]  # fmt: skip
Generation = Annotated[
    str | None, option("--generation", "NAME", "The old name of --protocol: greedy or glyph.", hidden=True)
]
MaxNewTokens = Annotated[
    int | None,
    option(
        "--max-new-tokens", "N", "Longest response; by default 64 for mini, else 8192 or what the model's context has "
        "room for.", MODEL,
    ),
]  # fmt: skip

Sizes = Annotated[
    str,
    option(
        "--sizes", "NAME", "Pages whose stored tokens are counted in bytes, which takes time: all, sample (one page in "
        "eight of each chat, by --seed) or none. Changes no answer.", MACHINE,
        ("all", "sample", "none"),
    ),
]  # fmt: skip
BatchSize = Annotated[
    int | None,
    option(
        "--batch-size", "B", "Samples read together. Changes no answer in float32; in half precision it may, and other "
        "values give rows of their own.", MACHINE,
    ),
]  # fmt: skip
MaxBatchTokens = Annotated[
    int | None,
    option(
        "--max-batch-tokens", "T", "Most tokens read together, padding and new tokens included. Changes answers as "
        "--batch-size does.", MACHINE,
    ),
]  # fmt: skip
PrefillChunk = Annotated[
    int | None,
    option(
        "--prefill-chunk", "N", "Read prompts in pieces of N tokens to save memory. Changes no answer. Prompts that "
        "run out of memory are retried in pieces of 1024 in any case.", MACHINE,
    ),
]  # fmt: skip
Offload = Annotated[
    bool,
    switch(
        "--offload", "If that runs out of memory too, retry in pieces of 128 tokens and, on a GPU, with the key-value "
        "cache in main memory.", MACHINE,
    ),
]  # fmt: skip
Gpus = Annotated[
    int | None, option("--gpus", "N", "Number of processes, each with the model on a GPU of its own.", MACHINE)
]
Workers = Annotated[
    int | None, option("--workers", "N", "Number of processes that share the cores of the CPU.", MACHINE)
]
DeviceMap = Annotated[
    str | None, option("--device-map", "auto", "auto: split one model over all GPUs, by accelerate.", MACHINE)
]

Backend = Annotated[
    str,
    option(
        "--backend", "NAME", "Where the model runs: local, in this process; vllm, in an engine that is started for the "
        "run and compresses tokens; openai, in a running server of that protocol. Tried with vLLM 0.31 and 0.32 on a "
        "CPU.", SERVER,
        ("local", "vllm", "openai"),
    ),
]  # fmt: skip
BaseUrl = Annotated[
    str | None,
    option(
        "--base-url", "URL", "Address of the server, such as http://127.0.0.1:8000/v1; its key, if it needs one, is in "
        "the environment variable OPENAI_API_KEY.", SERVER,
    ),
]  # fmt: skip
ServedModel = Annotated[
    str | None,
    option(
        "--served-model", "NAME", "Name of the model on the server; by default the only one there. The vision tower of "
        "--model makes the tokens in this process.", SERVER,
    ),
]  # fmt: skip
Concurrency = Annotated[
    int | None, option("--concurrency", "N", "Requests at a time; by default 8, with vllm 32.", SERVER)
]
Timeout = Annotated[
    float | None, option("--timeout", "S", "Longest wait for an answer; by default 600 s, with vllm a day.", SERVER)
]
Retries = Annotated[
    int | None, option("--retries", "N", "Retries of a request, after growing pauses; 5 by default.", SERVER)
]
TensorParallel = Annotated[
    int, option("--tensor-parallel", "N", "GPUs that share one replica of the model (vllm).", SERVER, min=1)
]
DataParallel = Annotated[int, option("--data-parallel", "N", "Replicas of the model (vllm).", SERVER, min=1)]

Out = Annotated[
    Path | None, option("--out", "DIR", "The run directory; by default under runs/, named after the settings.")
]
RetryFailed = Annotated[bool, switch("--retry-failed", "Retry samples that failed before.")]
Shard = Annotated[
    str | None, option("--shard", "I/N", "Only part I of N, counted from 0; 'freqq runs merge' merges the parts.")
]
DryRun = Annotated[
    bool,
    switch(
        "--dry-run", "Count pages, tokens, prompt lengths, memory, disk and time, and say what cannot work; load no "
        "model.",
    ),
]  # fmt: skip
Json = Annotated[bool, switch("--json", "Print JSON and no table.")]
