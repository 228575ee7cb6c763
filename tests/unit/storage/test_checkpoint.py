"""What is read is what was written, or an error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import clipper
from clipper.cli.arguments import ALGORITHMS
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.learning.kl import KLStop
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, settings_json, to_json
from clipper.spaces.space_json import space_from_json, space_to_json
from clipper.storage import checkpoint


def test_round_trip(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2), "b": torch.tensor(1.5, dtype=torch.float64), "c": torch.zeros(0, 4)}
    tensors |= {"d": torch.tensor([True, False]), "e": torch.arange(5, dtype=torch.uint8)}
    values = {"x": [1, None, "é"], "y": 2**100}
    checkpoint.save(tmp_path / "x.safetensors", tensors, values)
    read, read_values = checkpoint.load(tmp_path / "x.safetensors")
    assert read_values == values
    assert read.keys() == tensors.keys()
    for name, x in tensors.items():
        assert torch.equal(read[name], x)
        assert read[name].dtype == x.dtype


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"a": torch.randn(8), "b": torch.arange(4)}, {"steps": 7})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.choice(len(whole), min(200, len(whole)), replace=False):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            tensors, values = checkpoint.load(path)
        except CorruptCheckpointError:
            continue
        # Only white space between header entries may change without any content changing.
        assert values == {"steps": 7}
        assert safetensors.torch.save(tensors).__len__() > 0
        assert whole[position : position + 1] in b" \t\n\r"


@pytest.mark.parametrize("keep", [0, 1, 8, 100, -1])
def test_a_cut_file_is_noticed(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"a": torch.randn(8)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptCheckpointError):
        checkpoint.load(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(CorruptCheckpointError, match="not a checkpoint of this version"):
        checkpoint.load(path)
    with pytest.raises(CorruptCheckpointError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "nothing")


def test_a_failed_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"a": torch.zeros(1)}, {"steps": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"a": torch.ones(1)}, {"steps": 2})
    assert checkpoint.load(path)[1] == {"steps": 1}


@pytest.mark.parametrize("name", list(clipper.recipes.RECIPES))
def test_every_recipe_survives_json(name: str) -> None:
    config = clipper.recipes.RECIPES[name]()
    assert from_json(json.loads(json.dumps(to_json(config))), Config) == config


@pytest.mark.parametrize("algorithm", list(ALGORITHMS.values()), ids=list(ALGORITHMS))
def test_every_algorithm_survives_json(algorithm: Any) -> None:
    known = ("gamma", "intrinsic_gamma"), ("learning_rate", "value_learning_rate", "bonus_learning_rate")
    fields = [next((x for x in names if x in algorithm.__dataclass_fields__), "") for names in known]
    values = 0.5, clipper.schedules.Linear(0.1)
    given = {name: value for name, value in zip(fields, values, strict=True) if name}  # what holds another has none
    config = Config(env="X-v0", algorithm=algorithm(**given))
    assert from_json(json.loads(json.dumps(to_json(config))), Config) == config


def test_an_optimizer_survives_json() -> None:
    config = Config(env="X-v0", algorithm=clipper.A2C(optimizer=clipper.optimizers.Adam(1e-7)))
    assert from_json(json.loads(json.dumps(to_json(config))), Config) == config


def test_every_kind_of_option_survives_json() -> None:
    algorithm = clipper.PPO(
        clip=(0.1, 0.3),
        value_loss=clipper.value_losses.Huber(0.5),
        entropy_coef=clipper.schedules.Linear(0.1),
        stop=KLStop(0.02),
    )
    config = Config(env="X-v0", algorithm=algorithm)
    assert from_json(json.loads(json.dumps(to_json(config))), Config) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "1"}, r"config\.seed: '1' is not a whole number$"),
        ({"seed": True}, r"config\.seed: True is not"),
        (
            {"algorithm": {"type": "os.system"}},
            r"config\.algorithm: .* is not PPO, PPOSeparate, [A-Za-z0-9, ]+ or one of your own$",
        ),
        ({"algorithm": {"type": "PPO", "gama": 1}}, "no field gama"),
        ({"policy": None}, r"config\.policy: None is not PolicyOptions$"),
        ({"policy": {"type": "PolicyOptions", "hidden": 3}}, r"config\.policy\.hidden: 3 is not a list$"),
        (
            {"policy": {"type": "PolicyOptions", "memory": 3}},
            r"memory: 3 is not LSTM, .*, None, 'lstm', 'gru' or 'tran",
        ),
        ({"total_steps": 0}, "total_steps must be at least 1"),
    ],
)
def test_settings_are_not_believed(change: dict, message: str) -> None:
    data = settings_json(Config(env="CartPole-v1")) | change
    with pytest.raises(ConfigError, match=message):
        from_json(data, Config)


def test_spaces_survive_json() -> None:
    from gymnasium.spaces import Box, Discrete

    spaces = [Discrete(3), Discrete(2, start=-1), Box(-1, 1, (3,)), Box(0, 255, (2, 2), np.uint8)]
    spaces += [Box(np.array([-np.inf, 0]), np.array([1.5, np.inf]), dtype=np.float64)]
    for space in spaces:
        assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"type": "Text"},
        {"type": "Discrete", "n": 0, "start": 0},
        {"type": "Box", "low": 0, "high": 1, "shape": [10**9, 10**9], "dtype": "float32"},
        {"type": "Box", "low": 0, "high": 1, "shape": [2], "dtype": "object"},
        {"type": "Box", "low": [0, 1, 2], "high": 1, "shape": [2], "dtype": "float32"},
    ],
)
def test_hostile_spaces_are_refused(data: object) -> None:
    with pytest.raises(CorruptCheckpointError):
        space_from_json(data)
