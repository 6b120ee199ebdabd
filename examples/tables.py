"""The tables of the documents and of method cards, from the files in examples/results.

Usage: python examples/tables.py [RUN ... --csv examples/results/NAME.csv]

Given runs, first writes their scores to a CSV file. Then updates every excerpt in the documents, and the tables of
`freqq methods NAME`. An excerpt is a Markdown table below a line `<!-- results/NAME.csv -->`: its header selects
columns of that file's table, and its first cells select rows. A test checks that all are up to date.
"""

import argparse
import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from freqq.levels import LEVELS
from freqq.report import wording
from freqq.report.comparison import Comparison
from freqq.report.evidence import gather
from freqq.runs.cards import MEASURED
from freqq.runs.methods import METHODS

EXAMPLES = Path(__file__).parent
RESULTS = EXAMPLES / "results"
CARDS = sorted((EXAMPLES.parent / "freqq" / "glm").glob("*/README.md"))
DOCUMENTS = (EXAMPLES.parent / "README.md", *sorted(EXAMPLES.glob("*.md")), *CARDS)

Record = Mapping[str, Any]
Table = list[dict[str, str]]
"""Rows: mappings of a column's header to a cell in Markdown. The first cell identifies the row."""

SIZES = "vision_tokens_full vision_tokens token_bytes_raw token_bytes image_bytes_raw image_bytes".split()


def read(path: Path) -> list[dict[str, Any]]:
    """Records of a CSV file; empty cells are None."""

    def value(text: str) -> str | float | None:
        try:
            return float(text) if text else None
        except ValueError:
            return text

    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def write(path: Path, records: Sequence[Record]) -> None:
    """Write records as CSV, with all digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def interval(name: str, found: Mapping[str, float | None] | None) -> dict[str, float | None]:
    """A mean and its 95 % interval as three columns."""
    ends = {"": "mean", "_low": "low", "_high": "high"}
    return {f"{name}{ending}": None if found is None else found[key] for ending, key in ends.items()}


def change(record: Record, name: str = "difference") -> str:
    """``+.002 [-.018, +.023]``; empty if missing."""
    if record[name] is None:
        return ""
    low, high = (wording.fraction(record[f"{name}_{end}"], signed=True) for end in ("low", "high"))
    return f"{wording.fraction(record[name], signed=True)} [{low}, {high}]"


def own_options(c: Comparison) -> str:
    """Parameters other than the level's, as options: ``--bits 5,5,4``."""
    if c.is_baseline or c.method not in METHODS:
        return ""
    usual = json.loads(json.dumps(asdict(METHODS[c.method].at(c.level))))
    own = {name: value for name, value in json.loads(c.params).items() if usual.get(name, value) != value}
    return " ".join(f"--{n} {','.join(map(str, v)) if isinstance(v, list) else v}" for n, v in own.items())


