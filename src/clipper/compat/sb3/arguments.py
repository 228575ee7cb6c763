"""Stable-Baselines3's arguments in Clipper's words; what has none is refused by name."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import nn

from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.errors import ConfigError
from clipper.learning.schedules import Linear, Schedule
from clipper.networks.heads import HeadOptions
from clipper.networks.memory import LSTM
from clipper.networks.policy_options import EncoderOptions, PolicyOptions

Activation = Literal["tanh", "relu", "elu", "silu"]
ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.ELU: "elu", nn.SiLU: "silu"}
POLICIES = ("MlpPolicy", "MultiInputPolicy", "CnnPolicy")
PROBES = (0.0, 0.2, 0.5, 0.7, 1.0)


def refuse_others(given: Mapping[str, tuple[object, object]], why: str = "Clipper has nothing of the kind") -> None:
    """Raise ``ConfigError`` for the first of ``{name: (value, default)}`` that is not at its default."""
    for name, (value, default) in given.items():
        if value is not default and value != default:
            raise ConfigError(f"clipper.compat.sb3 takes no {name}={value!r}: {why}")


def schedule(name: str, value: float | Callable[[float], float]) -> Schedule:
    """A number, or a function of the fraction that is left (1 → 0) which is constant or a line."""
    if not callable(value):
        return float(value)
    start, end = float(value(1.0)), float(value(0.0))
    line = Linear(start, end)
    if any(abs(float(value(1 - done)) - line(done)) > 1e-6 * max(abs(start), abs(end)) for done in PROBES):
        raise ConfigError(
            f"{name} is a function that is neither constant nor a line between {start:g} and {end:g}: Clipper's "
            "schedules are such, so that a run's settings can be written down"
        )
    return start if start == end else line


def device_of(device: str | torch.device) -> str:
    """``auto`` is an accelerator where there is one."""
    if str(device) == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(device)


def policy_options(
    policy: str, kwargs: Mapping[str, object] | None, env: VecEnv | None, memory: bool = False
) -> PolicyOptions:
    """``policy``, ``policy_kwargs`` and ``VecNormalize`` → the network."""
    names = [name.replace("Policy", "LstmPolicy") if memory else name for name in POLICIES]
    if policy not in names:
        raise ConfigError(f"clipper.compat.sb3 takes no policy {policy!r}: there are {', '.join(names)}")
    kwargs, options = dict[str, Any](kwargs or {}), dict[str, Any]()
    if policy.startswith("Cnn"):
        options |= for_images(kwargs, env)
    elif policy.startswith("Mlp"):
        options["encoder"] = EncoderOptions(cnn="none")
    if memory:
        options["memory"] = LSTM(int(kwargs.pop("lstm_hidden_size", 256)))
        given = {"n_lstm_layers": 1, "shared_lstm": False, "enable_critic_lstm": True, "lstm_kwargs": None}
        refuse_others({k: (kwargs.pop(k, default), default) for k, default in given.items()}, "each has one LSTM here")
    arch = kwargs.pop("net_arch", None)
    arch = {"pi": (64, 64), "vf": (64, 64)} if arch is None else arch
    widths = arch if isinstance(arch, dict) else {"pi": arch, "vf": arch}
    if (isinstance(arch, list) and any(isinstance(x, dict) for x in arch)) or set(widths) - {"pi", "vf"}:
        raise ConfigError(f"net_arch={arch!r}: write a list of widths, or dict(pi=[…], vf=[…])")
    hidden, critic = tuple(widths.get("pi", ())), tuple(widths.get("vf", ()))
    activation = kwargs.pop("activation_fn", nn.Tanh)
    if activation not in ACTIVATIONS:
        raise ConfigError(f"activation_fn={activation!r}: there are Tanh, ReLU, ELU and SiLU of torch.nn")
    options |= {
        "hidden": hidden,
        "critic_hidden": None if critic == hidden else critic,
        "activation": ACTIVATIONS[activation],
        "orthogonal": bool(kwargs.pop("ortho_init", True)),
        "head": HeadOptions(rescale_action=False, initial_log_std=float(kwargs.pop("log_std_init", 0.0))),
    }
    defaults = {"share_features_extractor": True, "normalize_images": True, "squash_output": False, "full_std": True,
                "use_expln": False}  # fmt: skip
    refuse_others({f"policy_kwargs[{k!r}]": (v, defaults.get(k, ...)) for k, v in kwargs.items()})
    return PolicyOptions(**options)


def for_images(kwargs: dict[str, object], env: VecEnv | None) -> dict[str, object]:
    """One convolutional network for policy and value, and nothing after it, as ``CnnPolicy`` has it."""
    space = None if env is None else env.observation_space
    if not isinstance(space, Box) or space.dtype != np.uint8 or len(space.shape) < 2:
        raise ConfigError(f"CnnPolicy is for images, which are Boxes of uint8, not for {space}: take MlpPolicy")
    refuse_others(
        {"policy_kwargs['net_arch']": (kwargs.pop("net_arch", None), None)}, "CnnPolicy has no layers after it"
    )
    kwargs["net_arch"] = []
    return {"shared": bool(kwargs.pop("share_features_extractor", True))}


def parts(n_envs: int, n_steps: int, batch_size: int) -> int:
    """Minibatches of at most ``batch_size``."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, not {batch_size}")
    return -(-n_envs * n_steps // batch_size)
