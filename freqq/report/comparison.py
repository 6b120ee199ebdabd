"""Results of one arm and its difference to another: what every table, figure and report shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from freqq.report.statistics import ERROR, Estimate

RATES = {
    "image_bytes": ("image_bytes", "image_bytes_raw"),
    "token_bytes": ("token_bytes", "token_bytes_raw"),
    "tokens": ("vision_tokens", "vision_tokens_full"),
}
"""The three rates, each a quotient of two columns. They are never combined."""

ERROR_RATES = ("cer", "wer")
"""Columns of transcripts only."""


@dataclass(frozen=True)
class Part:
    """A subset of an arm's samples: a bin of context length, a sub-task, or sparse or dense pages.

    Parameters
    ----------
    score, exact : over the answered samples
    difference : over the samples that both answered; None without a reference
    """

    name: str
    n: int
    n_failed: int
    score: Estimate
    exact: float
    difference: Estimate | None


@dataclass(frozen=True)
class Failure:
    """An error, the number of an arm's samples that failed with it, and the first of them."""

    error: str
    count: int
    sample: str


@dataclass(frozen=True)
class Comparison:
    """One arm at one needle count (None: all together), and its difference to the reference on the same samples.

    Fields that need a reference are None without one, and for the reference itself. Scores are fractions of 1.

    Parameters
    ----------
    run, reference_run : str
        Labels of the runs of the arm and of its reference.
    reference : str
        ``baseline``, or the arm given to `freqq compare`.
    context : int
        Arms with equal context may be compared: same model, data, rendering and protocol.
    n, n_failed : int
        Samples, and failed samples.
    n_shared, n_paired, reference_failed : int
        Samples that the reference has too; those that both answered; those that the reference failed on.
    score, macro, exact, errors : Estimate, Estimate, float, mapping
        Over the answered samples: the mean, the mean of the bins' means (nan if a bin has no answers), the fraction of
        exact answers, and the mean error rates of transcripts.
    suite : Estimate or None
        The mean of the sub-tasks' means, if a suite has several; nan if one has no answers.
    baseline, baseline_exact : Estimate, float
        The reference's score and exact answers, over the pairs.
    difference, macro_difference, difference_exact, retention
        The mean difference over the pairs, of the bins' means, of exact answers, and the ratio of the mean scores.
    as_zero : Estimate or None
        The difference over all shared samples if failures count as 0; None if nothing failed.
    p_value, p_holm : float
        Of the difference; `p_holm` is corrected for all comparisons of the `Evidence`.
    wins, ties, losses : int
        Pairs with a higher, equal and lower score.
    detectable : float
        The smallest difference that this number of samples detects with 80 % power.
    rates : mapping
        `RATES`: total bytes or tokens divided by the total of the uncompressed, over the samples with both.
    costs : mapping
        Means of `COSTS` and `KV_PARTS` over the answered samples, and the peak memory.
    outcomes : mapping
        Outcomes other than an answer, and their counts.
    failures : tuple of Failure
        Most frequent first.
    bins, density, subtasks : tuples of Part
        Empty for all needle counts together. ``density`` has ``sparse`` (density below the median) and ``dense``.
    """

    run: str
    context: int
    model: str
    task: str
    needles: int | None
    method: str
    level: str
    params: str
    config_hash: str
    is_baseline: bool
    n: int
    n_failed: int
    score: Estimate
    macro: Estimate
    suite: Estimate | None
    exact: float
    errors: Mapping[str, float]
    rates: Mapping[str, float | None]
    costs: Mapping[str, float | None]
    outcomes: Mapping[str, int]
    failures: tuple[Failure, ...]
    bins: tuple[Part, ...]
    density: tuple[Part, ...]
    density_median: float
    subtasks: tuple[Part, ...]
    reference_run: str | None = None
    reference: str | None = None
    n_shared: int = 0
    n_paired: int = 0
    reference_failed: int | None = None
    baseline: Estimate | None = None
    baseline_exact: float | None = None
    difference: Estimate | None = None
    macro_difference: Estimate | None = None
    difference_exact: float | None = None
    retention: Estimate | None = None
    as_zero: Estimate | None = None
    p_value: float | None = None
    p_holm: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    detectable: float | None = None

    @property
    def arm(self) -> str:
        """Method and level in one."""
        return arm_name(self.method, self.level)

    @property
    def stages(self) -> dict[str, float | None]:
        """`costs` with ``codec_ms`` (encoding plus decoding) and ``answer_ms`` (all tokens of the answer)."""
        codec = [v for name in ("encode_ms", "decode_ms") if (v := self.costs[name]) is not None]
        each, count = self.costs["decode_ms_per_token"], self.costs["new_tokens"]
        answer = None if each is None or count is None else each * count
        return {**self.costs, "codec_ms": sum(codec) if codec else None, "answer_ms": answer}

    @property
    def verdict(self) -> str | None:
        """``worse`` or ``better`` if `p_holm` is below .05, else ``unclear``; None without a comparison."""
        if self.difference is None or self.p_holm is None:
            return None
        if self.p_holm >= ERROR:
            return "unclear"
        return "worse" if self.difference.mean < 0 else "better"

    @property
    def all_failed(self) -> str | None:
        """Which side of the comparison has no answers, in words; None if both have some."""
        if self.n and self.n_failed == self.n:
            return f"all {self.n} answers failed"
        if self.n_shared and self.reference_failed == self.n_shared:
            return f"all {self.n_shared} answers of {self.reference} failed"
        return None


def arm_name(method: str, level: str) -> str:
    """Method and level in one."""
    return method if method == level else f"{method} {level}"
