"""The effect of training: adapters for several ways to reduce tokens, all trained with the same budget.

Usage: python examples/adaptations.py [--steps 2000 | --minutes M] [--limit 300] [--seed 1 --seed 2] [--only NAME ...]
       [--out DIR] [--csv FILE]

For each way, trains an adapter, evaluates the model with and without it on the same samples, and prints the share of
the gap to the uncompressed model that the adapter closes. Run it again to resume.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tables

from freqq.runs.directory import RunDirectory
from freqq.runs.schema import Row

RESAMPLES = 10_000


@dataclass(frozen=True)
class Way:
    """A method, the levels it is trained at, options, and the level of the evaluation."""

    method: str
    levels: tuple[str, ...]
    options: tuple[str, ...] = ()
    evaluated: str = "mild"


COLUMNS = ("--set", "axis=columns")
WAYS = {
    "lowpass": Way("token-lowpass", ("mild",), COLUMNS),
    "lowpass both sides": Way("token-lowpass", ("mild",)),
    "lowpass 3/4": Way("token-lowpass", ("ultra_mild",), COLUMNS, "ultra_mild"),
    "pool": Way("token-pool", ("mild",), COLUMNS),
    "prune": Way("token-prune", ("mild",)),
    "highpass": Way("token-highpass", ("mild",)),
    "stride": Way("token-stride", ("mild",)),
    "random": Way("token-random", ("mild",)),
    "nothing": Way("token-lowpass", ("baseline",), COLUMNS),
    "several": Way("token-lowpass", ("baseline", "ultra_mild", "mild"), COLUMNS),
    "merger alone": Way("token-lowpass", ("mild",), (*COLUMNS, "--train", "merger")),
    "LoRA alone": Way("token-lowpass", ("mild",), (*COLUMNS, "--train", "lora")),
    "distilled": Way("token-lowpass", ("mild",), (*COLUMNS, "--distill", "0.5")),
    "clean batches": Way("token-lowpass", ("baseline", "mild"), COLUMNS),
}


def run(*arguments: object) -> None:
    """Run freqq without its standard output."""
    subprocess.run([sys.executable, "-m", "freqq", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def evaluated(way: Way, adapter: Path | None, out: Path, given: argparse.Namespace) -> dict[str, dict[str, Row]]:
    """Rows by level and sample, of all seeds; ``none`` is the plain arm."""
    levels = [way.evaluated] if adapter is None else ["baseline", way.evaluated]
    options = [o for o in way.options if o in COLUMNS] if adapter is None else ["--adapter", adapter]
    found: dict[str, dict[str, Row]] = {}
    for seed in given.seed:
        folder = out.with_name(f"{out.name}-seed{seed}")
        chosen = [part for level in levels for part in ("--level", level)]
        run("eval", "--method", way.method, *chosen, "--limit", given.limit, "--seed", seed, *options, "--out", folder)
        for row in RunDirectory(folder).read():
            found.setdefault("none" if row.method == "baseline" else row.level, {})[row.sample_id] = row
    return found


def closed(plain: list[float], free: list[float], adapted: list[float]) -> dict[str, float]:
    """The share of the gap between training-free and plain that is closed, with its 95 % bootstrap interval."""
    scores = np.array([plain, free, adapted])
    draws = np.random.default_rng(0).integers(scores.shape[1], size=(RESAMPLES, scores.shape[1]))
    means = scores[:, draws].mean(2)
    share = (means[2] - means[1]) / (means[0] - means[1])
    whole = (scores[2] - scores[1]).mean() / (scores[0] - scores[1]).mean()
    low, high = np.quantile(share, [0.025, 0.975])
    return {"mean": float(whole), "low": float(low), "high": float(high)}


def marks(arm: str, rows: list[Row]) -> dict[str, float]:
    """Score, exact answers, right first characters."""
    columns = {"score": "score", "exact": "exact", "first": "first_char_ok"}
    return {f"{arm}_{n}": float(np.mean([getattr(row, column) for row in rows])) for n, column in columns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--minutes", type=float, help="in place of --steps")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=Path("runs/adaptations"))
    parser.add_argument("--csv", type=Path, help="where to write the results, such as examples/results/adaptations.csv")
    given = parser.parse_args()
    given.seed = given.seed or [1, 2]
    budget = ("--steps", given.steps) if given.minutes is None else ("--minutes", given.minutes)
    records: list[dict[str, Any]] = []
    print("Score / exact / first character right, in this order: trained, tokens, training-free, adapted, gap closed,")
    print("that on sparse pages, on dense pages, adapted with all tokens.")
    for name in given.only:
        way, folder = WAYS[name], given.out / name.replace(" ", "-").replace("/", "-")
        levels = [part for level in way.levels for part in ("--level", level)]
        run("adapt", "--method", way.method, *levels, *way.options, *budget, "--out", folder)
        # Ways with the same evaluation without an adapter share it.
        shared = "-".join(("free", way.method, way.evaluated, *(o for o in COLUMNS[1:] if o in way.options)))
        free = evaluated(way, None, given.out / shared, given)
        adapted = evaluated(way, folder, folder.with_name(f"{folder.name}-run"), given)
        ids = sorted(adapted["none"])
        plain, before, after = (
            [of[level][i] for i in ids]
            for of, level in ((adapted, "none"), (free, way.evaluated), (adapted, way.evaluated))
        )
        density = float(np.median([row.density or 0.0 for row in plain]))
        pages: dict[str, Callable[[Row], bool]] = {
            "closed": lambda row: True,
            "closed_sparse": lambda row, d=density: (row.density or 0.0) < d,
            "closed_dense": lambda row, d=density: (row.density or 0.0) >= d,
        }
        record = {"trained": name, "tokens": f"{np.mean([r.vision_tokens / r.vision_tokens_full for r in after]):.2f}"}
        record |= marks("free", before) | marks("adapted", after)
        for part, keep in pages.items():
            scores = ([r.score for r, p in zip(rows, plain, strict=True) if keep(p)] for rows in (plain, before, after))
            record |= tables.interval(part, closed(*scores))
        records.append(record | marks("whole", list(adapted["baseline"].values())))
        if given.csv is not None:
            tables.write(given.csv, records)
        print(tables.lines(tables.adaptation_table(records))[-1], flush=True)


if __name__ == "__main__":
    main()
