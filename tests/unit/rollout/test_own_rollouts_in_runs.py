"""What rollouts of one's own tell a run is kept, or refused in a sentence that says what to write."""

import gc
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from torch import Generator, Tensor

import clipper
from clipper.data.steps import Steps
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.networks.protocol import Actor
from clipper.rollout.protocol import Episode
from clipper.runs.make_run import check_given
from clipper.runs.run import Run
from clipper.storage import checkpoint
from clipper.storage.saved import value_of

N, ROWS = 4, 16
ALGORITHM = clipper.PPO(horizon=ROWS, epochs=1, minibatches=1)
SMALL = clipper.PolicyOptions(hidden=(8,))


class Guesses:
    """Each row is an episode: 1 is right where the number is positive, else 0."""

    num_envs, single_action_space = N, spaces.Discrete(2)
    single_observation_space = spaces.Box(-1, 1, (1,))

    def __init__(self) -> None:
        self.steps, self.episodes, self.metrics = 0, list[Episode](), dict[str, float]()
        self.generator = Generator().manual_seed(0)

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tensor]:
        obs = torch.rand(horizon or 1, N, 1, generator=self.generator) * 2 - 1
        with torch.no_grad():
            dist, _ = actor.act(obs)
            action: Any = dist.sample(self.generator)
            log_prob = dist.log_prob(action)
        reward = (action == (obs[..., 0] > 0)).float()
        ends = torch.ones_like(reward, dtype=torch.bool)
        self.steps += reward.numel()
        self.episodes = [Episode(i, float(x), 1) for i, x in enumerate(reward[0])]
        return Steps(obs, action, log_prob, reward, ends, ends, ends), obs[-1]

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"generator": self.generator.get_state()}, {"steps": self.steps}

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, Any], actor: Actor) -> Any:
        self.generator.set_state(tensors["generator"])
        self.steps = values["steps"]
        return True

    def close(self) -> None:
        pass


def train(rollouts: Any, folder: Path | None = None, iterations: int = 4, **more: Any) -> Run:
    plan = {"policy": SMALL, "total_steps": iterations * ROWS * N, "run_dir": folder}
    return clipper.train(rollouts, ALGORITHM, **(plan | more))


def resumed(kind: Any, folder: Path) -> Run:
    train(kind(), folder, callback=lambda run: run.iteration < 2)
    return clipper.train(kind(), resume=folder)


class Numpy(Guesses):
    """As numpy's numbers and arrays."""

    def collect(self, actor: Actor, **quota: Any) -> tuple[Steps, Tensor]:
        answer = super().collect(actor, **quota)
        self.steps, self.metrics = np.int64(self.steps), {"mine/x": np.float32(2.5)}  # pyright: ignore
        self.episodes = [Episode(e.env, np.float32(e.total), np.int64(e.length)) for e in self.episodes]  # pyright: ignore
        return answer

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
        tensors, values = super().state_dict()
        return {name: x.numpy() for name, x in tensors.items()}, values | {"pair": (np.int64(2), np.float64(0.5))}


def test_numbers_and_arrays_may_be_numpy_s(tmp_path: Path) -> None:
    run, plain = resumed(Numpy, tmp_path / "numpy"), train(Guesses())
    assert run.exact
    assert torch.equal(run.learner.parameters, plain.learner.parameters)
    rows = [json.loads(line) for line in (tmp_path / "numpy" / "metrics.jsonl").read_text().splitlines()]
    assert [row["steps"] for row in rows] == [row["steps"] for row in plain.history]
    assert [row["episode/return"] for row in rows] == [row["episode/return"] for row in plain.history]
    assert {row["mine/x"] for row in rows} == {2.5}


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({"steps": 7}, "'steps', which a run's own is called"),
        ({"loss/value": 1.0}, "'loss/value', which a run's own is called"),
        ({"eval/mine": 1.0}, "'eval/mine', which a run's own is called"),
        ({"mine": "text"}, "'text', which is no single number"),
    ],
)
def test_metrics_are_numbers_by_names_of_their_own(metrics: dict[str, Any], says: str) -> None:
    rollouts = Guesses()
    rollouts.metrics = metrics
    with pytest.raises(ConfigError, match=says):
        train(rollouts)


def with_values(**values: Any) -> Any:
    class Telling(Guesses):
        def state_dict(self, episodes: bool = True) -> Any:
            tensors, own = super().state_dict()
            return tensors, own | values

    return Telling


