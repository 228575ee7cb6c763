"""Numbers that are not finite, or far too large: nothing that was learned is lost, and the culprit is named."""

import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import make_steps, small_policy
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import clipper
from clipper.algorithms import Algorithm, Reinforce
from clipper.data.steps import Steps
from clipper.engines.eager import Torch
from clipper.environments.checks import LARGEST_REWARD
from clipper.environments.vector.serial import Serial
from clipper.errors import NonFiniteError
from clipper.functional.reduce import standardise
from clipper.learning.learner import Learner
from clipper.networks.heads.scales import LOG_STD_BOUNDS
from clipper.networks.normalise import RunningMoments
from clipper.networks.policy_options import PolicyOptions
from clipper.runs.run import Run

torch.set_num_threads(1)
JOINT: dict[str, Algorithm] = {
    "ppo": clipper.PPO(epochs=2, minibatches=2),
    "penalty": clipper.PPOPenalty(epochs=2, minibatches=2),
    "reinforce": Reinforce(),
    "a2c": clipper.A2C(),
    "a2c adam": clipper.A2C(optimizer=clipper.optimizers.Adam()),
}
APART: dict[str, Algorithm] = {
    "vpg": clipper.VPG(value_epochs=2, value_minibatches=2),
    "npg": clipper.NPG(value_epochs=2, value_minibatches=2),
    "trpo": clipper.TRPO(value_epochs=2, value_minibatches=2),
    "ppo apart": clipper.PPOSeparate(epochs=2, minibatches=2, value_epochs=2, value_minibatches=2),
    "critic first": clipper.PPOSeparate(epochs=2, value_epochs=2, critic_first=True),
}


def start(algorithm: Algorithm) -> tuple[Learner, Steps, Tensor]:
    """A learner that has made one update, and the batch for the next ones."""
    policy = small_policy("gaussian", PolicyOptions(hidden=(5,), normalise_obs=True, normalise_returns=True))
    steps, last_obs = make_steps(policy, 16, 2, seed=1)
    if isinstance(algorithm, Reinforce):
        steps = steps._replace(reward=steps.reward.nan_to_num())
    learner = algorithm.init(policy, seed=3)
    algorithm.update(learner, steps, last_obs)
    assert int(learner.skipped) == 0
    return learner, steps, last_obs


def bits(learner: Learner) -> dict[str, Tensor]:
    """Weights and moments."""
    kept = ("policy", "adam", "critic", "rmsprop")
    return {k: v.clone() for k, v in learner.state_dict().items() if k.startswith(kept) and "normaliser" not in k}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(x, b[k]) for k, x in a.items())


@pytest.mark.parametrize("engine", ["torch", "cpu"])
@pytest.mark.parametrize("far", [800.0, -800.0, 20.5])
@pytest.mark.parametrize(
    "algorithm",
    [
        clipper.PPO(epochs=1, minibatches=1, clip=float("inf"), objective=clipper.objectives.Unclipped()),
        clipper.PPO(epochs=2, minibatches=2),
        clipper.PPOSeparate(epochs=2, stop=None),
        clipper.PPOPenalty(epochs=2),
    ],
    ids=["unclipped", "ppo", "apart", "penalty"],
)
def test_a_ratio_that_would_overflow_is_bounded_and_counted(algorithm: Algorithm, far: float, engine: str) -> None:
    """Three of the batch's decisions were far less likely, or likelier, to what acted than they are now."""
    if engine == "cpu" and not isinstance(algorithm, clipper.PPO):
        pytest.skip("kernels are for PPO")
    make: Any = Torch if engine == "torch" else pytest.importorskip("clipper.engines.cpu.engine").CPU
    policy = small_policy("gaussian")
    steps, last_obs = make_steps(policy, 16, 2, seed=1)
    rows = steps.mask.flatten().nonzero()[2:5, 0]
    log_prob = steps.log_prob.flatten().index_add(0, rows, torch.full((3,), -far)).view_as(steps.log_prob)
    learner = algorithm.init(policy, seed=3)
    metrics = make(learner, algorithm).update(steps._replace(log_prob=log_prob), last_obs)
    assert all(x.isfinite() for x in metrics.values())
    assert int(learner.skipped) == 0
    assert learner.parameters.isfinite().all()
    assert float(metrics["policy/ratio_max"]) <= np.exp(20.0) * (1 + 1e-6)
    told = float(metrics["policy/ratio_clamped"])
    assert told == (0 if far < 0 else pytest.approx(3 / int(steps.mask.sum()), rel=2e-2))


