"""Options that commands share, most of them of `freqq eval`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from freqq.cli.codecs import CODECS
from freqq.levels import LEVELS


def completing(*names: str) -> Callable[[str], list[str]]:
    """What a shell offers for an option that takes one of these names."""

    def offered(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return offered


def model_names(incomplete: str) -> list[str]:
    """What a shell offers for a model: the short names, from the families."""
    from freqq.glm.families import short_names

    return [name for name in short_names() if name.startswith(incomplete)]


def task_names(incomplete: str) -> list[str]:
    """What a shell offers for a task: read where the tasks are, which only a shell that asks waits for."""
    from freqq.data.tasks import names

    return [name for name in names() if name.startswith(incomplete)]


TOKEN_METHODS = (
    "token", "token-lowpass", "token-prune", "token-highpass", "token-stratified", "token-pool", "token-random",
    "token-stride", "token-merge", "token-divprune", "token-int8", "token-int4", "token-original", "token-vq",
)  # fmt: skip
"""The token compressors. `freqq.tokens`, which has them too, is too heavy for a help text; a test compares the two."""

ALIASES = {"token-quantize": "token", "image-dct": "image"}
"""Second names of methods, likewise compared."""

METHODS = ("image", *(f"image-{name}" for name in CODECS if name != "dct"), *TOKEN_METHODS)
"""All methods, second names and combinations left out."""

Method = Annotated[
    list[str],
    typer.Option(
        "--method",
        metavar="NAME",
        help="How to compress: image, token, or another such as token-lowpass or token-lowpass+quantize. "
        "Can be repeated.",
        autocompletion=completing(*METHODS),
    ),
]
Needle = Annotated[
    list[int] | None,
    typer.Option("--needle", metavar="2|4|8", help="Needles in a chat; 2 where there are such. Can be repeated."),
]
Level = Annotated[
    list[str],
    typer.Option(
        "--level",
        metavar="NAME",
        help=f"One of {', '.join(LEVELS)}, or all. Can be repeated.",
        autocompletion=completing(*LEVELS, "all"),
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="tiny, glyph, glm-4.1v-9b or another short name (freqq doctor lists them), a hub id (owner/name), or a "
        "folder.",
        autocompletion=model_names,
    ),
]
Revision = Annotated[
    str | None, typer.Option("--revision", metavar="REF", help="Branch, tag or commit of a hub model.")
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="NAME|PATH",
        help="mini, mrcr, ruler, ruler-mini, or a file or folder: MRCR, RULER, LongBench, Glyph's, ConvBench, or chats "
        "of OpenAI, ShareGPT or ChatGPT; 'freqq data list' shows them.",
        autocompletion=completing("mini", "mrcr", "ruler", "ruler-mini"),
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help="mrcr, ruler, longbench, transcribe, or a part such as niah_multikey_1 or qasper; by default what the "
        "data are made for.",
        autocompletion=task_names,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        "--context",
        metavar="TOKENS",
        help="Length of a context that is made here, such as 8k. 4k by default for ruler.",
    ),
]
Bin = Annotated[
    list[str] | None,
    typer.Option("--bin", metavar="RANGE", help="Lengths of context, such as 0-8k or 8k-128k. Can be repeated."),
]
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Glyph's rendering configuration; its own by default.")
]
Font = Annotated[
    str | None,
    typer.Option(
        "--font",
        metavar="FILE",
        help="A font, for the configuration's: TrueType, OpenType or a collection (fonts.ttc#1: its second one).",
    ),
]
Dpi = Annotated[float | None, typer.Option("--dpi", metavar="DPI", help="Resolution, for the configuration's.")]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Go on without those files of a folder of data that cannot be read."),
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit",
        metavar="N",
        help="Samples for each needle count, drawn so that the lengths of context keep their shares. "
        "A larger N adds to the same run.",
    ),
]
LineBreaks = Annotated[
    str | None,
    typer.Option(
        "--line-breaks",
        metavar="NAME",
        help="What a line break inside a message is on a page: real, or literal, a backslash and an n, as in Glyph's "
        "evaluation. By default literal for MRCR, real for all else.",
        autocompletion=completing("real", "literal"),
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="S", help="Which samples are drawn.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="The run directory. By default one under runs/ named after the settings."
    ),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="B", help="Samples read together; changes no answer.")
]
Keep = Annotated[
    str | None,
    typer.Option("--keep", metavar="FRACTION", help="Fraction of coefficients or tokens to keep, for the level's."),
]
Bits = Annotated[
    str | None, typer.Option("--bits", metavar="L,M,H", help="Bits of the low, middle and high band, for the level's.")
]
Block = Annotated[str | None, typer.Option("--block", metavar="PX", help="Side of an image method's blocks.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any parameter of a method. Can be repeated.")
]
TokensFrom = Annotated[
    str | None,
    typer.Option(
        "--tokens-from", metavar="DIR", help="Read tokens that compress-tokens stored; the vision tower does not run."
    ),
]
NoBaseline = Annotated[bool, typer.Option("--no-baseline", help="Leave out the run without compression.")]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(
        "--max-new-tokens",
        metavar="N",
        help="Longest response. By default 64 for mini, else 8192 or what the model's context leaves room for.",
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="auto, float32, bfloat16 or float16.",
        autocompletion=completing("auto", "float32", "bfloat16", "float16"),
    ),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="How samples are asked, answered and graded: official (the default: greedy, the data set's own rule on "
        "the answer behind the model's thoughts), or glyph, each step as in Glyph's scripts (temperature 1e-4, top_k "
        "50, repetition penalty 1.1, 8192 new tokens).",
        autocompletion=completing("official", "glyph"),
    ),
]
Generation = Annotated[
    str | None,
    typer.Option("--generation", metavar="NAME", help="The old name of --protocol: greedy or glyph.", hidden=True),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="What answers: local; vllm, an engine that is started for the run and compresses tokens itself; or "
        "openai, a server of that protocol that is there. Tried with vLLM 0.31 and 0.32 on a CPU.",
        autocompletion=completing("local", "vllm", "openai"),
    ),
]
TensorParallel = Annotated[
    int,
    typer.Option("--tensor-parallel", metavar="N", min=1, help="GPUs that share one replica of the model (vllm)."),
]
DataParallel = Annotated[int, typer.Option("--data-parallel", metavar="N", min=1, help="Replicas of the model (vllm).")]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url", metavar="URL", help="Where the server is, such as http://127.0.0.1:8000/v1; its key, if it needs "
        "one, is read from the environment variable OPENAI_API_KEY.",
    ),
]  # fmt: skip
ServedModel = Annotated[
    str | None,
    typer.Option(
        "--served-model",
        metavar="NAME",
        help="What the server calls its model; by default the only one that it has. --model is then the one whose "
        "vision tower makes tokens here.",
    ),
]
Concurrency = Annotated[
    int | None, typer.Option("--concurrency", metavar="N", help="Requests under way at once; 8 by default.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="S", help="The longest wait for one answer; 600 s by default.")
]
Retries = Annotated[
    int | None,
    typer.Option("--retries", metavar="N", help="Further tries of a request, with growing pauses; 5 by default."),
]
Adapter = Annotated[
    Path | None,
    typer.Option(
        "--adapter",
        metavar="DIR",
        help="What freqq adapt made, or the name of a shipped one; on for its method, off for the baseline.",
    ),
]
Gpus = Annotated[
    int | None, typer.Option("--gpus", metavar="N", help="So many processes, each with the model on a GPU of its own.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="So many processes that share the cores of the CPU.")
]
DeviceMap = Annotated[
    str | None,
    typer.Option("--device-map", metavar="auto", help="auto: spread one model over all GPUs, by accelerate."),
]
MaxBatchTokens = Annotated[
    int | None,
    typer.Option(
        "--max-batch-tokens",
        metavar="T",
        help="Read together what is at most so many tokens, padding and new ones included; changes no answer.",
    ),
]
Attention = Annotated[
    str,
    typer.Option(
        "--attention",
        metavar="NAME",
        help="What computes attention: sdpa, eager or flash_attention_2. auto is the last where it is installed, "
        "on a GPU in half precision, else sdpa.",
        autocompletion=completing("auto", "sdpa", "eager", "flash_attention_2"),
    ),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        "--quantization",
        metavar="int8|nf4",
        help="Store the language model's linear layers in 8 or 4 bits, by bitsandbytes, which freqq's extra "
        "quantization installs.",
        autocompletion=completing("int8", "nf4"),
    ),
]
PrefillChunk = Annotated[
    int | None,
    typer.Option(
        "--prefill-chunk",
        metavar="N",
        help="Read prompts in pieces of so many tokens, for less memory; changes no answer. "
        "What runs out of memory is tried again in pieces of 1024 anyway.",
    ),
]
Offload = Annotated[
    bool,
    typer.Option(
        "--offload",
        help="Try what runs out of memory even so once more, in pieces of 128 tokens and, on a GPU, with the "
        "key-value cache in main memory.",
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try samples again that failed in an earlier run.")]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Do the I-th of N parts only; 'freqq runs merge' puts them together."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Count pages, tokens, prompt lengths, memory, disk and time, and say what cannot work; load no model.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and no table.")]
