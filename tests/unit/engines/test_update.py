"""A whole update, and a whole segment, beside the definition's."""

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
import torch
from batches import ACTIONS, Kind, Still, make_steps, small_policy
from torch import Generator

import clipper
from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, Algorithm, PPOPenalty, PPOSeparate, Reinforce
from clipper.engines.cpu import threads as team
from clipper.engines.cpu.engine import CPU
from clipper.engines.eager import Torch
from clipper.errors import NonFiniteError
from clipper.learning.advantages import Standardised
from clipper.learning.critic_targets import MonteCarlo, NStep, Periodic, Polyak, TDLambda
from clipper.learning.kl import Exact, KLStop, Sampled
from clipper.learning.learner import Learner
from clipper.learning.objectives import TrustRegion, TrustRegionRollback
from clipper.learning.optimizers import Adam, RMSProp
from clipper.learning.rewards import Normalised, Raw, Scaled
from clipper.rollout.vector_rollouts import VectorRollouts

NORMALISED = clipper.PolicyOptions(hidden=(32, 32), normalise_obs=True, normalise_returns=True)


@pytest.mark.parametrize(
    "algorithm",
    [
        PPO(epochs=3, learning_rate=clipper.schedules.Linear(3e-3), rewards=Scaled(), advantages=Standardised("batch")),
        PPO(
            epochs=3,
            advantages=Standardised("minibatch", 0),
            clip=(0.1, 0.3),
            value_loss=clipper.value_losses.Huber(1.0),
            entropy_coef=0.01,
        ),
        PPO(epochs=20, stop=KLStop(0.01), max_grad_norm=0.1, value_loss=clipper.value_losses.ClippedMSE(0.2)),
        A2C(rewards=Scaled(), entropy_coef=0.01),
        A2C(lam=0.9, advantages=Standardised("batch"), optimizer=clipper.optimizers.Adam()),
        Reinforce(entropy_coef=0.01),
        Reinforce(advantages=Standardised("batch", 0)),
        Reinforce(baseline=False, advantages=Raw(), max_grad_norm=100.0),
        PPO(epochs=3, optimizer=RMSProp(0.9, 1e-3)),
        PPO(epochs=3, optimizer=Adam(1e-4, (0.5, 0.9)), rewards=Normalised(2.0)),
        PPO(epochs=3, advantages=Standardised("trajectories")),
        PPO(epochs=3, advantages=Raw()),
        A2C(advantages=Standardised("trajectories"), rewards=Normalised(), optimizer=Adam(1e-4, (0.5, 0.9))),
        A2C(advantages=Standardised("minibatch", 0)),
        Reinforce(advantages=Standardised("minibatch", 1), optimizer=RMSProp(0.9, 1e-3)),
        Reinforce(causal=False),
        VPG(entropy_coef=0.01, rewards=Scaled()),
        VPG(value_minibatches=1, optimizer=RMSProp(0.9, 1e-3), critic_target=MonteCarlo(), max_grad_norm=0.1),
        PPOSeparate(epochs=20, value_epochs=5, minibatches=2, value_minibatches=3, rewards=Scaled(), entropy_coef=0.01),
        PPOSeparate(epochs=5, value_epochs=5, critic_first=True, kl=Exact(), stop=KLStop(0.01, "epoch")),
        PPOPenalty(epochs=4, entropy_coef=0.01, rewards=Scaled()),
        PPOPenalty(epochs=3, beta=5.0, kl_target=None, advantages=Standardised("batch")),
        PPO(epochs=3, kl=Exact(), stop=KLStop(0.02, "epoch"), learning_rate=3e-3),
        PPO(epochs=3, objective=TrustRegion(0.01), learning_rate=3e-3),
        PPO(epochs=3, objective=TrustRegionRollback(0.01, 5.0), learning_rate=3e-3, stop=KLStop(0.02)),
        PPO(epochs=3, recompute=True, rewards=Scaled(), advantages=Standardised("batch")),
        PPO(epochs=3, recompute=True, critic_target=TDLambda(0.9, lag=Polyak(0.5)), kl=Sampled("k1"), stop=KLStop(1.0)),
        A2C(critic_target=NStep(3, lag=Periodic(2))),
        TRPO(rewards=Scaled()),
        TRPO(delta=clipper.schedules.Linear(0.02), advantages=Standardised("minibatch"), shrink=0.5),
        NPG(critic_target=MonteCarlo(), value_loss=clipper.value_losses.Huber(1.0)),
    ],
    ids=[
        "scaled", "huber", "target-kl", "a2c", "a2c-adam", "reinforce", "reinforce-decisions", "reinforce-bare",
        "rmsprop", "betas-normalised", "trajectories", "raw", "a2c-trajectories-normalised", "a2c-minibatch",
        "reinforce-minibatch-rmsprop", "reinforce-whole", "vpg", "vpg-whole", "separate", "critic-first", "penalty",
        "penalty-kept", "exact", "trust-region", "trust-region-rollback", "recompute", "recompute-lagged", "a2c-lagged",
        "trpo", "trpo-minibatch", "npg",
    ],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "threads"), [("categorical", 1), ("several", 1), ("gaussian", 1), ("gaussian", 3)])
