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


def hedged(text: str, difference: Estimate, p_holm: float, comparisons: int) -> str:
    """`words`, with a warning where one interval excludes 0 but a correction for so many comparisons does not."""
    if p_holm < ERROR or not (difference.high < 0 or difference.low > 0):
        return text
    return f"{text}; chance is not ruled out among {comparisons} comparisons"


def _sign_and_size(difference: Estimate) -> str:
    low, high = 100 * difference.low, 100 * difference.high
    if isnan(low) or isnan(high):
        return "too few samples to say"
    if high < 0:
        return f"loses {-high:.1f} to {-low:.1f} points"
    if low > 0:
        return f"gains {low:.1f} to {high:.1f} points"
    return f"no difference shown; one larger than {max(-low, high):.1f} points can be excluded"
