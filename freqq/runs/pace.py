"""How fast a model was in an earlier run on a machine like this one, and how long that makes another run take."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from freqq.errors import FreqqError
from freqq.runs.directory import RESULTS
from freqq.runs.environment import environment
from freqq.runs.parts import schema_metadata
from freqq.runs.schema import BASELINE, Row, conform, from_table

MOST_RUNS = 200
"""Folders that are looked into."""

SAME = ("machine", "system", "gpu", "threads")
"""What makes hardware alike, besides the kind of device."""


@dataclass(frozen=True)
class Load:
    """What there is to do: sums over samples, by the names of `freqq.runs.schema.Row`."""

    samples: int
    page_pixels: float
    vision_tokens_full: float
    vision_tokens: float
    prompt_tokens: float


@dataclass(frozen=True)
class Pace:
    """Milliseconds for each unit of work, as sums over rows of an earlier run divided by sums.

    Parameters
    ----------
    run : Path
    rows : int
        That answered something.
    new_tokens : float
        Mean length of an answer.
    methods : mapping of str to float
        For each method, by its name: what it takes a pixel of a page (image methods) or a token of one (token methods).
    """

    run: Path
    rows: int
    render: float
    vision: float
    prefill: float
    decode: float
    new_tokens: float
    methods: Mapping[str, float]

    def pages_seconds(self, page_pixels: float, vision_tokens: float) -> float:
        """To draw and see the pages, which arms share."""
        return (page_pixels * self.render + vision_tokens * self.vision) / 1e3

    def arm_seconds(self, load: Load, name: str, is_image: bool, most_new_tokens: int) -> float:
        """What an arm adds: its method, where the run had it, prefill and the answer's tokens."""
        method = self.methods.get(name, 0.0) * (load.page_pixels if is_image else load.vision_tokens_full)
        seen = load.vision_tokens * self.vision if is_image else 0.0
        following = load.samples * max(0.0, min(self.new_tokens, most_new_tokens) - 1)
        return (method + seen + load.prompt_tokens * self.prefill + following * self.decode) / 1e3


def pace(folders: Iterable[Path], model_revision: str, dtype: str, device: str) -> Pace | None:
    """The pace of the newest run in some folders that had this model, number format and hardware; None if none had.

    Parameters
    ----------
    folders : folders of run directories; those that do not exist are passed over
    device : ``cpu`` or ``cuda:N``
    """
    results = {file for folder in folders for file in _results(folder)}
    for file in sorted(results, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        with suppress(OSError, pa.ArrowException, FreqqError, ValueError, TypeError, KeyError):  # whatever is there
            if _is_alike(pq.read_schema(file), model_revision, dtype, device):
                found = _pace(file.parent, from_table(conform(pq.read_table(file), file)))
                if found is not None:
                    return found
    return None


def _results(folder: Path) -> Sequence[Path]:
    return sorted(folder.glob(f"*/{RESULTS}"))[:MOST_RUNS] if folder.is_dir() else []


def _is_alike(schema: pa.Schema, model_revision: str, dtype: str, device: str) -> bool:
    metadata = schema_metadata(schema)
    config, here = metadata["config"], environment(device)["hardware"]
    if (config["model_revision"], config["dtype"]) != (model_revision, dtype):
        return False
    if config["settings"].get("tokens_from") is not None:  # no tower ran
        return False
    return all(
        there["device"].partition(":")[0] == device.partition(":")[0] and all(there[n] == here[n] for n in SAME)
        for there in metadata["hardware"]
    )


def _pace(run: Path, rows: Sequence[Row]) -> Pace | None:
    good = [row for row in rows if row.error is None and row.prefill_ms is not None]
    plain = list({row.sample_id: row for row in good if not row.method.startswith("image")}.values())
    if not plain:
        return None
    following = [max(0, (row.new_tokens or 1) - 1) for row in good]
    return Pace(
        run=run,
        rows=len(good),
        render=_ratio([r.render_ms for r in plain], [r.page_pixels for r in plain]),
        vision=_ratio([r.vision_ms for r in plain], [r.vision_tokens_full for r in plain]),
        prefill=_ratio([r.prefill_ms for r in good], [r.prompt_tokens for r in good]),
        decode=_ratio([(r.decode_ms_per_token or 0) * n for r, n in zip(good, following, strict=True)], following),
        new_tokens=sum(row.new_tokens or 0 for row in good) / len(good),
        methods={name: _method(name, good) for name in {row.method for row in good} - {BASELINE}},
    )


def _method(name: str, rows: Sequence[Row]) -> float:
    own = [row for row in rows if row.method == name]
    if name.startswith("image"):
        return _ratio([(r.encode_ms or 0) + (r.decode_ms or 0) for r in own], [r.page_pixels for r in own])
    return _ratio([r.compress_ms for r in own], [r.vision_tokens_full for r in own])


def _ratio(times: Sequence[float | None], work: Sequence[float | None]) -> float:
    total = sum(value or 0 for value in work)
    return sum(value or 0 for value in times) / total if total else 0.0
