"""A run's results as columns of numbers, grouped by arm."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from freqq.data.bins import BINS
from freqq.errors import FreqqError
from freqq.report.run_folders import behind, check_merged, described_then
from freqq.runs.directory import RESULTS, RUN
from freqq.runs.schema import BASELINE, SCHEMA, renamed

COSTS = (
    "vision_tokens_full vision_tokens token_bytes_raw token_bytes image_bytes_raw image_bytes prompt_tokens kv_bytes "
    "render_ms encode_ms decode_ms vision_ms compress_ms prefill_ms decode_ms_per_token new_tokens"
).split()
"""Columns averaged over the samples that did not fail."""

LABELS = ("subtask", "outcome")
"""Optional text columns that divide the samples of an arm."""

CUT = "cut while thinking"
"""The outcome of responses that older versions only mark as ``truncated``."""

TEXT = ("sample_id", "task", "bin", "method", "level", "params", "config_hash", "error", "page_hash", *LABELS)
NUMBERS = ("needles", "score", "exact", "cer", "wer", "density", "truncated", "peak_memory_bytes", *COSTS)
COLUMNS = (*TEXT, *NUMBERS, "started_at")
"""Columns that statistics need; the texts of answers, most of a file, are not read."""

KV_PARTS = ("kv_prompt_bytes", "kv_answer_bytes")

Floats = NDArray[np.float64]
Texts = NDArray[np.object_]


@dataclass(frozen=True)
class Samples:
    """One arm's samples, in the natural order of their ids.

    Parameters
    ----------
    ids, bins, errors, page_hashes : object [n], text; errors and hashes may be None
    labels : mapping of `LABELS` to object [n], text or None
    values : mapping of a column's name to float64 [n], nan if not measured
    """

    ids: Texts
    needles: NDArray[np.int64]
    bins: Texts
    errors: Texts
    page_hashes: Texts
    labels: Mapping[str, Texts]
    values: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def score(self) -> Floats:
        """Scores; 0 for failed samples."""
        return self.values["score"]

    @cached_property
    def failed(self) -> NDArray[np.bool_]:
        """Mask of the samples with an error."""
        return np.array([error is not None for error in self.errors], bool)

    def take(self, at: NDArray[np.int64]) -> "Samples":
        """Some of the samples, by index."""
        return Samples(
            self.ids[at],
            self.needles[at],
            self.bins[at],
            self.errors[at],
            self.page_hashes[at],
            {name: column[at] for name, column in self.labels.items()},
            {name: column[at] for name, column in self.values.items()},
        )

    def like(self, other: "Samples") -> "Samples":
        """The same samples with another arm's bins and labels."""
        return replace(self, bins=other.bins, labels=other.labels)

    def with_needles(self, needles: int | None) -> "Samples":
        """The samples of a needle count; None: all."""
        return self if needles is None else self.take(np.flatnonzero(self.needles == needles))


@dataclass(frozen=True)
class ArmResults:
    """A method at a level, with its parameters as JSON, and its samples."""

    method: str
    level: str
    params: str
    config_hash: str
    samples: Samples

    @property
    def is_baseline(self) -> bool:
        """Whether nothing was compressed."""
        return self.method == BASELINE


@dataclass(frozen=True)
class Results:
    """The results of a run directory, arms in the order of its plan.

    Parameters
    ----------
    description : mapping
        ``run.json``, with the limit and the grading of these results: a run can have grown or been graded again since.
    note : str
        How the results lag behind ``run.json``, and what to do; empty if they do not.
    versions, hardware : tuples
        All that produced its rows.
    """

    path: Path
    description: Mapping[str, Any]
    task: str
    arms: tuple[ArmResults, ...]
    versions: tuple[Mapping[str, Any], ...]
    hardware: tuple[Mapping[str, Any], ...]
    started_at: str
    ended_at: str
    note: str = ""

    @property
    def needles(self) -> tuple[int, ...]:
        """The needle counts, ascending."""
        return tuple(sorted({int(n) for arm in self.arms for n in np.unique(arm.samples.needles)}))

    @property
    def baseline(self) -> ArmResults | None:
        """The arm without compression, if there is one."""
        return next((arm for arm in self.arms if arm.is_baseline), None)


