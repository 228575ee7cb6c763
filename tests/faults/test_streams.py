"""What the command line prints to, and the keys that end it: whatever they are, it ends as other programs do."""

import io
import os
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest

import clipper
from clipper.cli.commands import run_command
from clipper.cli.letters import register
from clipper.cli.session import command_of

MAIN = shlex.join([sys.executable, "-m", "clipper"])


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What bash makes of a line, in which CLIPPER is the command; read as ``PYTHONIOENCODING`` says."""
    own = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1]), **environment}
    words = ["bash", "-o", "pipefail", "-c", line.replace("CLIPPER", MAIN)]
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return subprocess.run(
        words, capture_output=True, env=own, check=False, encoding=encoding, errors="replace", timeout=150
    )


ENCODINGS = ("ascii", "latin-1", "cp1252", "gbk")
OWN = {letter for file in Path(clipper.__file__).parent.rglob("*.py") for letter in file.read_text() if letter > "\x7f"}
"""Letters of the package's own texts, those of its comments included."""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_letter_that_an_encoding_lacks_is_spelled(encoding: str) -> None:
    shown = {letter: letter.encode(encoding, register()).decode(encoding) for letter in OWN if letter < "\u3000"}
    escaped = [
        letter for letter, text in shown.items() if "\\" in text and not unicodedata.name(letter).startswith("LATIN")
    ]
    assert escaped == ["∪"] or not escaped, "of all but authors' names, and a union in a comment"
    text = "σ = 5 µs ± 2 → β₁ … −3"
    assert text.encode("ascii", register()).decode() == "sigma = 5 us +/- 2 -> beta_1 ... -3"
    assert "第 ö \ud800".encode("ascii", register()) == rb"\u7b2c \xf6 \ud800", "what is no symbol is not guessed at"


def test_every_command_can_be_read_in_every_encoding(tmp_path: Path) -> None:
    settings = "--num-envs 4 --horizon 32 --total-steps 256 --eval-every 128"
    lines = {
        "latin-1": f"CLIPPER train CartPole-v1 {settings} --run-dir σ1",
        "ascii": "CLIPPER evaluate σ1 --episodes 3; CLIPPER evaluate nöwhere; test $? = 2",
        "gbk": 'cp -r σ1 two; sed -i \'s/"eval_every": 128/"eval_every": 0/\' two/config.json; CLIPPER compare two σ1',
    }
    shown = {}
    for encoding, line in lines.items():
        done = shell(f"cd {shlex.quote(str(tmp_path))}; {line}", PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        shown[encoding] = done.stdout + done.stderr
    assert " µs, " in shown["latin-1"]
    assert "run    sigma1" in shown["latin-1"]
    assert r"clipper play $'\317\2031'" in shown["latin-1"], "which is what a shell reads"
    assert " +/- " in shown["ascii"]
    assert "over 3 episodes" in shown["ascii"]
    assert r"no checkpoint at n\xf6where" in shown["ascii"]
    assert "difference" in shown["gbk"]


def test_printed_code_is_what_python_reads(tmp_path: Path) -> None:
    folder = shlex.quote(str(tmp_path))
    done = shell(f"cd {folder}; CLIPPER unroll cartpole | head -c 100000 > printed.py", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "printed.py").read_text(encoding="utf-8")
    compile(text, "printed.py", "exec")
    assert not text.isascii(), "which tells nothing"


def test_output_that_nobody_takes_is_no_traceback() -> None:
    done = shell(
        "CLIPPER check-exercise | head -c 1; CLIPPER --help >/dev/full; echo $?; CLIPPER --version >&-; echo $?"
    )
    assert done.stdout.split() == ["g", "2", "0"] or done.stdout.splitlines()[-1] == "0", done
    assert done.stderr == "error: what is printed cannot be written: No space left on device\n"


def test_an_interrupt_while_it_is_imported_is_quiet() -> None:
    for wait in (0.3, 0.8):
        environment = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1])}
        words = [sys.executable, "-m", "clipper", "train", "nowhere"]
        with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment) as process:
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            told = process.communicate()[1]
        assert b"Traceback" not in told
        assert process.returncode in (-signal.SIGINT, 130, 2)  # the last: it was faster


def test_a_terminal_of_one_column_is_laid_out_wider(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    assert run_command(["evaluate", "--help"]) == 0
    assert 30 < max(map(len, capsys.readouterr().out.splitlines())) <= 40
    assert os.environ["COLUMNS"] == "1"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("folder", ["my runs/a", "-dash", "it's", "$HOME", "a;b", "第一次", "-σ 1'9", "no\udcfftext"])
def test_a_printed_command_is_one_that_a_shell_reads(
    folder: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    line = command_of("play", Path(folder), "--env", "a b:C")
    line.encode(encoding)
    said = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, check=True)
    _, command, path, *rest = os.fsdecode(said.stdout).splitlines()
    assert (command, rest) == ("play", ["--env", "a b:C"])
    assert not path.startswith("-")
    assert Path(path) == Path(folder)
