"""Language models on the command line: train, resume, evaluate, plot, and what is said of mistakes."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from small_models import EOS, config_of

import clipper
from clipper.cli.commands import run_command
from clipper.cli.language import parsed
from clipper.cli.language_algorithms import CHOICES
from clipper.errors import ConfigError
from clipper.language.models import load_model, save_model
from clipper.runs.config_file import read_config
from clipper.settings.language import AdaptiveKL, Shaping

REWARDS = """
def short(prompts, responses):
    return [-float(len(response)) for response in responses]

def wrong(prompts, responses):
    return [0.0]

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, prompts, and rewards, where commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr("clipper.runs.train.plot_run", lambda run: None)  # it takes longer than the runs here
    monkeypatch.delitem(sys.modules, "these_rewards", raising=False)
    save_model(load_model(config_of("llama"), 1).lm, tmp_path / "model")
    (tmp_path / "p.jsonl").write_text('[1, 2]\n{"prompt": [3], "answer": 7}\n')
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "long.jsonl").write_text(f"{list(range(1, 9)) * 4}\n")
    (tmp_path / "these_rewards.py").write_text(REWARDS)
    return tmp_path


OWN = [
    "model", "--prompts", "p.jsonl", "--reward", "these_rewards:short", "--eos", str(EOS), "--responses", "8",
    "--max-tokens", "4",
]  # fmt: skip


