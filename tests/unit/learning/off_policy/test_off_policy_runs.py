"""Runs of algorithms that learn from a replay: what is collected, how many steps are due, what is kept and refused."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import scipy.stats
import torch
from batches import Kind, make_steps, small_policy
from gymnasium.spaces import Box, Discrete, MultiDiscrete, OneOf

import clipper
from clipper.algorithms import OFF_POLICY
from clipper.cli.commands import run_command
from clipper.data.steps import Steps
from clipper.data.trees import each, leaves
from clipper.errors import ClipperError, ConfigError
from clipper.learning.critic_targets import Periodic
from clipper.learning.exploration import EpsilonGreedy
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam
from clipper.learning.temperature import EntropyTarget
from clipper.learning.value_losses import MSE
from clipper.runs.config_file import read_config
from clipper.runs.make_run import configure
from clipper.runs.run import Run
from clipper.settings.defaults import config_for

SMALL = clipper.PolicyOptions(hidden=(8,), activation="relu", orthogonal=False)
PLAN: Any = {"policy": SMALL, "vector": "serial", "seed": 3}
SHORT: Any = {"batch_size": 8, "capacity": 200, "learning_starts": 16}
PLACES: dict[type, tuple[str, Kind]] = {
    clipper.DQN: ("CartPole-v1", "categorical"),
    clipper.DiscreteSAC: ("CartPole-v1", "categorical"),
    clipper.HybridSAC: ("clipper/Platform-v0", "one of"),
    clipper.PDQN: ("clipper/Platform-v0", "one of"),
    clipper.MPDQN: ("clipper/Platform-v0", "one of"),
    clipper.PADDPG: ("clipper/Platform-v0", "one of"),
    clipper.HyAR: ("clipper/Platform-v0", "one of"),
}
"""Where algorithms that act on no Box act: an environment, and a small policy's actions."""
VECTORS = (clipper.PADDPG, clipper.HyAR)
"""Those whose actions are kept as vectors."""
BOXED = [kind for kind in OFF_POLICY if kind not in PLACES]
each_kind = pytest.mark.parametrize("kind", OFF_POLICY, ids=lambda kind: kind.__name__)
each_boxed = pytest.mark.parametrize("kind", BOXED, ids=lambda kind: kind.__name__)


def made(kind: Any, **fields: Any) -> Any:
    """With settings for a run that is short."""
    own: dict[str, Any] = {"representation_starts": 2, "representation_every": 2} if kind is clipper.HyAR else {}
    return kind(**own | fields)


def place_of(kind: type) -> tuple[str, Kind]:
    return PLACES.get(kind, ("Pendulum-v1", "gaussian"))


class Dial(gymnasium.Env):
    """Episodes of five decisions that show the same; what was turned is noted."""

    observation_space, action_space = Box(-1, 1, (2,)), Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))

    def __init__(self, seen: list[np.ndarray]) -> None:
        self.seen = seen

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return np.ones(2, np.float32), {}

    def step(self, action):
        self.seen.append(np.array(action))
        self.time += 1
        return np.ones(2, np.float32), float(action[0]), False, self.time == 5, {}


@pytest.mark.parametrize(("num_envs", "horizon", "ratio"), [(1, 1, 1.0), (4, 1, 0.5), (1, 3, 0.25), (4, 3, 2.0)])
def test_gradient_steps_are_due_by_decisions_however_these_are_collected(
    num_envs: int, horizon: int, ratio: float
) -> None:
    due: list[tuple[int, int]] = []

    def note(run: Run) -> None:
        due.append((run.learned, int(run.learner.extra["gradient_steps"])))

    algorithm = clipper.DDPG(update_ratio=ratio, horizon=horizon, **SHORT)
    clipper.train("Pendulum-v1", algorithm, num_envs=num_envs, total_steps=48, callback=note, **PLAN)
    assert due[-1][0] >= 48
    assert due == [(decisions, max(0, int((decisions - 16) * ratio))) for decisions, _ in due]


@each_boxed
def test_the_first_actions_are_uniform_over_the_box_and_evaluations_are_not(kind: Any) -> None:
    seen: list[np.ndarray] = []
    run = clipper.train(lambda: Dial(seen), made(kind, **SHORT | {"learning_starts": 400}), total_steps=420, **PLAN)
    first, later = (np.stack(x) for x in (seen[:400], seen[400:]))
    for i, (low, width) in enumerate([(-2, 4), (0, 1)]):
        assert scipy.stats.kstest(first[:, i], "uniform", (low, width)).pvalue > 0.01
    assert run.learner.extra["gradient_steps"] == 20
    assert len(later) == 20
    seen.clear()
    run = clipper.train(lambda: Dial(seen), made(kind, **SHORT), total_steps=10, **PLAN)
    seen.clear()
    run.evaluate(2)
    assert np.ptp(np.stack(seen), axis=0).max() == 0
    np.testing.assert_array_equal(seen[0], run.policy.predict(np.ones(2, np.float32)))