def with_state(state: Any) -> Any:
    class Giving(Guesses):
        def state_dict(self, episodes: bool = True) -> Any:
            return state

    return Giving


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (with_values(mean=float("nan")), "of Telling gives 'mean' as nan, which a checkpoint cannot hold"),
        (with_values(deep={"a": [1.0, float("nan")]}), "gives 'deep', 'a', 1 as nan"),
        (with_values(x=torch.zeros(2)), "gives 'x' .*put it among the tensors"),
        (with_values(x={1: 2}), "gives 'x' as .*cannot hold"),
        (with_state({"steps": 0}), "must return a dict of tensors and a dict of values"),
        (with_state(({"x": [1.0]}, {"steps": 0})), "gives 'x' as .*no tensor"),
        (with_state(({}, {})), "gives no steps: put"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_refused_before_training(kind: Any, says: str, tmp_path: Path) -> None:
    rollouts = kind()
    with pytest.raises(ConfigError, match=says):
        train(rollouts, tmp_path / "run")
    assert rollouts.steps == 0
    assert train(kind()).iteration == 4  # nothing is kept without a folder


def answering(answer: Any, load: bool = True) -> Any:
    class Answering(Guesses):
        def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, Any], actor: Actor) -> Any:
            return super().load_state_dict(tensors, values, actor) and answer if load else answer

    return Answering


def test_what_load_state_dict_answers_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="of Answering answers None: it must return True"):
        resumed(answering(None), tmp_path / "none")
    with pytest.raises(
        ConfigError, match=r"leaves steps at 0, and the checkpoint is of 128: set it to values\['steps'\]"
    ):
        resumed(answering(True, load=False), tmp_path / "steps")
    run = resumed(answering(1), tmp_path / "one")
    assert run.exact is True
    assert checkpoint.load_latest(tmp_path / "one")[1]["exact"] is True
    assert resumed(answering(0), tmp_path / "zero").exact is False


def test_a_mistake_in_one_s_own_load_state_dict_is_told_as_it_is(tmp_path: Path) -> None:
    class Mistaken(Guesses):
        def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, Any], actor: Actor) -> Any:
            return values["nothing"]

    with pytest.raises(KeyError, match="nothing"):
        resumed(Mistaken, tmp_path)


def test_steps_of_rollouts_that_differ_from_the_run_s_are_damage(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    clipper.train("CartPole-v1", ALGORITHM, policy=SMALL, num_envs=2, total_steps=64, vector="serial", run_dir=folder)
    tensors, values = checkpoint.load_latest(folder)
    value_of("rollouts", dict, values)["steps"] = -5
    checkpoint.save(folder / "checkpoint.safetensors", tensors, values)
    with pytest.raises(CorruptCheckpointError, match="at -5 steps"):
        clipper.train(resume=folder, total_steps=128)


def test_rollouts_that_have_been_used_count_from_the_run_s_beginning(tmp_path: Path) -> None:
    """Also where the run goes on: with new rollouts, or with the same."""
    used = Guesses()
    train(used)
    whole = train(used)
    assert (whole.iteration, whole.steps, used.steps) == (4, 4 * ROWS * N, 8 * ROWS * N)
    again = Guesses()
    train(again)
    cut = train(again, tmp_path, callback=lambda run: run.iteration < 2)
    assert cut.steps == 2 * ROWS * N
    for rollouts in (Guesses(), again):
        run = clipper.train(rollouts, resume=tmp_path)
        assert (run.iteration, run.steps, rollouts.steps) == (4, 4 * ROWS * N, 8 * ROWS * N)
        assert run.exact
        assert [row["steps"] for row in run.history] == [row["steps"] for row in whole.history]
        assert torch.equal(run.learner.parameters, whole.learner.parameters)


def cart_poles(n: int) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * n)


@pytest.mark.parametrize("made", [Guesses, lambda: cart_poles(N)], ids=["rollouts", "VectorEnv"])
@pytest.mark.parametrize(
    "setting", [{"num_envs": 16}, {"vector": "workers"}, {"env_timeout": 5.0}, {"on_env_error": "restart"}], ids=str
)
def test_settings_without_effect_on_what_is_made_ready_are_refused(made: Any, setting: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(setting))}.* made ready"):
        train(made(), **setting)
    train(made(), tmp_path / "run", num_envs=N, callback=lambda run: False)
    with pytest.raises(ConfigError, match=f"{next(iter(setting))}.* made ready"):
        clipper.train(made(), resume=tmp_path / "run", **setting)


