"""What an update learns from is what the model collected; what it counts and tells is what it did."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary

from clipper.compat.sb3 import A2C, PPO, TRPO
from clipper.compat.sb3.common.buffers import RolloutBuffer
from clipper.compat.sb3.common.distributions import kl_divergence
from clipper.compat.sb3.common.policies import ActorCriticPolicy
from clipper.errors import ConfigError, NonFiniteError

QUICK: dict[str, Any] = {"n_steps": 32, "batch_size": 16, "n_epochs": 3, "seed": 3}


class OneStep(gymnasium.Env):
    """Each episode is one decision, whose reward is its first number."""

    observation_space = Box(-1, 1, (2,), np.float32)

    def __init__(self, actions: gymnasium.Space) -> None:
        self.action_space = actions

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), float(np.ravel(action)[0]), True, False, {}


class OwnRows(RolloutBuffer):
    """Gives halves of the rewards on."""

    def add(self, obs: Any, action: Any, reward: Any, episode_start: Any, value: Any, log_prob: Any) -> None:
        super().add(obs, action, reward / 2, episode_start, value, log_prob)


class OwnBatches(RolloutBuffer):
    """Gives batches of its own."""

    def get(self, batch_size: int | None = None) -> Any:
        yield from super().get(batch_size)


class OwnJudge(ActorCriticPolicy):
    """Tells likelihoods of its own."""

    def evaluate_actions(self, obs: Any, actions: torch.Tensor) -> Any:
        return super().evaluate_actions(obs, actions)


class OwnUpdate(PPO):
    """Learns by itself."""

    batches = 0

    def train(self) -> None:
        for batch in self.rollout_buffer.get(self.batch_size):
            self.policy.evaluate_actions(batch.observations, batch.actions.long().flatten())
            self.batches += 1


def test_an_update_that_ends_early_counts_its_epochs_and_tells_the_last_one_s_kl() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", target_kl=1e-9, learning_rate=1e-2, **QUICK).learn(32)
    assert model._n_updates == 1
    # The second minibatch ended it, and the first one's KL was 0.
    assert model.logger.name_to_value["train/approx_kl"] > 1.5e-9 / 2
    model = PPO("MlpPolicy", "CartPole-v1", learning_rate=1e-3, **QUICK).learn(64)
    assert model._n_updates == 6


def test_squashed_noise_is_as_likely_when_it_is_learned_from_as_when_it_was_drawn() -> None:
    """Also of actions near the bounds."""
    options = {"squash_output": True, "log_std_init": 1.0, "full_std": False}
    model = PPO("MlpPolicy", OneStep(Box(-2, 2, (2,))), use_sde=True, policy_kwargs=options, **QUICK).learn(32)
    with torch.no_grad():
        assert model.env is not None
        model.collect_rollouts(model.env, silent(model), model.rollout_buffer, 32)
        targets = model.targets()
        dist, _ = model.learner.policy(targets.steps.obs, (), ())
        again = dist.log_prob(targets.steps.action)
    assert float(targets.steps.action.abs().max()) > 3
    near = targets.steps.action.abs().amax(-1) < 6  # beyond, a float32 of tanh(u) does not tell u
    assert torch.allclose(again[near], targets.steps.log_prob[near], atol=0.05)
    inner = targets.steps.action.abs().amax(-1) < 2
    assert torch.allclose(again[inner], targets.steps.log_prob[inner], atol=1e-4)


def silent(model: PPO) -> Any:
    _, callback = model._setup_learn(32)
    callback.on_training_start({}, {})
    return callback


@pytest.mark.parametrize("actions", [Box(-1, 1, (3,)), MultiBinary(3), Discrete(3)])
def test_a_trust_region_is_as_wide_as_the_library_s_kl_says(actions: gymnasium.Space) -> None:
    """Which is a mean over components, and of several choices a sum."""
    bound = 1e-3
    model = TRPO("MlpPolicy", OneStep(actions), n_steps=512, target_kl=bound, seed=1)
    before: Any = model.make_policy()
    before.load_state_dict(model.policy.state_dict())
    model.learn(512)
    obs = torch.as_tensor(model.rollout_buffer.observations).flatten(0, 1)
    with torch.no_grad():
        moved = float(kl_divergence(before.get_distribution(obs), model.policy.get_distribution(obs)).mean())
    assert 0.4 * bound < moved <= 1.01 * bound
    assert model.logger.name_to_value["train/kl_divergence_loss"] == pytest.approx(moved, rel=0.02)


def test_what_an_update_would_not_call_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"OwnBatches has its own get.*in its add"):
        A2C("MlpPolicy", "CartPole-v1", rollout_buffer_class=OwnBatches)
    with pytest.raises(ConfigError, match=r"OwnJudge has its own evaluate_actions.*_get_action_dist_from_latent"):
        PPO(OwnJudge, "CartPole-v1", **QUICK)
    model = OwnUpdate(OwnJudge, "CartPole-v1", rollout_buffer_class=OwnBatches, **QUICK).learn(32)
    assert model.batches == 2


def test_a_buffer_of_one_s_own_is_used_and_comes_back(tmp_path: Path) -> None:
    plain, own = (
        PPO("MlpPolicy", "CartPole-v1", rollout_buffer_class=kind, **QUICK).learn(32) for kind in (None, OwnRows)
    )
    assert np.array_equal(own.rollout_buffer.rewards * 2, plain.rollout_buffer.rewards)
    own.save(tmp_path / "model")
    assert type(PPO.load(tmp_path / "model").rollout_buffer) is OwnRows


@pytest.mark.parametrize("kind", [PPO, A2C, TRPO])
def test_schedules_that_end_at_0_end_there_though_the_last_segment_is_longer(kind: Any) -> None:
    options: dict[str, Any] = {"clip_range": lambda left: 0.2 * left} if kind is PPO else {}
    model = kind("MlpPolicy", "CartPole-v1", learning_rate=lambda left: 1e-3 * left, n_steps=64, seed=0, **options)
    model.learn(100)
    assert model.num_timesteps == 128
    assert model._current_progress_remaining < 0


class Vague(OneStep):
    """Its fifth reward is NaN."""

    count = 0

    def step(self, action):
        self.count += 1
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, float("nan") if self.count == 5 else reward, terminated, truncated, info


@pytest.mark.parametrize("kind", [PPO, A2C])
def test_rewards_that_are_no_numbers_end_the_run(kind: Any) -> None:
    model = kind("MlpPolicy", Vague(Discrete(2)), n_steps=32, seed=0)
    with pytest.raises(NonFiniteError, match="rewards are not finite after 32 steps: VecCheckNan"):
        model.learn(64)
