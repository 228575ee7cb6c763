"""The definition under ``torch.compile`` takes the definition's steps."""

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

import clipper
from clipper.engines import choose
from clipper.engines.torch_compile import COMPILERS, cut_path
from clipper.errors import ConfigError
from clipper.settings.config import Config


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="torch.compile needs a C++ compiler")
@pytest.mark.skipif(cut_path() is not None, reason=f"torch.compile cannot be called from a folder like {cut_path()}")
@pytest.mark.parametrize(
    "name", ["ppo", *(pytest.param(name, marks=pytest.mark.long) for name in ("asymmetric", "a2c"))]
)
def test_update_is_the_definition_s(name: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("compile_updates.py")), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["parameters"] <= 1e-5
    assert found["graphs"] <= 2, "one for the first sizes, one for all others, however far the run is"
    for metric, (expected, value) in found["metrics"].items():
        assert value == pytest.approx(expected, rel=1e-3, abs=1e-4), metric


def choose_for(config: Config, memory: Any = None, insist: bool = True) -> Any:
    env = clipper.make_env("CartPole-v1", 1)
    spaces = env.single_observation_space, env.single_action_space
    policy = clipper.make_policy(*spaces, clipper.PolicyOptions(memory=memory), torch.Generator().manual_seed(0))
    return choose(config.algorithm.init(policy), config, clipper.VectorRollouts(env), insist)


def test_without_a_compiler_it_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match=r"engine 'compile' cannot run this: torch.compile needs a C\+\+ compiler"):
        choose_for(Config(env="CartPole-v1", engine="compile"))


@pytest.fixture
def plain_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that torch can name to the compiler, wherever the tests run."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/caches/torch")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/tmp")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: "/usr/lib")
    monkeypatch.setattr(torch, "__file__", "/home/张伟/clipper/torch/__init__.py")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/g++")


@pytest.mark.usefixtures("plain_paths")
def test_chinese_letters_are_no_obstacle() -> None:
    assert cut_path() is None


@pytest.mark.usefixtures("plain_paths")
@pytest.mark.parametrize("folder", ["/home/me/my projects", "/home/me/it's mine"])
@pytest.mark.parametrize("which", ["torch", "cache", "temporary", "python"])
def test_where_torch_would_cut_a_path_the_run_goes_on_in_torch(
    which: str, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if which == "torch":
        monkeypatch.setattr(torch, "__file__", f"{folder}/torch/__init__.py")
    elif which == "cache":
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", folder)
    elif which == "temporary":
        monkeypatch.setattr(tempfile, "gettempdir", lambda: folder)
    else:
        monkeypatch.setattr(sysconfig, "get_config_var", lambda _: folder)
    config = Config(env="CartPole-v1", engine="compile")
    engine = choose_for(config, insist=False)
    assert engine.name == "torch"
    assert f"no path with a space or a quotation mark in it, as {folder}" in engine.description
    with pytest.raises(ConfigError, match=r"engine 'compile' cannot run this: torch.compile takes no path"):
        choose_for(config)


def test_memories_are_refused() -> None:
    with pytest.raises(ConfigError, match="engine 'compile' cannot run this: the policy has a memory"):
        choose_for(Config(env="CartPole-v1", engine="compile"), memory=clipper.memory.LSTM(8))