def test_evaluations_that_cannot_be_planned_say_what_to_do_instead() -> None:
    with pytest.raises(ConfigError, match=r"call clipper.evaluate\(run.policy, ENV_ID\) in a callback"):
        train(Guesses(), eval_every=100)


class Ten(gymnasium.Env):
    """Episodes of ten steps whose state is not known."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(2, np.float32), 1.0, self.t == 10, False, {}


@pytest.mark.parametrize("env", ["CartPole-v1", Ten])
def test_another_number_of_environments_begins_new_episodes(env: Any, tmp_path: Path) -> None:
    algorithm = clipper.PPO(horizon=ROWS, epochs=1, minibatches=1, rewards=clipper.rewards.Scaled())

    def ready(n: int) -> SyncVectorEnv:
        return SyncVectorEnv([lambda: gymnasium.make(env) if isinstance(env, str) else env()] * n)

    cases: Any = {"ready": (ready(2), ready(3), {}), "made": (env, env, {"num_envs": 3})}
    for name, (first, second, named) in cases.items():
        folder, plan = tmp_path / name, {"num_envs": 2, "vector": "serial"} if named else {}
        run = clipper.train(first, algorithm, policy=SMALL, total_steps=100, run_dir=folder, **plan)
        run = clipper.train(second, resume=folder, total_steps=300, **named)
        assert run.config.num_envs == run.rollouts.num_envs == 3
        assert json.loads((folder / "config.json").read_text())["num_envs"] == 3
        assert not run.exact


def test_another_number_of_own_rollouts_is_refused(tmp_path: Path) -> None:
    train(Guesses(), tmp_path, callback=lambda run: False)
    five = type("Five", (Guesses,), {"num_envs": 5})()
    with pytest.raises(ConfigError, match="have 4 environments, and those handed over 5: hand over as many"):
        clipper.train(five, resume=tmp_path)


def test_the_running_return_begins_anew_where_episodes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = clipper.PPO(horizon=ROWS, epochs=1, minibatches=1, rewards=clipper.rewards.Scaled())
    plan: Any = {"policy": SMALL, "num_envs": 2, "vector": "serial", "total_steps": 75, "run_dir": tmp_path}
    assert clipper.train(Ten, algorithm, **plan).learner.running_return is not None
    carried, scale = list[Any](), clipper.learning.learner.Learner.scale_rewards

    def watched(learner: Any, *rest: Any) -> Tensor:
        carried.append(learner.running_return)
        return scale(learner, *rest)

    monkeypatch.setattr(clipper.learning.learner.Learner, "scale_rewards", watched)
    run = clipper.train(Ten, resume=tmp_path, total_steps=150)
    assert not run.exact
    assert carried[0] is None
    assert carried[1] is not None


def test_a_running_return_of_another_shape_is_damage(tmp_path: Path) -> None:
    algorithm = clipper.PPO(horizon=ROWS, epochs=1, minibatches=1, rewards=clipper.rewards.Scaled())
    plan: Any = {"policy": SMALL, "num_envs": 2, "vector": "serial", "total_steps": 64, "run_dir": tmp_path}
    clipper.train("CartPole-v1", algorithm, **plan)
    tensors, values = checkpoint.load_latest(tmp_path)
    tensors["learner.running_return"] = torch.zeros(3)
    checkpoint.save(tmp_path / "checkpoint.safetensors", tensors, values)
    with pytest.raises(CorruptCheckpointError, match="running_return is of shape"):
        clipper.train(resume=tmp_path, total_steps=128)


def test_no_evaluation_plays_where_a_run_trains_however_it_was_handed_over() -> None:
    inner = clipper.make_env("CartPole-v1", 2)
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(inner)
    for given, played in ((clipper.VectorRollouts(inner), inner), (wrapped, inner), (inner, wrapped)):
        refused = list[str]()

        def look(run: Run, played: Any = played, refused: list[str] = refused) -> bool:
            with pytest.raises(ConfigError, match="a run trains in these environments"):
                clipper.evaluate(run.policy, played, episodes=2)
            refused.append("yes")
            return False

        train(given, callback=look)
        assert refused == ["yes"]
    assert len(
        clipper.evaluate(clipper.train("CartPole-v1", ALGORITHM, total_steps=128).policy, inner, episodes=2).returns
    )


def jump(steps: Steps) -> float:
    """How far cart poles are from where their own speed brings them."""
    go_on = steps.mask[:-1] & steps.mask[1:] & ~steps.done[:-1]
    at, speed = torch.as_tensor(steps.obs)[..., 0], torch.as_tensor(steps.obs)[..., 1]
    return float(((at[1:] - at[:-1] - 0.02 * speed[:-1]).abs() * go_on).max())


@pytest.mark.parametrize(
    "make", [lambda: clipper.make_env("CartPole-v1", N), lambda: cart_poles(N)], ids=["own", "sync"]
)
def test_rollouts_begin_anew_where_an_evaluation_has_played(make: Any, tmp_path: Path) -> None:
    env = make()
    run = train(env, tmp_path, iterations=9, callback=lambda run: run.iteration < 8)
    run.evaluate(8)
    run.save()
    assert jump(run.rollouts.collect(run.policy, horizon=8)[0]) < 1e-5
    seen = list[float]()

    class Watched(clipper.VectorRollouts):
        def collect(self, actor: Actor, **quota: Any) -> Any:
            steps, last = super().collect(actor, **quota)
            seen.append(jump(steps))
            return steps, last

    again = clipper.train(Watched(make()), resume=tmp_path)
    assert not again.exact
    assert max(seen) < 1e-5


class Closing(gymnasium.Wrapper):
    """One whose state cannot be had, or that cannot be closed."""

    opened, state_fails, close_fails = 0, True, False

    def __init__(self) -> None:
        super().__init__(Ten())
        Closing.opened += 1

    def get_state(self) -> Any:
        if self.state_fails:
            raise ValueError("not ready")
        return {}

    def set_state(self, state: Any) -> None:
        pass

    def close(self) -> None:
        Closing.opened -= 1
        if self.close_fails:
            raise RuntimeError("it does not close")


@pytest.mark.parametrize("fails", ["state_fails", "close_fails"])
def test_closing_hides_no_error_and_gives_the_process_back(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Closing, "opened", 0)
    for name in ("state_fails", "close_fails"):
        monkeypatch.setattr(Closing, name, name == fails)

    def stop(run: Run) -> None:
        raise KeyError("the callback's own")

    before, frozen = torch.get_num_threads(), gc.get_freeze_count()
    torch.set_num_threads(2)
    plan: Any = {"policy": SMALL, "num_envs": 1, "vector": "serial", "total_steps": 64}
    try:
        words = r"closing the environments has failed|failed in close"
        with pytest.raises(KeyError, match="the callback's own"), pytest.warns(UserWarning, match=words):
            clipper.train(Closing, ALGORITHM, callback=stop, **plan)
        assert torch.get_num_threads() == 2
        assert gc.get_freeze_count() == frozen
        assert Closing.opened == 0
        if fails == "state_fails":
            with pytest.raises(ValueError, match="not ready"):
                clipper.train(Closing, ALGORITHM, **plan)  # nothing else is wrong: then it is told
        else:
            with pytest.warns(UserWarning, match="failed in close"):
                clipper.train(Closing, ALGORITHM, **plan)
        assert torch.get_num_threads() == 2
        assert Closing.opened == 0
    finally:
        torch.set_num_threads(before)


def test_what_is_saved_after_closing_is_of_one_moment(tmp_path: Path) -> None:
    plan: Any = {"policy": SMALL, "num_envs": 2, "vector": "serial", "total_steps": 128}
    run = clipper.train("CartPole-v1", ALGORITHM, run_dir=tmp_path, **plan)
    first = checkpoint.load_latest(tmp_path)
    run.save()
    tensors, values = checkpoint.load_latest(tmp_path)
    assert values == first[1]
    assert all(torch.equal(x, first[0][name]) for name, x in tensors.items())
    run.save(environments=False)
    values = checkpoint.load_latest(tmp_path)[1]
    assert value_of("rollouts", dict, values)["environments"] is None
    run.save()
    assert checkpoint.load_latest(tmp_path)[1] == first[1]
    with pytest.raises(ConfigError, match="closed"):
        run.rollouts.collect(run.policy, horizon=8)
    run.save()
    assert checkpoint.load_latest(tmp_path)[1] == first[1]


def test_two_steps_without_an_update_are_told_which_line_to_add() -> None:
    class Two:
        def init(self, policy: Any, seed: int = 0) -> Any: ...

        def targets(self, learner: Any, steps: Any, last_obs: Any) -> Any: ...

        def improve(self, learner: Any, targets: Any, again: Any = None) -> Any: ...

    with pytest.raises(ConfigError, match=r"update = clipper\.learning\.two_steps.targets_then_improve"):
        check_given(Two(), None)
