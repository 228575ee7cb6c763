"""Does a policy of the user's own answer as the library will read it? Asked once, before anything is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import gymnasium
import numpy as np
import torch
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.data.values import shown
from clipper.errors import ClipperError, ConfigError, SpaceMismatchError, text_of
from clipper.networks.protocol import Policy, abilities
from clipper.spaces.actions import action_batch


def check_answers(
    policy: nn.Module, space: gymnasium.Space, obs: Tree, action_mask: Tree, rows: int, device: str
) -> None:
    """Raise ``ConfigError`` where ``act``, ``to_env``, ``value`` or the call itself give something else than is asked.

    Nothing changes by it: the policy is in evaluation mode meanwhile, and the draw has a generator of its own.
    """
    name = type(policy).__name__
    if not isinstance(policy, Policy):
        return
    carried = abilities(policy).memory
    before = () if carried is None else carried.forget((), np.zeros(rows, dtype=bool))
    masks = () if isinstance(action_mask, tuple) and not action_mask else (action_mask,)
    with torch.no_grad(), in_evaluation(policy):
        with failing_as(f"{name}.act(obs, memory)"):
            dist, _ = pair(policy.act(obs, before, *masks), f"{name}.act", "a distribution and the next memory")
        for method in ("sample", "log_prob"):
            if not callable(getattr(dist, method, None)):
                raise ConfigError(f"{name}.act gives {shown(dist)} for a distribution, which has no {method}")
        with failing_as(f"the distribution of {name}.act, {type(dist).__name__}.sample(generator),"):
            action = dist.sample(Generator(device).manual_seed(0))
        with failing_as(f"{type(dist).__name__}.log_prob(action)"):
            check_rows(dist.log_prob(action), rows, f"{type(dist).__name__}.log_prob(action)")
        with failing_as(f"{name}.to_env(action)"):
            told = policy.to_env(action, *masks)
            try:
                given = action_batch(space, told)[2]
            except SpaceMismatchError as error:
                raise ConfigError(f"{name}.to_env gives no actions of the environments: {error}") from None
            if given != rows:
                raise ConfigError(f"{name}.to_env gives {given} actions for {rows} environments")
        if carried is None:
            with failing_as(f"{name}.value(obs)"):
                check_critic(policy.value(obs), rows, f"{name}.value(obs)")
            with failing_as(f"{name}(obs)"), torch.enable_grad():
                both, critic = pair(policy(obs, before, *masks), name, "a distribution and V")
            if not callable(getattr(both, "log_prob", None)):
                raise ConfigError(f"{name}(obs) gives {shown(both)} for a distribution, which has no log_prob")
            with failing_as(f"{type(both).__name__}.log_prob(action)"), torch.enable_grad():
                learns = both.log_prob(action).requires_grad
            if not learns and any(p.requires_grad for p in policy.actor_parameters()):
                raise ConfigError(
                    f"no gradient of {name}(obs)[0].log_prob(action) reaches the parameters of actor_parameters(), so "
                    "they would never move: leave out detach() and no_grad() in it"
                )
            check_critic(critic, rows, f"{name}(obs)[1]")


def pair(answer: Tree, what: str, wanted: str) -> tuple[Tree, Tree]:
    """An answer that is two things."""
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise ConfigError(f"{what} gives {shown(answer)}, and two things are wanted: {wanted}")
    return answer


def check_rows(x: object, rows: int, what: str) -> None:
    """Raise unless it is a tensor of one number for each environment."""
    if not isinstance(x, Tensor) or x.shape != (rows,):
        found = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else shown(x)
        raise ConfigError(f"{what} is {found} for {rows} environments: a tensor of shape ({rows},) is wanted")


def check_critic(x: object, rows: int, what: str) -> None:
    """Raise unless it is what a critic answers."""
    mean = getattr(x, "mean", None)
    if not isinstance(mean, Tensor) or not callable(getattr(x, "error", None)):
        raise ConfigError(f"{what} gives {shown(x)} for V(s): give clipper.data.steps.Value(mean), of shape ({rows},)")
    check_rows(mean, rows, f"{what}.mean")


@contextmanager
def failing_as(what: str) -> Iterator[None]:
    """What the user's own method raises, as an error that says which it was."""
    try:
        yield
    except ClipperError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{what} fails on observations of the environments: {type(error).__name__}: {text_of(error)}"
        ) from error


@contextmanager
def in_evaluation(policy: nn.Module) -> Iterator[None]:
    """The policy and all in it in evaluation mode, and afterwards as it was."""
    modes = [(module, module.training) for module in policy.modules()]
    policy.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
