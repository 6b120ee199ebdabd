"""What a run is asked to do."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqq.data.bins import parse_bin
from freqq.data.dataset import DataSet
from freqq.errors import UserError
from freqq.glm.adapter_card import AdapterCard, adapter_folder
from freqq.glm.place import ATTENTIONS, DTYPES, QUANTIZATIONS
from freqq.image import CODECS
from freqq.levels import LEVELS
from freqq.names import unknown
from freqq.pages.style import font_index
from freqq.runs.methods import canonical
from freqq.runs.protocols import OLD_NAMES, PROTOCOLS, Protocol, protocol_for
from freqq.runs.rendering import LITERAL, REAL, Rendering
from freqq.runs.sources import check_drawing, check_needles, source, token_store, usual_new_tokens

if TYPE_CHECKING:
    from freqq.tokens.store import TokenStore

BACKENDS = ("local", "vllm", "openai")

ALL, SAMPLE, NONE = "all", "sample", "none"
SIZES = (ALL, SAMPLE, NONE)
"""Of which pages the bytes of stored tokens are counted where that takes entropy coding."""

SAMPLED = 8
"""One page in so many, and at least one, is counted of each sample's pages if not all are."""


@dataclass(frozen=True)
class Settings:
    """All that can change a run's rows. What cannot (batch size, shards, device, folder) is not here.

    Parameters
    ----------
    model, revision : str
        A short name, hub id or folder, and a hub revision.
    data : str
        The data set's name or path.
    look : str or None
        What pages of `mini` or `ruler-mini` look like in place of their own look: ``glyph``.
    task : str or None
        What is asked of the model, or a part of it, such as ``niah_multikey_1``; None: what the data set is made for.
    context : int or None
        Tokens of a context, for data that are made at any length.
    bins : tuple of str
        Ranges of context length, such as ``0-8k``; empty: all.
    config, font, dpi : str, str, float or None
        Glyph's rendering configuration, and what is to hold in place of its font and resolution. `mini` has its own.
    line_breaks : str
        ``real`` or ``literal``, see `freqq.runs.rendering.Rendering`.
    needles, methods, levels : tuples
        The run has every combination; level ``baseline`` means the baseline alone.
    limit, seed : int
        Samples for each needle count, and the seed that draws them (`DataSet.drawn`).
    overrides : tuple of (name, value)
        Parameters of the methods, as text.
    baseline : bool
        Whether the baseline is run beside the methods.
    max_new_tokens : int or None
        None: what the protocol or data set says, or what the model's positions leave room for if that is less.
    tokens_from : str or None
        A folder of token streams, which are read in place of running the vision tower.
    protocol : str
        How samples are asked, answered and graded: a name of `PROTOCOLS`.
    backend : str
        What answers: ``local``, a model in this process; ``vllm``, an engine that is started for the run and compresses
        tokens itself; or ``openai``, a server of that protocol. Where such a server does not compress tokens, `model`
        is the one whose vision tower makes them here.
    served_model : str or None
        What the server calls its model; None: the only one that it has.
    adapter : str or None
        The folder or name of an adapter (`freqq.glm.adapter`) for what its method leaves; the baseline goes without.
    attention : str
        What computes it, as `freqq.glm.place.place` takes it.
    quantization : str or None
        What the language model's linear layers are stored as: ``int8`` or ``nf4``; None: as they are.
    skip_bad : bool
        Whether files of a folder of data that cannot be read are left out rather than refused.
    sizes : str
        Of which pages the bytes of stored tokens are counted where that takes entropy coding: one of
        `SIZES`. It changes no answer, so it is in no row's key; but a run has one of them.

    Raises
    ------
    UserError
        If a value is out of range or a data set or level is unknown. Methods are looked up by `plan.arms`.
    """

    model: str = "tiny"
    revision: str | None = None
    dtype: str = "auto"
    data: str = "mini"
    task: str | None = None
    bins: tuple[str, ...] = ()
    config: str | None = None
    font: str | None = None
    dpi: float | None = None
    line_breaks: str = REAL
    needles: tuple[int, ...] = (2,)
    methods: tuple[str, ...] = ("token",)
    levels: tuple[str, ...] = ("ultra_mild",)
    limit: int = 100
    seed: int = 0
    overrides: tuple[tuple[str, str], ...] = ()
    baseline: bool = True
    max_new_tokens: int | None = None
    tokens_from: str | None = None
    protocol: str = "official"
    backend: str = "local"
    served_model: str | None = None
    adapter: str | None = None
    attention: str = "auto"
    quantization: str | None = None
    skip_bad: bool = False
    context: int | None = None
    look: str | None = None
    sizes: str = ALL

    def __post_init__(self) -> None:
        check_needles(self.source, self.needles)
        parsed = [parse_bin(text) for text in self.bins]
        if len(set().union(*parsed)) < sum(map(len, parsed)):
            raise UserError(f"--bin {', '.join(self.bins)}: these ranges overlap")
        check_drawing(self.source, config=self.config, font=self.font, dpi=self.dpi)
        if not self.source.own_look:
            self.rendering  # noqa: B018 - report a bad font or configuration now
        if self.line_breaks == LITERAL and (self.source.own_look or self.source.task == "transcribe"):
            what = f"pages of {self.data}" if self.source.own_look else "pages to be transcribed"
            raise UserError(f"--line-breaks literal: {what} have real line breaks; leave it out")
        for level in self.levels:
            if level not in LEVELS:
                raise unknown("level", level, (*LEVELS, "all"))
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        if self.attention not in ATTENTIONS:
            raise unknown("attention", self.attention, ATTENTIONS)
        if self.quantization not in (None, *QUANTIZATIONS):
            raise unknown("quantization", str(self.quantization), QUANTIZATIONS)
        if self.sizes not in SIZES:
            raise unknown("sizes", self.sizes, SIZES)
        if self.limit < 1:
            raise UserError(f"--limit {self.limit}: at least one sample is needed")
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise UserError(f"--max-new-tokens {self.max_new_tokens}: at least one is needed")
        if self.store is not None and (tower := [m for m in self.methods if m in CODECS]):
            raise UserError(f"--method {tower[0]} needs the vision tower: leave out --tokens-from")
        if self.backend not in BACKENDS:
            raise unknown("backend", self.backend, BACKENDS)
        if self.backend != "openai" and self.served_model is not None:
            raise UserError("--served-model is for --backend openai")
        if self.backend != "local" and self.tokens_from is not None:
            raise UserError(f"--tokens-from is for the local backend: leave out --backend {self.backend}")
        if self.backend != "local" and self.adapter is not None:
            raise UserError(f"--adapter is for the local backend: leave out --backend {self.backend}")
        if self.backend == "vllm":
            for name, usual in (("attention", "auto"), ("quantization", None)):
                if getattr(self, name) != usual:
                    raise UserError(f"--{name} is for the local backend: vLLM chooses its own")
        self._check_adapter()
        for name in ("needles", "methods", "levels"):
            values = getattr(self, name)
            if not values:
                raise UserError(f"--{name[:-1]}: at least one is needed")
            if twice := [value for value in values if values.count(value) > 1]:
                raise UserError(f"--{name[:-1]} {twice[0]} is given twice")

    def _check_adapter(self) -> None:
        card = self.adapter_card
        if card is None:
            return
        if other := [m for m in self.methods if canonical(m) != card.method]:
            raise UserError(f"--adapter {self.adapter} was trained for {card.method}, not {other[0]}")
        if self.store is not None:
            raise UserError("--adapter changes what the vision tower makes of a page: leave out --tokens-from")

    @property
    def adapter_card(self) -> AdapterCard | None:
        """What the adapter was trained for."""
        return None if self.adapter_folder is None else AdapterCard.read(self.adapter_folder)

    @property
    def adapter_folder(self) -> Path | None:
        """Where the adapter is."""
        return None if self.adapter is None else adapter_folder(self.adapter)

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters of the methods beside their level's: what was given, and else what the adapter learned for."""
        card = self.adapter_card
        return dict(card.overrides if card else ()) | dict(self.overrides)

    @property
    def new_tokens(self) -> int:
        """The longest response."""
        return self.max_new_tokens or self.rules.new_tokens or usual_new_tokens(self.source)

    @property
    def rules(self) -> Protocol:
        """The protocol, for the task of the data."""
        return protocol_for(self.protocol, self.source.task)

    @property
    def source(self) -> DataSet:
        """The data set, for the run's task."""
        return source(self.data, self.task, self.context, self.skip_bad, self.look)

    @property
    def store(self) -> "TokenStore | None":
        """The streams that are read in place of running the vision tower."""
        return None if self.tokens_from is None else token_store(self.tokens_from)

    @property
    def bin_names(self) -> tuple[str, ...]:
        """The bins that samples are taken from; empty: all."""
        return tuple(name for text in self.bins for name in parse_bin(text))

    @property
    def rendering(self) -> Rendering:
        """How the pages of chats look that have no style of their own."""
        return Rendering.read(self.config, self.font, self.dpi, self.line_breaks)

    def as_json(self) -> dict[str, object]:
        """The settings as they stand in ``run.json``; files and folders by their absolute paths."""
        values = json.loads(json.dumps(asdict(self)))
        if self.line_breaks == REAL:
            del values["line_breaks"]  # as in runs that knew no other
        if self.look is None:
            del values["look"]  # likewise
        for name in ("model", "data", "config", "font", "tokens_from", "adapter"):
            given = getattr(self, name)
            file, index = font_index(given) if given is not None and name == "font" else (given, 0)
            if file is not None and os.path.exists(file):  # Path.exists raises if a name is too long to be one
                values[name] = str(Path(file).resolve()) + (f"#{index}" if index else "")
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Settings":
        """The settings of a ``run.json``, which may be of an older version.

        Raises
        ------
        UserError
            As for any settings.
        TypeError
            If it has settings that are not known.
        """
        return cls(**{name: _tuples(value) for name, value in renamed(values).items()})

    def directory(self) -> Path:
        """Where the run goes unless the user says otherwise: readable, and the same for the same settings.

        The same for every `limit`, too: a larger one adds to the run.
        """
        values = {name: value for name, value in self.as_json().items() if name != "limit"}
        if self.sizes == ALL:
            del values["sizes"]  # so that older runs keep their folders
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]
        needles = "+".join(map(str, self.needles))
        methods, levels = self.methods, self.levels
        if self.store is not None and not self.store.is_plain:  # no method of ours runs on those
            methods, levels = (self.store.method,), (self.store.level,)
        parts = [
            f"{Path(self.data).name}{f'-{self.look}' if self.look else ''}-{self.source.subtask or f'{needles}needle'}",
            {
                "local": Path(self.model).name,
                "vllm": f"vllm-{Path(self.model).name}",
                "openai": f"openai-{self.served_model or 'served'}",
            }[self.backend],
            "+".join(methods),
            "+".join(levels),
        ]
        name = "_".join([*parts, f"s{self.seed}"])
        return Path("runs") / f"{re.sub(r'[^A-Za-z0-9_+.-]', '-', name)[:120]}_{digest}"


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a ``run.json`` by their names of now: the protocol was called ``generation``, after its sampling."""
    found = dict(values)
    if "generation" in found:
        old = found.pop("generation")
        found.setdefault("protocol", OLD_NAMES.get(old, old))
    return found


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
