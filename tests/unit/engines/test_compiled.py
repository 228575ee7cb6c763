"""Kernels on the disk: what is read, what is refused, and that training with them needs no Numba."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")
from clipper.engines.cpu import calls, kernel_files

VALUE = np.arange(6, dtype=np.float32)
TARGET = np.array([0, 1, 2, 3, 4, 6], dtype=np.float32)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_with_compiled_kernels_loads_no_numba(tmp_path: Path) -> None:
    kernel_files.load()
    code = (
        "import sys, clipper\n"
        f"run = clipper.train('CartPole-v1', total_steps=2048, engine='cpu', run_dir={str(tmp_path / 'run')!r})\n"
        "print(run.engine.name, 'numba' in sys.modules)"
    )
    assert run(code).splitlines()[-1] == "cpu False"


def test_a_kernel_gives_what_numpy_gives() -> None:
    order = np.array([5, 1, 3, 0])
    explained = kernel_files.load().explained_variance(VALUE, TARGET, order)
    error = (TARGET - VALUE)[order].astype(float)
    assert explained == pytest.approx(1 - error.var() / TARGET[order].astype(float).var(), rel=1e-6)
    assert kernel_files.load().mean_and_std(TARGET, order, 0) == pytest.approx(
        (TARGET[order].mean(), TARGET[order].std())
    )


@pytest.mark.parametrize(
    "wrong",
    [VALUE.astype(np.float64), VALUE.reshape(2, 3), np.zeros(12, np.float32)[::2], np.arange(6, dtype=np.int32)],
    ids=["type", "axes", "strides", "integers"],
)
def test_arrays_of_another_kind_are_refused(wrong: np.ndarray) -> None:
    kernel = kernel_files.load().explained_variance
    with pytest.raises(TypeError, match=r"kernel explained_variance, argument 1: float32 with 1 axes"):
        kernel(VALUE, wrong, np.arange(6))
    call = kernel.bind(VALUE, TARGET, np.arange(6))
    with pytest.raises(TypeError, match="argument 1"):
        call(wrong, np.arange(6))


def test_tables_and_counts_of_arguments_are_checked() -> None:
    kernel = kernel_files.load().explained_variance
    with pytest.raises(TypeError, match="takes 3 arguments, not 2"):
        kernel(VALUE, TARGET)
    with pytest.raises(TypeError, match="argument 0"):
        kernel(calls.Packed((VALUE, 3)), TARGET, np.arange(6))


KNOWN: calls.Known = {"kernels": {}, "needed": [], "lanes": 8}


@pytest.mark.parametrize("damage", ["short", "bit", "line", "empty", "missing"])
def test_damaged_files_are_not_loaded(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "some.kernels"
    assert kernel_files.leave(path, b"\x00code\nmore", KNOWN)
    assert kernel_files.read(path) == (b"\x00code\nmore", KNOWN)
    whole = path.read_bytes()
    broken = {
        "short": whole[:-3],
        "bit": whole[:-1] + bytes([whole[-1] ^ 1]),
        "line": whole.split(b"\n")[0],
        "empty": b"",
    }
    path.unlink() if damage == "missing" else path.write_bytes(broken[damage])
    assert kernel_files.read(path) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not kernel_files.leave(tmp_path / "file" / "some.kernels", b"", KNOWN)


@pytest.mark.long
def test_kernels_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_CACHE_DIR", str(tmp_path))
    code = (
        "import sys; from clipper.engines.cpu import kernel_files; kernel_files.load(); print('numba' in sys.modules)"
    )
    assert run(code) == "True\n"
    assert [path.suffix for path in tmp_path.iterdir()] == [".kernels"]
    assert run(code) == "False\n"


BROKEN = "raise ImportError('Numba needs NumPy 2.4 or less')\n"
TRAIN = "run = clipper.train('CartPole-v1', total_steps=200_000, engine={!r}, callback=lambda run: False)\n"


def run_with_broken_numba(code: str, folder: Path) -> str:
    (folder / "numba.py").write_text(BROKEN)
    return run(f"import sys; sys.path.insert(0, {str(folder)!r})\nimport clipper, clipper.errors\n" + code)


def test_a_run_that_chooses_for_itself_goes_on_where_kernels_cannot_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("CLIPPER_ENGINE", raising=False)
    told = run_with_broken_numba(TRAIN.format("auto") + "print(run.engine.name, run.engine.description)", tmp_path)
    assert told.startswith("torch ")
    assert "kernels cannot be compiled here (ImportError: Numba needs NumPy 2.4 or less)" in told


def test_a_run_that_insists_on_kernels_is_refused_where_they_cannot_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("CLIPPER_ENGINE", raising=False)
    code = f"try:\n    {TRAIN.format('cpu')}except clipper.errors.ConfigError as error:\n    print(error)"
    told = run_with_broken_numba(code, tmp_path)
    assert "engine 'cpu' cannot run this: kernels cannot be compiled here (ImportError: Numba needs" in told
