"""One arm beside another on the same samples: how they score, what differs, and how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from freqq.report.paired import weigh
from freqq.report.results import PLAIN, ArmResults, Samples
from freqq.report.scored import Scored, pair
from freqq.report.significance import ERROR
from freqq.report.statistics import Estimate, cautious_all, macro
from freqq.report.summary import COSTS
from freqq.report.wording import words

RATES = {
    "image_bytes": ("image_bytes", "image_bytes_raw"),
    "token_bytes": ("token_bytes", "token_bytes_raw"),
    "tokens": ("vision_tokens", "vision_tokens_full"),
}
"""The three rates, each a column over a column. They stay apart."""


@dataclass(frozen=True)
class BinScore:
    """One bin of context length: `n` samples, their mean score, and the paired difference if there is a plain arm."""

    bin: str
    n: int
    score: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Comparison:
    """One arm at one needle count (None: all together), and what it loses to the plain arm on the same samples.

    What needs the plain arm is None without one, and for the plain arm itself. Scores are fractions of 1; failed
    samples count as 0.

    Parameters
    ----------
    run, plain_run : str
        Labels of the runs that the arm and its plain arm are of.
    reference : str
        What stands in for the plain arm where `freqq compare` was told another; "no compression" usually.
    context : int
        Arms of one context may be compared: the same model, data, rendering and protocol.
    n, n_paired, n_failed : int
        Samples, those of them that the plain arm has, too, and those that failed.
    score, macro : Estimate
        The mean over samples, and the mean over bins of context length of the bins' means.
    exact, baseline_exact, difference_exact : float
        Fraction of exact answers, the plain arm's on the paired samples, and the difference there.
    baseline, difference, macro_difference, retention : Estimate
        Over the paired samples: the plain arm's score, the mean difference and that of the bins' means, and the ratio
        of the two means. The difference's interval holds also where few samples changed
        (`freqq.report.statistics.cautious`); `words` are of it.
    p_value, p_holm : float
        Of the difference (`freqq.report.significance`), and corrected for all comparisons of the `Evidence`.
    plain_failed : int
        Paired samples on which the plain arm failed.
    wins, ties, losses : int
        Paired samples with a higher, equal and lower score.
    detectable : float
        The smallest difference that so many samples could have shown.
    rates : mapping
        `RATES`: total bytes or tokens over the total of the raw, of the samples where they were measured.
    costs : mapping
        Means of `COSTS` over the samples that did not fail.
    words : str
        Sign and size of the difference.
    """

    run: str
    plain_run: str | None
    reference: str | None
    context: int
    model: str
    task: str
    needles: int | None
    method: str
    level: str
    params: str
    config_hash: str
    n: int
    n_paired: int
    n_failed: int
    score: Estimate
    macro: Estimate
    exact: float
    baseline: Estimate | None
    baseline_exact: float | None
    difference: Estimate | None
    macro_difference: Estimate | None
    difference_exact: float | None
    retention: Estimate | None
    p_value: float | None
    p_holm: float | None
    plain_failed: int | None
    wins: int | None
    ties: int | None
    losses: int | None
    detectable: float | None
    rates: Mapping[str, float | None]
    costs: Mapping[str, float | None]
    bins: tuple[BinScore, ...]
    words: str

    @property
    def is_plain(self) -> bool:
        """Whether nothing was compressed."""
        return self.method == PLAIN

    @property
    def arm(self) -> str:
        """Method and level in one."""
        return arm_name(self.method, self.level)

    @property
    def verdict(self) -> str | None:
        """``loses`` or ``gains`` if `p_holm` is below .05, or ``unclear``; None if there was nothing to compare.

        Whether there is a difference is for the sign-flip test alone to say: for few samples it tries all signs, and is
        exact. How large it is, is for the interval to say. Where few scores changed that is widened for what so few
        cannot show (`freqq.report.statistics.cautious`), beyond 0 even if all of them fell. It keeps its coverage, so
        it stays as it is; `words` then say that there is a difference, and that its size is not known
        (`freqq.report.wording.hedged`).
        """
        if self.difference is None or self.p_holm is None or self.unanswered:
            return None
        if self.p_holm >= ERROR:
            return "unclear"
        return "loses" if self.difference.mean < 0 else "gains"

    @property
    def unanswered(self) -> bool:
        """Whether all answers of the arm failed, or all of the plain arm's on the paired samples."""
        return self.n_failed == self.n or (self.n_paired > 0 and self.plain_failed == self.n_paired)


