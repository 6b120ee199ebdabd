"""What the values of options ask for: methods, parameters, a run's settings, and what it is computed on."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from freqq.cli.options import ALIASES, METHODS
from freqq.levels import LEVELS

if TYPE_CHECKING:
    from freqq.runs.machine import Machine
    from freqq.runs.settings import Settings


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


def length(text: str) -> int:
    """A number of tokens such as ``8k`` (8192), ``1m`` or ``5000``.

    Raises
    ------
    UserError
        If it is none.
    """
    from freqq.errors import UserError

    found = re.fullmatch(r"(\d{1,7})([km]?)", text.strip().lower())
    if found is None:
        raise UserError(f"--context {text}: write it as a number of tokens, such as 8k or 5000")
    return int(found[1]) * {"": 1, "k": 1024, "m": 1024**2}[found[2]]


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


def protocol_name(protocol: str | None, generation: str | None) -> str:
    """The protocol that is asked for, by its name or by the old one of `--generation`.

    Raises
    ------
    UserError
        If the old name is unknown, or both are given.
    """
    from freqq.errors import UserError
    from freqq.names import unknown
    from freqq.runs.protocols import OLD_NAMES

    if generation is None:
        return protocol or "official"
    if protocol is not None:
        raise UserError("--generation is the old name of --protocol: give one of them")
    if generation not in OLD_NAMES:
        raise unknown("generation", generation, OLD_NAMES)
    return OLD_NAMES[generation]


def settings(
    method: list[str],
    needle: list[int] | None,
    level: list[str],
    model: str,
    revision: str | None,
    data: str,
    task: str | None,
    context: str | None,
    bin: list[str] | None,
    config: str | None,
    font: str | None,
    dpi: float | None,
    line_breaks: str | None,
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
    protocol: str | None,
    generation: str | None,
    backend: str,
    served_model: str | None,
    adapter: Path | None,
    attention: str,
    quantization: str | None,
    skip_bad: bool,
) -> "Settings":
    """A run's settings from the values of the options."""
    check_methods(method)
    from freqq.runs.settings import Settings
    from freqq.runs.sources import source, usual_line_breaks, usual_needles

    tokens = None if context is None else length(context)
    found = source(data, task, tokens, skip_bad)
    return Settings(
        model=model,
        revision=revision,
        dtype=dtype,
        data=data,
        task=task,
        context=tokens,
        bins=tuple(bin or ()),
        config=config,
        font=font,
        dpi=dpi,
        line_breaks=line_breaks or usual_line_breaks(found),
        needles=tuple(needle) if needle else usual_needles(found),
        methods=tuple(method),
        levels=LEVELS if "all" in level else tuple(level),
        limit=limit,
        seed=seed,
        overrides=tuple(sorted(overrides(keep, bits, block, assignments).items())),
        baseline=not no_baseline,
        max_new_tokens=max_new_tokens,
        tokens_from=tokens_from,
        protocol=protocol_name(protocol, generation),
        backend=backend,
        served_model=served_model,
        adapter=None if adapter is None else str(adapter),
        attention=attention,
        quantization=quantization,
        skip_bad=skip_bad,
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
    tensor_parallel: int = 1,
    data_parallel: int = 1,
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
        gpus, workers, device_map is not None, batch_size, max_batch_tokens, prefill_chunk, offload, endpoint,
        tensor_parallel, data_parallel,
    )  # fmt: skip
