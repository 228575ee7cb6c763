"""Boxes as choices: values by hand, densities by enumeration, bounds of the state as masks."""

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

import clipper
from clipper.errors import ConfigError, UnsupportedSpaceError
from clipper.networks.heads import Binned, BinnedHead, Fixed, HeadOptions
from clipper.networks.heads.binned import values_of
from clipper.networks.heads.make_head import make_head
from clipper.settings.config_json import from_json, to_json
from clipper.settings.option_text import from_text, to_text

FEATURES = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))


def head_for(space: Box, bins: int | None = None) -> BinnedHead:
    options = HeadOptions(action_gain=1.0) if bins is None else HeadOptions(action_gain=1.0, distribution=Binned(bins))
    head = make_head(space, 3, options, torch.Generator().manual_seed(1))
    assert isinstance(head, BinnedHead)
    return head


def test_values_by_hand() -> None:
    space = Box(np.array([-1, 0], np.float32), np.array([1, 10], np.float32))
    assert [x.tolist() for x in values_of(space, 5)] == [[-1, -0.5, 0, 0.5, 1], [0, 2.5, 5, 7.5, 10]]
    assert [x.tolist() for x in values_of(Box(-1, 2, (1,), np.int8))] == [[-1, 0, 1, 2]]
    assert [x.tolist() for x in values_of(Box(0, 255, (1,), np.uint8), 3)] == [[0, 128, 255]]
    assert [x.tolist() for x in values_of(Box(0, 2, (1,), np.int64), 50)] == [[0, 1, 2]]


def test_probabilities_of_all_actions_sum_to_one() -> None:
    low, high = np.array([-1, 0], np.int32), np.array([1, 1], np.int32)
    head = head_for(Box(low, high, dtype=np.int32))
    actions = np.array(list(itertools.product((-1, 0, 1), (0, 1))), np.int32)
    with torch.no_grad():
        dist = head(FEATURES[:1].expand(len(actions), 3))
        likelihoods = dist.log_prob(head.from_env(actions)).exp()
    assert likelihoods.sum().item() == pytest.approx(1)
    assert (likelihoods > 0).all()
    assert np.array_equal(head.to_env(head.from_env(actions)), actions)


def test_bounds_of_the_state_leave_what_lies_within() -> None:
    head = head_for(Box(-1.0, 1.0, (2,)), 5)
    bounds = torch.tensor([[[-0.5, 0.6], [0.5, 0.8]]]).expand(7, 2, 2)  # no value within 0.6 and 0.8
    with torch.no_grad():
        dist = head(FEATURES, action_mask=bounds)
    assert (dist.probs[:, 0] > 0).tolist() == [[False, True, True, True, False]] * 7
    assert (dist.probs[:, 1] > 0).sum(-1).tolist() == [1] * 7
    taken = head.to_env(dist.sample(torch.Generator().manual_seed(0)), bounds)
    assert (taken[:, 0] >= -0.5).all()
    assert (taken[:, 0] <= 0.5).all()
    np.testing.assert_allclose(taken[:, 1], 0.6, atol=1e-6)  # of 0.5, the nearest to their middle


def test_what_has_no_bins_is_refused() -> None:
    with pytest.raises(UnsupportedSpaceError, match="a bound is infinite"):
        head_for(Box(-np.inf, np.inf, (1,)), 5)
    with pytest.raises(ConfigError, match="bins must be from 2 to 10,000"):
        Binned(1)
    with pytest.raises(ConfigError, match="a binned policy has no σ"):
        make_head(Box(-1, 1, (1,)), 3, HeadOptions(distribution=Binned(), std=Fixed()), torch.Generator())


def test_settings_as_text_and_in_files() -> None:
    assert from_text("binned(7)", HeadOptions.__annotations__["distribution"]) == Binned(7)
    assert to_text(Binned(7)) == "binned(7)"
    options = HeadOptions(distribution=Binned(7))
    assert from_json(to_json(options), HeadOptions) == options


class Dial(gymnasium.Env):
    """Set a dial of nine positions to the one that is shown, within bounds that the info tells."""

    observation_space = Box(0, 8, (1,), np.float32)
    action_space = Box(0, 8, (1,), np.int64)

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        self.shown = int(self.np_random.integers(9))
        self.low = max(self.shown - int(self.np_random.integers(3)), 0)
        bounds = np.array([self.low]), np.array([8])
        return np.array([self.shown], np.float32), {"action_mask": np.stack(bounds)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.look()

    def step(self, action):
        assert self.action_space.contains(action)
        assert action[0] >= self.low
        self.count += 1
        reward = -abs(int(action[0]) - self.shown) / 8
        obs, info = self.look()
        return obs, reward, self.count == 8, False, info


def test_it_learns_a_dial_within_bounds(tmp_path: Any) -> None:
    policy = clipper.PolicyOptions(hidden=(32,), normalise_obs=True)
    run = clipper.train(
        Dial, clipper.PPO(horizon=64, gamma=0.0, learning_rate=1e-2), policy=policy, num_envs=8, total_steps=2_048,
        run_dir=tmp_path,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    untrained = clipper.make_policy(Dial.observation_space, Dial.action_space, policy, generator)
    assert run.evaluate(20).mean > 0.6 * clipper.evaluate(untrained, Dial, episodes=20, deterministic=False).mean
    assert clipper.load(tmp_path).predict(np.array([4.0], np.float32), action_mask=np.array([[0], [8]])).dtype == int
