"""A trained policy back from disk."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, overload

import torch
from gymnasium.spaces import flatdim
from torch import Generator, Tensor, nn

from clipper.data.values import shown
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError
from clipper.learning.learner import part
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.encoders import is_image
from clipper.networks.make_policy import make_policy
from clipper.networks.memory import memory_of
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.protocol import Actor
from clipper.runs import hub
from clipper.settings.config import Config
from clipper.settings.config_json import elsewhere, read_settings, same, to_json
from clipper.settings.old import checkpoint_as_now
from clipper.spaces.observations import observation_leaves
from clipper.spaces.space_json import spaces_from_json
from clipper.storage import checkpoint
from clipper.storage.files import from_user

Own = TypeVar("Own", bound=nn.Module)


@overload
def load(path: str | Path, *, best: bool = False, policy: PolicyOptions | None = None) -> ActorCritic: ...
@overload
def load(path: str | Path, *, best: bool = False, policy: Own) -> Own: ...
def load(path: str | Path, *, best: bool = False, policy: nn.Module | PolicyOptions | None = None) -> nn.Module:
    """The policy of a run's folder, as last saved or the ``best`` evaluated, or of one ``.safetensors`` file.

    ``hub:OWNER/NAME@REVISION`` is a folder on the Hugging Face hub, of a commit by its whole hash
    (``clipper.runs.hub``). It has ``predict(obs)``. A run that trained a module of your own needs an instance of it as
    ``policy``, into which the weights are loaded; one whose policy has parts of your own, its ``PolicyOptions`` once
    more. Nothing that the file says is imported or evaluated.
    """
    return load_with_config(path, best=best, policy=policy)[0]


@overload
def load_with_config(
    path: str | Path, *, best: bool = False, policy: PolicyOptions | None = None
) -> tuple[ActorCritic, Config]: ...
@overload
def load_with_config(path: str | Path, *, best: bool = False, policy: Own) -> tuple[Own, Config]: ...
def load_with_config(
    path: str | Path, *, best: bool = False, policy: nn.Module | PolicyOptions | None = None
) -> tuple[nn.Module, Config]:
    """The policy, and the settings it was trained with."""
    if isinstance(path, str) and path.startswith(hub.PREFIX):
        path = hub.folder_of(path, "best.safetensors" if best else "checkpoint.safetensors")
    check_policy(policy)
    tensors, values = read(from_user(path), best)
    try:
        config = read_settings(values["config"])
        if config.language is not None and not isinstance(policy, nn.Module):
            raise ConfigError(
                "this run trained a language model: clipper evaluate RUN answers with it, and in a program "
                "clipper.language.train.saved_policy(run_dir, model, prompts, reward)"
            )
        if values["custom_policy"] and not isinstance(policy, nn.Module):
            raise ConfigError("this run trained a policy module of your own: pass an instance of it as policy=")
        if isinstance(policy, PolicyOptions):
            given = dataclasses.replace(config, policy=policy)
            if not same(to_json(given.policy), to_json(config.policy)):
                raise ConfigError("the policy's weights fit other PolicyOptions than these: leave out policy=")
            config, policy = given, None
        for place, own in elsewhere(config.policy, "policy") if policy is None else ():
            raise ConfigError(
                f"this run's {place} is {own.name}, which is code of your own: hand it over again with "
                "policy=PolicyOptions(…), so that nothing is imported because a file says so"
            )
        if policy is not None:
            check_fit(policy, weights_of(tensors))
        else:
            check_size(config, tensors, values)
            spaces = spaces_from_json(values["spaces"])
            policy = make_policy(spaces["observation"], spaces["action"], config.policy, Generator())
        policy.load_state_dict(weights_of(tensors))
        check_finite(policy, path)
        if isinstance(policy, ActorCritic):
            policy.masked = bool(values.get("masked", "rollouts.action_mask.0" in tensors))
    except ClipperError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CorruptCheckpointError(f"{path} does not fit its own settings: {error}") from error
    return policy.to("cpu"), config


def check_policy(policy: object, learns: bool = False) -> None:
    """Raise ``ConfigError`` for what is no policy, with what to write instead; or none that ``learns``."""
    if isinstance(policy, str | Path):
        instead = (
            f"clipper.load({str(policy)!r})" if Path(policy).exists() else "clipper.PolicyOptions(hidden=(64, 64))"
        )
        raise ConfigError(f"the policy is the text {str(policy)!r}: write policy={instead}")
    if isinstance(policy, type):
        raise ConfigError(f"the policy is the class {policy.__name__}: make one, {policy.__name__}(…)")
    if policy is not None and not isinstance(policy, PolicyOptions | nn.Module):
        raise ConfigError(f"{shown(policy)} is no policy: give a clipper.PolicyOptions(…) or a torch module")
    if isinstance(policy, nn.Module) and not isinstance(policy, Actor):
        raise ConfigError(
            f"{type(policy).__name__} is a module that takes no actions, it has no act and to_env: write "
            "policy=clipper.PolicyOptions(hidden=(64, 64)), or give a module that follows "
            "clipper.networks.protocol.Policy"
        )
    if learns and isinstance(policy, nn.Module) and not any(p.requires_grad for p in policy.parameters()):
        raise ConfigError(
            f"no parameter of {type(policy).__name__} takes a gradient, so nothing would be learned: write "
            "policy.requires_grad_(True)"
        )


def weights_of(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The policy's part of a run's checkpoint, or of a file that holds it alone."""
    return part(tensors, "learner.policy.") or part(tensors, "policy.")


