"""Options of continuous actions from the command line to the checkpoint and back."""

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import clipper
from clipper.cli.commands import run_command
from clipper.engines.cpu.network import read_network
from clipper.engines.protocol import UnsuitableError
from clipper.errors import ConfigError
from clipper.networks.heads import (
    GSDE,
    Beta,
    BoxDistribution,
    Fixed,
    HeadOptions,
    LinearLogStd,
    LinearStd,
    Scale,
    SoftplusOfState,
    TanhGaussian,
)
from clipper.runs.config_file import read_config
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, to_json
from clipper.settings.option_text import from_text, to_text
from clipper.unroll import unroll

CASES = {
    "fixed": HeadOptions(std=Fixed(), initial_log_std=-0.5),
    "linear": HeadOptions(std=LinearStd(0.1)),
    "squashed": HeadOptions(distribution=TanhGaussian(), std=LinearLogStd(-1.5)),
    "softplus": HeadOptions(distribution=TanhGaussian(), std=SoftplusOfState()),
    "beta": HeadOptions(distribution=Beta()),
    "gsde": HeadOptions(distribution=GSDE(5)),
}
TINY = Config(
    env="Pendulum-v1",
    algorithm=clipper.PPO(horizon=16, epochs=2),
    total_steps=320,
    num_envs=2,
    seed=3,
)


def configured(case: str) -> Config:
    return dataclasses.replace(TINY, policy=clipper.PolicyOptions(hidden=(8,), head=CASES[case]))


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c in ("squashed", "gsde") else pytest.mark.long) for c in CASES]
)
def test_interrupted_equals_uninterrupted(case: str, tmp_path: Path) -> None:
    """σ's place on its line, gSDE's noise and its age included."""
    whole = clipper.train(configured(case), run_dir=tmp_path / "whole")
    clipper.train(configured(case), run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 4)
    resumed = clipper.train(resume=tmp_path / "cut")
    assert resumed.exact
    ours, theirs = (run.state_dict()[0] for run in (whole, resumed))
    assert ours.keys() == theirs.keys()
    for name, x in ours.items():
        assert torch.equal(x, theirs[name]), name
    assert [row["policy/kl"] for row in whole.history] == [row["policy/kl"] for row in resumed.history]


def test_the_schedule_s_progress_is_the_run_s(tmp_path: Path) -> None:
    seen = []

    def note(run: clipper.Run) -> None:
        dist, _ = run.policy.act(torch.zeros(1, 3))
        seen.append((run.learner.progress, dist.log_std.exp()[0].item()))

    clipper.train(configured("linear"), run_dir=tmp_path / "run", callback=note)
    assert [p for p, _ in seen] == [i / 10 for i in range(10)]
    assert [std for _, std in seen] == pytest.approx([1 - 0.9 * p for p, _ in seen], rel=1e-6)
    loaded: Any = clipper.load(tmp_path / "run")  # a policy from the disk is as wide as it was last
    assert loaded.act(torch.zeros(1, 3))[0].log_std.exp()[0].item() == pytest.approx(seen[-1][1])


@pytest.mark.parametrize("case", CASES)
def test_settings_survive_json(case: str) -> None:
    config = configured(case)
    assert from_json(json.loads(json.dumps(to_json(config))), Config) == config


@pytest.mark.parametrize(("text", "value"), [
    ("gaussian", "Gaussian()"), ("tanh_gaussian", "TanhGaussian()"), ("beta", "Beta()"), ("gsde", "GSDE(every=8)"),
    ("gsde(16)", "GSDE(every=16)"), ("deterministic", "Deterministic(noise=0.1, squash=True)"),
    ("deterministic(0.3)", "Deterministic(noise=0.3, squash=True)"),
])  # fmt: skip
def test_distributions_as_text(text: str, value: str) -> None:
    option = from_text(text, BoxDistribution)
    assert repr(option) == value
    assert from_text(to_text(option), BoxDistribution) == option


@pytest.mark.parametrize(("text", "value"), [
    ("learned", "Learned()"), ("fixed", "Fixed()"), ("linear_std(0.2)", "LinearStd(end=0.2)"),
    ("linear_log_std(-3)", "LinearLogStd(end=-3.0)"), ("exp_of_state", "ExpOfState()"),
    ("softplus_of_state", "SoftplusOfState()"),
])  # fmt: skip
def test_scales_as_text(text: str, value: str) -> None:
    option = from_text(text, Scale)
    assert repr(option) == value
    assert from_text(to_text(option), Scale) == option


@pytest.mark.parametrize("text", ["gsde(2.5)", "gsde(1,2)", "beta(1)", "normal"])
def test_text_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is none of"):
        from_text(text, BoxDistribution)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "Pendulum-v1", "--total-steps", "128", "--num-envs", "2", "--horizon", "32", "--hidden", "8"]
    folder = tmp_path / "run"
    flags = ["--distribution", "tanh_gaussian", "--std", "linear_std(0.2)", "--initial-log-std", "-0.3"]
    assert run_command([*words, *flags, "--run-dir", str(folder)]) == 0
    wanted = HeadOptions(distribution=TanhGaussian(), std=LinearStd(0.2), initial_log_std=-0.3)
    assert read_config(folder).policy.head == wanted
    capsys.readouterr()
    assert run_command([*words, "--distribution", "gsde(4)", "--run-dir", str(tmp_path / "other")]) == 0
    assert read_config(tmp_path / "other").policy.head == HeadOptions(distribution=GSDE(4))
    assert run_command(["evaluate", str(tmp_path / "other"), "--episodes", "2", "--stochastic"]) == 0
    capsys.readouterr()
    assert run_command([*words, "--distribution", "beta", "--std", "fixed"]) == 2
    assert "a beta policy has no σ" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("case", [pytest.param("squashed", marks=pytest.mark.long), "gsde"])
def test_unrolled_learns_the_same(case: str, tmp_path: Path) -> None:
    file = tmp_path / "alone.py"
    text = unroll(configured(case))
    file.write_text(text)
    alone = "import runpy, sys; sys.modules.update(clipper=None, jaxtyping=None); "
    alone += "runpy.run_path(sys.argv[1], run_name='__main__')"
    out = subprocess.run([sys.executable, "-I", "-c", alone, str(file)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    learned = clipper.train(configured(case)).learner.parameters.detach().numpy().tobytes()
    assert out.stdout.rstrip().endswith(hashlib.sha256(learned).hexdigest())
    absent = {"squashed": ("class IndependentBeta", "class StateDependentHead"), "gsde": ("class SquashedGaussian",)}
    assert not any(word in text for word in absent[case])


@pytest.mark.parametrize("case", ["beta", *[pytest.param(c, marks=pytest.mark.long) for c in ("linear", "softplus")]])
def test_every_kind_unrolls(case: str) -> None:
    compile(unroll(configured(case)), case, "exec")


def test_kernels_refuse_a_head_that_they_do_not_know() -> None:
    run = clipper.train(dataclasses.replace(configured("gsde"), total_steps=32))
    with pytest.raises(UnsuitableError, match="its head is a StateDependentHead"):
        read_network(run.policy, run.learner.parameters)


def test_a_hostile_config_is_an_error_of_ours() -> None:
    data: Any = to_json(configured("gsde"))
    data["policy"]["head"]["distribution"]["every"] = -1
    with pytest.raises(ConfigError, match="every must be at least 1"):
        from_json(data, Config)
