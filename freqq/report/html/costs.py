"""Where the time of a sample goes, and the memory: bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq

from freqq.report.html.svg import INK, SERIES, SETTINGS, inline, new_figure
from freqq.report.tables import size
from freqq.runs.directory import RESULTS

MOST_BARS = 24
LONGEST = 34
"""Characters of a bar's name; of a longer one the middle is left out."""

STAGES = (
    ("vision tower", "vision_ms", 0, ""),
    ("image codec", "codec_ms", 4, "///"),
    ("token compressor", "compress_ms", 1, "xxx"),
    ("prefill", "prefill_ms", 2, "..."),
    ("writing the answer", "answer_ms", 5, "\\\\\\"),
)
"""Parts of a sample's time: name, cost, colour and hatching, which tells them apart without the colour."""


@dataclass(frozen=True)
class Costs:
    """A bar: what it is of, and the means of its costs (None: not measured)."""

    label: str
    values: Mapping[str, float | None]


def stages(costs: Mapping[str, float | None]) -> dict[str, float | None]:
    """Means of a sample's costs with those of the codec's two halves, and of all tokens of the answer, added up."""
    codec = [v for name in ("encode_ms", "decode_ms") if (v := costs.get(name)) is not None]
    each, count = costs.get("decode_ms_per_token"), costs.get("new_tokens")
    return dict(costs) | {
        "codec_ms": sum(codec) if codec else None,
        "answer_ms": None if each is None or count is None else each * count,
    }


def latency(bars: Sequence[Costs], name: str) -> str:
    """Stacked bars of the times of a sample, as SVG."""
    bars = bars[:MOST_BARS]
    with mpl.rc_context(SETTINGS):
        figure, axes = new_figure(3.9, 1.2 + 0.2 * len(bars))
        places, left = np.arange(len(bars)), np.zeros(len(bars))
        for stage, cost, colour, hatch in STAGES:
            width = np.array([bar.values.get(cost) or 0.0 for bar in bars])
            if not width.any():
                continue
            axes.barh(
                places, width, 0.72, left=left, label=stage, color=SERIES[colour], hatch=hatch, edgecolor=INK,
                linewidth=0.4,
            )  # fmt: skip
            left += width
        for place, total in zip(places, left, strict=True):
            axes.annotate(f"{total:,.0f}", (total, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
        _rows(axes, bars, "ms a sample", left.max(initial=0))
        if left.any():
            figure.legend(
                loc="outside upper left", ncols=2, frameon=False, fontsize=8, handlelength=1.4, columnspacing=1
            )
        totals = "; ".join(f"{bar.label} {total:.0f}" for bar, total in zip(bars, left, strict=True))
        return inline(figure, name, f"Mean time of a sample in milliseconds. {totals}.")


def memory(bars: Sequence[Costs], name: str) -> str:
    """Bars of the size of the KV cache behind the prompt, as SVG."""
    bars = bars[:MOST_BARS]
    with mpl.rc_context(SETTINGS):
        figure, axes = new_figure(3.9, 0.75 + 0.2 * len(bars))
        width = np.array([(bar.values.get("kv_bytes") or 0.0) / 1e6 for bar in bars])
        axes.barh(np.arange(len(bars)), width, 0.72, color=SERIES[0], edgecolor=INK, linewidth=0.4)
        for place, bar in enumerate(bars):
            shown = size(bar.values.get("kv_bytes"))
            axes.annotate(shown, (width[place], place), (3, 0), textcoords="offset points", va="center", fontsize=8)
        _rows(axes, bars, "MB of KV cache a sample", width.max(initial=0))
        sizes = "; ".join(f"{bar.label} {size(bar.values.get('kv_bytes'))}" for bar in bars)
        return inline(figure, name, f"Mean size of the KV cache of a sample. {sizes}.")


def _rows(axes: mpl.axes.Axes, bars: Sequence[Costs], label: str, most: float) -> None:
    axes.set_yticks(np.arange(len(bars)), [_short(bar.label) for bar in bars], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    # Room for the number behind the longest bar.
    axes.set_xlim(0, most * 1.3 or 1)
    axes.set_xlabel(label)


def _short(name: str) -> str:
    end = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[: LONGEST - end - 1]}…{name[-end:]}"


def peaks(run: Path) -> dict[str, int]:
    """The highest use of memory in bytes while an arm, known by its config hash, answered."""
    table = pq.read_table(run / RESULTS, columns=["config_hash", "peak_memory_bytes"])
    found = table.group_by("config_hash", use_threads=False).aggregate([("peak_memory_bytes", "max")])
    names, values = found["config_hash"].to_pylist(), found["peak_memory_bytes_max"].to_pylist()
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
