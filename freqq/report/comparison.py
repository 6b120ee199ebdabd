"""What is known of one arm, and of what it loses to another: the object that every surface shows."""

from collections.abc import Mapping
from dataclasses import dataclass

from freqq.report.statistics import ERROR, Estimate

RATES = {
    "image_bytes": ("image_bytes", "image_bytes_raw"),
    "token_bytes": ("token_bytes", "token_bytes_raw"),
    "tokens": ("vision_tokens", "vision_tokens_full"),
}
"""The three rates, each a column over a column. They stay apart."""

ERROR_RATES = ("cer", "wer")
"""Of transcripts."""


@dataclass(frozen=True)
class Part:
    """Some of an arm's samples: those of a bin of context length, of a sub-task, or with sparse or dense pages.

    Parameters
    ----------
    score, exact : of what was answered
    difference : of what both answered; None without a reference
    """

    name: str
    n: int
    n_failed: int
    score: Estimate
    exact: float
    difference: Estimate | None


@dataclass(frozen=True)
class Failure:
    """An error, how many of an arm's samples failed with it, and the first of them."""

    error: str
    count: int
    sample: str


@dataclass(frozen=True)
class Comparison:
    """One arm at one needle count (None: all together), and what it loses to the reference on the same samples.

    What needs a reference is None without one, and for the reference itself. Scores are fractions of 1.

    Parameters
    ----------
    run, reference_run : str
        Labels of the runs that the arm and its reference are of.
    reference : str
        ``baseline``, or the arm that `freqq compare` was given.
    context : int
        Arms of one context may be compared: the same model, data, rendering and protocol.
    n, n_failed : int
        Samples, and those of them that failed.
    n_shared, n_paired, reference_failed : int
        Samples that the reference has, too; those that both answered; those that the reference failed on.
    score, macro, exact, errors : Estimate, Estimate, float, mapping
        Of what was answered: the mean over samples and that of the means of bins, the fraction of exact answers, and
        the mean error rates of a transcript.
    suite : Estimate or None
        The mean of the sub-tasks' means, where a suite has several.
    baseline, baseline_exact : Estimate, float
        The reference's, over the pairs.
    difference, macro_difference, difference_exact, retention
        The mean difference over the pairs, that of the bins' means, of exact answers, and the ratio of the mean scores.
    as_zero : Estimate or None
        The difference over all shared samples if failures count as 0; None where nothing failed.
    p_value, p_holm : float
        Of the difference, and corrected for all comparisons of the `Evidence`.
    wins, ties, losses : int
        Pairs with a higher, equal and lower score.
    detectable : float
        The smallest difference that so many samples would have shown with 80 % power.
    rates : mapping
        `RATES`: total bytes or tokens over the total of the raw, of the samples where they were measured.
    costs : mapping
        Means of `COSTS` and of `KV_PARTS` over what was answered, and the peak of memory.
    outcomes : mapping
        How responses ended that are no answer, and how many did.
    failures : tuple of Failure
        The commonest first.
    bins, density, subtasks : tuples of Part
        At a needle count; empty over all of them.
        ``density`` has the samples with density below the median, ``sparse``, and the others, ``dense``.
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
        """`costs`, with the two halves of an image codec, and all tokens of the answer, added up."""
        codec = [v for name in ("encode_ms", "decode_ms") if (v := self.costs[name]) is not None]
        each, count = self.costs["decode_ms_per_token"], self.costs["new_tokens"]
        answer = None if each is None or count is None else each * count
        return {**self.costs, "codec_ms": sum(codec) if codec else None, "answer_ms": answer}

    @property
    def verdict(self) -> str | None:
        """``worse`` or ``better`` if `p_holm` is below .05, else ``unclear``; None if there was nothing to compare."""
        if self.difference is None or self.p_holm is None:
            return None
        if self.p_holm >= ERROR:
            return "unclear"
        return "worse" if self.difference.mean < 0 else "better"

    @property
    def all_failed(self) -> str | None:
        """Which side of the comparison gave no answer, in words; None if both gave some."""
        if self.n and self.n_failed == self.n:
            return f"all {self.n} answers failed"
        if self.n_shared and self.reference_failed == self.n_shared:
            return f"all {self.n_shared} answers of {self.reference} failed"
        return None


def arm_name(method: str, level: str) -> str:
    """Method and level in one."""
    return method if method == level else f"{method} {level}"
