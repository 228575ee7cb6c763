"""``clipper export --sb3``: an installed Stable-Baselines3, and our own reader, act as the policy that was exported."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

import clipper
from clipper.compat import sb3
from clipper.errors import ConfigError
from clipper.networks.heads import HeadOptions, TanhGaussian
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.sb3_archive import export_sb3

FLAT = clipper.EncoderOptions(cnn="none")
THEIRS = os.environ.get("SB3_PYTHON", sys.executable if importlib.util.find_spec("stable_baselines3") else "")
"""A Python with Stable-Baselines3 and sb3-contrib; without one, our own reader alone looks at the archives."""
SPACES: dict[str, tuple[gymnasium.Space, gymnasium.Space, dict[str, Any]]] = {
    "box": (Box(-1, 1, (3,)), Box(np.array([-2, 0], np.float32), np.array([2, 9], np.float32)), {}),
    "own units": (
        Box(-1, 1, (2, 2)), Box(-2, 2, (1, 2)), {"head": HeadOptions(rescale_action=False), "activation": "relu"},
    ),
    "choice": (Discrete(4), Discrete(3), {"hidden": (), "critic_hidden": (3,)}),
    "shared": (Box(-1, 1, (3,)), Discrete(3), {"shared": True, "normalise_returns": True, "activation": "silu"}),
    "normalised": (Box(-99, 99, (3,)), Discrete(3), {"normalise_obs": True, "clip_obs": 2.0}),
    "masked": (Box(-1, 1, (3,)), Discrete(3), {}),
    "q": (Box(-1, 1, (3,)), Discrete(3), {"critic": None, "activation": "relu"}),
}  # fmt: skip


class Given(gymnasium.Env):
    """Spaces, and masks that allow all."""

    def __init__(self, observation_space: gymnasium.Space, action_space: gymnasium.Space) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def policy_of(name: str) -> Any:
    obs, action, given = SPACES[name]
    options: dict[str, Any] = {"hidden": (6, 5)} | given
    made = make_policy(obs, action, PolicyOptions(**options), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for x in made.parameters():
            x.add_(torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))
    if name == "normalised":
        made.absorb(torch.randn(64, 3) * 3 + 1, torch.zeros(64))
    made.masked = made.warned = name == "masked"
    return made


@pytest.mark.parametrize("name", SPACES)
def test_an_archive_acts_as_the_policy(name: str, tmp_path: Path) -> None:
    policy, (obs_space, action_space, _) = policy_of(name), SPACES[name]
    beside, _ = export_sb3(policy, tmp_path / "policy.zip", '"X-v0"', q_network=name == "q")
    obs_space.seed(0)
    obs = np.stack([np.asarray(obs_space.sample()) for _ in range(40)])
    given = obs
    if beside is not None:
        found = json.loads(beside.read_text())
        given = np.clip(
            (obs - found["mean"]) / np.sqrt(np.array(found["var"]) + 1e-8), -found["clip_obs"], found["clip_obs"]
        )
    kind: Any = sb3.DQN if name == "q" else sb3.MaskablePPO if name == "masked" else sb3.PPO
    model = kind.load(tmp_path / "policy.zip", env=Given(obs_space, action_space))
    wanted = policy.predict(obs)
    np.testing.assert_allclose(
        model.predict(given.astype(obs.dtype), deterministic=True)[0], wanted, rtol=1e-4, atol=1e-4
    )
    if name not in ("q", "normalised"):
        value = model.policy.predict_values(model.policy.obs_to_tensor(obs)[0]).flatten()
        np.testing.assert_allclose(value.detach(), policy.value(obs).mean.detach(), rtol=1e-4, atol=1e-4)
    with zipfile.ZipFile(tmp_path / "policy.zip") as archive:
        assert ":serialized:" not in archive.read("data").decode()


@pytest.mark.skipif(not THEIRS, reason="Stable-Baselines3 is not installed; SB3_PYTHON names a Python that has it")
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "normalised", "DQN"])
def test_the_printed_program_acts_as_the_policy(name: str, tmp_path: Path) -> None:
    env = name if name.endswith("v1") else "CartPole-v1"
    made = gymnasium.make(env)
    options: dict[str, Any] = {
        "normalise_obs": name == "normalised",
        "critic": None if name == "DQN" else clipper.networks.critics.Scalar(),
    }
    policy = make_policy(
        made.observation_space, made.action_space, PolicyOptions(activation="relu", **options), torch.Generator()
    )
    _, text = export_sb3(policy, tmp_path / "policy.zip", repr(env), q_network=name == "DQN")
    text += "obs = np.linspace(-1, 1, 20 * env.observation_space.shape[0], dtype='float32').reshape(20, -1)\n"
    text += "print(repr(model.predict(obs, deterministic=True)[0].flatten().tolist()))\n"
    lines = subprocess.run(
        [THEIRS, "-c", f"import numpy as np\n{text}"], capture_output=True, text=True, check=True, env={}
    ).stdout
    obs = np.linspace(-1, 1, 20 * (made.observation_space.shape or (0,))[0], dtype=np.float32).reshape(20, -1)
    if name == "normalised":  # whose program's own prediction is of normalised observations
        vars(policy.encoder)["_modules"]["normaliser"] = None
    np.testing.assert_allclose(json.loads(lines.splitlines()[-1]), policy.predict(obs).flatten(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("obs", "action", "options", "message"),
    [
        (Box(-1, 1, (3,)), Discrete(3), {"memory": clipper.networks.memory.LSTM(4)}, "a memory"),
        (Box(-1, 1, (3,)), MultiDiscrete([2, 3]), {}, "the head MultiCategoricalHead"),
        (
            Box(-1, 1, (3,)),
            Box(-1, 1, (1,)),
            {"head": HeadOptions(distribution=TanhGaussian())},
            "the head SquashedHead",
        ),
        (
            Box(0, 255, (9, 9, 3), np.uint8),
            Discrete(3),
            {"encoder": clipper.EncoderOptions(cnn="none")},
            "a Box of numbers",
        ),
        (Box(-1, 1, (3,)), Discrete(3, start=1), {}, "does not begin at 0"),
        (Box(-1, 1, (3,)), Discrete(3), {"layer_norm": True}, "layer_norm"),
        (Box(-1, 1, (3,)), Box(-np.inf, np.inf, (1,)), {}, "finite"),
        (Box(-1, 1, (3,)), Discrete(3), {"critic": None}, "no critic"),
    ],
)
def test_what_is_no_such_policy_is_refused(obs: Any, action: Any, options: Any, message: str, tmp_path: Path) -> None:
    policy = make_policy(obs, action, PolicyOptions(hidden=(4,), **options), torch.Generator())
    with pytest.raises(ConfigError, match=message):
        export_sb3(policy, tmp_path / "policy.zip", '"X-v0"')
    assert not list(tmp_path.iterdir())
