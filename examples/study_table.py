"""The study's published numbers beside measured ones with 95 % intervals.

Usage: python examples/study_table.py [DIR] [--json]

DIR is the output folder of examples/study.sh, by default `runs/study`. Missing parts are shown as a dash. The study
does not state the level at which its token method scored 2.79 %, so that number is shown beside every level.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path

import numpy as np

from freqq.data.bins import BINS
from freqq.levels import LEVELS
from freqq.report.statistics import Estimate, differences, mean_estimate
from freqq.runs.directory import RESULTS, RunDirectory
from freqq.runs.schema import BASELINE, Row

STUDY = {
    (BASELINE, 2): 34.98, (BASELINE, 4): 30.00, (BASELINE, 8): 18.75,
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

ARMS = [(BASELINE, BASELINE), ("image", "mild"), *(("token", level) for level in LEVELS[1:])]


@dataclass(frozen=True)
class Line:
    """One arm at a needle count; published numbers are in percent.

    Parameters
    ----------
    bin : str
        Context length; empty for all.
    published : mapping of str to float
        Published numbers by source.
    score, difference : Estimate or None
        The measured score of the answered samples, and the paired difference to the baseline.
    failed : int
        Number of failed samples.
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
    """The rows of all finished runs of a folder."""
    return [row for file in sorted(folder.glob(f"*/{RESULTS}")) for row in RunDirectory(file.parent).read()]


def table(rows: Sequence[Row]) -> list[Line]:
    """A line for each arm and needle count, then one for each bin of the baseline."""
    lines = []
    for needles in GLYPH:
        plain = {row.sample_id: row for row in rows if (row.needles, row.method) == (needles, BASELINE)}
        for method, level in ARMS:
            own = [row for row in rows if (row.needles, row.method, row.level) == (needles, method, level)]
            published = {"study": STUDY[method, needles]} if (method, needles) in STUDY else {}
            if method == BASELINE:
                published["Glyph"] = GLYPH_MEAN[needles]
            lines.append(line(needles, method, level, "", published, own, {} if method == BASELINE else plain))
    for needles, scores in GLYPH.items():
        for name, score in zip(BINS, scores, strict=False):
            own = [row for row in rows if (row.needles, row.method, row.bin) == (needles, BASELINE, name)]
            lines.append(line(needles, BASELINE, BASELINE, name, {"Glyph": score}, own, {}))
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
    """The line of some rows; `plain` has the baseline's rows by sample."""
    good = [row for row in rows if row.error is None]
    partners = [(row, plain[row.sample_id]) for row in good if row.sample_id in plain]
    changes = np.array([row.score - partner.score for row, partner in partners if partner.error is None])
    return Line(
        needles,
        method,
        level,
        bin,
        published,
        mean_estimate([row.score for row in good]) if good else None,
        differences([changes])[0].estimate if len(changes) else None,
        len(rows) - len(good),
    )


def cells(line: Line) -> list[str]:
    """A line as text."""
    score, difference = line.score, line.difference
    published = line.published.get
    against = ""
    if line.method != BASELINE and (line.method, line.needles) in STUDY:
        against = f"{STUDY[line.method, line.needles] - STUDY[BASELINE, line.needles]:+.2f}"
    return [
        str(line.needles),
        BASELINE if line.method == BASELINE else f"{line.method} {line.level}",
        line.bin.replace("_", "-"),
        *(f"{value:.2f}" if (value := published(who)) is not None else "" for who in ("study", "Glyph")),
        shown(score),
        "-" if score is None else str(score.n),
        "-" if score is None else str(line.failed),
        against,
        shown(difference, signed=True) if line.method != BASELINE else "",
    ]


def shown(estimate: Estimate | None, signed: bool = False) -> str:
    """A mean with its interval in percent, or a dash."""
    if estimate is None:
        return "-"
    form = "+.2f" if signed else ".2f"
    mean, low, high = (100 * value for value in (estimate.mean, estimate.low, estimate.high))
    if isnan(low):  # a single sample has no interval
        return f"{mean:{form}}"
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


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
    print("\nMRCR, % (measured: means with 95 % intervals; differences are to the baseline on the same samples)\n")
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
