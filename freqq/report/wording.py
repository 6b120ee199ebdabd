"""What a difference's interval says, in words."""

from math import isnan

from freqq.report.bootstrap import CONFIDENCE
from freqq.report.significance import ERROR
from freqq.report.statistics import FEW, Estimate


def words(difference: Estimate | None, changed: int) -> str:
    """Sign and size of a paired difference of scores, in points of 100.

    Parameters
    ----------
    difference : Estimate or None
        None: there was nothing to compare with.
    changed : int
        Samples whose score differs. If there is none, an interval of no width would say too much: with n equal scores,
        at most ``1 - 0.05 ** (1 / n)`` of all samples change, with 95 % confidence.
    """
    if difference is None or difference.n == 0:
        return "not compared"
    if difference.n < 2:
        return "too few samples to say"
    if changed == 0:
        most = 100 * (1 - (1 - CONFIDENCE) ** (1 / difference.n))
        return f"no score of {difference.n} changes (at most {most:.1f} % do)"
    few = f" ({changed} of {difference.n} changed)" if changed < FEW else ""
    return _sign_and_size(difference) + few


def hedged(text: str, difference: Estimate, counts: tuple[int, int], p_holm: float, comparisons: int) -> str:
    """`words`, made to agree with the p-value; `freqq.report.comparison.Comparison.verdict` says which of them decides.

    Two cases are told apart from the rest. The interval excludes 0, but a correction for so many comparisons does not
    exclude chance: a warning is added. Or the test excludes chance, but the interval holds 0, as it may where few
    samples changed (`freqq.report.statistics.cautious`): then there is a difference, and how large it is is not known.

    Parameters
    ----------
    counts : (int, int)
        Samples with a higher and with a lower score.
    """
    shown, excludes = p_holm < ERROR, difference.high < 0 or difference.low > 0
    if text == UNANSWERED or shown == excludes or isnan(difference.low):
        return text
    if excludes:
        return f"{text}; chance is not ruled out" + (f" among {comparisons} comparisons" if comparisons > 1 else "")
    loses = difference.mean < 0
    count, side, most = (counts[1], "lower", -difference.low) if loses else (counts[0], "higher", difference.high)
    return (
        f"{'loses' if loses else 'gains'}, hardly by chance ({side} on {count} of {difference.n} samples); how much is "
        f"not known well, at most {100 * most:.1f} points"
    )


UNANSWERED = "all answers failed"
"""Instead of `words`, where one side of a comparison gave no answer: 0 beside 0 is not an equal score."""


def _sign_and_size(difference: Estimate) -> str:
    low, high = 100 * difference.low, 100 * difference.high
    if isnan(low) or isnan(high):
        return "too few samples to say"
    if high < 0:
        return f"loses {-high:.1f} to {-low:.1f} points"
    if low > 0:
        return f"gains {low:.1f} to {high:.1f} points"
    return f"no difference shown; one larger than {max(-low, high):.1f} points can be excluded"
