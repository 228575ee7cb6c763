"""Policies from a hub that nobody vouches for: a pinned commit, two files, and nothing that they say is run."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import clipper
from clipper.errors import ConfigError, CorruptCheckpointError, MissingPackageError
from clipper.runs import hub

REVISION = "0123456789abcdef0123456789abcdef01234567"
ADDRESS = f"hub:somebody/lander.v2@{REVISION}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, and what else a repository may hold."""
    folder = tmp_path_factory.mktemp("hub") / "run"
    algorithm, options = clipper.PPO(horizon=16, epochs=1), clipper.PolicyOptions(hidden=(4,))
    clipper.train("CartPole-v1", algorithm, policy=options, run_dir=folder, total_steps=64, num_envs=2)
    (folder / "setup.py").write_text("raise SystemExit")
    (folder / "weights.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    return folder


@pytest.fixture
def served(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub that serves a copy of that folder, and what was asked of it."""
    asked: list[tuple[str, str, str]] = []
    folder, sizes = tmp_path / "repository", {}
    shutil.copytree(trained, folder)
    fake: Any = ModuleType("huggingface_hub")
    fake.hf_hub_url = lambda name, file, *, revision: (name, file, revision)

    def metadata(url: tuple[str, str, str]) -> SimpleNamespace:
        if not (folder / url[1]).exists():
            raise OSError("404")
        return SimpleNamespace(size=sizes.get(url[1], (folder / url[1]).stat().st_size))

    def fetch(name: str, file: str, *, revision: str, local_dir: Path) -> str:
        asked.append((name, file, revision))
        return str(shutil.copy(folder / file, local_dir / file))

    fake.get_hf_file_metadata, fake.hf_hub_download = metadata, fetch
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return SimpleNamespace(folder=folder, asked=asked, sizes=sizes, cache=tmp_path / "cache")


def test_a_policy_from_the_hub_is_the_one_from_disk(trained: Path, served: SimpleNamespace) -> None:
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    for _ in range(2):  # the second time from the cache
        assert np.array_equal(clipper.load(ADDRESS).predict(obs), clipper.load(trained).predict(obs))
    files = [("somebody/lander.v2", file, REVISION) for file in ("config.json", "checkpoint.safetensors")]
    assert served.asked == files
    assert sorted(p.name for p in served.cache.rglob("*") if p.is_file()) == ["checkpoint.safetensors", "config.json"]


@pytest.mark.parametrize(
    "address",
    [
        "hub:somebody/lander",
        "hub:somebody/lander@main",
        "hub:somebody/lander@v1.0",
        f"hub:somebody/lander@{REVISION[:39]}",
        f"hub:../../somebody@{REVISION}",
        f"hub:somebody/..@{REVISION}",
        f"hub:somebody/lander/../..@{REVISION}",
        f"hub:lander@{REVISION}",
        f"hub:some body/lander@{REVISION}",
        f"hub:somebody/lander@{REVISION}/../..",
    ],
)
def test_only_a_commit_by_its_hash_is_an_address(address: str, served: SimpleNamespace) -> None:
    with pytest.raises(ConfigError, match=r"OWNER/NAME@REVISION"):
        clipper.load(address)
    assert served.asked == []
    assert not served.cache.exists()


def test_settings_are_checked_before_weights_are_fetched(served: SimpleNamespace) -> None:
    config = json.loads((served.folder / "config.json").read_text())
    for change in ({"algorithm": {"type": "os.system"}}, {"hook": "evil"}, {"num_envs": "2"}):
        shutil.rmtree(served.cache, ignore_errors=True)
        (served.folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ConfigError, match=next(iter(change))):
            clipper.load(ADDRESS)
        assert [file for _, file, _ in served.asked] == ["config.json"]
        served.asked.clear()


def test_its_environment_is_not_imported(
    served: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_games.py").write_text("import os\nos.mkdir('imported')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = json.loads((served.folder / "config.json").read_text())
    (served.folder / "config.json").write_text(json.dumps(config | {"env": "evil_games:Game-v0"}))
    clipper.load(ADDRESS)
    assert not Path("imported").exists()
    assert "evil_games" not in sys.modules


def test_what_is_damaged_too_large_or_not_there_is_named(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CorruptCheckpointError, match=r"best\.safetensors of somebody/lander\.v2 .*404"):
        clipper.load(ADDRESS, best=True)
    served.sizes["checkpoint.safetensors"] = hub.LARGEST_FILE + 1
    with pytest.raises(CorruptCheckpointError, match=r"2,000,000,000 at most"):
        clipper.load(ADDRESS)
    served.sizes.clear()
    weights = served.folder / "checkpoint.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match="checksum"):
        clipper.load(ADDRESS)
    shutil.rmtree(served.cache)
    weights.unlink()
    weights.write_bytes((served.folder / "weights.pkl").read_bytes())
    with pytest.raises(CorruptCheckpointError):
        clipper.load(ADDRESS)
    shutil.rmtree(served.cache)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackageError, match=r'pip install "huggingface-hub>=0\.30"'):
        clipper.load(ADDRESS)


def test_a_link_in_the_cache_is_not_followed(served: SimpleNamespace) -> None:
    folder = served.cache / "clipper" / "hub" / "somebody" / "lander.v2" / REVISION
    folder.mkdir(parents=True)
    os.symlink(served.folder / "config.json", folder / "config.json")
    with pytest.raises(CorruptCheckpointError, match=r"no file config\.json"):
        clipper.load(ADDRESS)
