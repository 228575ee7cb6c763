"""Values of a user's own, kind by kind: each trains, is saved, loaded, evaluated, played, exported and resumed.

Their module is gone when a file is read: what a file names is never imported, and what is not used need not be there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import clipper
from clipper.cli.commands import run_command
from clipper.cli.session import algorithm_again
from clipper.data.values import Elsewhere
from clipper.errors import ConfigError
from clipper.functional.objectives import spo
from clipper.learning.rewards import Scaled
from clipper.pictures.play import play
from clipper.runs.config_file import read_config
from clipper.settings.option_text import named_value

SOURCE = '''
from dataclasses import dataclass, replace

import torch

import clipper
from clipper.functional.objectives import clip
from clipper.functional.returns import n_step
from clipper.networks.heads.gaussian import Gaussian
from clipper.networks.memory import LSTM
from clipper.networks.normalise import ReturnNormaliser


@dataclass(frozen=True)
class Algorithm:
    """PPO, told otherwise."""

    rate: float = 1e-3

    def ppo(self):
        return clipper.PPO(horizon=16, epochs=1, minibatches=1, learning_rate=self.rate)

    def init(self, policy, seed=0):
        return self.ppo().init(policy, seed)

    def update(self, learner, steps, last_obs):
        return self.ppo().update(learner, steps, last_obs)


class Plain:
    """The same without a dataclass, and with a quota."""

    quota = {"horizon": 16}

    def init(self, policy, seed=0):
        return Algorithm().init(policy, seed)

    def update(self, learner, steps, last_obs):
        return Algorithm().update(learner, steps, last_obs)


@dataclass(frozen=True)
class Objective:
    k: float = 0.5

    def __call__(self, log_ratio, advantage, low, high):
        return self.k * clip(log_ratio, advantage, low, high)


def objective(log_ratio, advantage, low, high):
    return clip(log_ratio, advantage, low, high)


@dataclass(frozen=True)
class Loss:
    power: float = 4.0

    def __call__(self, value, target, old):
        return (value.mean - target).abs() ** self.power


@dataclass(frozen=True)
class Target:
    n: int = 3

    def __call__(self, reward, value, terminated, done, mask, gamma):
        return n_step(reward, value, terminated, done, mask, gamma, self.n)


@dataclass(frozen=True)
class Lag:
    every: int = 2

    def __call__(self, lagged, policy, update):
        if update % self.every == 0:
            lagged.load_state_dict(policy.state_dict())


@dataclass(frozen=True)
class Weights:
    power: float = 0.5

    def log_weight(self, log_ratio, done, mask):
        return self.power * log_ratio

    def credit(self, log_weight, reward, baseline, done, mask, gamma):
        return log_weight.exp() * (reward - baseline)


@dataclass(frozen=True)
class Schedule:
    start: float = 1e-3

    def __call__(self, progress):
        return self.start * (1 - progress) ** 2


@dataclass(frozen=True)
class Optimizer:
    momentum: float = 0.9

    def make(self, parameters):
        return torch.optim.SGD([parameters], lr=0.1, momentum=self.momentum)


@dataclass(frozen=True)
class Critic:
    beta: float = 0.2

    @property
    def outputs(self):
        return 1

    def reader(self, layer):
        return ReturnNormaliser(layer, self.beta)


@dataclass(frozen=True)
class Scale:
    shift: float = -1.0

    def log_std_layer(self, features, size, start, generator):
        layer = torch.nn.Linear(features, size)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, self.shift)
        return layer


@dataclass(frozen=True)
class Distribution:
    gain: float = 2.0

    def box_head(self, space, features, generator, *, gain, std, initial_log_std, rescale):
        return Gaussian().box_head(
            space, features, generator, gain=gain * self.gain, std=std, initial_log_std=initial_log_std, rescale=rescale
        )


@dataclass(frozen=True)
class Memory:
    size: int = 4

    def memories(self, actor, critic, orthogonal, generator):
        return LSTM(self.size).memories(actor, critic, orthogonal, generator)

    def numbers(self, inputs):
        return LSTM(self.size).numbers(inputs)


def ppo(**fields):
    return clipper.PPO(horizon=16, epochs=1, minibatches=1, **fields)


def policy(**fields):
    return clipper.PolicyOptions(hidden=(8,), **fields)


MADE = {
    "algorithm": lambda: (Algorithm(2e-3), policy()),
    "algorithm of a plain class": lambda: (Plain(), policy()),
    "objective": lambda: (ppo(objective=Objective(0.25)), policy()),
    "objective that is a function": lambda: (ppo(objective=objective), policy()),
    "value loss": lambda: (ppo(value_loss=Loss()), policy()),
    "critic target": lambda: (ppo(critic_target=Target(2)), policy()),
    "lag": lambda: (ppo(critic_target=clipper.critic_targets.TD0(lag=Lag(3))), policy()),
    "schedule": lambda: (ppo(learning_rate=Schedule(2e-3)), policy()),
    "importance weights": lambda: (clipper.ImportanceSampling(episodes=2, weights=Weights(1.0)), policy()),
    "optimizer": lambda: (clipper.A2C(horizon=16, optimizer=Optimizer(0.5)), policy()),
    "critic": lambda: (ppo(), policy(critic=Critic(0.5))),
    "scale": lambda: (ppo(), policy(head=clipper.HeadOptions(std=Scale(-2.0)))),
    "distribution": lambda: (ppo(), policy(head=clipper.HeadOptions(distribution=Distribution(3.0)))),
    "memory": lambda: (ppo(), policy(memory=Memory(6))),
}
CASE = None
'''
KINDS = (
    "algorithm", "algorithm of a plain class", "objective", "objective that is a function", "value loss",
    "critic target", "lag", "schedule", "importance weights", "optimizer", "critic", "scale", "distribution",
    "memory",
)  # fmt: skip
OF_POLICY = ("critic", "scale", "distribution", "memory")
TASK = "Pendulum-v1"
NAME = "values_of_a_user"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / f"{NAME}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module(NAME)
    sys.modules.pop(NAME, None)


def gone() -> None:
    """Nothing could import the module now."""
    sys.modules[NAME] = None  # pyright: ignore[reportArgumentType]


def back(module: ModuleType) -> None:
    sys.modules[NAME] = module


def action_of(policy: Any, obs: np.ndarray) -> Any:
    return policy.predict(obs) if policy.memory is None else policy.predict(obs, memory=())[0]


def trained(module: ModuleType, kind: str, folder: Path) -> tuple[Any, Any, clipper.Run]:
    algorithm, policy = module.MADE[kind]()
    run = clipper.train(
        TASK, algorithm, policy=policy, num_envs=2, total_steps=1200, run_dir=folder, vector="serial", engine="torch",
        callback=lambda run: run.steps < 400,
    )  # fmt: skip
    return algorithm, policy, run


QUICK = ("algorithm", "objective", "distribution", "memory")


@pytest.mark.parametrize(
    "kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]
)
def test_a_value_of_ones_own_is_a_first_class_citizen(kind: str, module: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    algorithm, options, run = trained(module, kind, folder)
    steps = run.steps
    obs = np.zeros(3, np.float32)
    expected = action_of(run.policy, obs)
    assert f'"{NAME}:' in (folder / "config.json").read_text()
    gone()
    hands = {"policy": options} if kind in OF_POLICY else {}
    if hands:
        with pytest.raises(ConfigError, match=f"policy.* is {NAME}:.*hand it over again"):
            clipper.load(folder)
    loaded = clipper.load(folder, **hands)
    np.testing.assert_allclose(action_of(loaded, obs), expected, rtol=1e-6)
    result = clipper.evaluate(loaded, TASK, episodes=2) if hands else clipper.evaluate(folder, episodes=2)
    assert result.returns.size == 2
    play(loaded, TASK, episodes=1, video=tmp_path / "seen.gif")
    assert (tmp_path / "seen.gif").stat().st_size > 0
    with pytest.raises(ConfigError, match=f" is {NAME}:.*hand it over again"):
        clipper.train(resume=folder)
    back(module)
    resumed = clipper.train(resume=folder, algorithm=algorithm, policy=options)
    assert resumed.exact
    assert resumed.steps >= 1200 > steps


EXPORT = f"""
import importlib, sys
import clipper
from pathlib import Path
from clipper.networks.export import export_onnx

