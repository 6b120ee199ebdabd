"""All image codecs at all levels: sizes on dense pages, legibility, and the embedded model's answers.

Usage: python examples/image_codecs.py [--codec NAME ...] [--pages 20] [--limit 100] [--out image-codecs] [--csv FILE]

Dense pages show docstrings of scipy's functions in Glyph's look, and tesseract reads them back. The embedded model
answers questions about its own, small pages; its reading of letters is measured by the character error rate of its copy
against the nearest message of the chat, so that choosing the wrong message costs nothing. Prints the table as Markdown,
without times, because pages are processed in parallel (see `make bench`). Run it again to resume.
"""

import argparse
import ast
import json
import subprocess
import sys
from collections import defaultdict
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow.parquet as pq
import scipy
import tables

import freqq
from freqq.data.tasks.transcribe import grade_transcript
from freqq.image import CODECS
from freqq.levels import LEVELS
from freqq.pages.glyph_pages import render_glyph
from freqq.runs.directory import RunDirectory

NEEDLES, SEED = 2, 1
METHODS = {name.removeprefix("image-"): name for name in CODECS if name != "image"} | {"dct": "image"}
"""The methods of the codecs."""

COLUMNS = {"bytes": "stream_bytes", "psnr": "psnr", "cer": "cer", "words": "word_recall", "tokens": "vision_tokens"}
"""Columns of the results, and the columns of pages.parquet that they average."""

Arm = tuple[str, str]


def docstrings() -> str:
    """The sentences of scipy's docstrings, without line breaks."""
    found = []
    root = Path(scipy.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if "tests" in path.relative_to(root).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found += [" ".join(part.split()) for part in (ast.get_docstring(node) or "").split("\n\n")]
    return " ".join(part for part in dict.fromkeys(found) if is_prose(part))


def is_prose(text: str) -> bool:
    """Whether a text has no lists of parameters, no code and few formulas."""
    plain = sum(c.isalpha() or c in " ,.'-" for c in text)
    return len(text) > 120 and not any(mark in text for mark in ("`", "_", "--")) and plain > 0.96 * len(text)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "freqq", *arguments], check=True)


def dense(out: Path, codecs: list[str], pages: int) -> dict[Arm, list[dict[str, Any]]]:
    """The rows of each codec and level on dense pages."""
    text = docstrings()
    shown = sum(len(page.text) + 1 for page in islice(render_glyph(text), pages))
    (out / "text.txt").write_text(text[:shown].strip(), encoding="utf-8")
    run("render", str(out / "text.txt"), "--out", str(out / "pages"))
    run(
        "compress-image",
        str(out / "pages"),
        "--codec",
        ",".join(codecs),
        "--level",
        "all",
        "--ocr",
        "--out",
        str(out / "dense"),
    )
    rows = defaultdict(list)
    for row in pq.read_table(out / "dense" / "pages.parquet").to_pylist():
        rows[row["codec"], row["level"]].append(row)
    return rows


def answers(out: Path, codecs: list[str], limit: int) -> tuple[dict[Arm, dict[str, Any]], dict[Arm, list[float]]]:
    """The summary of the answers of each codec and level, and the character error rates of its copies."""
    methods = [part for name in codecs for part in ("--method", METHODS[name])]
    where = out / "run"
    run(
        "eval", *methods, "--level", "all", "--needle", str(NEEDLES), "--limit", str(limit), "--seed", str(SEED),
        "--out", str(where),
    )  # fmt: skip
    rows = RunDirectory(where).read()
    groups = {(g["method"], g["level"]): g for g in json.loads((where / "summary.json").read_text())["groups"]}
    samples = {s.id: s for s in freqq.mini(needles=NEEDLES, limit=limit, seed=SEED)}
    errors = defaultdict(list)
    for row in rows:
        sample = samples[row.sample_id]
        copied = row.response.removeprefix(sample.prefix)
        messages = [turn.text for turn in sample.turns if turn.role == "assistant"]
        errors[row.method, row.level].append(min(grade_transcript(copied, text).cer for text in messages))
    return groups, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("image-codecs"))
    parser.add_argument(
        "--csv", type=Path, help="where to write the results, such as examples/results/image_codecs.csv"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pages = dense(given.out, given.codec, given.pages)
    groups, errors = answers(given.out, given.codec, given.limit)
    order = ["baseline", *METHODS]
    records = []
    for (codec, level), rows in sorted(pages.items(), key=lambda i: (order.index(i[0][0]), LEVELS.index(i[0][1]))):
        arm = METHODS.get(codec, "baseline"), level
        group = groups[arm]
        records.append(
            {"codec": codec, "level": level}
            | {name: mean(row[column] for row in rows) for name, column in COLUMNS.items()}
            | {"mini_bytes": group["image_bytes"], "mini_cer": mean(errors[arm])}
            | {"score": group["score"]["mean"], "exact": group["exact"]}
            | tables.interval("difference", group["difference"])
        )
    if given.csv is not None:
        tables.write(given.csv, records)
    print("\n".join(tables.lines(tables.codec_table(records))))


if __name__ == "__main__":
    main()
