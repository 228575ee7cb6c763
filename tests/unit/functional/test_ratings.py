"""Elo ratings against closed forms."""

import math

import pytest
import torch

from clipper.functional.ratings import elo, expected_score


def test_expected_scores_are_elos() -> None:
    rating = torch.tensor([1600.0, 1000.0, 1400.0], dtype=torch.float64)
    other = torch.tensor([1200.0, 1000.0, 1800.0], dtype=torch.float64)
    assert expected_score(rating, other).tolist() == pytest.approx([10 / 11, 1 / 2, 1 / 11])


def test_against_one_rival_the_rating_has_a_closed_form() -> None:
    """R − R′ = 400 log₁₀(s / (n − s)), of points and games with one draw more."""
    for points, games in ((7.0, 10.0), (0.0, 10.0), (100.0, 100.0), (2.5, 5.0)):
        found = elo(*(torch.tensor([x], dtype=torch.float64) for x in (points, games, 130.0)))
        wanted = 130 + 400 * math.log10((points + 0.5) / (games + 1 - points - 0.5))
        assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_as_many_points_as_are_expected() -> None:
    generator = torch.Generator().manual_seed(0)
    others = 300 * torch.randn(6, generator=generator, dtype=torch.float64)
    games = torch.full_like(others, 20)
    points = 20 * torch.rand(6, generator=generator, dtype=torch.float64)
    rating = elo(points, games, others)
    expected = sum(21 / (1 + 10 ** ((float(r) - float(rating)) / 400)) for r in others)
    assert float(points.sum()) + 3 == pytest.approx(expected, abs=1e-6)
