"""Every field of every value holds to its type and range, whoever gives it; a name that is none gets the right one."""

import copy
import dataclasses
import inspect
import json
import math
import pickle
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest

import clipper
from clipper.cli.commands import run_command
from clipper.data.values import Range, plain
from clipper.errors import ConfigError, UnknownFieldError
from clipper.learning.advantages import Standardised
from clipper.runs.make_run import check_given
from clipper.runs.train import train
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, read_settings, settings_json, to_json
from clipper.storage import checkpoint
from clipper.storage.saved import value_of


def classes(hint: Any) -> Iterator[type]:
    """All values that may stand in an annotation, and in their fields."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
        for inner in typing.get_type_hints(hint).values():
            yield from classes(inner)
    for part in typing.get_args(hint):
        yield from classes(part)


VALUES = sorted(set(classes(Config)), key=lambda kind: kind.__name__)
GIVEN = {"Config": {"env": "CartPole-v1"}, "Linear": {"start": 0.5}}
FIELDS = [(kind, field.name) for kind in VALUES for field in dataclasses.fields(kind)]
NAMES = [f"{kind.__name__}.{name}" for kind, name in FIELDS]


def hint_of(kind: type, name: str) -> Any:
    hint = typing.get_type_hints(kind, include_extras=True)[name]
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else None
    return inner if typing.get_origin(inner) is types.UnionType else hint  # with notes for the command line about it


def members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def beyond(hint: Any) -> Iterator[float]:
    """Numbers just outside the range that an annotation tells."""
    for member in members(hint):
        if typing.get_origin(member) is Annotated:
            kind, *notes = typing.get_args(member)
            for note in notes:
                if isinstance(note, Range) and kind in (int, float):
                    step = 1 if kind is int else 1e-6
                    if note.least > -math.inf:
                        yield note.least if note.open_below else note.least - step
                    if note.most < math.inf:
                        yield note.most if note.open_above else note.most + step


def setting(name: str) -> dict[str, Any]:
    return {name: 1}


def make(kind: type, **fields: Any) -> Any:
    return kind(**(GIVEN.get(kind.__name__, {}) | fields))


def test_the_walk_found_the_values() -> None:
    assert {"PPO", "TRPO", "Clip", "LSTM", "TwoHot", "GSDE", "KLAdaptive", "HeadOptions", "Polyak", "Adam"} <= {
        kind.__name__ for kind in VALUES
    }
    assert len(FIELDS) > 200


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=NAMES)
def test_what_is_of_another_type_is_refused_by_name(kind: type, name: str) -> None:
    options = {plain(m) for m in members(hint_of(kind, name))}
    wrong: list[Any] = [object(), math.nan, {}, 1j, b"x", {1}, clipper.PPO, np.zeros((2, 2)), [object()]]
    wrong += [] if str in options else ["no such word"]
    wrong += [] if type(None) in options else [None]
    wrong += [] if bool in options else [True]
    wrong += [1.5, 32.0] if options <= {int, type(None)} else []
    for given in wrong:
        with pytest.raises(ConfigError, match=rf"{kind.__name__}: {name} must be "):
            make(kind, **{name: given})


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=NAMES)
def test_what_is_out_of_range_is_refused_by_name(kind: type, name: str) -> None:
    for given in beyond(hint_of(kind, name)):
        with pytest.raises(ConfigError, match=rf"{kind.__name__}: {name} must be (above|at least|at most|below|from)"):
            make(kind, **{name: given})


def test_the_ranges_are_those_of_the_mathematics() -> None:
    """Against a table by hand: what is said of no field holds none."""
    by_hand = {
        "gamma": (-1e-6, 1 + 1e-6), "lam": (-1e-6, 1 + 1e-6), "learning_rate": (-1e-6,),
        "epochs": (0,), "horizon": (0,), "minibatches": (0,), "max_grad_norm": (0, -1), "clip": (-1e-6,),
        "target": (0,), "bound": (0,), "damping": (-1e-6,), "shrink": (0, 1), "episodes": (0,),
        "tau": (-0.1, 1.1), "value_learning_rate": (-1e-6,), "value_epochs": (0,), "sigma": (-1e-6,), "hinge": (-1e-6,),
        "tries": (0,), "eps": (-1e-9,), "betas": ((1.0, 0.9), (0.9, -0.1)), "weight_decay": (-1e-9,),
    }  # fmt: skip
    for kind, name in FIELDS:
        for given in by_hand.get(name, ()):
            with pytest.raises(ConfigError):
                make(kind, **{name: given})


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"gamma": np.float32(0.5), "horizon": np.int64(7), "recompute": np.bool_(True)}, (0.5, 7, True)),
        ({"gamma": 1, "horizon": np.uint8(3), "recompute": False}, (1.0, 3, False)),
    ],
)
def test_numbers_of_numpy_become_python_s(given: dict[str, Any], held: tuple[Any, ...]) -> None:
    ppo = clipper.PPO(**given)
    found = (ppo.gamma, ppo.horizon, ppo.recompute)
    assert found == held
    assert [type(x) for x in found] == [float, int, bool]
    assert from_json(to_json(ppo), clipper.PPO) == ppo


def test_a_list_will_do_for_a_tuple() -> None:
    assert clipper.PolicyOptions(hidden=[32, np.int64(16)]).hidden == (32, 16)  # pyright: ignore[reportArgumentType]


def test_a_schedule_is_held_to_the_range_at_both_ends() -> None:
    linear = clipper.schedules.Linear
    for wrong in (linear(-1e-3), linear(1e-3, -1e-3), lambda progress: 0.5 - progress):
        with pytest.raises(ConfigError, match="clip must be at least 0 at the run's beginning and at its end"):
            clipper.PPO(clip=wrong)
    assert clipper.PPO(entropy_coef=linear(0.01, -0.01)).entropy_coef == linear(0.01, -0.01)


def test_a_bound_may_be_infinite_and_a_rate_may_not() -> None:
    assert clipper.PPO(max_grad_norm=math.inf).max_grad_norm == math.inf
    with pytest.raises(ConfigError, match="learning_rate must be at least 0, not inf"):
        clipper.PPO(learning_rate=math.inf)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ent_coef", "Here it is entropy_coef"), ("gae_lambda", "Here it is lam"), ("n_steps", "Here it is horizon"),
        ("clip_coef", "Here it is clip"), ("num_steps", "Here it is horizon"), ("update_epochs", "Here it is epochs"),
        ("batch_size", "Here it is minibatches, the number of parts instead of their size: num_envs × horizon / batch"),
        ("epoch", "Did you mean epochs"),
        ("gama", "Did you mean gamma"), ("zzz", "There are: gamma, lam"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_exist_gets_the_one_that_was_meant(name: str, hint: str) -> None:
    with pytest.raises(UnknownFieldError, match=f"PPO has no field '{name}'. {hint}") as error:
        clipper.PPO(**setting(name))
    assert isinstance(error.value, TypeError)


@dataclasses.dataclass(frozen=True)
class Derived(clipper.PPO):
    """Of the user's own, and not made by ``value``."""

    warmth: float = 1.0