own, folders = importlib.import_module("{NAME}"), sys.argv[1:]
handed = {{kind: own.MADE[kind]()[1] for kind in {OF_POLICY}}}
sys.modules["{NAME}"] = None
for folder in folders:
    policy = clipper.load(folder, policy=handed.get(Path(folder).name))
    export_onnx(policy, Path(folder) / "policy.onnx")
"""


@pytest.mark.long
def test_all_are_exported(module: ModuleType, tmp_path: Path) -> None:
    """In a process of its own: what tests hold functions to would go into the file."""
    folders = [str(tmp_path / kind) for kind in KINDS]
    for kind, folder in zip(KINDS, folders, strict=True):
        trained(module, kind, Path(folder))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", EXPORT, *folders], check=True, env=environment, timeout=300)
    assert all((Path(folder) / "policy.onnx").stat().st_size > 0 for folder in folders)


def test_a_resumed_run_is_the_run_that_was_not_interrupted(module: ModuleType, tmp_path: Path) -> None:
    algorithm, options, _ = trained(module, "objective", tmp_path / "run")
    resumed = clipper.train(resume=tmp_path / "run", algorithm=algorithm)
    whole = clipper.train(
        TASK, algorithm, policy=options, num_envs=2, total_steps=1200, vector="serial", engine="torch"
    )
    assert resumed.learner.parameters.tolist() == whole.learner.parameters.tolist()


SHORT = ("--total-steps", "200", "--num-envs", "4", "--vector", "serial", "--hidden", "8")


COMMANDS: tuple[tuple[str, ...], ...] = (
    (f"{NAME}:Algorithm",),
    (f"{NAME}:Plain",),
    ("--algorithm", f"{NAME}:Algorithm"),
    ("--objective", f"{NAME}:Objective(0.25)"),
    ("--objective", f"{NAME}:objective"),
    ("--value-loss", f"{NAME}:Loss"),
    ("--critic-target", f"{NAME}:Target(2)"),
    ("--learning-rate", f"{NAME}:Schedule(2e-3)"),
    ("--std", f"{NAME}:Scale"),
    ("--distribution", f"{NAME}:Distribution"),
    ("--memory", f"{NAME}:Memory"),
    ("--critic", f"{NAME}:Critic"),
    ("a2c", "--optimizer", f"{NAME}:Optimizer"),
    ("importance-sampling", "--weights", f"{NAME}:Weights"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=[" ".join(words) for words in COMMANDS])
def test_the_command_line_takes_it_by_its_name(words: tuple[str, ...], module: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run_command(["train", TASK, *words, *SHORT, "--run-dir", str(folder)]) == 0
    assert f'"{NAME}:' in (folder / "config.json").read_text()


def test_the_command_line_resumes_an_algorithm_that_is_named_again(
    module: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run_command(["train", TASK, f"{NAME}:Algorithm", *SHORT, "--run-dir", str(folder)]) == 0
    assert run_command(["resume", str(folder), "--total-steps", "1200"]) == 2
    assert f"{NAME}:Algorithm" in capsys.readouterr().err
    assert run_command(["resume", str(folder), "--total-steps", "1200", "--algorithm", f"{NAME}:Algorithm"]) == 0


def test_the_command_that_goes_on_names_what_it_will_be_asked_for(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ppo", ppo := module.ppo(objective=module.Objective(0.25)))
    for algorithm, words in (
        (module.Algorithm(0.25), ["--algorithm", f"{NAME}:Algorithm(rate=0.25)"]),
        (module.Plain(), ["--algorithm", f"{NAME}:Plain"]), (ppo, ["--algorithm", "MODULE:NAME"]),
        (clipper.PPO(horizon=16), []),
    ):  # fmt: skip
        folder = tmp_path / type(algorithm).__name__ / str(len(words))
        run = clipper.train(
            TASK, algorithm, run_dir=folder, num_envs=2, total_steps=1200, vector="serial", engine="torch",
            policy=module.policy(), callback=lambda run: False,
        )  # fmt: skip
        assert algorithm_again(run.config.algorithm, run.settings) == words
        again = [word.replace("MODULE:NAME", f"{NAME}:ppo") for word in words]
        assert run_command(["resume", str(folder), *again]) == 0
        assert clipper.train(resume=folder, algorithm=algorithm).exact


def test_what_a_file_cannot_hold_is_refused_before_training(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Holding:
        table: Any

        def __call__(self, log_ratio: Any, advantage: Any, low: float, high: float) -> Any:
            raise AssertionError("training has begun")

    algorithm = clipper.PPO(objective=Holding(np.zeros(3)), horizon=16, minibatches=1)
    with pytest.raises(ConfigError, match=r"config\.algorithm\.objective\.table is array.*cannot hold"):
        clipper.train("CartPole-v1", algorithm, total_steps=64, run_dir=tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()


NO_OBJECTIVES: tuple[Any, ...] = (
    lambda x: x, lambda: 0, clipper.value_losses.MSE(), clipper.objectives.SPO, "spo", 3, None,
)  # fmt: skip


@pytest.mark.parametrize("wrong", NO_OBJECTIVES, ids=range(len(NO_OBJECTIVES)))
def test_what_cannot_be_called_as_an_objective_is_none(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="objective must be Clip"):
        clipper.PPO(objective=wrong)


def test_settings_say_what_is_elsewhere(module: ModuleType, tmp_path: Path) -> None:
    trained(module, "objective", tmp_path / "run")
    gone()
    from clipper.runs.config_file import read_config

    read = read_config(tmp_path / "run")
    assert isinstance(read.algorithm, clipper.PPO)
    assert isinstance(read.algorithm.objective, Elsewhere)
    assert read.algorithm.objective.name == f"{NAME}:Objective"
    assert read.algorithm.horizon == 16


@dataclass(frozen=True)
class Judged:
    """Each state's KL, too."""

    weight: Any = 1.0
    needs_kl = True

    def __call__(self, log_ratio: Any, advantage: Any, low: float, high: float, kl: Any) -> Any:
        return self.weight * kl - log_ratio.exp() * advantage