def score_records(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """A record for each arm and needle count of some runs, baseline first."""
    found = {
        (c.method, c.level, c.params, c.needles): score_record(c)
        for c in gather(runs).comparisons
        if c.needles is not None
    }
    return sorted(found.values(), key=lambda record: record["method"] != LEVELS[0])


def score_record(c: Comparison) -> dict[str, Any]:
    """Scores are fractions of 1, sizes means over samples in tokens and bytes, rates fractions of the uncompressed."""
    stored = c.rates["token_bytes"]
    return {
        "method": c.method,
        "level": c.level,
        "options": own_options(c),
        "needles": c.needles,
        "n": c.n,
        **interval("score", c.score.as_json()),
        "exact": c.exact,
        **interval("difference", None if c.difference is None else c.difference.as_json()),
        "tokens": c.rates["tokens"],
        "stored": stored,
        "times_smaller": 1 / stored if stored else None,
        **{name: c.costs[name] for name in SIZES},
    }


def score_table(records: Sequence[Record]) -> Table:
    """A row for each arm; sizes are those of the fewest needles."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for r in records:
        arm = (r["method"], r["level"], r["options"] or "")
        if arm not in rows:
            name = f"`{arm[0]}`, {arm[1]}" if not arm[2] else f"`{arm[0]} {arm[2]}`"
            rows[arm] = {"method, level": name if arm[0] != LEVELS[0] else LEVELS[0], **_sizes(r)}
        answers = f"{wording.fraction(r['score'])} / {wording.fraction(r['exact'])}"
        below = f"<br>{change(r)}" if r["difference"] is not None else ""
        column = f"{r['needles']:.0f} needles" if r["needles"] else "score"
        rows[arm][column] = answers + below
        if r["score_low"] is not None:
            ends = f"[{wording.fraction(r['score_low'])}, {wording.fraction(r['score_high'])}]"
            whole = f"{wording.fraction(r['score'])} {ends} / {wording.fraction(r['exact'])}"
            rows[arm][f"{column}, with intervals"] = whole + below
    return list(rows.values())


def _sizes(r: Record) -> dict[str, str]:
    def one(name: str, form: str) -> str:
        return "" if r[name] is None else format(r[name], form)

    def pair(name: str, full: str, show: Callable[[float], str]) -> str:
        return "" if r[name] is None else f"{show(r[name])} of {show(r[full])}"

    return {
        "tokens": one("tokens", ".2f"),
        "stored, of bfloat16": one("stored", ".3f"),
        "times smaller": one("times_smaller", ".1f"),
        "tokens read": pair("vision_tokens", "vision_tokens_full", lambda n: f"{n:.1f}"),
        "stored tokens": pair("token_bytes", "token_bytes_raw", wording.size),
        "page images": pair("image_bytes", "image_bytes_raw", wording.size),
    }


def codec_table(records: Sequence[Record]) -> Table:
    """A row for each codec and level, of the records of image_codecs.py."""
    return [
        {
            "codec, level": LEVELS[0] if r["codec"] == LEVELS[0] else f"`{r['codec']}`, {r['level']}",
            "bytes": f"{r['bytes']:,.0f}",
            "PSNR": "lossless" if r["psnr"] == float("inf") else f"{r['psnr']:.1f} dB",
            "CER": f"{r['cer']:.4f}",
            "words": f"{r['words']:.4f}",
            "tokens": f"{r['tokens']:,.0f}",
            "`mini`: bytes, CER": f"{r['mini_bytes']:,.0f}, {r['mini_cer']:.4f}",
            "score / exact": f"{r['score']:.3f} / {r['exact']:.3f}{_long_change(r)}",
        }
        for r in records
    ]


def _long_change(r: Record, before: str = "<br>") -> str:
    form = "{difference:+.3f} [{difference_low:+.3f}, {difference_high:+.3f}]"
    return "" if r["difference"] is None else before + form.format(**r)


def cut_table(records: Sequence[Record]) -> Table:
    """A row for each method, of the records of largest_cut.py."""
    return [
        {"method": f"`{r['method']}`"}
        | {
            header: "none of those tried" if r[name] is None else f"{wording.fraction(r[name])[:-1]}: {change(r, own)}"
            for header, name, own in (
                ("smallest fraction within .02", "within", "within_difference"),
                ("first beyond", "beyond", "beyond_difference"),
            )
        }
        for r in records
    ]


def adaptation_table(records: Sequence[Record]) -> Table:
    """A row for each way to train an adapter, of the records of adaptations.py."""

    def answers(r: Record, arm: str) -> str:
        return " / ".join(wording.fraction(r[f"{arm}_{name}"]) for name in ("score", "exact", "first"))

    def closed(r: Record, part: str) -> str:
        share, low, high = (100 * r[f"{part}{end}"] for end in ("", "_low", "_high"))
        return f"{share:.0f} % [{low:.0f}, {high:.0f}]"

    return [
        {
            "trained": r["trained"],
            "tokens": r["tokens"],
            "training-free": answers(r, "free"),
            "adapted": answers(r, "adapted"),
            "gap closed": closed(r, "closed"),
            "on sparse pages": closed(r, "closed_sparse"),
            "on dense": closed(r, "closed_dense"),
            "adapted, all tokens": answers(r, "whole"),
        }
        for r in records
    ]


def reader_table(records: Sequence[Record]) -> Table:
    """A row for each task and a column for each resolution, of the records of reader_scores.py."""
    rows: dict[str, dict[str, str]] = {}
    for r in records:
        row = rows.setdefault(r["task"], {"task": f"`{r['task']}`"})
        ends = ", ".join(wording.fraction(r[f"score_{end}"]) for end in ("low", "high"))
        row[f"{r['dpi']:.0f} dpi"] = f"{wording.fraction(r['score'])} [{ends}] / {wording.fraction(r['exact'])}"
        if r["real"] is not None:
            for kind in ("real", "invented", "digits"):
                part = rows.setdefault(kind, {"task": f"of these, {kind}"})
                part[f"{r['dpi']:.0f} dpi"] = wording.fraction(r[kind])
    return list(rows.values())


def resolution_table(records: Sequence[Record], unit: str = "tokens") -> Table:
    """A row for each resolution and each arm, of the records of resolution.py, and what it costs in some unit."""

    def arm(r: Record) -> str:
        name = "page drawn at" if r["method"] == LEVELS[0] else f"`{r['method']}`, {r['level']}, from"
        return f"{name} {r['dpi']:.0f} dpi"

    return [
        {
            "arm": arm(r),
            unit: f"{r['cost']:,.0f}",
            "score": f"{wording.fraction(r['score'])} [{wording.fraction(r['low'])}, {wording.fraction(r['high'])}]",
            "page of as many": "" if r["equal_dpi"] is None else f"{r['equal_dpi']:.0f} dpi",
            "difference to it": change(r),
            "p": "" if r["p_holm"] is None else wording.p_value(r["p_holm"]),
        }
        for r in records
    ]


TABLES: dict[str, Callable[[Sequence[Record]], Table]] = {
    "resolution-niah_multikey_1-tokens.csv": resolution_table,
    "resolution-mrcr-tokens.csv": resolution_table,
    "resolution-niah_multikey_1-image-bytes.csv": partial(resolution_table, unit="bytes"),
    "study-niah_multikey_1.csv": score_table,
    "methods.csv": score_table,
    "token_methods.csv": score_table,
    "image_codecs.csv": codec_table,
    "largest_cut.csv": cut_table,
    "adaptations.csv": adaptation_table,
    "reader.csv": reader_table,
}


def lines(rows: Table, columns: Sequence[str] = ()) -> list[str]:
    """A table in Markdown."""
    columns = columns or list(rows[0])
    body = (f"| {' | '.join(row.get(column, '') for column in columns)} |" for row in rows)
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns), *body]


EXCERPT = re.compile(r"^<!-- results/(\S+) -->\n((?:\|.*\n)+)", re.MULTILINE)
"""A marked table of a document: the file and the lines."""


def renewed(text: str) -> str:
    """A document with the cells of its excerpts updated; `KeyError` for an unknown file, row or column."""

    def renew(found: re.Match[str]) -> str:
        rows = TABLES[found[1]](read(RESULTS / found[1]))
        columns, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in found[2].splitlines())
        if unknown := [column for column in columns if not any(column in row for row in rows)]:
            raise KeyError(f"{found[1]} has no column {unknown[0]!r}")
        by_name = {next(iter(row.values())): row for row in rows}
        chosen = [by_name[cells[0]] for cells in body]
        return f"<!-- results/{found[1]} -->\n" + "\n".join(lines(chosen, columns)) + "\n"

    return EXCERPT.sub(renew, text)


def card_tables() -> dict[str, Any]:
    """The content of measured.json, which `freqq methods NAME` shows, with updated tables."""
    measured = json.loads(MEASURED.read_text("utf-8"))
    codecs: dict[str, list[list[str]]] = {}
    for r in read(RESULTS / "image_codecs.csv"):
        if r["codec"] == LEVELS[0]:
            continue
        [row] = codec_table([r])
        name = "image" if r["codec"] == "dct" else f"image-{r['codec']}"
        head = ["level", "bytes", "PSNR", "CER", "words", "tokens", "mini", "CER", "score"]
        mini = row["`mini`: bytes, CER"].split(", ")
        cells = [r["level"], *(row[column] for column in head[1:6]), *mini, f"{r['score']:.3f}{_long_change(r, '  ')}"]
        codecs.setdefault(name, [head]).append(cells)
    measured["image"]["methods"] = {name: aligned(rows, slice(1, 8)) for name, rows in codecs.items()}

    methods: dict[str, dict[str, list[str]]] = {}
    heads = ["level", "tokens", "stored"]
    for r in read(RESULTS / "token_methods.csv"):
        if r["method"] == LEVELS[0] or "+" in r["method"]:
            continue
        levels = methods.setdefault(r["method"], {})
        row = levels.setdefault(r["level"], [r["level"], f"{r['tokens']:.2f}", f"{r['stored']:.3f}"])
        row.append(f"{wording.fraction(r['score'])}  {change(r)}")
        if (needles := f"{r['needles']:.0f} needles") not in heads:
            heads.append(needles)
    measured["token"]["methods"] = {
        name: aligned([heads, *rows.values()], slice(1, 3)) for name, rows in methods.items()
    }
    return measured


def aligned(rows: Sequence[Sequence[str]], right: slice) -> list[str]:
    """Rows as columns of text, aligned right for `right`."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    flush = range(len(widths))[right]
    return [
        "  ".join(c.rjust(w) if i in flush else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        .rstrip()
        for row in rows
    ]  # fmt: skip


def main() -> None:
    """Write the scores of runs, if any are given, and update documents and cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, metavar="RUN", nargs="*")
    parser.add_argument("--csv", type=Path, help="where to write the scores of the runs")
    given = parser.parse_args()
    if given.runs:
        found = score_records(given.runs)
        if given.csv is not None:
            write(given.csv, found)
        print("\n".join(lines(score_table(found))))
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        if (new := renewed(text)) != text:
            document.write_text(new, "utf-8")
            print(f"renewed {document}")
    MEASURED.write_text(json.dumps(card_tables(), indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
