"""Does a method lose less than drawing the page smaller? Score against vision tokens and against bytes, on `small`.

Usage: python examples/resolution.py [--task NAME ...] [--cost tokens|image-bytes] [--dpi N ...]
       [--start 144 --start 120] [--method NAME ...] [--limit 300] [--seed 21] [--dtype bfloat16] [--out runs/reader]
       [--results examples/results]

Pages are read at several resolutions, which costs fewer tokens without any method, and token methods and image codecs
start from 144 and from 120 dpi. `freqq visualize resolution` compares each with the resolution that costs as much, on
the same samples. The runs without compression are those of reader_scores.py. Run it again to resume.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from reader_scores import TASKS, evaluate

DPIS = (72, 84, 96, 104, 108, 120, 144)
STARTS = (144, 120)
"""Where methods start."""

TOKENS = (
    "token-prune", "token-highpass", "token-lowpass", "token-merge", "token-pool", "token-divprune", "token-random",
)  # fmt: skip
CODECS = ("image-jpeg", "image-vq", "image-gray2")
COMPRESSED = {"tokens": (TOKENS, "ultra_mild,mild,aggressive"), "image-bytes": (CODECS, "mild,extreme")}
"""For each cost the methods and their levels."""


def main() -> None:
    """Evaluate what is not evaluated yet; write a table and a figure for each task and cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small")
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--cost", choices=COMPRESSED, action="append")
    parser.add_argument("--dpi", type=int, action="append")
    parser.add_argument("--start", type=int, choices=STARTS, action="append")
    parser.add_argument("--method", choices=(*TOKENS, *CODECS), action="append")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--dtype", default="bfloat16", help="float32 is faster on a CPU that multiplies no bfloat16")
    parser.add_argument("--out", type=Path, default=Path("runs/reader"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    for task in given.task or TASKS:
        runs = [evaluate(task, dpi, given) for dpi in given.dpi or DPIS]
        for cost in given.cost or COMPRESSED:
            methods, levels = COMPRESSED[cost]
            chosen = [method for method in methods if method in (given.method or methods)]
            compressed = [
                evaluate(task, dpi, given, f"-{method}", ("--method", method, "--level", levels, "--no-baseline"))
                for dpi in given.start or STARTS
                for method in chosen
            ]
            name = given.results / f"resolution-{task}-{cost}"
            command = ["visualize", "resolution", *runs, *compressed, "--cost", cost]
            command += ["--csv", f"{name}.csv", "--out", f"{name}.png"]
            subprocess.run([sys.executable, "-m", "freqq", *map(str, command)], check=True)


if __name__ == "__main__":
    main()