def test_update_is_the_definition_s(
    kind: Kind, threads: int, algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to float32's last bits: sums run in another order, and Adam's first steps turn the sign of tiny gradients
    into steps of full size.
    """
    monkeypatch.setattr(team, "PAYS", 1.0)
    learners = [algorithm.init(small_policy(kind, NORMALISED), seed=5) for _ in range(2)]
    engines = CPU(learners[0], algorithm, threads), Torch(learners[1], algorithm)
    for iteration in range(5):
        steps, last = make_steps(learners[1].policy, 65, 4, seed=iteration)
        ours, theirs = (engine.update(steps, last) for engine in engines)
        assert {name: float(x) for name, x in ours.items()} == pytest.approx(
            {name: float(x) for name, x in theirs.items()}, 1e-3, 1e-4
        )
    a, b = (learner.state_dict() for learner in learners)
    assert a.keys() == b.keys()
    for name, x in a.items():
        torch.testing.assert_close(x, b[name], rtol=1e-3, atol=1e-5, msg=name)
    distance = (learners[0].parameters - learners[1].parameters).norm() / learners[1].parameters.norm()
    assert distance < 1e-4


def engine_for(
    env_id: str, n: int, options: clipper.PolicyOptions = NORMALISED
) -> tuple[CPU, gymnasium.vector.VectorEnv]:
    env = clipper.make_env(env_id, n)
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, options, Generator().manual_seed(1)
    )
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=Generator().manual_seed(2)))
    policy.absorb(torch.randn(50, policy.encoder.features, generator=Generator().manual_seed(3)), torch.zeros(50))
    algorithm = PPO()
    return CPU(algorithm.init(policy), algorithm), env


def test_segments_are_the_definition_s() -> None:
    """Discrete actions are drawn from the same numbers, so all that is recorded agrees, row by row."""
    engine, env = engine_for("CartPole-v1", 3)
    other = clipper.make_env("CartPole-v1", 3)
    state, expected_state = clipper.VectorRollouts(env, 0), clipper.VectorRollouts(other, 0)
    for _ in range(2):
        steps, _ = state.collect(engine.actor, horizon=100)
        expected, _ = expected_state.collect(engine.learner.policy, horizon=100)
        assert not steps.mask.all()
        for name in ("obs", "action", "reward", "terminated", "done", "mask"):
            assert torch.equal(getattr(steps, name), getattr(expected, name)), name
        torch.testing.assert_close(steps.log_prob, expected.log_prob, rtol=0, atol=1e-5)
        assert torch.equal(state.obs, expected_state.obs)
        assert state.steps == expected_state.steps
        assert state.episodes == expected_state.episodes


class Combination(gymnasium.Env):
    """A lock with three wheels, the first of which starts at 1; an episode is at most 20 tries."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,))
    action_space = gymnasium.spaces.MultiDiscrete([3, 2, 4], start=[1, 0, 0])

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.tries = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        self.tries += 1
        obs = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return obs, float(action.sum()), bool((action == [2, 1, 3]).all()), self.tries == 20, {}


def test_several_choices_are_the_definition_s() -> None:
    env, other = (clipper.make_env(Combination, 3) for _ in range(2))
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, NORMALISED, Generator().manual_seed(1)
    )
    engine = CPU(PPO().init(policy), PPO())
    steps, _ = clipper.VectorRollouts(env, 0).collect(engine.actor, horizon=60)
    expected, _ = clipper.VectorRollouts(other, 0).collect(policy, horizon=60)
    for name in ("obs", "action", "reward", "terminated", "done", "mask"):
        assert torch.equal(getattr(steps, name), getattr(expected, name)), name
    torch.testing.assert_close(steps.log_prob, expected.log_prob, rtol=0, atol=1e-5)


def test_whole_episodes_are_the_definition_s() -> None:
    engine, env = engine_for("CartPole-v1", 3)
    other = clipper.make_env("CartPole-v1", 3)
    state, expected_state = clipper.VectorRollouts(env, 0), clipper.VectorRollouts(other, 0)
    for _ in range(2):
        steps, _ = state.collect(engine.actor, episodes=90)
        expected, _ = expected_state.collect(engine.learner.policy, episodes=90)
        assert len(steps.mask) > 256  # so that the storage had to grow
        for name in ("obs", "action", "terminated", "done", "mask"):
            assert torch.equal(getattr(steps, name), getattr(expected, name)), name
        assert torch.equal(steps.reward[steps.mask], expected.reward[steps.mask])
        torch.testing.assert_close(steps.log_prob, expected.log_prob, rtol=0, atol=1e-5)
        assert state.episodes == expected_state.episodes
        assert state.steps == expected_state.steps
        assert torch.equal(state.generator.get_state(), expected_state.generator.get_state())


