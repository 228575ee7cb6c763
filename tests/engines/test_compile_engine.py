"""The definition under ``torch.compile`` takes the definition's steps."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import clipper
from clipper.config import Config
from clipper.engines import choose
from clipper.engines.compile_engine import COMPILERS
from clipper.errors import ConfigError


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(
    "name", ["ppo", *(pytest.param(name, marks=pytest.mark.long) for name in ("asymmetric", "a2c"))]
)
def test_update_is_the_definition_s(name: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("compile_updates.py")), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["parameters"] <= 1e-5
    for metric, (expected, value) in found["metrics"].items():
        assert value == pytest.approx(expected, rel=1e-3, abs=1e-4), metric


def choose_for(config: Config, memory: Any = None) -> Any:
    env = clipper.make_env("CartPole-v1", 1)
    spaces = env.single_observation_space, env.single_action_space
    policy = clipper.make_policy(*spaces, clipper.PolicyOptions(memory=memory), torch.Generator().manual_seed(0))
    return choose(config.algorithm.init(policy), config, env, insist=True)


def test_without_a_compiler_it_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match=r"engine 'compile' cannot run this: torch.compile needs a C\+\+ compiler"):
        choose_for(Config(env="CartPole-v1", engine="compile"))


def test_memories_are_refused() -> None:
    with pytest.raises(ConfigError, match="engine 'compile' cannot run this: the policy has a memory"):
        choose_for(Config(env="CartPole-v1", engine="compile"), memory=clipper.LSTM(8))
