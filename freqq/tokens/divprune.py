"""DivPrune: keep the most diverse tokens."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from freqq.tokens.base import Selector


@dataclass(frozen=True)
class DivPrune(Selector):
    """Take, one after another, the token that is farthest from all those already taken, by cosine.

    The greedy solution of the max-min diversity problem, from DivPrune (arXiv:2503.02175, algorithm 1): the first token
    is the one whose nearest neighbour is farthest.

    Formula
    -------
    next = argmax over i not taken of min over j taken of 1 - cos(x(i), x(j)).

    Source
    ------
    DivPrune (arXiv:2503.02175, algorithm 1).
    """

    def select(self, grid: Tensor, small: tuple[int, int]) -> Tensor:
        """h'·w' cells in the order in which they are taken."""
        tokens = normalize(grid.float().flatten(0, 1), dim=1)
        distances = 1 - tokens @ tokens.T
        nearest = distances + torch.diag(distances.new_full((len(tokens),), torch.inf))
        first = nearest.amin(1).argmax()
        order, closest = [first], distances[first].clone()
        for _ in range(small[0] * small[1] - 1):
            closest[order[-1]] = -torch.inf
            order.append(closest.argmax())
            closest = torch.minimum(closest, distances[order[-1]])
        return torch.stack(order)
