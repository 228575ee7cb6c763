"""Running statistics against numpy over everything seen, and a slow loop per environment."""

import numpy as np
import pytest
import torch
from batches import make_steps, small_policy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipper.algorithms import PPO
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Normalised
from clipper.networks.normalise import ObservationNormaliser, ReturnNormaliser, RewardScaler, RunningMoments
from clipper.networks.policy_options import PolicyOptions

chunks = st.lists(
    st.integers(0, 8).flatmap(lambda n: arrays(np.float32, (n, 3), elements=st.floats(-1e3, 1e3, width=32))), max_size=4
)


@given(chunks)
def test_running_moments_are_those_of_all_samples(parts: list[np.ndarray]) -> None:
    running = RunningMoments((3,))
    for part in parts:
        running.absorb(torch.from_numpy(part))
    seen = np.concatenate([np.zeros((0, 3)), *parts])
    assert running.count.item() == len(seen)
    if len(seen):
        assert running.mean.numpy() == pytest.approx(seen.mean(0), rel=1e-9, abs=1e-9)
        assert running.variance.numpy() == pytest.approx(seen.var(0), rel=1e-9, abs=1e-6)
    else:
        assert running.mean.tolist() == [0, 0, 0]
        assert running.variance.tolist() == [1, 1, 1]


def test_observations_come_out_standardised_and_bounded() -> None:
    generator = torch.Generator().manual_seed(0)
    obs = torch.randn(500, 3, generator=generator) * torch.tensor([1.0, 20.0, 0.01]) + torch.tensor([0.0, 300.0, -5.0])
    normaliser = ObservationNormaliser((3,), bound=2.5)
    assert torch.equal(normaliser(obs), obs.clamp(-2.5, 2.5)), "before the first statistics it only bounds"
    normaliser.absorb(obs[:200])
    normaliser.absorb(obs[200:])
    seen = obs.double().numpy()
    expected = np.clip((seen - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-8), -2.5, 2.5)
    assert normaliser(obs).numpy() == pytest.approx(expected, rel=1e-3, abs=1e-3)
    assert normaliser(obs).abs().max() == 2.5


def test_a_constant_observation_stays_finite() -> None:
    normaliser = ObservationNormaliser((1,), bound=10.0)
    normaliser.absorb(torch.full((8, 1), 3.0))
    assert normaliser(torch.full((2, 1), 3.0)).abs().max() < 1e-3
    assert normaliser(torch.full((2, 1), 4.0)).tolist() == [[10.0], [10.0]]


def test_reward_scaling_across_segments_equals_a_slow_loop() -> None:
    policy, gamma, bound, envs = small_policy("categorical"), 0.9, 0.5, 4
    learner = Learner(policy, optimizer=Adam(1e-5), seed=0, reward_scaler=RewardScaler(bound))
    running, seen = [0.0] * envs, []
    for segment in range(4):
        steps, _ = make_steps(policy, rows=9, envs=envs, seed=segment)
        scaled = learner.scale_rewards(steps, gamma)
        for env in range(envs):
            for t in range(9):
                if not steps.mask[t, env]:
                    continue
                running[env] = gamma * running[env] + steps.reward[t, env].item()
                seen.append(running[env])
                if steps.done[t, env]:
                    running[env] = 0.0
        reward = steps.reward[steps.mask].double().numpy()
        expected = np.clip(reward / np.sqrt(np.var(seen) + 1e-8), -bound, bound)
        assert scaled[steps.mask].numpy() == pytest.approx(expected, rel=1e-5)
        assert (np.abs(expected) == bound).any()
        assert (np.abs(expected) < bound).any()


def test_reward_normalisation_equals_numpys_over_all_rewards_so_far() -> None:
    policy, seen = small_policy("categorical"), []
    learner = PPO(rewards=Normalised(1.5)).init(policy)
    for segment in range(3):
        steps, _ = make_steps(policy, rows=9, envs=4, seed=segment)
        reward = steps.reward[steps.mask].double().numpy()
        seen.extend(reward)
        expected = np.clip((reward - np.mean(seen)) / np.sqrt(np.var(seen) + 1e-8), -1.5, 1.5)
        scaled = learner.scale_rewards(steps, 0.9)
        assert scaled[steps.mask].numpy() == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert (np.abs(expected) == 1.5).any()


