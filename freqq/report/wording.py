"""What a difference's interval says, in words."""

from freqq.report.bootstrap import CONFIDENCE
from freqq.report.statistics import Estimate


def words(difference: Estimate | None, changed: int | None = None) -> str:
    """Sign and size of a paired difference of scores, in points of 100.

    Parameters
    ----------
    difference : Estimate or None
        None: there was nothing to compare with.
    changed : int, optional
        Samples whose score differs. If there is none, the interval of no width would say too much: with `n` equal
        scores, at most ``1 - 0.05 ** (1 / n)`` of all samples differ, with 95 % confidence.
    """
    if difference is None or difference.n == 0:
        return "not compared with no compression"
    if changed == 0:
        most = 100 * (1 - (1 - CONFIDENCE) ** (1 / difference.n))
        return f"changes none of {difference.n} scores: {most:.1f} % or fewer would change"
    low, high = 100 * difference.low, 100 * difference.high
    if low != low or high != high:
        return "too few samples to say"
    if high < 0:
        return f"loses {_points(-high, -low)}"
    if low > 0:
        return f"gains {_points(low, high)}"
    return f"no difference shown; one larger than {max(-low, high):.1f} points can be excluded"


def _points(low: float, high: float) -> str:
    return f"{low:.1f} to {high:.1f} points"