@each_boxed
def test_the_replay_holds_actions_as_they_were_executed(kind: Any) -> None:
    seen: list[np.ndarray] = []
    run = clipper.train(lambda: Dial(seen), made(kind, **SHORT), total_steps=30, **PLAN)
    kept = run.learner.modules["replay"].kept
    action = kept.action[kept.mask].numpy()
    np.testing.assert_allclose(action * [2, 0.5] + [0, 0.5], np.stack(seen), atol=1e-6)
    assert np.abs(action).max() <= 1


def updated(kind: Any, steps: Steps, last: torch.Tensor) -> Learner:
    algorithm = made(kind, **SHORT | {"learning_starts": 1, "batch_size": 64, "update_ratio": 0.2})
    options = algorithm.policy_options(dataclasses.replace(SMALL, normalise_obs=True))
    learner = algorithm.init(small_policy(place_of(kind)[1], options))
    metrics = algorithm.update(learner, steps, last)
    assert metrics["loss/q"].isfinite()
    return learner


def hide(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    noise = torch.nan if x.is_floating_point() else 99
    return x.masked_fill(~mask.view(*mask.shape, *(1,) * (x.ndim - 2)), noise)


@each_kind
def test_nothing_is_read_of_what_is_no_decision_or_follows_a_termination(kind: Any) -> None:
    actions = place_of(kind)[1]
    own = kind().policy_options(SMALL) if kind in VECTORS else None
    steps, last = make_steps(small_policy(actions, own), 30, 3, seed=0)
    if actions == "gaussian":
        steps = steps._replace(action=steps.action.clamp(-0.9, 0.9))
    gone = torch.cat([torch.zeros(1, 3, dtype=torch.bool), steps.terminated[:-1]])
    hidden = steps._replace(
        obs=steps.obs.masked_fill(gone.unsqueeze(-1), torch.nan),
        action=each(partial(hide, mask=steps.mask), steps.action),
    )
    assert gone.any()
    first, second = (updated(kind, x, last) for x in (steps, hidden))
    assert torch.equal(first.parameters, second.parameters)
    truncated = torch.cat([torch.zeros(1, 3, dtype=torch.bool), (steps.done & ~steps.terminated)[:-1]])
    third = updated(kind, steps._replace(obs=steps.obs + truncated.unsqueeze(-1)), last)
    assert not torch.equal(first.parameters, third.parameters)


TURNED: dict[str, Any] = {
    "alpha": 0.5, "optimizer": Adam(0.1), "max_grad_norm": 0.01, "capacity": 30, "learning_starts": 30, "n_step": 3,
    "policy_delay": 3, "batch_size": 9, "double": True, "lag": Periodic(2), "exploration": EpsilonGreedy(0.9),
    "q_loss": MSE(),
    "argument_alpha": 0.5, "critic_learning_rate": 0.02, "critics": 1, "representation_starts": 1,
    "representation_every": 1, "stale_factor": 1e-6,
}  # fmt: skip
"""Other values of fields, where half of the default would not do."""


def all_have(kind: type, name: str) -> bool:
    return kind is not clipper.SAC and name not in vars(kind).get("__annotations__", {})


FIELDS = [
    pytest.param(kind, f.name, marks=pytest.mark.long if all_have(kind, f.name) else ())
    for kind in OFF_POLICY
    for f in dataclasses.fields(kind)
    if f.name not in ("horizon", "exploration", "epsilon") and (kind, f.name) != (clipper.HyAR, "n_step")
]
"""Those that all have are looked at with one of them."""


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_another_value_of_a_field_is_another_update(kind: Any, field: str) -> None:
    algorithm = made(kind, **SHORT, learning_rate=0.05)
    other = TURNED[field] if field in TURNED else getattr(algorithm, field) / 2
    turned = dataclasses.replace(algorithm, **{field: other})
    ends = []
    for one in (algorithm, turned):
        learner = one.init(small_policy(place_of(kind)[1], one.policy_options(SMALL)))
        for seed in (0, 1):
            steps, last = make_steps(learner.policy, 12, 3, seed)
            one.update(learner, steps._replace(reward=5 * steps.reward), last)
        ends.append(learner.parameters)
    assert ends[0].shape != ends[1].shape or (ends[0] - ends[1]).abs().max() > 1e-6


@each_kind
def test_a_run_goes_on_as_if_never_stopped(kind: Any, tmp_path: Path) -> None:
    plan: Any = {"total_steps": 60, "num_envs": 2, "log_every": 7, **PLAN}
    whole = clipper.train(place_of(kind)[0], made(kind, **SHORT), **plan)
    stop = lambda run: run.learned < 36  # noqa: E731
    clipper.train(place_of(kind)[0], made(kind, **SHORT), run_dir=tmp_path, callback=stop, **plan)
    run = clipper.train(resume=tmp_path, policy=SMALL)  # as it was given before
    assert run.exact
    ours, theirs = run.learner.state_dict(), whole.learner.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())


