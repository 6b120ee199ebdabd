"""The study's published numbers beside those that were measured, each with a 95 % interval.

Usage: python examples/study_table.py [DIR] [--json]

DIR is the folder that examples/study.sh made, `runs/study` unless it is given. Parts that are not there yet stand as a
dash. The study says at which level its token method scored 2.79 % nowhere, so that stands beside each of them.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path

from freqq.data.bins import BINS
from freqq.levels import LEVELS
from freqq.report.statistics import Estimate, mean_estimate, paired_difference
from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.schema import Row

STUDY = {
    ("none", 2): 34.98, ("none", 4): 30.00, ("none", 8): 18.75,
    ("image", 2): 35.86, ("image", 4): 29.25, ("image", 8): 18.25,
    ("token", 2): 2.79,
}  # fmt: skip
"""MRCR (%), by method and needles: "Frequency-Aware Vector Quantization for VLM Compression"."""

GLYPH = {
    2: (41.51, 40.78, 39.58, 29.67, 22.41),
    4: (35.44, 26.82, 24.15, 25.69, 16.37),
    8: (25.12, 21.22, 16.43, 13.91, 13.51),
}
"""MRCR (%) without compression by needles, in the first bins of `freqq.data.bins.BINS`: Glyph's paper."""

GLYPH_MEAN = {2: 34.85, 4: 25.81, 8: 18.14}
"""Their averages there."""

ARMS = [("none", "baseline"), ("image", "mild"), *(("token", level) for level in LEVELS[1:])]


@dataclass(frozen=True)
class Line:
    """One arm with so many needles, in per cent.

    Parameters
    ----------
    bin : str
        Length of context; empty for all.
    published : mapping of str to float
        By who published it.
    score, difference : Estimate or None
        What was measured, and its paired difference to no compression.
    failed : int
        Samples of them that failed and count as 0.
    """

    needles: int
    method: str
    level: str
    bin: str
    published: Mapping[str, float]
    score: Estimate | None
    difference: Estimate | None
    failed: int


def read_rows(folder: Path) -> list[Row]:
    """The rows of all runs of a folder that have results."""
    return [row for file in sorted(folder.glob(f"*/{RESULTS}")) for row in RunDirectory(file.parent).read(texts=False)]


def table(rows: Sequence[Row]) -> list[Line]:
    """A line for each arm and needle count, then one for each bin without compression."""
    lines = []
    for needles in GLYPH:
        plain = {row.sample_id: row for row in rows if (row.needles, row.method) == (needles, "none")}
        for method, level in ARMS:
            own = [row for row in rows if (row.needles, row.method, row.level) == (needles, method, level)]
            published = {"study": STUDY[method, needles]} if (method, needles) in STUDY else {}
            if method == "none":
                published["Glyph"] = GLYPH_MEAN[needles]
            lines.append(line(needles, method, level, "", published, own, {} if method == "none" else plain))
    for needles, scores in GLYPH.items():
        for name, score in zip(BINS, scores, strict=False):
            own = [row for row in rows if (row.needles, row.method, row.bin) == (needles, "none", name)]
            lines.append(line(needles, "none", "baseline", name, {"Glyph": score}, own, {}))
    return lines


def line(
    needles: int,
    method: str,
    level: str,
    bin: str,
    published: Mapping[str, float],
    rows: Sequence[Row],
    plain: Mapping[str, Row],
) -> Line:
    """What was measured of some rows; those of `plain` are their partners by sample."""
    pairs = [(100 * row.score, 100 * plain[row.sample_id].score) for row in rows if row.sample_id in plain]
    return Line(
        needles,
        method,
        level,
        bin,
        published,
        mean_estimate([100 * row.score for row in rows]) if rows else None,
        paired_difference([own for own, _ in pairs], [other for _, other in pairs]) if pairs else None,
        sum(row.error is not None for row in rows),
    )


def cells(line: Line) -> list[str]:
    """A line as text."""
    score, difference = line.score, line.difference
    published = line.published.get
    against = ""
    if line.method != "none" and (line.method, line.needles) in STUDY:
        against = f"{STUDY[line.method, line.needles] - STUDY['none', line.needles]:+.2f}"
    return [
        str(line.needles),
        "no compression" if line.method == "none" else f"{line.method} {line.level}",
        line.bin.replace("_", "-"),
        *(f"{value:.2f}" if (value := published(who)) is not None else "" for who in ("study", "Glyph")),
        shown(score),
        "-" if score is None else str(score.n),
        "-" if score is None else str(line.failed),
        against,
        shown(difference, signed=True) if line.method != "none" else "",
    ]


def shown(estimate: Estimate | None, signed: bool = False) -> str:
    """A mean with its interval; a dash where nothing was measured."""
    if estimate is None:
        return "-"
    form = "+.2f" if signed else ".2f"
    if isnan(estimate.low):  # a single sample leaves it open
        return f"{estimate.mean:{form}}"
    return f"{estimate.mean:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


HEADINGS = [
    "needles", "arm", "context", "study", "Glyph", "measured", "samples", "failed", "study's difference",
    "measured difference",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/study"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print JSON and no table")
    given = parser.parse_args()
    lines = table(read_rows(given.folder))
    if given.json:
        estimates = ("score", "difference")
        as_json = [
            asdict(one) | {name: value and value.as_json() for name in estimates for value in [getattr(one, name)]}
            for one in lines
        ]
        print(json.dumps(as_json, indent=2))
        return
    rows = [HEADINGS, *(cells(one) for one in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    print("\nMRCR, % (measured: means with 95 % intervals; differences are to no compression on the same samples)\n")
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
