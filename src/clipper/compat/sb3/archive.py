"""An archive of Stable-Baselines3's: its weights, and of its settings what is plain JSON. Nothing is unpickled."""

import inspect
import re
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from clipper.compat.sb3.torch_file import entry, members, tensors
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.storage import json_text

LARGEST_FILE = 2_000_000_000  # bytes
ACTIVATIONS = {f"<class 'torch.nn.modules.activation.{x.__name__}'>": x for x in (nn.Tanh, nn.ReLU, nn.ELU, nn.SiLU)}
CONSTANT = re.compile(r"ConstantSchedule\(val=([0-9.e+-]{1,30})\)")
COUNTS = ("n_steps", "batch_size", "n_epochs", "cg_max_steps", "line_search_max_iter", "n_critic_updates")
NUMBERS = (
    "gamma", "gae_lambda", "ent_coef", "vf_coef", "max_grad_norm", "cg_damping", "line_search_shrinking_factor",
)  # fmt: skip
OTHERS = ("learning_rate", "target_kl", "seed", "normalize_advantage")
LAYER = re.compile(r"mlp_extractor\.(policy|value)_net\.(\d{1,3})\.(weight|bias)")


class Found(NamedTuple):
    """What an archive holds."""

    settings: dict[str, object]
    weights: dict[str, Tensor]
    """By their names there."""
    steps: int
    name: str


def is_archive(file: Path) -> bool:
    """Does it begin as a zip archive does?"""
    with file.open("rb") as opened:
        return opened.read(4) in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


def read(file: Path) -> Found:
    """Settings and weights; raises ``CorruptCheckpointError`` for what is no such archive, before memory is spent."""
    what = str(file)
    if file.stat().st_size > LARGEST_FILE:
        raise CorruptCheckpointError(f"{what} is larger than {LARGEST_FILE:,} bytes")
    with file.open("rb") as opened:
        archive, entries = members(opened, what)
        if not {"data", "policy.pth"} <= entries.keys():
            raise CorruptCheckpointError(f"{what} is no archive of Stable-Baselines3: it lacks data or policy.pth")
        settings = json_text.parse(entry(archive, entries["data"], json_text.LARGEST_TEXT, what), f"{what}: data")
        inner = entries["policy.pth"]
        weights = tensors(entry(archive, inner, inner.file_size, what), f"{what}: policy.pth")
    if not isinstance(settings, dict):
        raise CorruptCheckpointError(f"{what}: data holds no settings")
    steps = settings.get("num_timesteps", 0)
    return Found(settings, weights, steps if type(steps) is int and steps >= 0 else 0, what)


def arguments(found: Found, model: type) -> dict[str, object]:
    """What the constructor of ``model`` is given: numbers, widths and activation; a schedule keeps its default."""
    accepted = inspect.signature(model).parameters
    given: dict[str, object] = {}
    for name in (*COUNTS, *NUMBERS, *OTHERS):
        value = found.settings.get(name)
        if name in accepted and name in found.settings and not isinstance(value, dict):  # those are pickles
            check_setting(found.name, name, value)
            given[name] = value
    if "clip_range" in accepted and isinstance(clip := found.settings.get("clip_range"), dict):
        constant = CONSTANT.fullmatch(str(clip.get("value_schedule")))
        given |= {"clip_range": float(constant[1])} if constant else {}
    if found.settings.get("use_sde"):
        raise ConfigError(f"{found.name} explores by gSDE, which is not imported")
    options = found.settings.get("policy_kwargs")
    options = options if isinstance(options, dict) else {}
    activation = str(options.get("activation_fn", "<class 'torch.nn.modules.activation.Tanh'>"))
    if activation not in ACTIVATIONS:
        raise ConfigError(f"{found.name} has the activation {activation}, which is not imported")
    widths = {"pi": widths_of(found, "policy"), "vf": widths_of(found, "value")}
    made = {"net_arch": widths, "activation_fn": ACTIVATIONS[activation]} | memory_of(found)
    return given | {"policy_kwargs": made}