def test_normalised_returns_are_mapped_back() -> None:
    """A critic that answers (R − mean)/std exactly gives R."""
    returns = 40 + 7 * torch.randn(300, generator=torch.Generator().manual_seed(0))
    normaliser = ReturnNormaliser()
    assert normaliser(torch.tensor([2.0])).item() == pytest.approx(2)
    normaliser.absorb(returns[:100])
    normaliser.absorb(returns[100:])
    answer = (returns - returns.mean()) / returns.std(correction=0)
    torch.testing.assert_close(normaliser(answer), returns, rtol=1e-5, atol=1e-4)
    assert normaliser.scale.item() == pytest.approx(returns.std(correction=0).item(), rel=1e-5)


def test_statistics_stay_frozen_until_the_update_ends_then_take_each_decision_once() -> None:
    policy = small_policy("categorical", PolicyOptions(hidden=(5,), normalise_obs=True, normalise_returns=True))
    algorithm = PPO(epochs=3, minibatches=2)
    learner = algorithm.init(policy)
    for segment in range(2):
        steps, last = make_steps(policy, rows=9, envs=4, seed=segment)
        targets = algorithm.targets(learner, steps, last)
        _, metrics = algorithm.loss(learner, targets)
        assert metrics["policy/kl"].abs() < 1e-6, "the first ratio of an update is 1"
        before = int(policy.get_buffer("encoder.normaliser.moments.count"))
        algorithm.update(learner, steps, last)
        for name in ("encoder.normaliser.moments.count", "returns.moments.count"):
            assert int(policy.get_buffer(name)) == before + int(steps.mask.sum())


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_value_loss_does_not_depend_on_the_unit_of_returns(scale: float) -> None:
    policy = small_policy("categorical", PolicyOptions(hidden=(5,), normalise_returns=True))
    assert policy.returns is not None
    algorithm = PPO(lam=1.0, gamma=1.0)
    learner = algorithm.init(policy)
    steps, last = make_steps(policy, rows=12, envs=4, seed=0)
    plain = steps._replace(terminated=steps.mask, done=steps.mask)  # one-step episodes: the target is the reward
    scaled = plain._replace(reward=scale * plain.reward)
    policy.returns.absorb(scaled.reward[plain.mask])
    _, metrics = algorithm.loss(learner, algorithm.targets(learner, scaled, last))
    spread = plain.reward[plain.mask]
    with torch.no_grad():
        raw = policy.value_layer(policy.critic(policy.encoder(plain.obs))).squeeze(-1)[plain.mask]
    standard = (spread - spread.mean()) / spread.std(correction=0)
    assert metrics["loss/value"].item() == pytest.approx((raw - standard).square().mean().item(), rel=1e-4)


def test_a_restart_in_the_first_row_begins_a_new_sum() -> None:
    """The episode before was cut off there: what it had gathered is not the new one's."""
    policy = small_policy("categorical")
    learner = Learner(policy, optimizer=Adam(1e-5), seed=0, reward_scaler=RewardScaler(10.0))
    steps, _ = make_steps(policy, rows=4, envs=2, seed=0)
    no, ones = torch.zeros(4, 2, dtype=torch.bool), torch.ones(4, 2)
    steps = steps._replace(reward=ones, terminated=no, done=no, mask=~no)
    learner.scale_rewards(steps, 0.5)
    mask = ~no
    mask[0, 1] = False  # environment 1 was made anew in row 0
    learner.scale_rewards(steps._replace(mask=mask), 0.5)
    halves = [2 - 0.5**k for k in range(8)]  # 1, 1.5, 1.75, … of environment 0; environment 1: 4 of these, then 3
    seen = [*halves, *halves[:4], *halves[:3]]
    assert learner.reward_scaler is not None
    assert float(learner.reward_scaler.moments.mean) == pytest.approx(np.mean(seen), rel=1e-6)
    assert float(learner.reward_scaler.moments.variance) == pytest.approx(np.var(seen), rel=1e-6)
