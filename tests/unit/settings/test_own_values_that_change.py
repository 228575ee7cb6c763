"""Objects of a user's own that change as they train, and what of a user's own no file can hold."""

import abc
import enum
import math
import types
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import gymnasium
import numpy as np
import pytest
import torch

import clipper
from clipper.errors import ConfigError
from clipper.functional.objectives import spo
from clipper.networks.normalise import ReturnNormaliser
from clipper.runs.config_file import read_config
from clipper.runs.rows import check_metrics
from clipper.settings.config_json import to_json

PPO = clipper.PPO(horizon=16, epochs=1, minibatches=1)
SHORT: dict[str, Any] = {"num_envs": 2, "vector": "serial", "engine": "torch"}
T = TypeVar("T")


def with_objective(objective: Any) -> clipper.PPO:
    return replace(PPO, objective=objective)


class Counting:
    """An algorithm that begins to count when it begins to train."""

    quota: ClassVar = {"horizon": 16}

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def init(self, policy: Any, seed: int = 0) -> Any:
        self.updates, self.latest = 0, torch.zeros(3)
        return PPO.init(policy, seed)

    def update(self, learner: Any, steps: Any, last_obs: Any) -> Any:
        self.updates += 1
        return PPO.update(learner, steps, last_obs)


def test_what_an_object_gains_as_it_trains_is_no_setting(tmp_path: Path) -> None:
    algorithm: Any = Counting(0.5)
    folder = tmp_path / "run"
    clipper.train("CartPole-v1", algorithm, run_dir=folder, total_steps=64, eval_every=32, eval_episodes=1, **SHORT)
    assert algorithm.updates > 1
    assert to_json(read_config(folder).algorithm) == {"type": f"{__name__}:Counting", "scale": 0.5}
    half = clipper.train(
        "CartPole-v1", Counting(0.5), run_dir=tmp_path / "half", total_steps=320, callback=lambda run: False, **SHORT
    )
    assert 0 < half.steps < 320
    assert clipper.train(resume=tmp_path / "half", algorithm=Counting(0.5)).exact
    assert not clipper.train(resume=tmp_path / "half", algorithm=Counting(0.25), total_steps=352).exact
    assert to_json(read_config(tmp_path / "half").algorithm) == {"type": f"{__name__}:Counting", "scale": 0.25}


class Mode(enum.Enum):
    SOFT = 1


class Level(enum.IntEnum):
    LOW = 1


class Net(torch.nn.Linear):
    """Written by the user, on torch's."""


class Steps(torch.optim.SGD):
    """The same."""


class Table(dict[str, float]):
    """Its entries are no attributes."""


class Double(float):
    """Its number is no attribute."""


@dataclass(frozen=True)
class Holding:
    part: Any

    def __call__(self, log_ratio: Any, advantage: Any, low: float, high: float) -> Any:
        return -log_ratio.exp() * advantage


OF_OTHERS = (
    Mode.SOFT, Level.LOW, Net(1, 1), torch.nn.Linear(1, 1), Steps([torch.zeros(1)]), torch.optim.SGD([torch.zeros(1)]),
    Table(a=1.0), Double(0.5),
)  # fmt: skip


