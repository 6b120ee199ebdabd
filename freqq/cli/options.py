"""Options of `freqq eval`, which `freqq slurm-submit` reads, too, and how they become a run's settings."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freqq.cli.codecs import CODECS
from freqq.levels import LEVELS

if TYPE_CHECKING:
    from freqq.runs.machine import Machine
    from freqq.runs.settings import Settings

MODELS = ("tiny", "glyph", "glm-4.1v-9b")
"""The short names. `freqq.glm.load`, which has them too, is too heavy for a help text; a test compares the two."""


def completing(*names: str) -> Callable[[str], list[str]]:
    """What a shell offers for an option that takes one of these names."""

    def offered(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return offered


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
        help=f"{', '.join(MODELS)}, a hub id (owner/name), or a folder.",
        autocompletion=completing(*MODELS),
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
        help="mini, mrcr, or a file or folder of MRCR, Glyph's, ConvBench or chats.",
        autocompletion=completing("mini", "mrcr"),
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="NAME",
        help="mrcr or transcribe; by default what the data are made for.",
        autocompletion=completing("mrcr", "transcribe"),
    ),
]
Bin = Annotated[
    list[str] | None,
    typer.Option("--bin", metavar="RANGE", help="Lengths of context, such as 0-8k or 8k-128k. Can be repeated."),
]
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Glyph's rendering configuration; its own by default.")
]
Font = Annotated[str | None, typer.Option("--font", metavar="FILE", help="A TrueType font, for the configuration's.")]
Dpi = Annotated[float | None, typer.Option("--dpi", metavar="DPI", help="Resolution, for the configuration's.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", help="Samples for each needle count.")]
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
Generation = Annotated[
    str,
    typer.Option(
        "--generation",
        metavar="NAME",
        help="How tokens are chosen: greedy, or glyph for Glyph's protocol "
        "(temperature 1e-4, top_k 50, repetition penalty 1.1, 8192 new tokens).",
        autocompletion=completing("greedy", "glyph"),
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="What answers: local, or openai for a server of OpenAI's chat-completions protocol. Tried against "
        "freqq serve; vLLM's and SGLang's forms are followed, but no such server was tried.",
        autocompletion=completing("local", "openai"),
    ),
]
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
        help="What freqq adapt made, or the name of a shipped one; on for its method, off for the plain arm.",
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
Json = Annotated[bool, typer.Option("--json", help="Print JSON and no table.")]


def overrides(keep: str | None, bits: str | None, block: str | None, assignments: list[str] | None) -> dict[str, str]:
    """Parameters by name, as text.

    Raises
    ------
    UserError
        If an assignment is not NAME=VALUE, or a parameter is given twice.
    """
    from freqq.errors import UserError

    given = [(name, value) for name, value in (("keep", keep), ("bits", bits), ("block", block)) if value is not None]
    for text in assignments or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UserError(f"--set {text}: write it as NAME=VALUE, such as keep=0.3")
        given.append((name, value))
    if len({name for name, _ in given}) < len(given):
        raise UserError(f"a parameter is given twice: {', '.join(f'{n}={v}' for n, v in given)}")
    return dict(given)


def check_methods(methods: list[str]) -> None:
    """Refuse names that can be no method's, without the seconds that it takes to import those.

    Raises
    ------
    UserError
        If a name, or one of the two of a combination such as ``token-lowpass+quantize``, is unknown.
    """
    from freqq.errors import UserError
    from freqq.names import unknown

    for method in methods:
        first, plus, second = method.partition("+")
        for name in (first, f"token-{second}") if plus and first.startswith("token-") else (method,):
            if name not in METHODS and name not in ALIASES and not _is_added(name):
                raise unknown("method", name, (*METHODS, *ALIASES))
    if twice := [name for name in dict.fromkeys(methods) if methods.count(name) > 1]:
        raise UserError(f"--method {twice[0]} is given twice")


def _is_added(name: str) -> bool:
    """Whether a method is one that a program added, which has then imported the tables."""
    tables = (("freqq.tokens", "COMPRESSORS"), ("freqq.image", "CODECS"))
    return any(name in getattr(sys.modules.get(module), table, ()) for module, table in tables)


def settings(
    method: list[str],
    needle: list[int] | None,
    level: list[str],
    model: str,
    revision: str | None,
    data: str,
    task: str | None,
    bin: list[str] | None,
    config: str | None,
    font: str | None,
    dpi: float | None,
    limit: int,
    seed: int,
    keep: str | None,
    bits: str | None,
    block: str | None,
    assignments: list[str] | None,
    no_baseline: bool,
    max_new_tokens: int | None,
    dtype: str,
    tokens_from: str | None,
    generation: str,
    backend: str,
    served_model: str | None,
    adapter: Path | None,
    attention: str,
    quantization: str | None,
) -> "Settings":
    """A run's settings from the values of the options."""
    check_methods(method)
    from freqq.runs.settings import Settings
    from freqq.runs.sources import source, usual_needles

    return Settings(
        model=model,
        revision=revision,
        dtype=dtype,
        data=data,
        task=task,
        bins=tuple(bin or ()),
        config=config,
        font=font,
        dpi=dpi,
        needles=tuple(needle) if needle else usual_needles(source(data, task)),
        methods=tuple(method),
        levels=LEVELS if "all" in level else tuple(level),
        limit=limit,
        seed=seed,
        overrides=tuple(sorted(overrides(keep, bits, block, assignments).items())),
        baseline=not no_baseline,
        max_new_tokens=max_new_tokens,
        tokens_from=tokens_from,
        generation=generation,
        backend=backend,
        served_model=served_model,
        adapter=None if adapter is None else str(adapter),
        attention=attention,
        quantization=quantization,
    )


def machine(
    gpus: int | None,
    workers: int | None,
    device_map: str | None,
    batch_size: int | None,
    max_batch_tokens: int | None,
    prefill_chunk: int | None,
    offload: bool,
    base_url: str | None,
    concurrency: int | None,
    timeout: float | None,
    retries: int | None,
) -> "Machine":
    """What a run is computed on, from the values of the options."""
    from freqq.errors import UserError
    from freqq.runs.machine import Machine
    from freqq.serve.endpoint import Endpoint

    given = {"concurrency": concurrency, "timeout_s": timeout, "retries": retries}
    patience = {name: value for name, value in given.items() if value is not None}
    if base_url is None and patience:
        raise UserError(f"--{next(iter(patience)).removesuffix('_s')} is for a server: give its --base-url")
    endpoint = None if base_url is None else Endpoint(base_url, **patience)  # type: ignore[arg-type]
    if device_map not in (None, "auto"):
        raise UserError(f"--device-map {device_map}: auto is the only one")
    return Machine(
        gpus, workers, device_map is not None, batch_size, max_batch_tokens, prefill_chunk, offload, endpoint
    )
