"""What a saved run names is used by itself only where it can do nothing but set a task: the rest is asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clipper
from clipper.cli.commands import run_command
from clipper.environments.from_file import why_asked
from clipper.errors import ConfigError
from clipper.runs.restore import asked_for
from clipper.settings.config import Config

QUICK = clipper.PPO(horizon=8, epochs=1, minibatches=1)


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ("CartPole-v1", ""),
        ("LunarLander-v3,continuous=true,gravity=-5,wind=null", ""),
        ("ALE/Pong-v5,obs_type=ram", ""),
        ("CartPole-v1,render_mode=human", "render_mode is a text"),
        ("Ant-v5,xml_file=/etc/passwd", "xml_file is a text"),
        ("Ant-v5,frame_skip=5,xml_file=x", "xml_file is a text"),
        ("my:Env-v0", "code of your own"),
        ("<mine.Env>", "code of your own"),
        ("Ant-v5,xml_file=a:b", "xml_file is a text"),
    ],
)
def test_texts_behind_an_id_are_asked_for_and_numbers_are_not(env: str, why: str) -> None:
    assert why in why_asked(env)
    assert bool(why) == bool(why_asked(env))


WAYS: dict[str, Callable[[Path], object]] = {
    "train": lambda run: clipper.train(resume=run, total_steps=64),
    "evaluate": lambda run: clipper.evaluate(run, episodes=1),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_with_a_text_is_shown_and_asked_for(way: str, tmp_path: Path) -> None:
    env = "FrozenLake-v1,map_name=4x4,is_slippery=false"
    clipper.train(env, QUICK, num_envs=2, total_steps=32, run_dir=tmp_path)
    with pytest.raises(ConfigError, match=f"{env}, whose map_name is a text, which may be a file or a window: name it"):
        WAYS[way](tmp_path)
    assert clipper.load(tmp_path).predict(0) in range(4)
    assert clipper.evaluate(tmp_path, env, episodes=1).lengths[0] > 0
    assert clipper.train(env, resume=tmp_path, total_steps=64).config.env == env


def test_the_command_line_asks_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env = "FrozenLake-v1,map_name=4x4"
    clipper.train(env, QUICK, num_envs=2, total_steps=32, run_dir=tmp_path)
    for command in ("evaluate", "resume", "play"):
        assert run_command([command, str(tmp_path)]) == 2
        assert "map_name is a text" in capsys.readouterr().err.replace("\n", " ")
    assert run_command(["evaluate", str(tmp_path), "--env", env, "--episodes", "1"]) == 0


@pytest.mark.parametrize(("name", "given"), [("device", "cuda:7"), ("device", "mps"), ("engine", "compile")])
def test_a_device_or_a_compiler_is_asked_for(name: str, given: str, tmp_path: Path) -> None:
    clipper.train("CartPole-v1", QUICK, num_envs=2, total_steps=32, run_dir=tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {name: given}))
    with pytest.raises(ConfigError, match=f"this run's {name} is {given}: name it again with {name}="):
        clipper.train(resume=tmp_path, total_steps=64)
    usual: Any = {"device": "cpu", "engine": "torch"}[name]
    assert clipper.train(resume=tmp_path, total_steps=64, **{name: usual}).steps >= 64
    assert run_command(["resume", str(tmp_path), "--total-steps", "96", f"--{name}", usual]) == 0


def test_what_is_usual_is_not_asked_for() -> None:
    assert asked_for(Config(env="CartPole-v1", engine="cpu")) == {}
    assert asked_for(Config(env="CartPole-v1", device="cuda", engine="compile")) == {
        "device": "cuda",
        "engine": "compile",
    }
