"""Declared starting means of continuous arguments."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, OneOf

from clipper import HeadOptions, PolicyOptions, make_policy
from clipper.errors import ConfigError

ACTIONS = OneOf([Box(0, 40, (2,)), Discrete(1), Box(-7, 7, (1,))])


def policy(*means: float) -> Any:
    options = PolicyOptions(head=HeadOptions(action_gain=0.0, initial_mean=means))
    return make_policy(Box(-1, 1, (3,)), ACTIONS, options, torch.Generator().manual_seed(0))


def test_arguments_start_where_they_were_told_in_units_of_the_box() -> None:
    _, (kick, _, shot) = policy(-0.5, 0.0, 1.0).predict(np.ones((1, 3), np.float32))
    np.testing.assert_allclose(kick, [[10, 20]])
    np.testing.assert_allclose(shot, [[7]])


def test_a_wrong_number_of_means_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 numbers for 3"):
        policy(0.5, 0.5)
