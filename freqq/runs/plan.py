"""The plan of a run: its arms, its samples in order, and which shard does what."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from freqq.data.dataset import DataSet
from freqq.data.draws import Drawn
from freqq.data.index import Entry
from freqq.data.sample import Sample
from freqq.errors import UserError
from freqq.glm.adapter_card import digest
from freqq.image.base import ImageCodec, Watch, once
from freqq.pages.glyph import GlyphConfig
from freqq.pages.style import Style
from freqq.runs.methods import Method, canonical, check_overrides, method_at, method_class, packages, params_json
from freqq.runs.rendering import length
from freqq.runs.schema import BASELINE, FORMERLY
from freqq.runs.settings import Settings
from freqq.runs.shard import Shard
from freqq.tokens.base import TokenCompressor
from freqq.tokens.codebooks import look_in


@dataclass(frozen=True)
class Arm:
    """One way to read every sample: a method at a level, or (``method`` None) nothing compressed.

    ``adapter`` is the digest of the adapter that is on, if one is; ``stored`` are the parameters, as JSON, of the
    method that tokens were stored by which are read as they are.
    """

    name: str
    level: str
    method: "Method | None"
    adapter: str | None = None
    stored: str | None = None

    @property
    def label(self) -> str:
        """What tells it from the others of a run."""
        return f"{self.name} ({self.level})"

    @property
    def params(self) -> str:
        """The method's parameters as JSON."""
        return params_json(self.method) if self.stored is None else self.stored


BASELINE_ARM = Arm(BASELINE, "baseline", None)


def arms(settings: Settings) -> list[Arm]:
    """The arms of a run, the plain one first; that of tokens stored compressed is named after their method.

    Raises
    ------
    UserError
        If a method or parameter is unknown, if nothing is left to run, if two levels came out equal, or if a method is
        to start from tokens that were stored compressed.
    """
    card, folder, adapter = settings.adapter_card, settings.adapter_folder, None
    if folder is not None:
        adapter = digest(folder)
        look_in(folder)  # one of token-vq may have a codebook of its own
    overrides = settings.parameters
    check_overrides(settings.methods, overrides)
    levels = [level for level in settings.levels if level != "baseline"]
    found = [
        Arm(canonical(m), level, method_at(m, level, overrides), adapter)
        for m in settings.methods
        for level in _distinct(m, levels)
    ]
    for i, arm in enumerate(found):
        for other in found[:i]:
            if (arm.name, arm.params) == (other.name, other.params):
                raise UserError(
                    f"{arm.name} is the same at {other.level} and {arm.level} with these parameters: drop one"
                )
    if card is not None and "baseline" in settings.levels:
        found.insert(0, Arm(card.method, "baseline", None, adapter))
    plain, store = BASELINE_ARM, settings.store
    if store is not None and not store.is_plain:
        plain = Arm(canonical(store.method), store.level, None, stored=store.params)
        if found:
            raise UserError(
                f"the tokens in {settings.tokens_from} were compressed by {plain.name} ({plain.level}), and no method "
                "can start from those: add --level baseline to read them as they are, or store them by freqq "
                "compress-tokens --level baseline"
            )
    if settings.baseline:
        found.insert(0, plain)
    if not found:
        raise UserError("--no-baseline with the level baseline alone leaves nothing to run")
    return found


def prepared(
    todo: Sequence[Arm],
    configs: Iterable[GlyphConfig],
    note: Callable[[str], object] = lambda text: None,
    watch: Watch | None = None,
) -> list[Arm]:
    """The arms, the image methods with all that they need for pages of these configurations (`ImageCodec.prepared`)."""
    looks, say = list(configs), once(note)
    return [
        replace(arm, method=arm.method.prepared(looks, say, watch)) if isinstance(arm.method, ImageCodec) else arm
        for arm in todo
    ]


def _distinct(method: str, levels: Sequence[str]) -> list[str]:
    """Those of the levels that the method defines otherwise than the ones before: a lossless codec has but one."""
    own = method_class(method).LEVELS
    return [level for i, level in enumerate(levels) if own[level] not in [own[before] for before in levels[:i]]]


