"""Coverage of a report's intervals, in simulations of realistic scores.

    python examples/interval_coverage.py [--sets 4000] > examples/results/interval_coverage.md

For each kind of paired differences and number of samples: the mean number of changed samples, the share of 95 %
intervals that contain the true mean, and how often p < .05 if the true mean difference is 0. Tests of few samples, or
few changed ones, are coarse: if about four of 40 change, no valid test is often significant, and intervals contain the
true value more often than 95 %.
"""

import argparse
from collections.abc import Callable

import numpy as np

from freqq.report.statistics import Distribution, differences, means

Draw = Callable[[np.random.Generator, int], np.ndarray]
SIZES = (10, 40, 100, 400)
TRUTH = 1_000_000
"""Samples whose mean is taken for the truth."""


def task(rng: np.random.Generator, n: int) -> np.ndarray:
    """Scores like `SequenceMatcher`'s on a hard task: two fifths are 0, a quarter 1, the rest in between."""
    kind = rng.random(n)
    return np.where(kind < 0.4, 0.0, np.where(kind < 0.65, 1.0, rng.beta(1.2, 6, n)))


def redrawn(share: float, loss: float = 0.2) -> Draw:
    """A share of the answers becomes another, which then loses a part of its score."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        before = task(rng, n)
        return np.where(rng.random(n) < share, task(rng, n) * (1 - loss), before) - before

    return draw


def lost(share: float) -> Draw:
    """A share loses, mostly little, never gains: as skewed as it gets."""
    return lambda rng, n: np.where(rng.random(n) < share, -rng.beta(1, 2, n), 0.0)


def flipped(up: float, down: float) -> Draw:
    """Exact match: answers become right or wrong."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        u = rng.random(n)
        return np.where(u < up, 1.0, np.where(u < up + down, -1.0, 0.0))

    return draw


DIFFERENCES: dict[str, Draw] = {
    "all change a little, both ways": lambda rng, n: rng.normal(-0.01, 0.05, n).clip(-1, 1),
    "all change, skewed": lambda rng, n: -rng.beta(0.5, 6, n),
    "quarters, many ties": lambda rng, n: rng.choice(
        [-1, -0.5, -0.25, 0, 0.25, 0.5], p=[0.05, 0.1, 0.15, 0.5, 0.15, 0.05], size=n
    ),
    **{f"{100 * s:g} % redrawn": redrawn(s) for s in (1.0, 0.5, 0.2, 0.1, 0.05)},
    **{f"{100 * s:g} % lose": lost(s) for s in (0.3, 0.1, 0.04)},
    "5 % right, 10 % wrong": flipped(0.05, 0.1),
    "10 % wrong": flipped(0.0, 0.1),
    "4 % wrong": flipped(0.0, 0.04),
    "1 % right, 4 % wrong": flipped(0.01, 0.04),
    "2 % right, 2 % wrong": flipped(0.02, 0.02),
}

SCORES: dict[str, Draw] = {
    "scores of a task": task,
    "scores, three quarters 0": lambda rng, n: np.where(rng.random(n) < 0.75, 0.0, np.sqrt(task(rng, n))),
    "scores, nine tenths 1": lambda rng, n: np.where(rng.random(n) < 0.9, 1.0, rng.beta(1.2, 6, n)),
}


def covered(draw: Draw, n: int, sets: int, of: Callable[[list[np.ndarray]], list[Distribution]]) -> tuple[float, float]:
    """The fraction of `sets` intervals that hold the true mean, and how many of n values are not 0 on average."""
    truth = float(draw(np.random.default_rng(1), TRUTH).mean())
    rng = np.random.default_rng([2, n])
    held, changed = 0, 0
    for _ in range(0, sets, 500):
        samples = [draw(rng, n) for _ in range(500)]
        held += sum(e.low <= truth <= e.high for e in (d.estimate for d in of(samples)))
        changed += sum(np.count_nonzero(s) for s in samples)
    total = -(-sets // 500) * 500
    return held / total, changed / total


def main() -> None:
    parser = argparse.ArgumentParser(description="How often 95 % intervals hold the true value.")
    parser.add_argument("--sets", type=int, default=4000, help="simulated experiments a line, in steps of 500")
    sets = parser.parse_args().sets
    print(f"Intervals of 95 % that hold the true mean, of {sets} simulated experiments each (%), and in brackets how")
    print("many of the samples change on average. By `python examples/interval_coverage.py`.\n")
    print("| samples | " + " | ".join(map(str, SIZES)) + " |\n|---|" + "---|" * len(SIZES))
    for kinds, of in ((DIFFERENCES, differences), (SCORES, means)):
        for name, draw in kinds.items():
            found = [covered(draw, n, sets, of) for n in SIZES]
            cells = [
                f"{100 * held:.1f}" + (f" ({changed:.3g})" if of is differences else "") for held, changed in found
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