class Written(clipper.PPO):
    """It has arguments of its own."""

    def __init__(self, discount: float) -> None:
        super().__init__(gamma=discount)


def test_a_class_derived_from_one_of_ours_says_the_same() -> None:
    assert Derived(gamma=0.5, warmth=2.0).warmth == 2.0
    assert Written(discount=0.5).gamma == 0.5
    assert copy.deepcopy(pickle.loads(pickle.dumps(Derived(warmth=2.0)))) == Derived(warmth=2.0)
    assert dataclasses.replace(Derived(warmth=2.0), gamma=0.5) == Derived(gamma=0.5, warmth=2.0)
    assert "lam" in inspect.signature(clipper.PPO).parameters
    assert "warmth" in inspect.signature(Derived).parameters
    for kind, name, hint in ((Derived, "warmt", "Did you mean warmth"), (Written, "discout", "Did you mean discount")):
        with pytest.raises(UnknownFieldError, match=f"{kind.__name__} has no field '{name}'. {hint}"):
            kind(**setting(name))
    with pytest.raises(ConfigError, match="Derived: gamma must be from 0 to 1"):
        Derived(gamma=2.0)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("n_envs", "Here it is num_envs"), ("total_timesteps", "Here it is total_steps"),
        ("learning_rate", r"write algorithm=clipper.PPO\(learning_rate=…\)"),
        ("ent_coef", r"write algorithm=clipper.PPO\(entropy_coef=…\)"),
        ("net_arch", r"write policy=clipper.PolicyOptions\(hidden=…\)"), ("sed", "Did you mean seed"),
        ("batch_size", r"PPO\(minibatches=…\), the number of parts instead of their size: num_envs × horizon / batch"),
    ],
)  # fmt: skip
def test_train_says_where_a_setting_belongs(name: str, hint: str) -> None:
    with pytest.raises(UnknownFieldError, match=hint):
        train("CartPole-v1", **setting(name))