@dataclass(frozen=True)
class Identity:
    """Which model really ran: a content revision, and the number format and attention that ``auto`` came out as.

    Parameters
    ----------
    served : str or None
        What a server calls its model; of its number format nothing is known, and of its content what the server says.
    tower : str or None
        Beside a server, the revision and number format of the model here whose vision tower makes tokens.
    together : (samples, tokens or None) or None
        How much is read at once, if that can change an answer (`freqq.runs.machine.Machine.together`).
    """

    model_revision: str
    dtype: str
    attention: str = "sdpa"
    served: str | None = None
    tower: str | None = None
    together: tuple[int, int | None] | None = None


def config_hash(settings: Settings, identity: Identity, arm: Arm, data: DataSet | None = None) -> str:
    """Half of a row's key: covers what can change an answer to a given sample, and nothing else.

    The sample's id covers its needles and seed. How a level is called, how many samples there are and on what machine
    they are read changes no answer; in what batches, only where they are told.

    Parameters
    ----------
    data : DataSet, optional
        What the samples were read from; the settings' own, as it is now, if it is not given.
    """
    data = data or settings.source
    covered: dict[str, Any] = {
        "model_revision": identity.model_revision,
        "dtype": identity.dtype,
        "data": [data.format, data.revision, data.task],
        "rendering": asdict(Style()) if data.own_look else settings.rendering.identity(),
        "method": FORMERLY if arm.name == BASELINE else arm.name,  # the keys of runs that are there stay
        "params": json.loads(arm.params),
        "generation": settings.rules.identity() | {"max_new_tokens": settings.new_tokens},
    }
    if arm.method is not None and arm.method.resources:
        covered["resources"] = arm.method.resources
    if brought := packages(arm.name):
        covered["packages"] = brought
    if arm.adapter is not None:
        covered["adapter"] = arm.adapter
    # Left out as they are by default, so that the keys of runs stay that knew neither.
    if identity.attention != "sdpa":
        covered["attention"] = identity.attention
    if identity.together is not None:
        covered["together"] = identity.together
    if settings.quantization is not None:
        covered["quantization"] = settings.quantization
    if settings.store is not None:
        covered["tokens"] = settings.store.revision
    if settings.backend != "local":
        covered["backend"] = [settings.backend, identity.served]
        if isinstance(arm.method, TokenCompressor):
            covered["tower"] = identity.tower
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()[:16]


def draw(settings: Settings) -> Drawn:
    """All samples of a run in their natural order, needle counts one after another, and how they were drawn.

    Raises
    ------
    UserError
        If a record is damaged or could not be graded, or no sample of the data set is asked for.
    """
    data, bins = settings.source, settings.bin_names
    found = [data.drawn(needles, settings.limit, settings.seed, bins) for needles in settings.needles]
    everything = [entry for one in found for entry in one.entries]
    if not everything:
        part = f" of {data.subtask}" if data.subtask else ""
        raise UserError(
            f"{settings.data} has no sample{part} of bin {', '.join(settings.bins) or 'any'} with these needles"
        )
    for entry in everything:
        if entry.fault is not None:
            raise UserError(f"{settings.data}, sample {entry.bare.id}: {entry.fault}")
    return Drawn(tuple(everything), tuple(stratum for one in found for stratum in one.strata))


def share(everything: Sequence[Entry], shard: Shard) -> list[Entry]:
    """A shard's samples: longest first, round robin. Neighbours are of like length, so batches pad little."""
    order = sorted(everything, key=lambda entry: (-_size(entry), entry.bare.id))
    return order[shard.index :: shard.count]


def _size(entry: Entry) -> int:
    return known_length(entry.bare) if entry.size is None else entry.size


def known_length(sample: Sample) -> int:
    """As `length`; 0 for a sample that cannot be laid out. Its row will say why."""
    try:
        return length(sample)
    except UserError:
        return 0