@pytest.mark.parametrize("name", [*JOINT, *APART])
def test_a_step_without_a_finite_loss_changes_no_bit(name: str) -> None:
    algorithm = (JOINT | APART)[name]
    learner, steps, last_obs = start(algorithm)
    before = bits(learner)
    algorithm.update(learner, steps._replace(reward=steps.reward * torch.nan), last_obs)
    assert int(learner.skipped) >= int(learner.skipped_in_a_row) > 0  # of all networks, and of the one that skips most
    assert same(bits(learner), before)
    skipped = int(learner.skipped)
    algorithm.update(learner, steps, last_obs)
    assert (int(learner.skipped), int(learner.skipped_in_a_row)) == (skipped, 0)
    after = bits(learner)
    assert not same(after, before)
    assert all(x.isfinite().all() for x in after.values())


@pytest.mark.parametrize("name", ["ppo", "penalty", "trpo"])
def test_a_likelihood_that_is_no_number_moves_no_actor(name: str) -> None:
    algorithm = (JOINT | APART)[name]
    learner, steps, last_obs = start(algorithm)
    before = [p.clone() for p in learner.policy.actor_parameters()]
    algorithm.update(learner, steps._replace(log_prob=steps.log_prob * torch.nan), last_obs)
    assert int(learner.skipped) > 0
    assert all(torch.equal(p, q) for p, q in zip(learner.policy.actor_parameters(), before, strict=True))


@pytest.mark.parametrize("name", JOINT)
def test_a_skipped_update_leaves_no_trace(name: str) -> None:
    """Sound, broken, sound = sound, sound, but for what no step decides: permutations, β, moments of observations."""
    algorithm, ends = JOINT[name], []
    for broken in (False, True):
        learner, steps, last_obs = start(algorithm)
        permutations, beta = learner.generator.get_state(), dict(learner.extra)
        if broken:
            encoder = {k: v.clone() for k, v in learner.policy.encoder.state_dict().items()}
            algorithm.update(learner, steps._replace(reward=steps.reward * torch.inf), last_obs)
            learner.policy.encoder.load_state_dict(encoder)
            learner.extra = beta
        learner.generator.set_state(permutations)
        algorithm.update(learner, steps, last_obs)
        ends.append(bits(learner))
    assert same(*ends)


class Huge(gymnasium.Env):
    """Pays ``reward`` from its ``at``-th step on."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, reward: float, at: int = 0) -> None:
        self.reward, self.at, self.count = reward, at, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        obs = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return obs, self.reward if self.count > self.at else 1.0, False, self.count % 7 == 0, {}


ENGINES = ["torch", "cpu"] if find_spec("numba") else ["torch"]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_run_ends_after_too_many_skipped_steps_with_the_last_good_checkpoint(
    engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rewards whose squares overflow: every loss is infinite from then on."""
    monkeypatch.delenv("CLIPPER_ENGINE")
    algorithm = clipper.PPO(horizon=16, epochs=2, minibatches=2)  # 4 steps per iteration
    seen: list[tuple[float, bool]] = []

    def watch(run: Run) -> None:
        seen.append((run.history[-1]["update/skipped_steps"] or 0, bool(run.learner.parameters.isfinite().all())))

    with pytest.raises(NonFiniteError, match=r"12 steps in a row .* iteration 6: the last checkpoint is still good"):
        clipper.train(
            lambda: Huge(1e25, at=3 * 16), algorithm, num_envs=2, total_steps=10_000, engine=engine,
            run_dir=tmp_path, checkpoint_every=32, max_skipped_steps=12, callback=watch,
        )  # fmt: skip
    assert seen == [(0.0, True)] * 3 + [(4.0, True), (8.0, True)]
    assert all(x.isfinite().all() for x in clipper.load(tmp_path).state_dict().values())


