"""The command line as a user meets it."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gymnasium.envs.registration import register, registry

import clipper
from clipper.cli.arguments import ALGORITHMS, reach_own_code
from clipper.cli.commands import run_command
from clipper.environments import make_single
from clipper.learning.action_parts import Joint
from clipper.learning.advantages import Standardised
from clipper.learning.critic_targets import TD0, CriticTarget, MonteCarlo, NStep, Polyak, TDLambda
from clipper.learning.kl import Exact, KLStop
from clipper.learning.objectives import Objective
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Scaled
from clipper.learning.schedules import KLAdaptive, Linear, Schedule
from clipper.learning.value_losses import MSE, ClippedMSE, Huber, ValueLoss
from clipper.runs.config_file import read_config
from clipper.settings.option_text import from_text, to_text

QUICK = ["--total-steps", "256", "--num-envs", "2", "--horizon", "32", "--epochs", "1", "--hidden", "8"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def run(*words: str) -> int:
    return run_command(words)


def test_train_then_everything_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "CartPole-v1", *QUICK, "--run-dir", "here", "--eval-every", "128", "--eval-episodes", "2") == 0
    out = capsys.readouterr().out
    assert "PPO on CartPole-v1: 2 environments" in out
    assert "engine torch" in out
    assert re.search(r"steps +\d+/256 ", out)
    assert "KL" in out
    assert "clipper play here" in out

    assert run("resume", "here", "--total-steps", "512") == 0
    assert "exact: false" not in capsys.readouterr().out, "no schedule follows the plan"
    assert run("evaluate", "here", "--episodes", "3", "--best") == 0
    assert re.search(r"CartPole-v1 +return [\d.]+ ± [\d.]+ over 3 episodes", capsys.readouterr().out)
    assert run("plot", "here", "--output", "two.png") == 0
    assert Path("two.png").read_bytes().startswith(b"\x89PNG")
    assert run("plot", "here", "--diagnostics") == 0
    assert Path("here/diagnostics.png").read_bytes().startswith(b"\x89PNG")
    assert Path("here/curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_commands_that_go_on_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    folder = "my runs [bold]/第一次"
    assert run("train", "CartPole-v1", *QUICK, "--run-dir", folder) == 0
    (watch,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  watch"))
    assert shlex.split(watch)[-2:] == ["play", folder]


def test_the_run_folder_is_named_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "Pendulum-v1", "reinforce", "--gamma", "0.9", "--seed", "3", "--num-envs", "2",
               "--total-steps", "400", "--episodes", "2") == 0  # fmt: skip
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("Pendulum-v1-reinforce-seed3-")
    config = read_config(folder)
    assert config.algorithm == clipper.Reinforce(gamma=0.9, episodes=2)
    assert config.seed == 3


def test_values_as_flags() -> None:
    assert run("train", "CartPole-v1", *QUICK, "--run-dir", "x", "--clip", "0.1,0.3", "--learning-rate", "linear(1e-3)",
               "--value-loss", "huber(0.5)", "--shared", "--stop", "klstop(0.1,epoch)", "--no-rescale-action",
               "--objective", "rollback(0.2)", "--critic-target", "nstep(3,polyak(0.1))",
               "--rewards", "scaled(5)", "--advantages", "standardised(batch,0)",
               "--optimizer", "adam(weight_decay=0.01)",
               "--kl", "exact", "--parts", "joint", "--recompute") == 0  # fmt: skip
    config = read_config(Path("x"))
    assert isinstance(config.algorithm, clipper.PPO)
    assert config.algorithm.clip == (0.1, 0.3)
    assert config.algorithm.learning_rate == Linear(1e-3, 0.0)
    assert config.algorithm.value_loss == Huber(0.5)
    assert config.algorithm.objective == clipper.objectives.Rollback(0.2)
    assert config.algorithm.stop == KLStop(0.1, "epoch")
    assert config.algorithm.critic_target == NStep(3, Polyak(0.1))
    assert config.algorithm.rewards == Scaled(5.0)
    assert config.algorithm.advantages == Standardised("batch", 0)
    assert config.algorithm.optimizer == Adam(weight_decay=0.01)
    assert config.algorithm.kl == Exact()
    assert config.algorithm.parts == Joint()
    assert config.algorithm.recompute
    assert config.policy.shared
    assert not config.policy.head.rescale_action


def test_a_recipe_is_the_default_that_flags_change() -> None:
    assert run("train", "pendulum", "--total-steps", "256", "--num-envs", "1", "--run-dir", "x") == 0
    config = read_config(Path("x"))
    assert config.algorithm == clipper.recipes.pendulum().algorithm
    assert config.num_envs == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "CartPol-v1"], "Did you mean CartPole-v1"),
        (["train", "CartPole-v1", "pppo"], "Did you mean ppo"),
        (["trian"], "Did you mean train"),
        (["train"], "name an environment or a recipe"),
        (["unroll", "cartpol"], "Did you mean cartpole"),
        (["resume", "nowhere"], "nowhere is no run"),
        (["evaluate", "nowhere"], "no checkpoint"),
        (["plot", "nowhere"], "nowhere is no run"),
        (["plot"], "name the folders"),
        (["plot", "nowhere", "--suite"], "nowhere is no run"),
        (["plot", "a", "--suite", "--diagnostics"], "ask for one of them"),
        (["plot", "nowhere", "--diagnostics"], "nowhere is no run"),
        (["plot", "a", "b", "--diagnostics", "--output", "c.png"], "a picture for each run"),
        (
            ["train", "CartPole-v1", "--clip-coef", "0.1", "--num_steps=64"],
            "--clip-coef 0.1 is --clip 0.1; --num_steps 64 is --horizon 64",
        ),
        (["train", "CartPole-v1", "--batch-size", "256"], "--batch-size 256 is --minibatches 4 (8 × 128 / 256)"),
        (["train", "CartPole-v1", "--n-steps", "32", "--batch-size", "100"], "--minibatches 3 (8 × 32 / 100)"),
        (["train", "--env-id", "Acrobot-v1"], "--env-id Acrobot-v1 is clipper train Acrobot-v1"),
        (["train", "CartPole-v1", "--vf-coef", "0.5"], "--value-coef 0.5, or 0.25 where it is CleanRL's"),
        (["train", "CartPole-v1", "--learning-rate", "1e-3", "--anneal-lr"], "--learning-rate 'linear(1e-3)'"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.out == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gama", "0.9"], "--gamma"),
        (["--learning-rate", "liner(1)"], "NUMBER|linear(start,end)"),
        (["--advantages", "sometimes"], "standardised(over,correction)|raw"),
        (["--activation", "sometimes"], "tanh"),
    ],
)
def test_a_wrong_flag_shows_the_right_one(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("train", "CartPole-v1", *flags)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert message in captured.out + captured.err


def test_optimizers_are_values_on_the_command_line() -> None:
    assert run("train", "CartPole-v1", "a2c", "--optimizer", "rmsprop(0.9,1e-3)", "--total-steps", "40") == 0
    (folder,) = Path("runs").iterdir()
    assert read_config(folder).algorithm == clipper.A2C(optimizer=clipper.optimizers.RMSProp(0.9, 1e-3))


@pytest.mark.parametrize("algorithm", ["importance-sampling", "vpg", "npg", "trpo"])
def test_each_algorithm_trains_by_its_name(algorithm: str) -> None:
    assert run("train", "CartPole-v1", algorithm, "--total-steps", "1100") == 0
    (folder,) = Path("runs").iterdir()
    assert isinstance(read_config(folder).algorithm, ALGORITHMS[algorithm])


def test_a_shared_trunk_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "CartPole-v1", "trpo", "--shared") == 2
    assert "use separate trunks" in capsys.readouterr().err


@pytest.mark.parametrize("algorithm", ["ppo", "reinforce", "vpg"])
def test_help_explains_every_field(algorithm: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("train", "CartPole-v1", algorithm, "--help-all")
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "γ, the discount" in out
    assert "α, the optimizer's step size" in out
    # Each option is followed by words of its own, not only by its default.
    options = re.split(r"\n[│ ]+(?=--[a-z])", out)[1:]
    assert len(options) > 25
    for option in options:
        text = re.sub(r"--[a-z-]+ ?\S*|\(default.*", "", option.replace("│", " "), flags=re.S)
        assert len(text.split()) >= 3, option


@pytest.mark.parametrize("arguments", [[], ["sac"], ["exploring"], ["hyar"]])
def test_short_help_has_every_option_on_a_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert run("train", "CartPole-v1", *arguments, "--help") == 0
    short = capsys.readouterr().out
    assert len(short.splitlines()) <= 130
    assert max(map(len, short.splitlines())) <= 100
    flags = re.findall(r"^  (--[a-z0-9-]+) +(\S.*)$", short, flags=re.M)
    assert all(len(words.split()) >= 2 for _, words in flags)
    with pytest.raises(SystemExit):
        run("train", "CartPole-v1", *arguments, "--help-all")
    every = set(re.findall(r"^[│ ]+(--[a-z][a-z0-9-]*)", capsys.readouterr().out, flags=re.M))
    assert {flag for flag, _ in flags} == every


def test_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("train", "resume", "evaluate", "play", "plot", "unroll", "cartpole"))
    assert run("--version") == 0
    assert clipper.__version__ in capsys.readouterr().out


def test_environments_of_ones_own_are_named_again(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_package.py").write_text("")
    register("Mine-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=50)
    sys.path.insert(0, os.getcwd())
    try:
        assert run("train", "my_package:Mine-v0", *QUICK, "--run-dir", "x") == 0
        assert "clipper play x --env my_package:Mine-v0" in capsys.readouterr().out
        for command in ("resume", "evaluate", "play"):
            assert run(command, "x") == 2
            assert "name it" in capsys.readouterr().err
        assert run("evaluate", "x", "--env", "my_package:Mine-v0", "--episodes", "2") == 0
        assert run("resume", "x", "--env", "my_package:Mine-v0", "--total-steps", "512") == 0
    finally:
        sys.path.remove(os.getcwd())
        del registry["Mine-v0"]


def test_play_writes_a_video() -> None:
    assert run("train", "CartPole-v1", *QUICK, "--run-dir", "x") == 0
    assert run("play", "x", "--video", "out.gif") == 0
    assert Path("out.gif").read_bytes()[:3] == b"GIF"


def test_unroll_writes_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("unroll", "cartpole", "--output", "cartpole.py") == 0
    assert "import clipper" not in Path("cartpole.py").read_text()
    assert run("unroll", "cartpole") == 0
    assert capsys.readouterr().out == Path("cartpole.py").read_text()


def command(*words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-m", "clipper", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip


def test_several_seeds_side_by_side() -> None:
    process = command("train", "CartPole-v1", *QUICK, "--seed", "5", "--seeds", "2", "--run-dir", "many")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert {path.name for path in Path("many").iterdir()} >= {"seed5", "seed6", "curves.png"}
    assert read_config(Path("many/seed6")).seed == 6


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.long)],
)
def test_signals_save_and_end_with_their_status(number: signal.Signals, status: int) -> None:
    process = command("train", "CartPole-v1", *QUICK, "--run-dir", "x", "--total-steps", "100000000")
    until = time.monotonic() + 60
    metrics = Path("x/metrics.jsonl")
    while not (metrics.exists() and metrics.stat().st_size > 1000) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == status, out
    assert "clipper resume x" in out
    resumed = clipper.train(resume=Path("x"), callback=lambda run: False)
    assert resumed.exact
    assert resumed.iteration == len(metrics.read_text().splitlines())


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("0.2", Schedule, 0.2),
        ("3e-4", Schedule, 3e-4),
        ("linear(3e-4)", Schedule, Linear(3e-4, 0.0)),
        ("linear(1, 0.5)", Schedule, Linear(1.0, 0.5)),
        ("0.1, 0.3", Schedule | tuple[float, float], (0.1, 0.3)),
        ("mse", ValueLoss, MSE()),
        ("huber", ValueLoss, Huber(1.0)),
        ("clipped_mse(0.1)", ValueLoss, ClippedMSE(0.1)),
        ("clip", Objective, clipper.objectives.Clip()),
        ("dual_clip(5)", Objective, clipper.objectives.DualClip(5.0)),
        ("spo", Objective, clipper.objectives.SPO()),
        ("None", CriticTarget, None),
        ("td0", CriticTarget, TD0()),
        ("monte_carlo", CriticTarget, MonteCarlo()),
        ("tdlambda(0.5)", CriticTarget, TDLambda(0.5)),
        ("kladaptive(0.02)", Schedule | KLAdaptive, KLAdaptive(0.02)),
        ("trust_region_rollback(0.01, 20)", Objective, clipper.objectives.TrustRegionRollback(0.01, 20.0)),
    ],
)
def test_values_as_text(text: str, annotation: object, value: object) -> None:
    assert from_text(text, annotation) == value
    assert from_text(to_text(value), annotation) == value


@pytest.mark.parametrize(
    "text", ["", "x", "linear(", "linear(x)", "linear(1,2,3)", "1,2,3", "__import__('os')", "mse()()"]
)
def test_wrong_text_is_refused(text: str) -> None:
    for annotation in (Schedule, ValueLoss):
        with pytest.raises(ValueError, match="is none of"):
            from_text(text, annotation)


def test_code_of_ones_own_may_lie_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed command has its own folder on the path, not the user's; what is not named is not reached."""
    here = str(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", here)])
    reach_own_code("CartPole-v1")
    assert here not in sys.path
    reach_own_code("found_here:Mine")
    reach_own_code("found_here:Mine")
    assert sys.path[-1] == here
    assert sys.path.count(here) == 1
    (tmp_path / "found_here.py").write_text("import gymnasium\nMine = lambda: gymnasium.make('CartPole-v1')\n")
    assert make_single("found_here:Mine").spec is not None


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("blind", ("--video", "x.gif"), r"cannot be made with render_mode='rgb_array'.*unexpected keyword argument"),
        ("pictures", (), r"does not render as 'human'.*\['rgb_array'\]; --video"),
    ],
)
def test_an_environment_that_cannot_be_shown_says_so(
    name: str, flags: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{name}.py").write_text(
        "import gymnasium\nclass Env(gymnasium.Wrapper):\n    metadata = {'render_modes': ['rgb_array']}\n"
        f"    def __init__(self{', **_' if name == 'pictures' else ''}):\n"
        "        super().__init__(gymnasium.make('CartPole-v1'))\n"
    )
    assert run_command(["train", f"{name}:Env", "--run-dir", "run", *QUICK]) == 0
    assert run_command(["play", "run", "--env", f"{name}:Env", *flags]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_finished_run_that_is_resumed_says_so_and_how_to_train_longer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "CartPole-v1", *QUICK, "--run-dir", "x") == 0
    capsys.readouterr()
    assert run("resume", "x") == 0
    shown = capsys.readouterr().out
    assert "x had finished already, after" in shown
    line = shown.splitlines()[-1].partition("clipper resume")[2]
    assert run("resume", *line.split()) == 0
    assert "finished after" in capsys.readouterr().out