def read_results(path: Path) -> Results:
    """The results of a run directory.

    Raises
    ------
    UserError
        If it is not a run directory, or not finished.
    FreqqError
        If its results are damaged or lack columns.
    """
    plan = check_merged(path)
    file = path / RESULTS
    try:
        with pq.ParquetFile(file) as source:
            names = source.schema_arrow.names
            if lacking := [n for n in COLUMNS if n not in (*names, *LABELS) and not SCHEMA.field(n).nullable]:
                raise FreqqError(f"{file} lacks the columns {', '.join(lacking)}: too old, or not of freqq")
            metadata = json.loads((source.schema_arrow.metadata or {}).get(b"freqq", b"{}"))
            table = source.read(columns=[n for n in COLUMNS if n in names], use_threads=False)
        columns = _columns(table)
        _check(plan, metadata, table, columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise FreqqError(f"{file} is damaged ({' '.join(str(error).split())[:200]}): merge the run again") from error
    described = described_then(plan, metadata)
    order = _natural_order(columns["sample_id"])
    columns = {name: column[order] for name, column in columns.items()}
    stamps = columns["started_at"]
    return Results(
        path,
        described,
        str(columns["task"][0]) if len(order) else "",
        tuple(_arms(plan, columns)),
        tuple(metadata.get("versions") or ()),
        tuple(metadata.get("hardware") or ()),
        str(stamps.min()) if len(order) else "",
        str(stamps.max()) if len(order) else "",
        behind(path, plan, described, len(set(columns["sample_id"]))),
    )


def _check(plan: Mapping[str, Any], metadata: object, table: pa.Table, columns: Mapping[str, NDArray[Any]]) -> None:
    """Raise a `ValueError` for results that no run writes and that would falsify statistics."""
    if not isinstance(metadata, dict):
        raise ValueError("it does not say how it was made")
    if not all({"level", "params"} <= arm.keys() for arm in plan["arms"]):
        raise ValueError(f"an arm in {RUN} has no level or params")
    for name in ("sample_id", "task", "bin", "method", "level", "params", "config_hash"):
        if table[name].null_count:
            raise ValueError(f"{name} is missing in some rows")
    if not (np.isfinite(columns["score"]).all() and np.isfinite(columns["exact"]).all()):
        raise ValueError("some scores are not numbers")
    keys = set(zip(columns["sample_id"], columns["config_hash"], strict=True))
    if len(keys) < len(columns["sample_id"]):
        raise ValueError("an answer occurs more than once")


def _columns(table: pa.Table) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for name in COLUMNS:
        if name not in table.column_names:
            found[name] = np.full(len(table), None if name in TEXT else np.nan, object if name in TEXT else np.float64)
        elif name in TEXT:
            found[name] = _texts(table[name])
        elif name == "needles":
            found[name] = table[name].to_numpy()
        elif name == "started_at":
            found[name] = table[name].cast(pa.timestamp("us")).to_numpy().astype("datetime64[s]")
        else:
            found[name] = table[name].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return found


def _texts(column: pa.ChunkedArray) -> Texts:
    """A column of text in which equal values share one object."""
    coded = column.combine_chunks().dictionary_encode()
    known = np.array([*coded.dictionary.to_pylist(), None], object)
    return known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]


def natural_order(names: Iterable[str]) -> list[str]:
    """Names in natural order: ``s-2`` before ``s-10``."""
    return sorted(names, key=lambda name: (_natural(name), name))


@lru_cache(maxsize=100_000)
def _natural(name: str) -> tuple[tuple[int, str], ...]:
    parts = enumerate(re.split(r"([0-9]+)", name))
    return tuple((len(digits := part.lstrip("0")), digits) if i % 2 else (0, part) for i, part in parts)


def bin_order(bins: Iterable[str]) -> list[str]:
    """The distinct bins, by context length."""
    return sorted(natural_order(set(bins)), key=lambda b: BINS.index(b) if b in BINS else len(BINS))


def _natural_order(ids: Texts) -> NDArray[np.int64]:
    """The permutation to the natural order of ids. Random weights depend on it, so it must be deterministic."""
    ranks = {id: rank for rank, id in enumerate(natural_order(set(ids)))}
    return np.argsort([ranks[id] for id in ids], kind="stable")


def _kv_parts(values: Mapping[str, Floats]) -> dict[str, Floats]:
    """The KV cache of the prompt and of the answer; the last new token is never read, so it has none."""
    prompt, new = values["prompt_tokens"], np.fmax(values["new_tokens"], 1)
    own = np.where(np.isfinite(prompt), prompt / (prompt + np.nan_to_num(new, nan=1.0) - 1), 1.0)
    return dict(zip(KV_PARTS, (values["kv_bytes"] * own, values["kv_bytes"] * (1 - own)), strict=True))


def _outcomes(columns: Mapping[str, NDArray[Any]]) -> Texts:
    """The outcomes of responses; older versions only mark those cut while thinking."""
    found = columns["outcome"].copy()
    found[[o is None and t == 1 for o, t in zip(found, columns["truncated"], strict=True)]] = CUT
    return found


def _arms(plan: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> list[ArmResults]:
    """Arms in the plan's order, then any others."""
    hashes = columns["config_hash"]
    labels = {"subtask": columns["subtask"], "outcome": _outcomes(columns)}
    numbers = {name: columns[name] for name in NUMBERS if name != "needles"}
    numbers |= _kv_parts(numbers)
    planned = [arm["config_hash"] for arm in plan["arms"]]
    found = []
    for own in dict.fromkeys([*planned, *sorted(set(hashes))]):
        at = np.flatnonzero(hashes == own)
        if not len(at):
            continue
        first = {name: columns[name][at[0]] for name in ("method", "level", "params")}
        first["method"] = renamed(first["method"])
        samples = Samples(
            columns["sample_id"][at],
            columns["needles"][at].astype(np.int64),
            columns["bin"][at],
            columns["error"][at],
            columns["page_hash"][at],
            {name: column[at] for name, column in labels.items()},
            {name: column[at] for name, column in numbers.items()},
        )
        found.append(ArmResults(**first, config_hash=own, samples=samples))
    return found
