"""What a run found: a group for each needle count, method and level; parts of its samples also apart."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from freqq.report.order import bin_order, natural_order
from freqq.report.outcomes import unanswered
from freqq.report.paired import weigh
from freqq.report.significance import holm
from freqq.report.statistics import macro, mean_estimate, paired_difference, resample_all
from freqq.report.subtasks import subtask_scores, suite_score
from freqq.report.wording import UNANSWERED, hedged
from freqq.runs.directory import SUMMARY, write_json
from freqq.runs.schema import Row

Group = dict[str, Any]

COSTS = (
    "vision_tokens_full vision_tokens token_bytes_raw token_bytes image_bytes_raw image_bytes prompt_tokens kv_bytes "
    "render_ms encode_ms decode_ms vision_ms compress_ms prefill_ms decode_ms_per_token new_tokens"
).split()
"""Columns that are averaged over the samples that did not fail."""

ERRORS = ("cer", "wer")
"""Error rates of transcripts, averaged over all samples: one that failed counts as an empty transcript."""


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Groups in the order of the rows.

    Each group says ``task``, ``n``, ``n_failed``, ``score`` (a mean and its 95 % interval), ``exact``, ``difference``
    (paired, to the plain arm; None without one), ``outcomes`` where responses ended otherwise than answered, how many
    each way, the means of `COSTS` and of `ERRORS` where there are any. Under
    ``sparse`` and ``dense`` it has the same scores for the samples with density below the needle count's median, and
    for the others, and under ``bins`` for each length of context; ``macro`` and ``macro_difference`` are the means
    over these. Of a suite, ``subtasks`` has the scores of its parts and ``suite_score`` their mean. What the
    differences say stands under ``wins ties losses p_value p_holm detectable words``
    (`freqq.report.comparison`), corrected for all groups.
    """
    groups = [_group(*found) for found in _grouped(rows)]
    tested = [group for group in groups if "p_value" in group]
    for group, corrected in zip(tested, holm([group["p_value"] for group in tested]), strict=True):
        group["p_holm"] = corrected
        text = UNANSWERED if group["n_failed"] == group["n"] else group["words"]
        counts = (group["wins"], group["losses"])
        group["words"] = hedged(text, group["difference"], counts, corrected, len(tested))
        group["difference"] = group["difference"].as_json()
    return {"groups": groups}


def write_summary(run: Path, rows: Sequence[Row]) -> dict[str, Any]:
    """Write ``summary.json`` and return it."""
    summary = summarise(rows)
    write_json(run / SUMMARY, summary)
    return summary


def _grouped(rows: Sequence[Row]) -> list[tuple[list[Row], list[Row], float]]:
    """Each group's rows, the plain rows of its needle count, and the median density there."""
    groups: dict[tuple[int, str, str], list[Row]] = {(row.needles, row.method, row.level): [] for row in rows}
    # Resampling draws places, so samples stand in the same order wherever the same rows are weighed.
    places = {id: place for place, id in enumerate(natural_order({row.sample_id for row in rows}))}
    for row in sorted(rows, key=lambda row: places[row.sample_id]):
        groups[row.needles, row.method, row.level].append(row)
    medians = {}
    for needles in {row.needles for row in rows}:
        by_sample = {r.sample_id: r.density for r in rows if r.needles == needles and r.density is not None}
        medians[needles] = statistics.median(by_sample.values()) if by_sample else 0.0
    return [(found, groups.get((key[0], "none", "baseline"), []), medians[key[0]]) for key, found in groups.items()]


def _group(rows: list[Row], baseline: list[Row], median: float) -> Group:
    first = rows[0]
    group: Group = {
        "task": first.task,
        "needles": first.needles,
        "method": first.method,
        "level": first.level,
        "params": first.params,
    }
    group |= _scores(rows, baseline)
    if ended := unanswered((row.outcome, row.truncated) for row in rows):
        group["outcomes"] = ended
    good = [row for row in rows if row.error is None]
    for name in COSTS:
        known = [v for row in good if (v := getattr(row, name)) is not None]
        group[name] = statistics.fmean(known) if known else None
    for name in ERRORS if first.task == "transcribe" else ():
        group[name] = statistics.fmean(getattr(row, name) for row in rows)
    if failed := [row.error for row in rows if row.error is not None]:
        group["first_error"] = failed[0]
    group["density_median"] = median
    for part, keep in (("sparse", True), ("dense", False)):
        ids = {r.sample_id for r in rows if r.density is not None and (r.density < median) == keep}
        group[part] = _scores([r for r in rows if r.sample_id in ids], [r for r in baseline if r.sample_id in ids])
    group["bins"] = {
        bin: _scores([r for r in rows if r.bin == bin], [r for r in baseline if r.bin == bin])
        for bin in bin_order({r.bin for r in rows})
    }
    if subtasks := subtask_scores(rows):
        group |= {"subtasks": subtasks, "suite_score": suite_score(subtasks)}
    group |= _weighed(rows, baseline)
    return group


def _weighed(rows: list[Row], baseline: list[Row]) -> Group:
    """Means over bins of context length, and what the differences to the plain arm say."""
    plain = {row.sample_id: row.score for row in baseline}
    is_plain = rows[0].method == "none"
    paired = [row for row in rows if row.sample_id in plain and not is_plain]
    found: Group = {"macro": _macro([(row.bin, row.score) for row in rows])}
    if not paired:
        return found | {"macro_difference": None}
    differences = [row.score - plain[row.sample_id] for row in paired]
    weighed = vars(weigh(np.array(differences), mean_estimate(differences)))
    return found | {
        "macro_difference": _macro([(r.bin, d) for r, d in zip(paired, differences, strict=True)]),
        **weighed,
    }


def _macro(values: Sequence[tuple[str, float]]) -> dict[str, Any]:
    strata = [[v for own, v in values if own == bin] for bin in bin_order({bin for bin, _ in values})]
    return macro(resample_all([np.array(v) for v in strata])).estimate.as_json()


def _scores(rows: list[Row], baseline: list[Row]) -> Group:
    plain = {row.sample_id: row.score for row in baseline}
    is_plain = bool(rows) and rows[0].method == "none"
    paired = [(row.score, plain[row.sample_id]) for row in rows if row.sample_id in plain and not is_plain]
    return {
        "n": len(rows),
        "n_failed": sum(row.error is not None for row in rows),
        "score": mean_estimate([row.score for row in rows]).as_json(),
        "exact": statistics.fmean(row.exact for row in rows) if rows else None,
        "difference": paired_difference([a for a, _ in paired], [b for _, b in paired]).as_json() if paired else None,
    }