@pytest.mark.parametrize("engine", ENGINES)
def test_the_reward_is_refused_before_it_is_squared(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE")
    algorithm = clipper.PPO(horizon=16, epochs=1, minibatches=1)
    plan: Any = {"num_envs": 2, "total_steps": 32, "engine": engine}
    clipper.train(lambda: Huge(LARGEST_REWARD), algorithm, **plan)
    with pytest.raises(NonFiniteError, match=r"reward -1\.01e\+30 from environment 0 of .* after 0 decisions"):
        clipper.train(lambda: Huge(-1.01 * LARGEST_REWARD), algorithm, **plan)


OF_A_REPLAY = {"learning_starts": 4, "update_ratio": 1.0, "batch_size": 4, "capacity": 64}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("env", "algorithm"),
    [
        ("Pendulum-v1", clipper.TD3(**OF_A_REPLAY)),
        ("Pendulum-v1", clipper.SAC(**OF_A_REPLAY)),
        ("clipper/Platform-v0", clipper.HyAR(representation_starts=2, **OF_A_REPLAY)),
        ("clipper/Platform-v0", clipper.PDQN(**OF_A_REPLAY)),
        ("CartPole-v1", clipper.PPOSeparate(horizon=8, epochs=2, value_epochs=2)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_network_that_takes_no_step_any_more_ends_the_run_whatever_the_others_do(
    env: str, algorithm: Any, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The critics' losses are infinite, the policy's are not; the error names the reward."""
    monkeypatch.delenv("CLIPPER_ENGINE")
    engine = "torch" if isinstance(algorithm, clipper.HyAR) else engine  # it has no kernels

    def made() -> gymnasium.Env:
        return gymnasium.wrappers.TransformReward(gymnasium.make(env), lambda reward: 1e30)

    options = dataclasses.replace(clipper.Config(env=env, algorithm=algorithm).policy, hidden=(8,))
    with pytest.raises(NonFiniteError, match=r"10 steps in a row .*Rewards are as large as 1e\+30, .* gives smaller"):
        clipper.train(made, algorithm, policy=options, num_envs=1, total_steps=500, engine=engine)


class Noisy(Huge):
    """Gives NaN in its first life's 12th step: in the observation, in the last one of an episode, or in the reward."""

    lives = 0

    def __init__(self, what: str) -> None:
        super().__init__(1.0, at=10**9)
        Noisy.lives += 1
        self.what, self.breaks = what, Noisy.lives == 1

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, reward, terminated, truncated, info = super().step(action)
        if self.breaks and self.count == (14 if self.what == "last observation" else 12):
            obs, reward = (obs, np.inf) if self.what == "reward" else (obs * np.nan, reward)
        return obs, reward, terminated, truncated, info


@pytest.mark.parametrize("what", ["observation", "last observation", "reward"])
def test_numbers_that_are_not_finite_are_cut_off_where_restarts_are_allowed(what: str) -> None:
    """The decision that led there is none, the one before ends its episode, and learning goes on."""
    Noisy.lives = 0
    env = Serial([lambda: Noisy(what)], max_restarts=1)
    options = PolicyOptions(hidden=(5,), normalise_obs=True)
    spaces = env.single_observation_space, env.single_action_space
    policy = clipper.make_policy(*spaces, options, torch.Generator().manual_seed(0))
    state = clipper.VectorRollouts(env, 0)
    with pytest.warns(UserWarning, match="made anew, restart 1 of 1"):
        steps, _ = state.collect(policy, horizon=20)
    assert Noisy.lives == 2
    row = 14 if what == "last observation" else 12  # of 20, one of which lies between two episodes
    assert steps.done.flatten().nonzero().flatten().tolist()[:2] == [6, row - 1]
    assert not steps.terminated.any()
    assert not steps.mask[row]
    assert steps.obs.isfinite().all()
    learner = clipper.PPO(epochs=1, minibatches=1).init(policy)
    clipper.PPO(epochs=1, minibatches=1).update(learner, steps, state.obs)
    assert int(learner.skipped) == 0
    assert all(x.isfinite().all() for x in policy.state_dict().values())
    Noisy.lives = 0
    env = Serial([lambda: Noisy(what)])
    state = clipper.VectorRollouts(env, 0)
    with pytest.raises(NonFiniteError):
        state.collect(policy, horizon=20)


SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5)


@given(SAMPLES, SAMPLES, st.sampled_from([np.nan, np.inf, -np.inf, 1e300]), st.integers(0, 4))
def test_running_statistics_take_in_no_batch_that_would_break_them(
    first: list[float], second: list[float], value: float, at: int
) -> None:
    moments = RunningMoments(())
    moments.absorb(torch.tensor(first, dtype=torch.float64))
    before = {k: v.clone() for k, v in moments.state_dict().items()}
    broken = [*second[:at], value, *second[at:]]
    moments.absorb(torch.tensor(broken, dtype=torch.float64))
    assert same(dict(moments.state_dict()), before)
    moments.absorb(torch.tensor(second, dtype=torch.float64))
    both = np.array([*first, *second])
    np.testing.assert_allclose(float(moments.mean), both.mean(), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(float(moments.variance), both.var(), rtol=1e-6, atol=1e-6)


@given(
    st.integers(1, 6), st.sampled_from([0.0, 1.0, -1e6, 1e6]), st.sampled_from([0.0, 1e-12, 1.0, 1e6]),
    st.sampled_from(["all", "one", "none", "half"]), st.integers(0, 100),
    st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_standardised_advantages_are_finite_whatever_the_batch(
    size: int, offset: float, spread: float, masked: str, seed: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = offset + spread * torch.randn(size, generator=generator, dtype=dtype)
    mask = {
        "all": torch.ones(size, dtype=torch.bool), "none": torch.zeros(size, dtype=torch.bool),
        "one": torch.arange(size) == seed % size, "half": torch.arange(size) % 2 == 0,
    }[masked]  # fmt: skip
    result = standardise(x.masked_fill(~mask, torch.nan), mask)
    assert result.isfinite().all()
    assert (result[~mask] == 0).all()
    assert result.abs().max() <= size**0.5  # Samuelson's inequality: no sample is (n − 1)/√n deviations off the mean
    if len(set(x[mask].tolist())) < 2:
        assert (result == 0).all()


@pytest.mark.parametrize("learning_rate", [10.0, 1e3])
def test_the_standard_deviation_neither_collapses_nor_explodes(learning_rate: float) -> None:
    env = clipper.make_env("Pendulum-v1", 1)
    low, high = np.exp(LOG_STD_BOUNDS)
    stds: list[Tensor] = []

    def watch(run: Run) -> None:
        dist, _ = run.policy.act(torch.zeros(4, 3))
        stds.append(dist.log_std.exp().detach())
        assert run.policy.predict(np.zeros(3, np.float32), deterministic=False) in env.single_action_space

    algorithm = clipper.PPO(horizon=32, epochs=2, learning_rate=learning_rate, entropy_coef=0.1)
    run = clipper.train("Pendulum-v1", algorithm, num_envs=2, total_steps=1000, callback=watch)
    assert all(((x >= low * 0.999) & (x <= high * 1.001)).all() for x in stds)
    raw = run.learner.policy.head.log_std.value
    assert ((raw < LOG_STD_BOUNDS[0]) | (raw > LOG_STD_BOUNDS[1])).any()  # unbounded it would have left them
