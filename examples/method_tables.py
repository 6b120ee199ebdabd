"""The tables of examples/token_methods.md from a run of examples/sweep_tokens.sh, and what method cards show of them.

Usage: python examples/method_tables.py RUN

Prints the rows in Markdown, keeps the numbers in examples/results/token_methods.json, and puts those of single methods
into freqq/runs/measured.json, which `freqq methods NAME` shows. A test holds the three against each other.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from freqq.levels import LEVELS
from freqq.report import wording
from freqq.report.comparison import Comparison
from freqq.report.evidence import gather
from freqq.runs.cards import MEASURED

RESULTS = Path(__file__).parent / "results" / "token_methods.json"
COLUMNS = ("level", "tokens", "stored")


def found_in(run: Path) -> list[dict[str, Any]]:
    """One entry for each method and level: fractions of tokens and stored bytes, and what each needle count scored."""
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for c in gather([run]).comparisons:
        if c.needles is None:
            continue
        entry = entries.setdefault((c.method, c.level), {"method": c.method, "level": c.level, "needles": {}})
        if not entry["needles"]:  # sizes are those of the fewest needles
            entry |= {"tokens": c.rates["tokens"], "stored": c.rates["token_bytes"]}
        entry["needles"][str(c.needles)] = scores(c)
    return sorted(entries.values(), key=lambda e: (e["method"] != LEVELS[0], 0))


def scores(c: Comparison) -> dict[str, Any]:
    """A comparison's score, share of exact answers, and difference with its interval."""
    return {
        "n": c.n,
        "score": c.score.mean,
        "exact": c.exact,
        "difference": None if c.difference is None else c.difference.as_json(),
    }


def change(found: dict[str, Any] | None) -> str:
    """A difference with its interval."""
    if found is None:
        return ""
    low, high = (wording.fraction(found[end], signed=True) for end in ("low", "high"))
    return f"{wording.fraction(found['mean'], signed=True)} [{low}, {high}]"


def markdown(entry: dict[str, Any]) -> str:
    """A row of the guide's table."""
    is_baseline = entry["method"] == LEVELS[0]
    name = "baseline" if is_baseline else f"`{entry['method']}`, {entry['level']}"
    cells = [
        f"{wording.fraction(own['score'])} / {wording.fraction(own['exact'])}"
        + (f"<br>{change(own['difference'])}" if own["difference"] is not None else "")
        for own in entry["needles"].values()
    ]
    return f"| {name} | {entry['tokens']:.2f} | {entry['stored']:.3f} | {' | '.join(cells)} |"


def card_table(entries: list[dict[str, Any]]) -> list[str]:
    """A method's lines in its card, in columns."""
    needles = list(entries[0]["needles"])
    rows = [[*COLUMNS, *(f"{n} needles" for n in needles)]]
    for entry in entries:
        own = (f"{wording.fraction(s['score'])}  {change(s['difference'])}" for s in entry["needles"].values())
        rows.append([entry["level"], f"{entry['tokens']:.2f}", f"{entry['stored']:.3f}", *own])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    aligned = [
        [
            cell.rjust(width) if 0 < i < len(COLUMNS) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    return ["  ".join(row).rstrip() for row in aligned]


def main() -> None:
    """Read the run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    entries = found_in(parser.parse_args().run)
    RESULTS.write_text(json.dumps(entries, indent=1) + "\n")
    for entry in entries:
        print(markdown(entry))
    measured = json.loads(MEASURED.read_text("utf-8"))
    base = next(entry for entry in entries if entry["method"] == LEVELS[0])
    scored = ", ".join(f"{wording.fraction(own['score'])} with {needles}" for needles, own in base["needles"].items())
    n = next(iter(base["needles"].values()))["n"]
    measured["token"]["about"] = (
        f"Score on {n} samples of `mini` with each needle count, and its paired difference to the baseline "
        f"({scored} needles); tokens and stored bytes, of bfloat16, as fractions."
    )
    methods = dict.fromkeys(entry["method"] for entry in entries if entry is not base and "+" not in entry["method"])
    measured["token"]["methods"] = {
        method: card_table([entry for entry in entries if entry["method"] == method]) for method in methods
    }
    MEASURED.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