def check_fit(policy: nn.Module, weights: dict[str, Tensor]) -> None:
    """Raise ``ConfigError`` where a module that was handed over has other weights than were saved."""
    has, saved = ({name: list(x.shape) for name, x in state.items()} for state in (policy.state_dict(), weights))
    for name in sorted(has.keys() | saved.keys()):
        if has.get(name) != saved.get(name):
            sides = (f"of shape {shapes[name]}" if name in shapes else "none" for shapes in (has, saved))
            raise ConfigError(
                f"the module given as policy= is not like the one that was trained: its {name} is {next(sides)}, and "
                f"the saved one {next(sides)}: make it as it was made for the run"
            )


def check_finite(policy: nn.Module, path: str | Path) -> None:
    """Raise ``CorruptCheckpointError`` where weights that were read hold NaN or infinity, or statistics NaN."""
    bad = [name for name, x in policy.named_parameters() if not x.isfinite().all()]
    bad += [name for name, x in policy.named_buffers() if x.isnan().any()]
    if bad:
        raise CorruptCheckpointError(
            f"{path}: {bad[0]} of the policy has numbers that are not finite, which no run saves: take another file"
        )


def check_size(config: Config, tensors: dict[str, Tensor], values: Mapping[str, object]) -> None:
    """Raise ``CorruptCheckpointError`` before networks or environments are made that are far larger than the file."""
    if values.get("custom_policy"):
        return
    enough = 64 * sum(x.numel() for x in tensors.values()) + 1_000_000
    try:
        spaces = spaces_from_json(values["spaces"])
        inputs, made = flatdim(spaces["observation"]), config.policy.encoder
        images = any(is_image(leaf, made.image_layout) for leaf in observation_leaves(spaces["observation"]))
        first = [inputs, *([made.cnn_features or 512] if images and made.cnn != "none" else [])]
        trunks = config.policy.hidden, config.policy.critic_hidden or config.policy.hidden
        critic = config.policy.critic
        ends = flatdim(spaces["action"]), 1 if critic is None else critic.outputs
        layers = [[made.embedding, *first, *trunk, end] for trunk, end in zip(trunks, ends, strict=True)]
        widths = [width for row in layers for width in row]
        kind = memory_of(config.policy.memory)
        remembered = 0 if kind is None else kind.numbers(max(widths))
    except (LookupError, TypeError, AttributeError) as error:
        raise CorruptCheckpointError(f"the checkpoint does not say which spaces its policy is for: {error}") from error
    if len(config.policy.hidden) + len(config.policy.critic_hidden or ()) > len(tensors):
        raise CorruptCheckpointError("the settings ask for more layers than the checkpoint has weights for")
    largest = max(a * b for row in layers for a, b in itertools.pairwise(row))
    obs = tensors.get("rollouts.obs.0", torch.zeros(()))
    rows = len(obs) if obs.ndim else config.num_envs
    if max(largest, remembered, *widths) > enough or config.num_envs > max(rows, 1) * 64:
        raise CorruptCheckpointError(
            f"the settings ask for {largest:,} weights in a layer and {config.num_envs:,} environments, which are not "
            "what the checkpoint holds"
        )


def read(path: Path, best: bool) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The file that ``load`` means."""
    if not path.is_dir():
        return checkpoint_as_now(*checkpoint.load(path))
    if best:
        if not (path / "best.safetensors").exists():
            raise ConfigError(f"{path} has no best policy: the run was not evaluated (eval_every)")
        return checkpoint.load(path / "best.safetensors")
    return checkpoint_as_now(*checkpoint.load_latest(path))
