"""How many vision tokens each method can drop before the score falls by more than 0.02.

Usage: python examples/largest_cut.py [--limit 200] [--needle 2] [--seed 1] [--fractions 0.9 0.5 ...] [--out DIR]
       [--csv FILE]

Tries smaller and smaller fractions of the tokens, each time with the methods that have stayed within 0.02 of the
baseline so far, on the same samples. Prints the last fraction within, its difference with a 95 % interval, and the
first beyond. Run it again to resume.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import tables

from freqq.tokens import COMPRESSORS
from freqq.tokens.base import Cutter

FRACTIONS = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.4, 0.3)
LOSS = 0.02


def differences(methods: list[str], keep: float, given: argparse.Namespace) -> dict[str, Any]:
    """The paired difference to the baseline of each method."""
    command = [sys.executable, "-m", "freqq", "eval", "--level", "mild", "--keep", str(keep), "--json"]
    command += [part for method in methods for part in ("--method", method)]
    command += ["--needle", str(given.needle), "--limit", str(given.limit), "--seed", str(given.seed)]
    done = subprocess.run([*command, "--out", str(given.out / f"keep-{keep}")], check=True, stdout=subprocess.PIPE)
    return {group["method"]: group["difference"] for group in json.loads(done.stdout)["groups"]}


def reached(name: str, keep: float | None = None, difference: dict[str, Any] | None = None) -> dict[str, Any]:
    """A fraction of the tokens and the difference there, as columns of the results."""
    return {name: keep} | tables.interval(f"{name}_difference", difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--needle", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fractions", type=float, nargs="+", default=FRACTIONS)
    parser.add_argument("--out", type=Path, default=Path("runs/largest-cut"))
    parser.add_argument("--csv", type=Path, help="where to write the results, such as examples/results/largest_cut.csv")
    given = parser.parse_args()
    left = [name for name, cls in COMPRESSORS.items() if issubclass(cls, Cutter)]
    records = {name: {"method": name} | reached("within") | reached("beyond") for name in left}
    for keep in given.fractions:
        if not left:
            break
        found = differences(left, keep, given)
        for name in list(left):
            if found[name]["mean"] >= -LOSS:
                records[name] |= reached("within", keep, found[name])
            else:
                records[name] |= reached("beyond", keep, found[name])
                left.remove(name)
    if given.csv is not None:
        tables.write(given.csv, list(records.values()))
    print("\n".join(tables.lines(tables.cut_table(list(records.values())))))


if __name__ == "__main__":
    main()