def test_a_replay_s_rows_keep_their_number_of_environments(tmp_path: Path) -> None:
    clipper.train("Pendulum-v1", clipper.DDPG(**SHORT), run_dir=tmp_path, total_steps=24, num_envs=2, **PLAN)
    settings = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ClipperError, match="rows of 2 environments, and 3 were asked for"):
        clipper.train(resume=tmp_path, num_envs=3, total_steps=60)
    assert (tmp_path / "config.json").read_bytes() == settings
    longer = clipper.DDPG(**SHORT | {"capacity": 30, "learning_rate": 1e-4})
    run = clipper.train(resume=tmp_path, algorithm=longer, total_steps=60)
    replay = run.learner.modules["replay"]
    assert replay.size == 15 < replay.written
    assert read_config(tmp_path).algorithm == longer


def test_statistics_stay_where_nothing_was_decided() -> None:
    algorithm = clipper.SAC(**SHORT)
    options = algorithm.policy_options(dataclasses.replace(SMALL, normalise_obs=True))
    learner = algorithm.init(small_policy("gaussian", options))
    before = {name: x.clone() for name, x in learner.policy.state_dict().items()}
    steps, last = make_steps(learner.policy, 1, 3, seed=0)
    assert algorithm.update(learner, steps._replace(mask=torch.zeros_like(steps.mask)), last) == {}
    assert all(torch.equal(x, before[name]) for name, x in learner.policy.state_dict().items())
    assert int(learner.extra["decisions"]) == 0


def test_a_replay_beyond_the_machine_s_memory_is_refused_before_the_run() -> None:
    with pytest.raises(ConfigError, match=r"a replay of 10,000,000,000,000 decisions takes 120,000 GB .* lower cap"):
        clipper.train("Pendulum-v1", clipper.SAC(capacity=10**13), total_steps=4)


def test_the_engine_s_reason_is_the_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_ENGINE", raising=False)
    run = clipper.train("CartPole-v1", clipper.DiscreteSAC(**SHORT), total_steps=4, **PLAN | {"engine": "auto"})
    assert "kernels know no DiscreteSAC" in run.engine.description


