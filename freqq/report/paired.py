"""What paired differences of scores say: how many, how large, how sure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freqq.report.significance import detectable, sign_flip_p
from freqq.report.statistics import Estimate, cautious
from freqq.report.wording import words


@dataclass(frozen=True)
class Paired:
    """The fields of a comparison that come of the differences alone; `freqq.report.comparison` says what they are."""

    difference: Estimate
    p_value: float
    wins: int
    ties: int
    losses: int
    detectable: float | None
    words: str


def weigh(differences: NDArray[np.float64], estimate: Estimate) -> Paired:
    """Weigh differences, of which `estimate` is the mean with its BCa interval."""
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    wary = cautious(estimate, differences)
    return Paired(
        difference=wary,
        p_value=sign_flip_p(differences),
        wins=wins,
        ties=len(differences) - wins - losses,
        losses=losses,
        detectable=detectable(differences),
        words=words(wary, wins + losses),
    )
