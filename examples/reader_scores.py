"""How well `small` reads: pages read aloud, MRCR and RULER in Glyph's look, at each resolution, without compression.

Usage: python examples/reader_scores.py [--model small] [--dpi 144 --dpi 120 ...] [--task NAME ...] [--limit 200]
       [--seed 21] [--dtype bfloat16] [--out runs/reader] [--csv examples/results/reader.csv]

Nothing is shared with training: its words, pairs, answers and random streams are others. Run it again to resume, or to
add tasks and resolutions.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tables
from rapidfuzz.distance import Levenshtein

from freqq.glm.train.small.text import passage
from freqq.report.statistics import mean_estimate
from freqq.runs.directory import RunDirectory
from freqq.runs.schema import Row

DPIS = (144, 120, 96, 72)
PASSAGES = {"real": "words", "invented": "invented", "digits": "digits"}
"""What a page that is read aloud holds, and the kinds of `freqq.glm.train.small.text`."""

PAGE = "220,130"
"""Width and height in points: within the pages of `--data mini --look glyph`."""
LENGTHS = (150, 260)
"""Least and most characters of such a page."""
PAGES = 300
"""How many are written; an evaluation draws of them."""

GLYPH = ("--look", "glyph")
SHORT = ("--max-new-tokens", "64")
"""A number has seven digits, and a model that lost its way would go on to 512."""
TASKS = {
    "aloud": ("--task", "transcribe", "--max-new-tokens", "320"),
    "mrcr": ("--data", "mini", *GLYPH, "--needle", "2"),
    "niah_single": ("--data", "ruler-mini", *GLYPH, "--task", "niah_single_1", *SHORT),
    "niah_multikey_1": ("--data", "ruler-mini", *GLYPH, "--task", "niah_multikey_1", *SHORT),
}

PLAIN = ("--level", "baseline")
FIXED = ("--batch-size", "16", "--sizes", "none")


def message(kind: str, seed: int, i: int) -> str:
    """Held-out words of a kind, as many as fit into a random length."""
    rng = random.Random(f"aloud/{kind}/{seed}/{i}")
    length = rng.randint(*LENGTHS)
    text, *words = passage(rng, PASSAGES[kind], length, "test")
    for word in words:
        if len(text) + 1 + len(word) > length:
            break
        text += " " + word
    return text


def write_pages(folder: Path, seed: int) -> tuple[str, ...]:
    """Write chats of one message, one page each, in turns of each kind; the options that read them."""
    chats = folder / "chats"
    chats.mkdir(parents=True, exist_ok=True)
    for first, kind in enumerate(PASSAGES):
        made = [message(kind, seed, i) for i in range(first, PAGES, len(PASSAGES))]
        records = [json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n" for text in made]
        (chats / f"{kind}.jsonl").write_text("".join(records), "utf-8")
    (folder / "page.json").write_text(json.dumps({"page-size": PAGE}) + "\n", "utf-8")
    return "--data", str(chats), "--config", str(folder / "page.json")


def evaluate(task: str, dpi: int, given: argparse.Namespace, name: str = "", arms: tuple[str, ...] = PLAIN) -> Path:
    """Evaluate some arms of one task at one resolution; the run's folder."""
    out = given.out / f"{task}-{dpi}{name}"
    pages = write_pages(given.out / "pages", given.seed) if task == "aloud" else ()
    drawn = ("--limit", given.limit, "--seed", given.seed, "--dpi", dpi, "--out", out)
    command = ["eval", "--model", given.model, "--dtype", given.dtype, *TASKS[task], *pages, *arms, *FIXED, *drawn]
    subprocess.run([sys.executable, "-m", "freqq", *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    return out


def record(task: str, dpi: int, rows: list[Row]) -> dict[str, Any]:
    """Of pages read aloud the score is the share of characters that are right, 1 - edit distance / length."""
    aloud = task == "aloud"
    scores = {row.sample_id: right(row) if aloud else row.score for row in rows}
    kinds = {
        kind: float(np.mean([s for id, s in scores.items() if id.startswith(f"{kind}.")])) if aloud else None
        for kind in PASSAGES
    }
    return {
        "task": task,
        "dpi": dpi,
        "n": len(rows),
        **tables.interval("score", mean_estimate(list(scores.values())).as_json()),
        "exact": float(np.mean([row.exact for row in rows])),
        "vision_tokens": float(np.mean([row.vision_tokens for row in rows])),
        **kinds,
    }


def right(row: Row) -> float:
    """Share of a page's characters that were read right; white space only separates words."""
    wanted, own = (" ".join(text.split()) for text in (row.answer, row.response))
    return max(0.0, 1 - Levenshtein.distance(wanted, own) / len(wanted))


def main() -> None:
    """Evaluate what is not evaluated yet, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small")
    parser.add_argument("--dtype", default="bfloat16", help="float32 is faster on a CPU that multiplies no bfloat16")
    parser.add_argument("--dpi", type=int, action="append")
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--out", type=Path, default=Path("runs/reader"))
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    records = []
    for task in given.task or TASKS:
        for dpi in given.dpi or DPIS:
            records.append(record(task, dpi, list(RunDirectory(evaluate(task, dpi, given)).read())))
            print(records[-1], file=sys.stderr)
    if given.csv is not None:
        tables.write(given.csv, records)
    print("\n".join(tables.lines(tables.reader_table(records))))


if __name__ == "__main__":
    main()
