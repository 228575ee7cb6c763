"""The tests' own switch: wrong shapes are told while it is on, and it is on in each test's first calls."""

import jaxtyping
import pytest
import shape_checker
import torch

from clipper.functional.reduce import trajectory_sum

THREE, TWO = torch.ones(3), torch.ones(2, dtype=torch.bool)


def test_a_wrong_shape_is_told_in_the_first_calls_then_now_and_then() -> None:
    found = list[int]()
    for call in range(1, 2001):
        try:
            trajectory_sum(THREE, TWO, 1)
        except jaxtyping.TypeCheckError:
            found.append(call)
        except RuntimeError:
            pass
    if shape_checker.ALL:
        assert found == [*range(1, 2001)]
    else:  # the switch is looked at some three to five times a call
        assert found[:15] == [*range(1, 16)]
        assert 5 < len([call for call in found if call > 50]) < 60
        assert 150 < found[-1] <= 1000


def test_each_test_has_its_own() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        trajectory_sum(THREE, TWO, 1)
