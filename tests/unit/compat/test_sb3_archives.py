"""Archives of Stable-Baselines3: genuine ones answer as there, hostile ones are refused, and nothing is unpickled."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipper import algorithms
from clipper.compat.sb3 import A2C, PPO
from clipper.compat.sb3.torch_file import tensors
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError

ARCHIVES = Path(__file__).parent / "archives"
ANSWERS = json.loads((ARCHIVES / "outputs.json").read_text())
GENUINE = {"sb3_ppo_cartpole": (PPO, "CartPole-v1"), "sb3_a2c_pendulum": (A2C, "Pendulum-v1")}
CARTPOLE = ARCHIVES / "sb3_ppo_cartpole.zip"


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_archive_answers_as_there(name: str) -> None:
    kind, env = GENUINE[name]
    model, answers = kind.load(ARCHIVES / name, env=env), ANSWERS[name]
    obs = np.array(answers["obs"], np.float32)
    np.testing.assert_allclose(model.predict(obs, deterministic=True)[0], answers["action"], atol=1e-6)
    dist = model.policy.get_distribution(torch.from_numpy(obs)).distribution
    params = dist.logits if env == "CartPole-v1" else dist.mean
    np.testing.assert_allclose(params.detach(), answers["params"], atol=1e-5)
    value = model.policy.predict_values(torch.from_numpy(obs)).flatten()
    np.testing.assert_allclose(value.detach(), answers["value"], atol=1e-5)
    assert model.num_timesteps == (512 if kind is PPO else 200)


def test_its_plain_settings_are_taken_and_it_goes_on_learning() -> None:
    model = PPO.load(CARTPOLE, env="CartPole-v1")
    assert model.algorithm() == algorithms.PPO(
        horizon=64, minibatches=2, epochs=3, gamma=0.98, lam=0.95, clip=0.2, entropy_coef=0.01, learning_rate=1e-2
    )
    assert model.policy.net_arch == {"pi": [6, 5], "vf": [7]}
    before = model.learner.parameters.detach().clone()
    model.learn(64)
    assert not torch.equal(before, model.learner.parameters)
    relu = A2C.load(ARCHIVES / "sb3_a2c_pendulum.zip", env="Pendulum-v1").policy
    assert (relu.activation_fn, relu.net_arch["pi"]) == (torch.nn.ReLU, [6])


def test_what_an_archive_is_loaded_for_must_fit() -> None:
    with pytest.raises(ConfigError, match="load it with env="):
        PPO.load(CARTPOLE)
    with pytest.raises(ConfigError, match=r"another network.*action_net"):
        PPO.load(CARTPOLE, env="Acrobot-v1")


def entries_of(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, data)
    return buffer.getvalue()


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def with_program(program: bytes, **data: bytes) -> bytes:
    """What ``torch.save`` writes, with another program."""
    return zipped({"archive/data.pkl": program, **{f"archive/data/{key}": x for key, x in data.items()}})


def tensor_program(
    size: int, shape: list[int], stride: list[int], offset: int = 0, storage: str = "FloatStorage"
) -> bytes:
    """{"x": a tensor}, by hand."""

    def number(n: int) -> bytes:
        return b"\x8a" + bytes([9]) + n.to_bytes(9, "little", signed=True)

    def tuple_of(numbers: list[int]) -> bytes:
        return b"(" + b"".join(map(number, numbers)) + b"t"

    def text(word: str) -> bytes:
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    described = b"(" + text("storage") + f"ctorch\n{storage}\n".encode() + text("0") + text("cpu") + number(size) + b"t"
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + described + b"Q" + number(offset)
    rebuilt += tuple_of(shape) + tuple_of(stride) + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + text("x") + rebuilt + b"s."


def hostile(mark: Path) -> dict[str, bytes]:
    """Whole archives, each with something in it that must not be followed."""
    good = entries_of(CARTPOLE)
    weights = entries_of_bytes(good["policy.pth"])
    program = weights["archive/data.pkl"]
    evil = pickle.dumps(OrderedDict(x=Payload(mark)), protocol=2)
    laughs = b"\x80\x02)" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60)) + b"}h\x3bNs."

    def policy(data: bytes) -> bytes:
        return zipped(good | {"policy.pth": data})

    def pickled(data: bytes) -> bytes:
        return policy(zipped(weights | {"archive/data.pkl": data}))

    return {
        "os.mkdir in the weights": pickled(evil),
        "protocol 0": pickled(pickle.dumps(Payload(mark), protocol=0)),
        "protocol 5": pickled(pickle.dumps(Payload(mark), protocol=5)),
        "after the weights": pickled(program[:-1] + pickle.dumps(Payload(mark), protocol=2)[2:]),
        "torch.save of an object": policy(saved({"x": Payload(mark)})),
        "a bare pickle": policy(evil),
        "builtins.getattr": pickled(b"\x80\x02cbuiltins\ngetattr\n)R."),
        "an OrderedDict with arguments": pickled(b"\x80\x02ccollections\nOrderedDict\n(]t]R."),
        "a whole module": policy(saved(torch.nn.Linear(2, 2))),
        "no end": pickled(b"\x80\x02}"),
        "nothing": pickled(b""),
        "tuples of tuples as a key": pickled(laughs),
        "more than there is": pickled(b"\x80\x02\x86."),
        "no mark": pickled(b"\x80\x02t."),
        "marks by the thousand": pickled(b"\x80\x02" + b"N" * 100_000 + b"(t" * 50_000 + b"."),
        "a program of two megabytes": pickled(b"\x80\x02" + b"N" * 2_000_000 + b"."),
        "a mark that was taken": pickled(b"\x80\x02(\x86tN."),
        "a memo that is not there": pickled(b"\x80\x02h\x05."),
        "a list": policy(saved([torch.zeros(2)])),
        "weights by number": policy(saved({1: torch.zeros(2)})),
        "a terabyte": policy(with_program(tensor_program(2**38, [2**38], [1]), **{"0": bytes(8)})),
        "one number, seen often": policy(with_program(tensor_program(1, [2**38], [0]), **{"0": bytes(4)})),
        "beyond its storage": policy(with_program(tensor_program(2, [4], [1]), **{"0": bytes(8)})),
        "before its storage": policy(with_program(tensor_program(2, [1], [1], -1), **{"0": bytes(8)})),
        "a negative shape": policy(with_program(tensor_program(2, [-2, -1], [1, 1]), **{"0": bytes(8)})),
        "a storage that is cut": policy(with_program(tensor_program(4, [4], [1]), **{"0": bytes(8)})),
        "a storage that is not there": policy(with_program(tensor_program(4, [4], [1]))),
        "an unknown storage": policy(with_program(tensor_program(2, [2], [1], storage="_utils"), **{"0": bytes(8)})),
        "NaN in JSON": zipped(good | {"data": b'{"gamma": NaN}'}),
        "settings that are a list": zipped(good | {"data": b"[]"}),
        "settings nested without end": zipped(good | {"data": b'{"a":' * 20_000}),
        **{
            f"{name}: {value}": zipped(good | {"data": json.dumps({name: value}).encode()})
            for name, value in (("gamma", "os.system"), ("n_steps", 0.5), ("batch_size", -1), ("seed", True))
        },
        "an activation to import": zipped(
            good | {"data": json.dumps({"policy_kwargs": {"activation_fn": "<class 'os.system'>"}}).encode()}
        ),
        "no weights": zipped({"data": good["data"]}),
        "no settings": zipped({"policy.pth": good["policy.pth"]}),
        "a name that climbs": zipped(good | {"../../escaped": b"x"}),
        "an absolute name": zipped(good | {"/tmp/escaped_sb3": b"x"}),
        "a name that climbs, in the weights": policy(zipped(weights | {"archive/../../escaped": b"x"})),
        "one name twice": twice(good),
        "a zip bomb": zipped(good | {"policy.pth": bytes(200_000_000)}, zipfile.ZIP_DEFLATED),
        "a zip bomb in the weights": policy(zipped({"archive/data.pkl": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)),
        "sizes that lie": lying(zipped(good)),
        "cut short": CARTPOLE.read_bytes()[:-40],
        "only its first bytes": b"PK\x03\x04",
        "no zip": b"PK\x03\x04" + bytes(500),
        "weights of another model": policy(saved({"value_net.weight": torch.zeros(1, 7)})),
        "weights of another shape": policy(saved({"action_net.weight": torch.zeros(10**6)})),
    }  # fmt: skip


def entries_of_bytes(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def twice(entries: dict[str, bytes]) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([*entries.items(), ("policy.pth", b"x")])


def lying(data: bytes) -> bytes:
    """Every entry of the directory says that it has 2³⁰ bytes more."""
    changed, at = bytearray(data), 0
    while (at := changed.find(b"PK\x01\x02", at)) >= 0:
        for field in (20, 24):
            (size,) = struct.unpack_from("<I", changed, at + field)
            struct.pack_into("<I", changed, at + field, size + 2**30)
        at += 4
    return bytes(changed)


def test_hostile_archives_are_refused_before_memory_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "unpickled"
    files = hostile(mark)
    monkeypatch.setattr(pickle, "loads", forbidden)
    monkeypatch.setattr(pickle, "load", forbidden)
    monkeypatch.setattr(torch, "load", forbidden)
    for name, data in files.items():
        (tmp_path / "model.zip").write_bytes(data)
        tracemalloc.start()
        try:
            PPO.load(tmp_path / "model.zip", env="CartPole-v1")
            refusal = ""
        except ClipperError as error:
            refusal = str(error)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000, name
        assert not mark.exists(), name
        assert refusal, name
    assert not Path("/tmp/escaped_sb3").exists()
    assert len(files) >= 40


def forbidden(*_: Any, **__: Any) -> None:
    raise AssertionError("something was unpickled")


def test_tensors_are_those_that_torch_wrote() -> None:
    generator = torch.Generator().manual_seed(0)
    written = {
        "matrix": torch.randn(3, 4, generator=generator), "double": torch.randn(5, generator=generator).double(),
        "scalar": torch.tensor(2.5), "whole": torch.arange(6).reshape(2, 3), "empty": torch.zeros(0, 3),
        "half": torch.randn(2, generator=generator).half(), "flags": torch.tensor([True, False]),
        "part": torch.arange(10.0)[3:7],
    }  # fmt: skip
    written["shared"] = written["matrix"]
    found = tensors(saved(OrderedDict(written)), "a file")
    assert found.keys() == written.keys()
    assert all(torch.equal(x, found[name]) and x.dtype == found[name].dtype for name, x in written.items())
    with pytest.raises(CorruptCheckpointError, match="contiguous"):
        tensors(saved({"x": torch.randn(3, 4).T}), "a file")
    with pytest.raises(CorruptCheckpointError, match=r"_rebuild_parameter, which is not followed"):
        tensors(saved({"x": torch.nn.Parameter(torch.zeros(2))}), "a file")


def test_noise_in_the_program_is_an_error_of_ours() -> None:
    """Every byte of a genuine program, turned at random: refused, or read as tensors, never anything else."""
    entries = entries_of_bytes(entries_of(CARTPOLE)["policy.pth"])
    program = entries["archive/data.pkl"]
    rng = np.random.default_rng(0)
    for _ in range(600):
        noisy = bytearray(program)
        for at in rng.integers(len(noisy), size=int(rng.integers(1, 4))):
            noisy[at] = int(rng.integers(256))
        refused_or_read(lambda noisy=noisy: tensors(zipped(entries | {"archive/data.pkl": bytes(noisy)}), "a file"))


def refused_or_read(read: Callable[[], Any]) -> None:
    try:
        found = read()
    except CorruptCheckpointError:
        return
    assert all(isinstance(x, torch.Tensor) for x in found.values())
