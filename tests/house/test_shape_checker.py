"""The tests' own switch: wrong shapes are told while it is on, and it is on in each test's first calls."""

import jaxtyping
import pytest
import torch

from clipper.functional.reduce import trajectory_sum

THREE, TWO = torch.ones(3), torch.ones(2, dtype=torch.bool)


def test_a_wrong_shape_is_told_until_the_calls_are_used_up() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        trajectory_sum(THREE, TWO, 1)
    jaxtyping.config.left = 1  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(jaxtyping.TypeCheckError):
        trajectory_sum(THREE, TWO, 1)
    with pytest.raises(RuntimeError, match=r"size|shape"):
        trajectory_sum(THREE, TWO, 1)


def test_each_test_has_its_own() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        trajectory_sum(THREE, TWO, 1)