@dataclass(frozen=True)
class Called(Judged):
    """It has a field of the name that files give the class."""

    type: str = "soft"


class Slotted:
    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = 1


SHORT_RUN: dict[str, Any] = {"num_envs": 2, "total_steps": 64, "vector": "serial", "engine": "torch"}


def short(objective: Any) -> clipper.PPO:
    return clipper.PPO(objective=objective, horizon=16, epochs=1, minibatches=1)


def test_an_objective_may_ask_for_the_kl(tmp_path: Path) -> None:
    clipper.train("CartPole-v1", short(Judged(np.float32(0.5))), run_dir=tmp_path / "run", **SHORT_RUN)
    assert clipper.load(tmp_path / "run") is not None


def test_a_function_of_clipper_s_own_can_be_read_again(tmp_path: Path) -> None:
    algorithm = short(spo)
    clipper.train("CartPole-v1", algorithm, run_dir=tmp_path / "run", **SHORT_RUN)
    assert clipper.load(tmp_path / "run") is not None
    assert clipper.train(resume=tmp_path / "run", algorithm=algorithm).exact


@pytest.mark.parametrize(
    "objective",
    [Called(), Judged(torch.ones(3)), Judged(Path()), Judged(Slotted()), Judged(partial(print, 3)), Judged({"a": 1})],
    ids=["a field called type", "tensor", "path", "slots", "partial", "dict"],
)
def test_what_would_be_lost_in_a_file_is_refused_before_anything_is_made(objective: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.algorithm\.objective"):
        clipper.train("CartPole-v1", short(objective), run_dir=tmp_path / "run", **SHORT_RUN)
    assert not (tmp_path / "run").exists()


def test_what_ran_as_a_script_is_imported_later(module: ModuleType, tmp_path: Path) -> None:
    (kept := module.Memory).__module__ = "__main__"
    algorithm, options, run = trained(module, "memory", tmp_path / "run")
    assert '"__main__:Memory"' in (tmp_path / "run" / "config.json").read_text()
    kept.__module__ = NAME
    loaded = clipper.load(tmp_path / "run", policy=options)
    np.testing.assert_allclose(action_of(loaded, np.zeros(3)), action_of(run.policy, np.zeros(3)), rtol=1e-6)
    assert clipper.train(resume=tmp_path / "run", algorithm=algorithm, policy=options).exact


@pytest.mark.parametrize(
    "other",
    [
        {"critic_target": clipper.critic_targets.TD0(clipper.critic_targets.Polyak())},
        {"rewards": Scaled()},
    ],
    ids=["lagged", "reward scaler"],
)
def test_a_state_that_a_run_never_had_is_no_damage(other: dict[str, Any], tmp_path: Path) -> None:
    algorithm = clipper.PPO(horizon=16, epochs=1, minibatches=1)
    clipper.train("CartPole-v1", algorithm, run_dir=tmp_path / "run", **SHORT_RUN)
    with pytest.raises(ConfigError, match="this run never had"):
        clipper.train(resume=tmp_path / "run", algorithm=replace(algorithm, **other), total_steps=128)


def broken(progress: float) -> Any:
    return 1 / progress


@pytest.mark.parametrize(
    "schedule", [broken, lambda _: None, lambda _: "x", lambda _: 1j], ids=["error", "none", "text", "complex"]
)
def test_a_schedule_that_gives_no_number_is_refused(schedule: Any) -> None:
    with pytest.raises(ConfigError, match="a schedule that gives a number"):
        clipper.PPO(learning_rate=schedule)
    with pytest.raises(ConfigError, match="a schedule that gives a number"):
        clipper.PPO(entropy_coef=schedule)


def test_a_bound_of_two_may_be_open_above() -> None:
    assert clipper.PPO(clip=(0.2, float("inf"))).clip == (0.2, float("inf"))


def test_another_kind_of_clipper_s_own_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="value_loss must be MSE"):
        clipper.PPO(value_loss=clipper.critic_targets.Polyak())  # pyright: ignore[reportArgumentType]


def test_settings_with_parts_elsewhere_do_not_train(module: ModuleType, tmp_path: Path) -> None:
    trained(module, "objective", tmp_path / "run")
    with pytest.raises(ConfigError, match=f"objective is {NAME}:Objective"):
        clipper.train(read_config(tmp_path / "run"))


def test_the_command_line_takes_an_algorithm_s_fields_in_brackets(module: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run_command(["train", TASK, f"{NAME}:Algorithm(0.25)", *SHORT, "--run-dir", str(folder)]) == 0
    assert '"rate": 0.25' in (folder / "config.json").read_text()
    assert named_value(f"{NAME}:Objective", "k=3.0") == module.Objective(3.0)
    assert (
        run_command(["train", TASK, f"{NAME}:Algorithm(rate=0.5)", *SHORT, "--run-dir", str(tmp_path / "named")]) == 0
    )
    assert '"rate": 0.5' in (tmp_path / "named" / "config.json").read_text()
    for wrong in ("0.1) + _(0.2", "rate=open('x')", "rat=1", "**{}", "1, 2, 3"):
        with pytest.raises(ValueError, match="cannot be made"):
            named_value(f"{NAME}:Algorithm", wrong)