def memory_of(found: Found) -> dict[str, object]:
    """How the LSTM was made, by its weights; nothing where there is none."""
    first = found.weights.get("lstm_actor.weight_hh_l0")
    if first is None or first.ndim != 2:
        return {}
    own = "lstm_critic.weight_hh_l0" in found.weights
    return {
        "lstm_hidden_size": first.shape[1], "enable_critic_lstm": own,
        "shared_lstm": not own and "critic.weight" not in found.weights,
        "n_lstm_layers": sum(name.startswith("lstm_actor.weight_hh_l") for name in found.weights),
    }  # fmt: skip


def check_setting(where: str, name: str, value: object) -> None:
    """Raise ``CorruptCheckpointError`` where a setting is not of its kind."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**31
    if name in COUNTS:
        fine = number and isinstance(value, int) and value > 0
    elif name == "normalize_advantage":
        fine = isinstance(value, bool)
    else:
        fine = number or (value is None and name in ("seed", "target_kl"))
    if not fine:
        raise CorruptCheckpointError(f"{where} says {name}={str(value)[:50]}, which is no such setting")


def widths_of(found: Found, net: str) -> list[int]:
    """Of the hidden layers, by their weights."""
    layers = {}
    for name, x in found.weights.items():
        if (match := LAYER.fullmatch(name)) and match[1] == net and match[3] == "weight":
            layers[int(match[2])] = len(x) if x.ndim else 0
    return [layers[i] for i in sorted(layers)]


def fill(policy: nn.Module, found: Found) -> None:
    """Give a policy the archive's weights; raises ``ConfigError`` where they are those of another network."""
    own = policy.state_dict()
    fits = {k for k, x in found.weights.items() if k in own and own[k].shape == x.shape and x.is_floating_point()}
    left, missing = sorted(set(found.weights) - fits), sorted(set(own) - fits)
    if left or missing:
        raise ConfigError(
            f"{found.name} holds another network than the environment's spaces and its settings ask for: "
            f"{', '.join(left) or 'nothing'} has no place, and {', '.join(missing) or 'nothing'} no weights"
        )
    if not all(bool(x.isfinite().all()) for x in found.weights.values()):
        raise CorruptCheckpointError(f"{found.name} holds weights that are not finite")
    policy.load_state_dict(found.weights)


OFF_POLICY = {
    "gamma": float, "tau": float, "learning_rate": float, "batch_size": int, "learning_starts": int,
    "buffer_size": int, "gradient_steps": int, "policy_delay": int, "target_update_interval": int, "seed": int,
}  # fmt: skip
"""Settings of off-policy models that are taken over where they are plain numbers."""


def off_policy_arguments(found: Found, model: type, layers: dict[str, str]) -> dict[str, object]:
    """The same for a model that learns from a replay, whose widths stand in ``layers``: part of net_arch → prefix."""
    given, accepted = dict[str, object](), inspect.signature(model).parameters
    for name, kind in OFF_POLICY.items():
        value = found.settings.get(name)
        if name in accepted and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**31:
            given[name] = kind(value)
    if found.settings.get("use_sde"):
        raise ConfigError(f"{found.name} explores by gSDE, which is not imported")
    options = found.settings.get("policy_kwargs")
    activation = str((options if isinstance(options, dict) else {}).get("activation_fn", "ReLU"))
    if activation != "ReLU" and activation not in ACTIVATIONS:
        raise ConfigError(f"{found.name} has the activation {activation}, which is not imported")
    arch = {part: widths_below(found, prefix) for part, prefix in layers.items()}
    critics = {name.split(".")[1] for name in found.weights if name.startswith("critic.qf")}
    made = {"net_arch": arch.get("", arch), "activation_fn": ACTIVATIONS.get(activation, nn.ReLU)}
    return given | {"policy_kwargs": made | ({"n_critics": len(critics)} if critics else {})}


def widths_below(found: Found, prefix: str) -> list[int]:
    """Of the hidden layers below a name; where that ends in ``!`` the last layer is none of them."""
    own, layers = prefix.rstrip("!"), dict[int, int]()
    for name, x in found.weights.items():
        number = name.removeprefix(own).removesuffix(".weight")
        if name.startswith(own) and name.endswith(".weight") and number.isdigit() and x.ndim:
            layers[int(number)] = len(x)
    widths = [layers[i] for i in sorted(layers)]
    return widths[:-1] if prefix.endswith("!") else widths