@pytest.mark.parametrize("name", ["env_id", "env_name", "gym_id", "environment"])
def test_train_says_how_the_environment_is_named(name: str) -> None:
    with pytest.raises(UnknownFieldError, match=rf"no argument '{name}': write train\('CartPole-v1'\) or env="):
        train(**{name: "CartPole-v1"})  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownFieldError, match=r"'n_envs'. Here it is num_envs"):
        train(**setting("n_envs"))
    with pytest.raises(UnknownFieldError, match=r"'callbacks'. Did you mean callback\b"):
        clipper.train("CartPole-v1", callbacks=[])  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ({"algorithm": "ppo"}, r"write algorithm=clipper\.PPO\(\)"),
        ({"algorithm": "a2c"}, r"write algorithm=clipper\.A2C\(\)"),
        ({"algorithm": clipper.TRPO}, r"write TRPO\(\)"),
        ({"algorithm": {"lr": 1}}, r"is no algorithm: write algorithm=clipper\.PPO\(…\)"),
        ({"policy": "MlpPolicy"}, r"write policy=clipper\.PolicyOptions"),
        ({"policy": "."}, r"write policy=clipper\.load\('\.'\)"),
        ({"policy": clipper.PolicyOptions}, "make one"),
        ({"policy": 3}, "is no policy"),
    ],
)
def test_what_is_handed_over_in_another_form_is_refused_with_what_to_write(given: dict[str, Any], instead: str) -> None:
    """Of the function that looks: the types that tests hold functions to would be faster."""
    with pytest.raises(ConfigError, match=instead):
        check_given(given.get("algorithm"), given.get("policy"))


def test_a_device_that_holds_no_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds no numbers"):
        train("CartPole-v1", device="meta")


def test_minibatches_of_one_decision_are_refused_where_each_is_standardised() -> None:
    algorithm = clipper.PPO(horizon=16, minibatches=32)
    with pytest.raises(ConfigError, match="leave some with one"):
        train("CartPole-v1", algorithm, num_envs=2, total_steps=64)
    train(
        "CartPole-v1",
        dataclasses.replace(algorithm, advantages=Standardised("batch"), epochs=1),
        num_envs=2,
        total_steps=64,
    )


SHORT: dict[str, Any] = {"num_envs": 2, "total_steps": 64, "vector": "serial", "engine": "torch"}
PPO = clipper.PPO(horizon=16, epochs=1, minibatches=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    train("CartPole-v1", PPO, run_dir=tmp_path / "run", **SHORT)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ({"algorithm": clipper.A2C()}, "this run's algorithm is PPO, and A2C cannot go on"),
        ({"policy": clipper.PolicyOptions(hidden=(8,))}, "other PolicyOptions"),
        ({"run_dir": "elsewhere"}, "goes on in its own folder"),
        ({"env": Config(env="Acrobot-v1")}, "has its settings in its folder"),
        ({"total_steps": 32}, r"has taken \d+ steps already"),
    ],
)
def test_what_a_resumed_run_cannot_use_is_refused(folder: Path, given: dict[str, Any], instead: str) -> None:
    before = (folder / "config.json").read_bytes()
    settings: dict[str, Any] = {"total_steps": 128} | given
    with pytest.raises(ConfigError, match=instead):
        train(resume=folder, **settings)
    assert (folder / "config.json").read_bytes() == before


def test_what_a_resumed_run_uses_is_recorded(folder: Path) -> None:
    other = dataclasses.replace(PPO, learning_rate=1e-7)
    run = train("CartPole-v1,sutton_barto_reward=true", other, resume=folder, total_steps=128)
    assert not run.exact
    again = from_json(json.loads((folder / "config.json").read_text()), Config)
    assert (again.env, again.algorithm, again.total_steps) == ("CartPole-v1,sutton_barto_reward=true", other, 128)


