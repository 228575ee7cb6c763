"""``clipper check-exercise`` as a learner meets it."""

import sys
from pathlib import Path

import pytest

from clipper.cli.commands import run_command
from clipper.exercises.command import known

RIGHT = """
import torch

def reward_to_go(reward, done, gamma):
    out, running = torch.zeros_like(reward), 0
    for t in reversed(range(len(reward))):
        running = reward[t] + gamma * running * ~done[t]
        out[t] = running
    return out
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)


def check(code: str) -> int:
    Path("answer.py").write_text(code, encoding="utf-8")
    return run_command(["check-exercise", "reward-to-go", "answer.py"])


def test_all_exercises_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check-exercise"]) == 0
    assert set(known()) <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", known())
def test_a_starting_file_has_the_task_and_nothing_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = known()[name]
    assert run_command(["check-exercise", name, "--start"]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.name == f"{exercise.function}.py"
    text = file.read_text(encoding="utf-8")
    assert exercise.task.en in text
    assert exercise.task.zh in text
    assert run_command(["check-exercise", name, str(file)]) == 1
    assert run_command(["check-exercise", name, "--start"]) == 2
    assert file.read_text(encoding="utf-8") == text
    assert "exists already" in capsys.readouterr().err


def test_a_name_alone_tells_the_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check-exercise", "reward-to-go"]) == 0
    assert known()["reward-to-go"].task.en in capsys.readouterr().out
    assert run_command(["check-exercise", "reward-to-go", "--language", "zh"]) == 0
    assert known()["reward-to-go"].task.zh in capsys.readouterr().out


def test_a_right_answer_passes_and_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.dont_write_bytecode
    assert check(RIGHT) == 0
    assert capsys.readouterr().out == "Right.\n"
    assert [path.name for path in Path.cwd().iterdir()] == ["answer.py"]
    assert sys.dont_write_bytecode == before


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("* ~done[t]", "", "Rewards of the next episode leak in"),
        ("reward_to_go", "rewards_to_go", "It defines no function reward_to_go."),
        ("out[t] = running", "out[t] = runing", "It raises NameError in line 8"),
        ("return out", "return", "G (γ = 0.9): nothing came back (None)."),
        ("return out", "return 'G'", "a str came back where a tensor should"),
        ("return out", "return out[0]", "G (γ = 0.9) has the shape [2] instead of [6, 2]."),
        ("return out", "return out + 1", "G (γ = 0.9)[0, 0] is 2.891 instead of 1.891."),
        ("import torch", "import torhc", "It cannot be imported: ModuleNotFoundError: No module named 'torhc'"),
        ("    return out", "  return out", "This is no Python: line 9: unindent"),
        ("    return out", "    raise SystemExit(0)", "It raises SystemExit in line 9"),
        ("import torch", "raise SystemExit(0)", "It cannot be imported: SystemExit"),
        ("    return out", "    raise NotImplementedError", "Nothing is written there yet."),
    ],
)
def test_a_wrong_answer_gets_one_sentence(
    before: str, after: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert before in RIGHT
    assert check(RIGHT.replace(before, after)) == 1
    captured = capsys.readouterr()
    assert sentence in captured.out
    assert captured.out.count("\n") == 1
    assert captured.err == ""


def test_in_chinese_where_the_terminal_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert check(RIGHT.replace("* ~done[t]", "")) == 1
    assert "混进了下一回合的奖励" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reward-to"], "Did you mean reward-to-go"),
        (["reward-to-go", "nowhere.py"], "there is no file nowhere.py"),
        (["reward-to-go", "notes.txt"], "has to end with .py"),
        (["reward-to-go", "nowhere/a.py", "--start"], "cannot be written"),
    ],
)
def test_mistakes_of_the_command(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.txt").write_text(RIGHT, encoding="utf-8")
    assert run_command(["check-exercise", *words]) == 2
    assert message in capsys.readouterr().err
