"""The tables that `freqq eval` prints; each fits into 100 columns."""

from typing import Any

from rich import box
from rich.table import Table

from freqq.data.tasks import TASKS
from freqq.report.outcomes import in_words

Group = dict[str, Any]


def tables(summary: dict[str, Any]) -> list[Table]:
    """Scores, what their differences say, sizes and times, one line a group each."""
    found = [score_table(summary)]
    if any(len(group["bins"]) > 1 for group in summary["groups"]):
        found.append(macro_table(summary))
    if any("subtasks" in group for group in summary["groups"]):
        found.append(subtask_table(summary))
    if any("words" in group for group in summary["groups"]):
        found.append(difference_table(summary))
    if any("outcomes" in group for group in summary["groups"]):
        found.append(outcome_table(summary))
    return [*found, size_table(summary), time_table(summary)]


def score_table(summary: dict[str, Any]) -> Table:
    """How well each group answered, and how much worse or better than the plain arm on the same samples."""
    transcripts = any("cer" in group for group in summary["groups"])
    score = " / ".join(dict.fromkeys(TASKS[group["task"]].score for group in summary["groups"]))
    exact = "error rates of characters and words" if transcripts else "exact answers"
    table = _table(f"{score} with 95 % bootstrap interval, {exact}, paired difference to no compression")
    for name in ("n", "failed", "score", *(("CER", "WER") if transcripts else ("exact",)), "difference"):
        table.add_column(name, justify="right")
    for group in summary["groups"]:
        failed = str(group["n_failed"])
        table.add_row(
            *_names(group),
            str(group["n"]),
            f"[red]{failed}[/red]" if group["n_failed"] else failed,
            interval(group["score"]),
            *(
                [fraction(group["cer"]), fraction(group["wer"])]
                if transcripts
                else ["-" if group["exact"] is None else fraction(group["exact"])]
            ),
            interval(group["difference"], signed=True),
        )
    return table


def macro_table(summary: dict[str, Any]) -> Table:
    """Means over the bins of context length, each of which counts the same."""
    table = _table("The same as means over bins of context length, each counting the same (macro average)")
    for name in ("bins", "score", "difference"):
        table.add_column(name, justify="right")
    for group in summary["groups"]:
        macro = interval(group["macro"]), interval(group["macro_difference"], signed=True)
        table.add_row(*_names(group), str(len(group["bins"])), *macro)
    return table


def subtask_table(summary: dict[str, Any]) -> Table:
    """The parts of a suite, and their mean, which is its score."""
    table = _table("Scores of the suite's parts; last their mean, each part counting the same")
    table.add_column("part")
    for name in ("n", "failed", "score"):
        table.add_column(name, justify="right")
    for group in summary["groups"]:
        for name, own in group.get("subtasks", {}).items():
            table.add_row(*_names(group), name, str(own["n"]), str(own["n_failed"]), interval(own["score"]))
        if len(group.get("subtasks", {})) > 1:
            table.add_row(
                *_names(group), "mean", str(group["n"]), str(group["n_failed"]), fraction(group["suite_score"])
            )
    return table


def difference_table(summary: dict[str, Any]) -> Table:
    """Wins, ties and losses, p-values corrected for the table, and the differences in words."""
    table = _table("Samples with a higher, equal and lower score; Holm-corrected p; the difference in words (points)")
    table.add_column("+/=/-", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("difference")
    for group in summary["groups"]:
        if "words" in group:
            counts = "/".join(str(group[name]) for name in ("wins", "ties", "losses"))
            table.add_row(*_names(group), counts, p_value(group["p_holm"]), group["words"])
    return table


def p_value(value: float | None) -> str:
    """Three decimals; ``<.001`` below."""
    return "-" if value is None else "<.001" if value < 0.001 else fraction(value)


def outcome_table(summary: dict[str, Any]) -> Table:
    """Responses that are no answer, or no whole one."""
    table = _table("Responses that ended without a whole answer; cut: at the limit of new tokens")
    table.add_column("responses")
    for group in summary["groups"]:
        table.add_row(*_names(group), in_words(group.get("outcomes", {}), group["n"]) or "-")
    return table


def size_table(summary: dict[str, Any]) -> Table:
    """The rates, which stay apart: tokens in the sequence (and so the KV cache), stored tokens, images."""
    table = _table("Mean sizes of a sample: tokens read, tokens as stored, page images, KV cache")
    for name in ("tokens", "stored tokens", "images", "KV cache"):
        table.add_column(name, justify="right")
    for group in summary["groups"]:
        table.add_row(
            *_names(group),
            _arrow(_count(group["vision_tokens_full"]), _count(group["vision_tokens"])),
            _arrow(size(group["token_bytes_raw"]), size(group["token_bytes"])),
            _arrow(size(group["image_bytes_raw"]), size(group["image_bytes"])),
            size(group["kv_bytes"]),
        )
    return table


def time_table(summary: dict[str, Any]) -> Table:
    """Where the time went."""
    table = _table("Mean times of a sample in ms; vision is shared by the token methods and no compression")
    for name in ("vision", "compress", "prefill", "decode"):
        table.add_column(name, justify="right")
    for group in summary["groups"]:
        table.add_row(
            *_names(group),
            _ms(group["vision_ms"]),
            _ms(_added(group["encode_ms"], group["decode_ms"], group["compress_ms"])),
            _ms(group["prefill_ms"]),
            _ms(_product(group["decode_ms_per_token"], group["new_tokens"])),
        )
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("needles", justify="right")
    table.add_column("method")
    table.add_column("level", no_wrap=True)
    return table


def _names(group: Group) -> tuple[str, str, str]:
    return str(group["needles"]), group["method"], group["level"]


def fraction(value: float, signed: bool = False) -> str:
    """Three decimals without the leading zero, as tables of scores are set: ``.936``, ``+.012``, ``1.000``."""
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text


def interval(estimate: dict[str, Any] | None, signed: bool = False) -> str:
    r"""``.936 \[.901, .962]`` (escaped for rich); a dash where nothing was estimated."""
    if estimate is None or estimate["mean"] is None:
        return "-"
    mean = fraction(estimate["mean"], signed)
    if estimate["low"] is None:
        return mean
    return rf"{mean} \[{fraction(estimate['low'], signed)}, {fraction(estimate['high'], signed)}]"


def size(count: float | None) -> str:
    """A number of bytes in KB, MB or GB (powers of 1000)."""
    if count is None:
        return "-"
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count / 1e3:.1f} KB"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}".removesuffix(".0")


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _added(*values: float | None) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if known else None


def _product(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a * b


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