@pytest.mark.parametrize("part", OF_OTHERS, ids=[type(part).__qualname__ for part in OF_OTHERS])
def test_a_field_that_no_file_holds_is_named_with_what_may_stand_there(part: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^config\.algorithm\.objective\.part is .*cannot hold: numbers, texts,"):
        clipper.train("CartPole-v1", with_objective(Holding(part)), run_dir=tmp_path / "run", total_steps=64, **SHORT)
    assert not (tmp_path / "run").exists()


class Abstract(abc.ABC, Generic[T]):
    def __init__(self) -> None:
        self.part = 0.5

    @abc.abstractmethod
    def __call__(self, log_ratio: Any, advantage: Any, low: float, high: float) -> Any: ...


class Concrete(Abstract[float]):
    def __call__(self, log_ratio: Any, advantage: Any, low: float, high: float) -> Any:
        return -log_ratio.exp() * advantage


def test_abstract_and_generic_classes_of_ones_own_are_written() -> None:
    assert to_json(Concrete()) == {"type": f"{__name__}:Concrete", "part": 0.5}


def holding_itself() -> Holding:
    object.__setattr__(outer := Holding(inner := Holding(None)), "part", inner)
    object.__setattr__(inner, "part", outer)
    return outer


def nested(levels: int) -> Any:
    return (nested(levels - 1),) if levels else 0.5


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (math.nan, "part is NaN"), (np.float32("nan"), "part is NaN"), ((0.5, math.nan), r"part\[1\] is NaN"),
        (10**5000, "part is a number of more than"), (nested(400), "nests deeper"), (holding_itself(), "holds itself"),
        (("x" * 1000,) * 40_000, "longer than"),
    ],
    ids=["NaN", "numpy", "in a tuple", "large", "deep", "itself", "long"],
)  # fmt: skip
def test_what_could_not_be_read_back_is_refused_before_training(part: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        clipper.train("CartPole-v1", with_objective(Holding(part)), run_dir=tmp_path / "run", total_steps=64, **SHORT)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", [math.inf, -math.inf, 2**70, 1e-320, "\ud800 ü 名", nested(20), (), None, True])
def test_what_is_written_is_read_back_as_it_was(part: Any, tmp_path: Path) -> None:
    algorithm = with_objective(Holding(part))
    clipper.train("CartPole-v1", algorithm, run_dir=tmp_path / "run", total_steps=64, **SHORT)
    assert to_json(read_config(tmp_path / "run").algorithm) == to_json(algorithm)
    assert clipper.load(tmp_path / "run") is not None
    assert clipper.train(resume=tmp_path / "run", algorithm=algorithm).exact


@dataclass(frozen=True)
class Critic:
    beta: float = 0.2

    @property
    def outputs(self) -> int:
        return 1

    def reader(self, layer: Any) -> Any:
        return ReturnNormaliser(layer, self.beta)


def module(*hidden: int) -> Any:
    env = gymnasium.make("CartPole-v1")
    options = clipper.PolicyOptions(hidden=hidden, critic=Critic())
    return clipper.make_policy(env.observation_space, env.action_space, options, torch.Generator())


def test_a_module_that_is_handed_over_is_filled_or_refused_in_a_sentence(tmp_path: Path) -> None:
    run = clipper.train("CartPole-v1", PPO, policy=module(8).options, run_dir=tmp_path / "run", total_steps=64, **SHORT)
    obs = np.full(4, 0.1, np.float32)
    loaded = clipper.load(tmp_path / "run", policy=module(8))
    assert loaded.value(torch.from_numpy(obs)).mean == run.policy.value(torch.from_numpy(obs)).mean
    (own := module(8)).options = None
    clipper.train("CartPole-v1", PPO, policy=own, run_dir=tmp_path / "own", total_steps=64, **SHORT)
    for folder in (tmp_path / "run", tmp_path / "own"):
        with pytest.raises(ConfigError, match="Linear is a module that takes no actions"):
            clipper.load(folder, policy=torch.nn.Linear(1, 1))
        for wrong in (module(9), module(8, 8)):
            with pytest.raises(
                ConfigError, match=r"^the module given as policy= is not like.*its \S+ is (of|none).*run$"
            ):
                clipper.load(folder, policy=wrong)
    with pytest.raises(ConfigError, match="the module given as policy= is not like"):
        clipper.train(resume=tmp_path / "own", policy=module(9), total_steps=128)
    with pytest.raises(ConfigError, match="leave out policy="):
        clipper.train(resume=tmp_path / "run", policy=module(8), total_steps=128)


@dataclass(frozen=True)
class Clip:
    """Its name is that of one of Clipper's own, and it has no fields either."""

    def __call__(self, log_ratio: Any, advantage: Any, low: float, high: float) -> Any:
        return -log_ratio * advantage


def test_a_class_that_is_called_like_one_of_ours_is_another(tmp_path: Path) -> None:
    class PPO(Counting): ...

    PPO.__qualname__ = "PPO"
    ours, own = with_objective(clipper.objectives.Clip()), with_objective(Clip())
    for name, begun, handed in (("ours", ours, own), ("own", own, ours)):
        folder = tmp_path / name
        clipper.train("CartPole-v1", begun, run_dir=folder, total_steps=320, callback=lambda run: False, **SHORT)
        assert not clipper.train(resume=folder, algorithm=handed).exact
        assert to_json(read_config(folder).algorithm) == to_json(handed)
        with pytest.raises(ConfigError, match=rf"algorithm is PPO, and {__name__}:PPO cannot go on"):
            clipper.train(resume=folder, algorithm=PPO(0.5), total_steps=640)


class Unseeded(Counting):
    def init(self, policy: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return PPO.init(policy)


class Hasty(Counting):
    def update(self, learner: Any, steps: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {}


class Static:
    __call__ = staticmethod(spo)  # as Clipper's own SPO has it


def test_methods_are_held_to_the_arguments_that_they_get() -> None:
    wrong: Any
    for wrong, says in ((Unseeded(0.5), r"init, called with \(policy, seed=…\)"), (Hasty(0.5), "update, called with")):
        with pytest.raises(ConfigError, match=f"algorithm must be PPO, .* or one of your own that has {says}"):
            clipper.train("CartPole-v1", wrong, total_steps=64)
    wrong = types.SimpleNamespace(outputs=1, reader=lambda: None)
    with pytest.raises(ConfigError, match=r"critic must be .* one of your own that has reader, called with \(layer"):
        clipper.PolicyOptions(critic=wrong)
    assert isinstance(with_objective(Static()).objective, Static)


class Asking(Counting):
    """It asks for what it is told to."""

    def __init__(self, quota: Any, begins: bool = True) -> None:
        self.asked, self.begins = quota, begins

    @property
    def quota(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.asked

    def init(self, policy: Any, seed: int = 0) -> Any:
        return super().init(policy, seed) if self.begins else None


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        (Asking({"steps": 3}), "quota of Asking must be"), (Asking({"horizon": "3"}), "quota of Asking must be"),
        (Asking({"horizon": 0}), "collect takes either"), (Asking({"episodes": 2}, False), "init of Asking must"),
    ],
)  # fmt: skip
def test_what_an_algorithm_asks_for_and_begins_with_is_looked_at(algorithm: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        clipper.train("CartPole-v1", algorithm, total_steps=64, **SHORT)


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        (None, "update of Counting must return a dict"), ({"steps": 1}, "rename it"), ({"time/mine": 1.0}, "rename it"),
        ({"a": "x"}, "gives a as 'x'"), ({"a": torch.zeros(3)}, "no single number"), ({3: 1.0}, "rename it"),
    ],
)  # fmt: skip
def test_what_an_algorithm_tells_is_looked_at(metrics: Any, says: str) -> None:
    """By the function that looks: the types that tests hold functions to would be faster."""
    check_metrics(Counting(0.5), {"a": 1, "b": 2.5, "c": np.float32(3), "d": torch.tensor(4.0), "mine/e": np.int64(5)})
    with pytest.raises(ConfigError, match=says):
        check_metrics(Counting(0.5), metrics)