@each_kind
def test_a_policy_without_v_is_loaded_and_evaluated_as_any_other(kind: Any, tmp_path: Path) -> None:
    run = clipper.train(
        place_of(kind)[0], made(kind, **SHORT), total_steps=24, run_dir=tmp_path, eval_every=12, eval_episodes=1, **PLAN
    )
    policy = clipper.load(tmp_path)
    obs = np.linspace(0.1, 0.9, policy.encoder.features, dtype=np.float32)
    assert policy.options == clipper.load(tmp_path, policy=SMALL).options == kind().policy_options(SMALL)
    for ours, theirs in zip(*map(leaves, (policy.predict(obs), run.policy.predict(obs))), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert clipper.evaluate(tmp_path, episodes=1).returns.shape == (1,)
    assert not any("critic" in name or "value" in name for name in policy.state_dict())
    with pytest.raises(ClipperError, match="this policy has no V"):
        policy.value(torch.zeros(1, len(obs)))
    rows = [row for row in run.history if "loss/q" in row]
    assert len(run.history) == 2  # the evaluations end rows
    assert len(rows) == 1


@each_kind
def test_nothing_said_means_one_environment_rows_of_a_thousand_and_the_papers_network(kind: Any) -> None:
    name = kind.__name__.lower()
    for config in (config_for(place_of(kind)[0], kind()), configure(lambda: Dial([]), kind(), None, {})[0]):
        assert (config.num_envs, config.log_every) == (1, 1_000), name
        hidden = {clipper.DQN: (128, 128), clipper.PDQN: (128,), clipper.MPDQN: (128,)}.get(kind, (256, 256))
        assert (config.policy.hidden, config.policy.activation, config.policy.critic) == (hidden, "relu", None)


def test_the_command_line_changes_what_is_said_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = (
        "--learning-starts 8 --batch-size 4 --alpha entropy_target(-0.5,0.2) --hidden 8 --total-steps 16 --run-dir r"
    )
    assert run_command(["train", "Pendulum-v1", "sac", *flags.split()]) == 0
    config = read_config(tmp_path / "r")
    assert config.algorithm == clipper.SAC(
        learning_starts=8,
        batch_size=4,
        alpha=EntropyTarget(-0.5, 0.2),
    )
    assert config.policy == dataclasses.replace(clipper.SAC().policy_options(None), hidden=(8,))
    flags = "--distribution deterministic(0.3) --learning-starts 8 --total-steps 10 --hidden 8 --run-dir t"
    assert run_command(["train", "Pendulum-v1", "td3", *flags.split()]) == 0
    log_std = clipper.load(tmp_path / "t").act(torch.zeros(1, 3))[0].params[1]
    assert float(log_std) == pytest.approx(np.log(0.3))
    with pytest.raises(SystemExit):
        run_command(["train", "Pendulum-v1", "td3", "--distribution", "beta", "--total-steps", "10"])
    assert "acts with Deterministic, not Beta" in capsys.readouterr().err


class Own(torch.nn.Module):
    """A policy of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def act(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> Any: ...
    def to_env(self, action: Any, action_mask: Any = ()) -> Any: ...


@pytest.mark.parametrize(
    ("env", "policy", "message"),
    [
        ("Pendulum-v1", clipper.PolicyOptions(memory="lstm"), "has no memory"),
        ("Pendulum-v1", clipper.PolicyOptions(normalise_returns=True), "has no normalise_returns"),
        ("Pendulum-v1", clipper.PolicyOptions(shared=True), "has no shared"),
        ("Pendulum-v1", clipper.PolicyOptions(critic=clipper.critics.TwoHot()), "leave out critic, which is TwoHot"),
        ("Pendulum-v1", Own(), "give PolicyOptions"),
    ],
)
@each_kind
def test_what_does_not_fit_is_refused(kind: Any, env: str, policy: Any, message: str) -> None:
    with pytest.raises(ClipperError, match=message):
        clipper.train(env, kind(), policy=policy, total_steps=10)


ELSEWHERE = [
    *(
        (kind, Discrete(2), r"on one Box of finite bounds.*Discrete\(2\).*DQN and DiscreteSAC act on a Discrete")
        for kind in BOXED
    ),
    (clipper.DQN, Box(-1, 1, (2,)), "on one Discrete, .*SAC, TD3 and DDPG act on a Box"),
    (clipper.DQN, MultiDiscrete(np.array([[2, 3], [4, 2]])), "one Discrete of its 48 combinations, or use PPO"),
    (
        clipper.DiscreteSAC,
        OneOf([Box(-1, 1, (2,)), Discrete(1)]),
        "on one Discrete, .*HybridSAC, PDQN, MPDQN, PADDPG and HyAR act on a OneOf",
    ),
    (clipper.PDQN, Discrete(3), "on a OneOf, by a BestHead, .*DQN and DiscreteSAC act on a Discrete"),
    (clipper.HybridSAC, Discrete(3), "on a OneOf, .*DQN and DiscreteSAC act on a Discrete"),
    (clipper.HybridSAC, OneOf([Box(-1, 1, (2,)), Discrete(2)]), "Discrete\\(1\\) for none, and here a CategoricalHead"),
]


@pytest.mark.parametrize(("kind", "space", "message"), ELSEWHERE)
def test_other_actions_are_refused_with_what_acts_on_them(kind: Any, space: Any, message: str) -> None:
    class Other(Dial):
        action_space = space

    with pytest.raises(ClipperError, match=message):
        clipper.train(lambda: Other([]), kind(), total_steps=10)


def test_an_infinite_box_is_refused() -> None:
    class Endless(Dial):
        action_space = Box(-np.inf, np.inf, (2,))

    with pytest.raises(ClipperError, match="a bound is infinite"):
        clipper.train(lambda: Endless([]), clipper.SAC(), total_steps=10)


def test_who_fits_v_refuses_a_policy_without_it() -> None:
    with pytest.raises(ClipperError, match="A2C fits V"):
        clipper.train("CartPole-v1", clipper.A2C(), policy=clipper.PolicyOptions(critic=None), total_steps=10)


def test_a_network_for_discrete_actions_needs_no_v_either() -> None:
    policy = small_policy("categorical", clipper.PolicyOptions(hidden=(4,), critic=None))
    assert policy.act(torch.zeros(2, 3))[0].mode.shape == (2,)
    assert each(lambda x: x.shape, policy.predict(np.zeros(3))) == ()
    assert isinstance(policy.action_space, Discrete)


@pytest.mark.long
@each_boxed
def test_pendulum_is_learned_in_ten_thousand_decisions(kind: Any) -> None:
    policy = dataclasses.replace(SMALL, hidden=(64, 64))
    run = clipper.train("Pendulum-v1", kind(learning_rate=1e-3), policy=policy, total_steps=10_000, num_envs=1)
    assert run.evaluate(20).mean >= -200
