"""Run directories with made-up scores, in the very files that an evaluation leaves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.parts import parquet
from freqq.runs.schema import Row, to_table
from freqq.runs.settings import Settings
from tests.runs.test_schema import make_row

BINS = ("0k_8k", "8k_16k", "16k_32k", "32k_64k", "64k_128k")
ARMS = {
    ("baseline", "baseline"): 1.0,
    ("token", "mild"): 0.6,
    ("token", "aggressive"): 0.11,
    ("image", "mild"): 1.0,
}
"""Arms, and the fraction of token bytes that each stores."""

VERSIONS = {"freqq": "0.1.0", "torch": "2.13.0"}


def scores(rng: np.random.Generator, n: int) -> np.ndarray:
    """Like `SequenceMatcher`'s on a hard task: two fifths are 0, a quarter 1, the rest in between."""
    kind = rng.random(n)
    return np.where(kind < 0.4, 0.0, np.where(kind < 0.65, 1.0, rng.beta(1.2, 6, n)))


def changed(rng: np.random.Generator, before: np.ndarray, share: float, loss: float) -> np.ndarray:
    """Scores of which a share was drawn again, and then lost a fraction."""
    return np.where(rng.random(len(before)) < share, scores(rng, len(before)) * (1 - loss), before)


def made_rows(samples: int = 200, needles: tuple[int, ...] = (2, 4, 8), seed: int = 0, **columns: Any) -> list[Row]:
    """Rows of `ARMS` on so many samples a needle count, bins in turn."""
    rows = []
    for count in needles:
        rng = np.random.default_rng([seed, count])
        plain = scores(rng, samples)
        for number, ((method, level), rate) in enumerate(ARMS.items()):
            own = plain if method == "baseline" else changed(rng, plain, 0.1 * number, 0.1 * number)
            rows += [
                make_row(**{
                    "sample_id": f"{count}needle-{i}", "needles": count, "bin": BINS[i % len(BINS)], "method": method,
                    "level": level, "config_hash": f"{method}-{level}", "score": float(own[i]),
                    "exact": bool(own[i] == 1), "response": "made up", "page_hash": f"p{count}-{i}", "density": 0.5,
                    "image_bytes_raw": 5000 + i, "image_bytes": (5000 + i) * (3 if method == "image" else 1),
                    "vision_tokens_full": 150, "vision_tokens": 150, "token_bytes_raw": 76800,
                    "token_bytes": round(76800 * rate), "prompt_tokens": 170, "kv_bytes": 10**6, "prefill_ms": 30.0 + i,
                } | columns)
                for i in range(samples)
            ]  # fmt: skip
    return rows


def write_run(path: Path, rows: list[Row], settings: Settings | None = None, **description: Any) -> Path:
    """A merged run directory of rows; `description` goes over what ``run.json`` would say."""
    arms = {row.config_hash: (row.method, row.level, row.params) for row in rows}
    plan = {
        "settings": (settings or Settings()).as_json(),
        "model_revision": "m1",
        "dtype": "float32",
        "data_revision": "mini-1",
        "arms": [
            {"method": method, "level": level, "params": params, "config_hash": own}
            for own, (method, level, params) in arms.items()
        ],
        "samples": list(dict.fromkeys(row.sample_id for row in rows)),
    } | description
    RunDirectory(path).record(plan)
    metadata = {"config": plan, "versions": [VERSIONS], "hardware": [{"device": "cpu"}]}
    (path / RESULTS).write_bytes(parquet(to_table(rows), metadata))
    return path


def fallen(n: int, *losses: float) -> list[Row]:
    """Rows of a baseline with all answers right, and of an arm with .4 of the bytes that loses so much on each."""
    base = [replace(r, score=1.0, exact=True) for r in made_rows(n, (2,)) if r.method == "baseline"]
    return base + [
        replace(r, method="token", level="mild", config_hash="m", token_bytes=30720, score=1 - loss, exact=not loss)
        for r, loss in zip(base, losses, strict=True)
    ]


def failed(rows: list[Row]) -> list[Row]:
    """The same, all failed."""
    return [replace(r, score=0.0, exact=False, error="OSError: disk", response=None) for r in rows]
