"""The options of an evaluation, as ``freqq eval`` and `freqq.evaluate` take them."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from freqq.errors import UserError
from freqq.levels import LEVELS
from freqq.names import several, unknown

if TYPE_CHECKING:
    from freqq.runs.machine import Machine
    from freqq.runs.settings import Settings
    from freqq.runs.shard import Shard

Several: TypeAlias = str | int | Iterable[str | int]
"""One value or several: ``"mild"``, ``"mild,extreme"``, or ``["mild", "extreme"]``."""

ASSIGNMENT = re.compile(r",(?=\s*\w+=)")
"""What parts assignments: a comma before another one; values have commas, too."""

NUMBERS = {int: "a whole number", float: "a number", bool: "True or False"}
"""The kinds of options that are numbers, in words."""


@dataclass(frozen=True)
class EvalOptions:
    """What an evaluation is asked for, by the names of the options of ``freqq eval``, whose help says what each is.

    Values are those that a shell gives, or what they mean: ``"mild,extreme"`` or ``["mild", "extreme"]``, ``"0.5"`` or
    ``0.5``, ``"8,4,2"`` or ``(8, 4, 2)``; a `UserError` says which is of another type. `settings` is what of them can
    change an answer, `machine` the rest.
    """

    method: Several = ("token",)
    level: Several = ("ultra_mild",)
    keep: float | str | None = None
    bits: str | Iterable[int] | None = None
    block: int | str | None = None
    set: Mapping[str, Any] | Several = ()
    no_baseline: bool = False
    tokens_from: str | Path | None = None
    adapter: str | Path | None = None
    data: str | Path = "mini"
    look: str | None = None
    task: str | None = None
    context: int | str | None = None
    needle: Several = ()
    bin: Several = ()
    limit: int = 100
    seed: int = 0
    skip_bad: bool = False
    config: str | Path | None = None
    font: str | Path | None = None
    dpi: float | None = None
    line_breaks: str | None = None
    model: str | Path = "tiny"
    revision: str | None = None
    dtype: str = "auto"
    attention: str = "auto"
    quantization: str | None = None
    protocol: str | None = None
    generation: str | None = None
    max_new_tokens: int | None = None
    sizes: str = "all"
    batch_size: int | None = None
    max_batch_tokens: int | None = None
    prefill_chunk: int | None = None
    offload: bool = False
    gpus: int | None = None
    workers: int | None = None
    device_map: str | None = None
    backend: str = "local"
    base_url: str | None = None
    served_model: str | None = None
    concurrency: int | None = None
    timeout: float | None = None
    retries: int | None = None
    tensor_parallel: int = 1
    data_parallel: int = 1
    out: str | Path | None = None
    retry_failed: bool = False
    shard: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            kinds = set(get_args(field.type) or (field.type,)) - {NoneType}
            if len(kinds) == 1 and (kind := kinds.pop()) in NUMBERS:
                value = getattr(self, field.name)
                if value is not None or field.default is not None:
                    object.__setattr__(self, field.name, _number(field.name, value, kind))

    def settings(self) -> "Settings":
        """What can change an answer.

        Raises
        ------
        UserError
            If a value is unknown, out of range or given twice.
        """
        from freqq.runs.methods import check_names

        methods = several("method", self.method)
        check_names(methods)
        from freqq.runs.settings import Settings
        from freqq.runs.sources import source, usual_line_breaks, usual_needles

        context = None if self.context is None else tokens(str(self.context))
        found = source(str(self.data), self.task, context, self.skip_bad, self.look)
        return Settings(
            model=str(self.model),
            revision=self.revision,
            dtype=self.dtype,
            data=str(self.data),
            task=self.task,
            context=context,
            bins=several("bin", self.bin or ()),
            config=_text(self.config),
            font=_text(self.font),
            dpi=self.dpi,
            line_breaks=self.line_breaks or usual_line_breaks(found),
            needles=counts("needle", self.needle) or usual_needles(found),
            methods=methods,
            levels=levels(self.level),
            limit=self.limit,
            seed=self.seed,
            overrides=tuple(sorted(overrides(self.set, keep=self.keep, bits=self.bits, block=self.block).items())),
            baseline=not self.no_baseline,
            max_new_tokens=self.max_new_tokens,
            tokens_from=_text(self.tokens_from),
            protocol=self._protocol(),
            backend=self.backend,
            served_model=self.served_model,
            adapter=_text(self.adapter),
            attention=self.attention,
            quantization=self.quantization,
            skip_bad=self.skip_bad,
            look=self.look,
            sizes=self.sizes,
        )

    def machine(self) -> "Machine":
        """What answers are computed on, which changes none.

        Raises
        ------
        UserError
            If a value is out of range, or two contradict each other.
        """
        from freqq.runs.machine import Machine
        from freqq.serve.endpoint import Endpoint

        given = {"concurrency": self.concurrency, "timeout_s": self.timeout, "retries": self.retries}
        patience: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if self.base_url is None and self.backend != "vllm" and patience:
            raise UserError(
                f"--{next(iter(patience)).removesuffix('_s')} is for a server: give its --base-url, or --backend vllm"
            )
        if self.device_map not in (None, "auto"):
            raise UserError(f"--device-map {self.device_map}: auto is the only one")
        return Machine(
            gpus=self.gpus,
            workers=self.workers,
            spread=self.device_map is not None,
            batch_size=self.batch_size,
            max_batch_tokens=self.max_batch_tokens,
            prefill_chunk=self.prefill_chunk,
            offload=self.offload,
            endpoint=None if self.base_url is None else Endpoint(self.base_url, **patience),
            limits=patience,
            tensor_parallel=self.tensor_parallel,
            data_parallel=self.data_parallel,
        )

    def part(self) -> "Shard | None":
        """The part of the run that is asked for; None: all of it."""
        from freqq.runs.shard import Shard

        return None if self.shard is None else Shard.parse(self.shard)

    def folder(self) -> Path | None:
        """The run directory; None: one that is named after the settings."""
        return None if self.out is None else Path(self.out)

    def _protocol(self) -> str:
        """The protocol by its name, or by the old one of ``generation``."""
        from freqq.runs.protocols import OLD_NAMES

        if self.generation is None:
            return self.protocol or "official"
        if self.protocol is not None:
            raise UserError("--generation is the old name of --protocol: give one of them")
        if self.generation not in OLD_NAMES:
            raise unknown("generation", self.generation, OLD_NAMES)
        return OLD_NAMES[self.generation]


def levels(given: object) -> tuple[str, ...]:
    """The levels that are asked for, in the order in which they were; ``all`` is every one."""
    found = several("level", given)
    return LEVELS if "all" in found else found


def counts(option: str, given: object) -> tuple[int, ...]:
    """The whole numbers that are asked for."""
    found = several(option, given or ())
    for text in found:
        if not text.isdecimal():
            raise UserError(f"--{option} {text}: write it as a whole number, such as 2")
    return tuple(map(int, found))


def overrides(assigned: object, **given: object) -> dict[str, str]:
    """Parameters of methods by name, as text.

    Parameters
    ----------
    assigned : mapping, str or iterable of str
        By name, or as ``NAME=VALUE``, several with commas between.
    given : object
        Parameters that have options of their own; None: not given.

    Raises
    ------
    UserError
        If an assignment is not NAME=VALUE, or a parameter is given twice.
    """
    found = [(name, _value(value)) for name, value in given.items() if value is not None]
    if isinstance(assigned, Mapping):
        found += [(name, _value(value)) for name, value in assigned.items()]
    else:
        for text in [assigned] if isinstance(assigned, str) else assigned or ():  # type: ignore[attr-defined]
            for one in ASSIGNMENT.split(text):
                name, equals, value = one.strip().partition("=")
                if not (name and equals):
                    raise UserError(f"--set {one}: write it as NAME=VALUE, such as keep=0.3")
                found.append((name, value))
    if len({name for name, _ in found}) < len(found):
        raise UserError(f"a parameter is given twice: {', '.join(f'{n}={v}' for n, v in found)}")
    return dict(found)


def tokens(text: str) -> int:
    """A number of tokens such as ``8k`` (8192), ``1m`` or ``5000``.

    Raises
    ------
    UserError
        If it is none.
    """
    found = re.fullmatch(r"(\d{1,7})([km]?)", text.strip().lower())
    if found is None:
        raise UserError(f"--context {text}: write it as a number of tokens, such as 8k or 5000")
    return int(found[1]) * {"": 1, "k": 1024, "m": 1024**2}[found[2]]


def _number(name: str, value: object, kind: type) -> int | float | bool:
    """An option that is a number or a switch, by its value or as the text that a shell gives."""
    written = (str, Integral) if kind is int else (str, Real) if kind is float else bool
    if isinstance(value, written) and isinstance(value, bool) == (kind is bool):
        with suppress(ValueError):
            return kind(value)
    raise UserError(f"{name}={value!r}: give {NUMBERS[kind]}")


def _value(value: object) -> str:
    """A parameter's value as it would be typed."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ",".join(map(str, value))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
