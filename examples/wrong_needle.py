"""Classify inexact responses of a `mini` run by the nearest answer: the right one, another equal request's, or others.

Usage: python examples/wrong_needle.py RUN_DIRECTORY
"""

import argparse
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

import pyarrow.parquet as pq

import freqq

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", type=Path, metavar="RUN_DIRECTORY")
rows = pq.read_table(parser.parse_args().run / "results.parquet").to_pylist()
drawn = {(row["needles"], row["seed"]) for row in rows}
samples = {s.id: s for needles, seed in drawn for s in freqq.mini(needles=needles, limit=len(rows), seed=seed)}
counts: dict[tuple[int, str, str], Counter[str]] = {}
for row in rows:
    if row["exact"] or row["response"] is None:  # right, or failed
        continue
    sample = samples[row["sample_id"]]
    body = row["response"].removeprefix(sample.prefix)
    right = sample.answer.removeprefix(sample.prefix)
    pairs = list(zip(sample.turns[::2], sample.turns[1::2], strict=True))
    wanted = next(request.text for request, answer in pairs if answer.text == right)
    request, answer = max(pairs, key=lambda pair: SequenceMatcher(None, body, pair[1].text).ratio())
    if answer.text == right:
        kind = "the right one, misread"
    else:
        kind = "another equal request's" if request.text == wanted else "another request's"
    counts.setdefault((row["needles"], row["method"], row["level"]), Counter())[kind] += 1
for (needles, method, level), kinds in sorted(counts.items()):
    arm = method if method == level else f"{method} {level}"
    print(f"{needles} needles, {arm}: {sum(kinds.values())} inexact: {dict(kinds.most_common())}")
