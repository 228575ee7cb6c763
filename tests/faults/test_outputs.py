"""Files and folders that a user names to be written: what stands there already, and names that are none."""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import clipper
from clipper.cli.commands import run_command
from clipper.errors import ConfigError
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.storage.files import for_output, from_user, replace


def no_file(kind: str, folder: Path) -> Path:
    """Something that is no file to write, in a folder."""
    place = folder / f"a-{kind}"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(place))
    elif kind == "link to a device":
        place.symlink_to("/dev/null")
    else:
        try:
            os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes devices")
    return place


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link to a device", "device"])
def test_what_is_no_file_stays_what_it_is(kind: str, tmp_path: Path) -> None:
    place = no_file(kind, tmp_path)
    before = place.lstat()
    with pytest.raises(ConfigError, match=r"is a .*, and a file is to be written"):
        for_output(place)
    assert run_command(["unroll", "cartpole", "--total-steps", "100", "--output", str(place)]) == 2
    if kind == "device":
        with pytest.raises(OSError, match="it is a device"):
            replace(place, b"anything")
    after = place.lstat()
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)


def test_a_full_disk_is_told_with_the_file_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*here\.onnx'"):
        replace(tmp_path / "here.onnx", b"anything")
    assert not list(tmp_path.iterdir())


def test_pictures_do_not_take_a_device_s_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clipper.train("CartPole-v1", clipper.PPO(horizon=64), num_envs=2, total_steps=256, run_dir=tmp_path / "run")
    (tmp_path / "picture.png").symlink_to("/dev/full")
    assert run_command(["plot", str(tmp_path / "run"), "--output", str(tmp_path / "picture.png")]) == 2
    assert "device" in capsys.readouterr().err
    assert (tmp_path / "picture.png").is_symlink()


@pytest.mark.parametrize("path", ["", "a\0b", b"bytes", 3, ["x"]])
def test_what_is_no_path_is_refused_by_name(path: Any) -> None:
    with pytest.raises(ConfigError, match="path"):
        from_user(path)


@pytest.mark.parametrize(
    "line",
    [
        ["train", "CartPole-v1", "--run-dir", ""], ["train", "CartPole-v1", "--run-dir="], ["evaluate", ""],
        ["resume", "", "--total-steps", "9"], ["plot", ""], ["plot", "run", "--output", ""], ["compare", "a", ""],
        ["compare", "a", "b", "--output="], ["export", "run", "--onnx", ""], ["unroll", "cartpole", "-o", ""],
        ["play", "run", "--video", ""], ["evaluate", "run", "--env", ""], ["check-exercise", "entropy", ""],
    ],
)  # fmt: skip
def test_an_empty_word_is_not_the_folder_where_one_stands(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(line) == 2
    assert "empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seeds", ["0", "-3", "99999999"])
def test_a_number_of_seeds_is_one(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["train", "CartPole-v1", "--seeds", seeds]) == 2
    assert "--seeds must be from 1" in capsys.readouterr().err


class Wandering(gymnasium.Wrapper):
    """Goes elsewhere in each step, as some simulators do."""

    def step(self, action: Any) -> Any:
        os.chdir("/")
        return self.env.step(action)


def test_a_run_is_written_where_it_was_named_wherever_an_environment_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = lambda: Wandering(gymnasium.make("CartPole-v1"))  # noqa: E731
    run = clipper.train(
        made, clipper.PPO(horizon=16), num_envs=2, vector="serial", total_steps=64, checkpoint_every=32, run_dir="here"
    )
    assert Path.cwd() == Path("/")
    assert {"config.json", "checkpoint.safetensors", "metrics.jsonl"} <= {x.name for x in (tmp_path / "here").iterdir()}
    assert run.path == tmp_path / "here"


@pytest.mark.parametrize(
    ("env", "options"),
    [
        ("CartPole-v1", PolicyOptions(hidden=(10**7, 10**7))),
        ("CartPole-v1", PolicyOptions(critic_hidden=(10**6, 10**6, 10**6))),
        ("FrozenLake-v1", PolicyOptions(encoder=EncoderOptions(embedding=10**9 * 8))),
    ],
)
def test_networks_that_no_memory_holds_are_refused_before_it_is_taken(env: str, options: PolicyOptions) -> None:
    with pytest.raises(ConfigError, match=r"weights take .* GB to learn, more memory than there is"):
        clipper.train(env, policy=options, total_steps=100)