def test_a_run_that_begins_with_a_loaded_policy_is_a_run_like_any_other(folder: Path, tmp_path: Path) -> None:
    warm = clipper.load(folder)
    run = train("CartPole-v1", PPO, policy=warm, run_dir=tmp_path / "warm", **SHORT)
    assert not run.custom_policy
    loaded = clipper.load(tmp_path / "warm")
    obs = np.full(4, 0.1, np.float32)
    assert loaded.predict(obs) == run.policy.predict(obs)
    assert train(resume=tmp_path / "warm", total_steps=128).exact is True


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--gamma", "1.5"], "gamma must be from 0 to 1"), (["--epochs", "0"], "epochs must be from 1 to 10,000"),
        (["--clip=-0.2"], "clip must be at least 0"), (["--learning-rate", "linear(-1)"], "learning_rate must be"),
        (["--hidden", "0"], "hidden must be"), (["--gae-lambda", "0.9"], "--lam"), (["--n-steps", "32"], "--horizon"),
        (["--clip-coef", "0.1"], "--clip"), (["--ent-coef", "0.1"], "--entropy-coef"),
    ],
)  # fmt: skip
def test_flags_are_held_to_the_same(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = run_command(["train", "CartPole-v1", *words])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    assert status == 2
    assert says in " ".join((captured.out + captured.err).split())


def test_a_file_is_held_to_the_same() -> None:
    data: Any = to_json(Config(env="CartPole-v1"))
    data["algorithm"]["gamma"] = 1.5
    with pytest.raises(ConfigError, match="gamma must be from 0 to 1"):
        from_json(data, Config)


@pytest.mark.parametrize(
    ("where", "name", "number"),
    [
        ([], "gamma", 1.01), ([], "max_grad_norm", 0.0), (["advantages"], "correction", 1.0),
        (["optimizer"], "eps", -1e-5),
    ],
)  # fmt: skip
def test_who_needs_no_algorithm_reads_a_run_whose_algorithm_is_no_longer_in_range(
    where: list[str], name: str, number: float, folder: Path
) -> None:
    expected = clipper.load(folder).predict(obs := np.full(4, 0.1, np.float32))
    tensors, values = checkpoint.load(folder / "checkpoint.safetensors")
    value = value_of("config", dict, values)["algorithm"]
    for field in where:
        value = value[field]
    value[name] = number
    checkpoint.save(folder / "checkpoint.safetensors", tensors, values)
    (folder / "config.json").write_text(json.dumps(values["config"]))
    assert clipper.load(folder).predict(obs) == expected
    assert clipper.evaluate(folder, episodes=1).returns.size == 1
    assert run_command(["plot", str(folder), "--output", str(folder / "curves.png")]) == 0
    assert run_command(["plot", str(folder), "--diagnostics"]) == 0
    path, kind = r"\.".join(["config", "algorithm", *where]), value["type"]
    message = rf"{path}: {kind}: {name} must be .* not {number}: to go on, hand"
    with pytest.raises(ConfigError, match=message):
        train(resume=folder, total_steps=128)
    assert train(resume=folder, algorithm=PPO, total_steps=128).exact is False
    assert from_json(json.loads((folder / "config.json").read_text()), Config).algorithm == PPO


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": {"type": "PPO", "horizon": "128"}}, {"algorithm": {"type": "PPO", "gama": 1.0}},
        {"algorithm": {"type": "os.system"}}, {"num_envs": 0}, {"policy": {"type": "PolicyOptions", "clip_obs": 0.0}},
    ],
)  # fmt: skip
def test_all_else_in_a_file_is_refused_as_before(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^config"):
        read_settings(settings_json(Config(env="CartPole-v1")) | change)


def test_words_are_those_of_the_annotation() -> None:
    assert hint_of(Standardised, "over") == Literal["minibatch", "batch", "trajectories"]
    with pytest.raises(ConfigError, match="over must be 'minibatch', 'batch' or 'trajectories', not 'minibatches'"):
        Standardised("minibatches", 1)  # pyright: ignore[reportArgumentType]