def test_gaussian_likelihood_is_the_definition_s() -> None:
    engine, env = engine_for("Pendulum-v1", 4)
    steps, _ = clipper.VectorRollouts(env, 0).collect(engine.actor, horizon=200)
    with torch.no_grad():
        dist, _ = engine.learner.policy.act(steps.obs)
        torch.testing.assert_close(steps.log_prob, dist.log_prob(steps.action), rtol=0, atol=1e-5)
    assert steps.action.shape == (200, 4, 1)


N = 100_000


def draw(kind: Kind) -> tuple[torch.distributions.Distribution, np.ndarray]:
    """The distribution at one observation, by torch, and N actions of the engine there."""
    policy = small_policy(kind)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.5 * torch.randn(p.shape, generator=Generator().manual_seed(4)))
    algorithm = PPO()
    engine = CPU(algorithm.init(policy), algorithm)
    obs = torch.tensor([0.3, -1.0, 2.0]).expand(N, 3).contiguous()
    steps, _ = VectorRollouts(Still(obs.numpy(), ACTIONS[kind]), 5).collect(engine.actor, horizon=1)
    actions = steps.action[0]
    with torch.no_grad():
        params = policy.act(obs[0])[0].params
    if kind == "categorical":
        return torch.distributions.Categorical(logits=params[0]), actions.numpy()
    return torch.distributions.Normal(params[0], params[1].exp()), actions.numpy()


def test_choices_come_as_often_as_they_should() -> None:
    dist, action = draw("categorical")
    expected = N * dist.probs.double().numpy()  # pyright: ignore[reportAttributeAccessIssue]
    observed = np.bincount(action, minlength=3)
    assert ((observed - expected) ** 2 / expected).sum() < 13.8  # χ² with 2 degrees of freedom, p = 0.001


def test_gaussian_actions_have_mean_and_spread() -> None:
    dist, action = draw("gaussian")
    mean, std = dist.mean.numpy(), dist.stddev.numpy()
    assert (np.abs(action.mean(0) - mean) < 4 * std / N**0.5).all()
    assert (np.abs(action.std(0) / std - 1) < 4 / (2 * N) ** 0.5).all()


def diverge(change: Callable[[Learner], object]) -> None:
    engine, env = engine_for("CartPole-v1", 2)
    state = clipper.VectorRollouts(env, 0)
    steps, _ = state.collect(engine.actor, horizon=32)
    change(engine.learner)
    metrics = engine.update(steps, state.obs)
    assert not all(np.isfinite(float(metrics[name])) for name in ("loss/policy", "loss/value", "loss/gradient_norm"))


def test_broken_weights_show_in_the_metrics() -> None:
    diverge(lambda learner: learner.parameters.data.fill_(torch.nan))
    diverge(lambda learner: learner.parameters.data[:7].fill_(torch.inf))


class Broken(gymnasium.Env):
    """Gives NaN in its fifth step."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, obs: float = 0.0, reward: float = 0.0) -> None:
        self.obs, self.reward, self.count = obs, reward, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        now = self.count == 5
        return np.full(2, self.obs if now else 0, np.float32), self.reward if now else 0.0, False, False, {}


@pytest.mark.parametrize(("obs", "reward", "words"), [(np.nan, 0.0, "observation nan"), (0.0, np.inf, "reward inf")])
def test_numbers_that_are_not_finite_are_named(obs: float, reward: float, words: str) -> None:
    algorithm = PPO(horizon=8, minibatches=1)
    with pytest.raises(NonFiniteError, match=f"{words} from environment 0 of .* after 8 decisions"):
        clipper.train(lambda: Broken(obs, reward), algorithm, num_envs=2, total_steps=64, engine="cpu")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_policy_that_is_too_far_at_once_takes_no_step(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the rows are an older policy's: nothing moves, and what is told of it is what the definition tells."""
    monkeypatch.setattr(team, "PAYS", 1.0)
    algorithm = PPO(stop=KLStop(0.01))
    learners = [algorithm.init(small_policy("categorical", NORMALISED), seed=5) for _ in range(2)]
    steps, last = make_steps(learners[0].policy, 65, 4, seed=0)
    stale = steps._replace(log_prob=steps.log_prob - 1)
    before = learners[0].parameters.detach().clone()
    ours, theirs = (
        CPU(learners[0], algorithm, threads).update(stale, last),
        Torch(learners[1], algorithm).update(stale, last),
    )
    assert torch.equal(learners[0].parameters, before)
    assert ours["loss/gradient_norm"] == 0
    assert {k: float(x) for k, x in ours.items()} == pytest.approx({k: float(x) for k, x in theirs.items()}, 1e-3, 1e-4)
    assert int(learners[0].skipped) == 0