def test_a_model_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train-language", *OWN, "--algorithm", "rloo", "--total-steps", "20"]
    assert run_command([*words, "--run-dir", "here", "--learning-rate", "1e-3", "--temperature", "0.5"]) == 0
    out = capsys.readouterr().out
    assert "GRPO on <model>: 8 responses at once, of at most 4 tokens" in out
    for word in ("tokens", "score", "KL/response", "length", "tokens/s"):
        assert re.search(rf"^(?:.*  )?{word} +[\d.,/k-]+", out, re.MULTILINE), word
    assert "clipper evaluate here --reward these_rewards:short" in out
    config = read_config(Path("here"))
    assert config.language is not None
    assert (config.language.model, config.language.prompts) == ("model", "p.jsonl")
    assert (config.language.reward, config.language.temperature) == ("these_rewards:short", 0.5)
    assert config.algorithm.baseline == clipper.baselines.LeaveOneOut()  # pyright: ignore[reportAttributeAccessIssue]

    assert run_command(["resume", "here", "--total-steps", "60"]) == 2
    assert "name the reward again, which was these_rewards:short" in capsys.readouterr().err
    assert run_command(["resume", "here", "--total-steps", "90", "--reward", "these_rewards:short"]) == 0
    assert "exact: false" not in capsys.readouterr().out, "no schedule follows the plan"

    assert run_command(["evaluate", "here", "--reward", "these_rewards:short", "--responses", "6"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"6 sampled +-[\d.]+ ± [\d.]+ +-?[\d.]+ +[\d.]+ +[\d.]+%", out)
    assert len(re.findall(r"^ +-?\d +-?[\d.]+  (?:1 2|3) ", out, re.MULTILINE)) == 6
    assert max(map(len, out.splitlines())) <= 80
    assert run_command(["plot", "here"]) == 0
    for command in ("play", "export"):
        assert run_command([command, "here"]) == 2
        assert "clipper evaluate RUN" in capsys.readouterr().err


def test_several_seeds(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a process of its own, which here is this one."""

    def one_by_one(commands: dict[Path, list[str]], what: str, place: Path, threads: int, again: list[str]) -> int:
        assert [str(word) for word in again[:2]] == ["resume", "many"]
        return max(run_command(words) for words in commands.values())

    monkeypatch.setattr("clipper.cli.language.side_by_side", one_by_one)
    monkeypatch.setattr("clipper.cli.seeds.side_by_side", one_by_one)
    reward = ["--reward", "these_rewards:short"]
    words = ["train-language", *OWN, "--seeds", "2", "--seed", "3", "--total-steps", "20", "--run-dir", "many"]
    assert run_command(words) == 0
    assert [read_config(Path("many") / f"seed{seed}").seed for seed in (3, 4)] == [3, 4]
    assert run_command(["resume", "many", *reward, "--total-steps", "60"]) == 0
    assert [read_config(Path("many") / f"seed{seed}").total_steps for seed in (3, 4)] == [60, 60]
    capsys.readouterr()
    assert run_command(["evaluate", "many", *reward, "--responses", "8"]) == 0
    out = capsys.readouterr().out
    scores = [float(x) for x in re.findall(r"^8 sampled, seed[34] +(-[\d.]+) ±", out, re.MULTILINE)]
    assert len(scores) == 2
    mean = re.search(r"mean score of 2 seeds: (-[\d.]+)", out)
    assert mean is not None
    assert float(mean[1]) == pytest.approx(sum(scores) / 2, abs=2e-3)


def test_the_task_of_sorting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It brings a model, which its folder keeps, prompts and a reward: nothing is asked for again."""
    words = ["train-language", "sort", "--responses", "16", "--minibatches", "1", "--supervised-steps", "1"]
    assert run_command([*words, "--total-steps", "100", "--run-dir", "here"]) == 0
    assert "PPO on <sort>" in capsys.readouterr().out
    assert run_command(["resume", "here", "--total-steps", "300"]) == 0
    assert run_command(["evaluate", "here", "--responses", "4", "--samples", "0"]) == 0
    assert "4 likeliest" in capsys.readouterr().out
    assert run_command(["train-language", "sort", "--run-dir", "here"]) == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sorted"], "Did you mean sort"),
        ([], "name a task"),
        (["sort", "sac"], "no algorithm 'sac' for language models"),
        (["sort", "--reward", "these_rewards:short"], "a reward of its own"),
        (["model"], "--prompts p.jsonl --reward"),
        (["model", "--seeds", "2"], "--prompts p.jsonl --reward"),
        (["sort", "--seeds", "0"], "--seeds must be from 1"),
        ([*OWN, "--reward", "short"], "MODULE:FUNCTION"),
        ([*OWN, "--reward", "these_rewards:long"], "has no attribute 'long'"),
        ([*OWN, "--reward", "these_rewards:number"], "cannot be called"),
        ([*OWN, "--reward", "these_rewards:wrong"], r"shape \[1\] for 8 responses"),
        ([*OWN, "--prompts", "empty.jsonl"], "empty.jsonl holds no prompt"),
        ([*OWN, "--prompts", "long.jsonl"], "the longest prompt and 4 further tokens are 36, and the model reads 32"),
        ([*OWN, "rloo"], "unrecognized|positional|Unrecognized"),
        ([*OWN, "--critic", "none"], "no V"),
        ([*OWN, "--eos", "-1"], "eos"),
        ([*OWN, "--responses", "9", "--algorithm", "grpo"], "multiple"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with suppress(SystemExit):
        assert run_command(["train-language", *words]) == 2
    text = capsys.readouterr()
    assert re.search(message, " ".join((text.err + text.out).split())), text


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("model", ["sort", "model"])
def test_every_algorithm_parses(name: str, model: str) -> None:
    _, named, options = parsed([model, name])
    assert named == name
    assert options.algorithm == parsed([model, "--algorithm", name])[2].algorithm
    assert (options.critic == "none") == (CHOICES[name].critic == "none")


def test_shaping_is_flags() -> None:
    flags = ["--shaping-beta", "adaptive_kl(0.1,6,1000)", "--shaping-cut", "mask", "--shaping-overlong", "3"]
    options = parsed(["sort", *flags])[2]
    assert options.shaping_beta == AdaptiveKL(0.1, 6.0, 1000)
    assert Shaping(cut=options.shaping_cut, overlong=options.shaping_overlong) == Shaping(cut="mask", overlong=3)


def test_other_ways_in_say_where_to_go(folder: Path) -> None:
    run_command(["train-language", *OWN, "--total-steps", "1", "--run-dir", "here"])
    with pytest.raises(ConfigError, match="saved_policy"):
        clipper.load("here")
    with pytest.raises(ConfigError, match="train_language"):
        clipper.train(resume="here")
    assert run_command(["unroll", "here"]) == 2
