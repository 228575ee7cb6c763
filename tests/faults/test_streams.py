"""What the command line prints to, and the keys that end it: whatever they are, it ends as other programs do."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import clipper
from clipper.cli.commands import run_command
from clipper.cli.session import command_of

MAIN = shlex.join([sys.executable, "-m", "clipper"])


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What bash makes of a line, in which CLIPPER is the command."""
    own = os.environ | {"PYTHONPATH": str(Path(clipper.__file__).parents[1]), **environment}
    words = ["bash", "-o", "pipefail", "-c", line.replace("CLIPPER", MAIN)]
    return subprocess.run(words, capture_output=True, env=own, check=False, text=True, errors="replace", timeout=150)


def test_what_an_encoding_lacks_is_printed_as_an_escape() -> None:
    done = shell("CLIPPER --help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert r"COMMAND \u2026" in done.stdout
    assert done.stdout.isascii()


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
    with pytest.raises(SystemExit):
        run_command(["evaluate", "--help"])
    assert sum(len(line) == 40 for line in capsys.readouterr().out.splitlines()) > 10
    assert os.environ["COLUMNS"] == "1"


@pytest.mark.parametrize("folder", ["my runs/a", "-dash", "it's", "$HOME", "a;b", "第一次"])
def test_a_printed_command_is_one_that_a_shell_reads(folder: str) -> None:
    line = command_of("play", Path(folder), "--env", "a b:C")
    said = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    _, command, path, *rest = said.stdout.splitlines()
    assert (command, rest) == ("play", ["--env", "a b:C"])
    assert not path.startswith("-")
    assert Path(path) == Path(folder)