@dataclass(frozen=True)
class Arm:
    """An arm with its scores, and where they come from."""

    run: str
    context: int
    model: str
    task: str
    needles: int | None
    results: ArmResults
    scored: Scored

    @property
    def name(self) -> str:
        """Method and level in one."""
        return arm_name(self.results.method, self.results.level)


def arm_name(method: str, level: str) -> str:
    """Method and level in one."""
    return "no compression" if method == PLAIN else f"{method} {level}"


def compare(arm: Arm, reference: Arm | None) -> Comparison:
    """An arm beside a reference on the samples that both have; alone without one, or if it is the reference itself."""
    samples, score = arm.scored.samples, arm.scored.score
    alone = Comparison(
        run=arm.run,
        plain_run=None,
        reference=None,
        context=arm.context,
        model=arm.model,
        task=arm.task,
        needles=arm.needles,
        method=arm.results.method,
        level=arm.results.level,
        params=arm.results.params,
        config_hash=arm.results.config_hash,
        n=len(samples),
        n_paired=0,
        n_failed=int(samples.failed.sum()),
        score=score.estimate,
        macro=arm.scored.macro.estimate,
        exact=float(samples.values["exact"].mean()),
        baseline=None,
        baseline_exact=None,
        difference=None,
        macro_difference=None,
        difference_exact=None,
        retention=None,
        p_value=None,
        p_holm=None,
        plain_failed=None,
        wins=None,
        ties=None,
        losses=None,
        detectable=None,
        rates={name: _rate(samples, *columns) for name, columns in RATES.items()},
        costs=_costs(samples),
        bins=tuple(BinScore(bin, own.n, own.estimate, None) for bin, own in arm.scored.bins.items()),
        words="no compression" if arm.results.is_plain else words(None, 0),
    )
    if reference is None or reference.results is arm.results:
        return alone
    mine, other = pair(arm.scored, reference.scored)
    return _with_reference(alone, mine, other, reference) if len(mine.samples) else alone


def _with_reference(alone: Comparison, mine: Scored, other: Scored, reference: Arm) -> Comparison:
    difference = mine.score - other.score
    values = mine.samples.score - other.samples.score
    change = {bin: mine.bins[bin] - other.bins[bin] for bin in mine.bins}
    apart = [values[mine.samples.bins == bin] for bin in change]
    wary = dict(zip(change, cautious_all([c.estimate for c in change.values()], apart), strict=True))
    retention = (mine.score / other.score).estimate
    exact, before = (float(side.samples.values["exact"].mean()) for side in (mine, other))
    return replace(
        alone,
        plain_failed=int(other.samples.failed.sum()),
        plain_run=reference.run,
        reference=reference.name,
        n_paired=len(values),
        baseline=other.score.estimate,
        baseline_exact=before,
        macro_difference=macro(list(change.values())).estimate,
        difference_exact=exact - before,
        retention=retention if isfinite(retention.mean) else None,
        bins=tuple(replace(bin, difference=wary.get(bin.bin)) for bin in alone.bins),
        **vars(weigh(values, difference.estimate)),
    )


def _rate(samples: Samples, column: str, raw: str) -> float | None:
    part, whole = samples.values[column], samples.values[raw]
    known = np.isfinite(part) & np.isfinite(whole)
    total = float(whole[known].sum())
    return float(part[known].sum()) / total if total else None


def _costs(samples: Samples) -> dict[str, float | None]:
    good = ~samples.failed
    found: dict[str, float | None] = {}
    for name in COSTS:
        column = samples.values[name][good]
        known = column[np.isfinite(column)]
        found[name] = float(known.mean()) if known.size else None
    return found
