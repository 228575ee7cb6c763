"""Ratings of players from the games between them. A draw is half a point."""

import torch
from jaxtyping import Float
from torch import Tensor


def expected_score(rating: Float[Tensor, "*batch"], other: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """E = 1 / (1 + 10^((R′ − R) / 400)), the points a game that R is expected to get against R′ (Elo 1978; as Bradley &
    Terry 1952, doi:10.1093/biomet/39.3-4.324, have it).
    """
    return torch.sigmoid((rating - other) * (torch.log(torch.tensor(10.0, dtype=rating.dtype)) / 400))


def elo(points: Float[Tensor, " K"], games: Float[Tensor, " K"], others: Float[Tensor, " K"]) -> Float[Tensor, ""]:
    """R with Σₖ (nₖ + 1) E(R, R′ₖ) = Σₖ (sₖ + ½): the rating that explains sₖ points of nₖ games against each R′ₖ.

    One draw more with each keeps R finite where all games were won. Its left side grows with R, so halving an interval
    finds it (Elo 1978; the likelihood is that of Bradley & Terry 1952, doi:10.1093/biomet/39.3-4.324).
    """
    low, high = others.min() - 4000, others.max() + 4000
    for _ in range(60):
        middle = (low + high) / 2
        below = ((games + 1) * expected_score(middle.expand_as(others), others)).sum() < (points + 0.5).sum()
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2
