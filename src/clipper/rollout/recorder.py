"""Acting, and keeping rows: the definition, with any policy, as tensors."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, total
from clipper.distributions import Composite
from clipper.environments.checks import DECIDES, LARGEST_REWARD, RESTARTED, Answer, check_rewards
from clipper.environments.told_episodes import Info
from clipper.networks.protocol import Actor, abilities
from clipper.rollout.state import CollectState, copy_like

OnStep = Callable[[int, Answer], Answer]
"""(row, what a step gave) → the same, as the recorder keeps it."""
OnInfo = Callable[[int, Info], None]
"""(row, the info that came with it, where there is one)."""
OnFinish = Callable[[Steps], Steps]


@runtime_checkable
class Recorder(Protocol):
    """Acts for one actor in one vector environment, and keeps what comes of it."""

    around: AbstractContextManager[object]
    """Entered for a segment."""
    looks: bool
    """Observations' numbers are looked at before they reach it."""
    reward: np.ndarray
    """``[T, N]``, what the environments gave in the last segment, in float64."""
    flags: tuple[np.ndarray, ...]
    """``terminated``, ``done`` and ``mask`` of the last segment, as they are on the host."""
    on_finish: list[OnFinish]
    """What it does besides with a segment."""

    def begin(self, horizon: int | None) -> None:
        """A segment begins, of so many rows, or of as many as whole episodes take."""
        ...

    def act(self, t: int) -> object:
        """Row t's actions, as ``env.step`` takes them."""
        ...

    def keep(self, t: int, answer: Answer) -> int:
        """Keep row t; returns how many decisions are in it."""
        ...

    def steps(self, rows: int) -> Steps:
        """The segment."""
        ...


@runtime_checkable
class RecordingActor(Actor, Protocol):
    """An actor with a faster way of its own to act and keep rows; engines have some."""

    def recorder(self, env: VectorEnv, state: CollectState) -> Recorder | None:
        """It, for this environment; None where it does not fit."""
        ...


class TensorRecorder:
    """Acts with any policy; the definition."""

    looks = True

    def __init__(self, actor: Actor, env: VectorEnv, state: CollectState) -> None:
        own = abilities(actor)
        self.actor, self.env, self.state, self.memory, self.renew = actor, env, state, own.memory, own.renew
        # Weights that an encoder's own autocast converts stay converted within an outer one: here, for the segment.
        self.around = torch.autocast(state.generator.device.type, enabled=False)
        self.next_step = state.mode is AutoresetMode.NEXT_STEP
        self.on_finish: list[OnFinish] = [] if own.memory is None else [self.remember]
        self.rows, self.reward = list[tuple[Any, ...]](), np.empty((0, 0))
        nothing = np.empty((0, 0), bool)
        self.flags: tuple[np.ndarray, ...] = nothing, nothing, nothing

    def begin(self, horizon: int | None) -> None:
        self.rows = []
        if self.memory is not None:
            nowhere = np.zeros_like(self.state.done)
            self.carried = self.state.memory = self.memory.forget(self.state.memory, nowhere)

    def act(self, t: int) -> object:
        state = self.state
        if self.renew is not None:
            state.memory = self.renew(state.memory, state.done, state.generator)
        given = (state.action_mask,) if state.mask_source else ()
        dist, state.memory = self.actor.act(state.obs, state.memory, *given)
        action = dist.sample(state.generator)
        log_probs: Tree = dist.log_probs(action) if isinstance(dist, Composite) else ()
        log_prob = total(log_probs) if log_probs else dist.log_prob(action)
        self.decision = state.obs, action, log_prob, log_probs, state.action_mask
        return self.actor.to_env(action, *given)

    def keep(self, t: int, answer: Answer) -> int:
        obs, reward, terminated, truncated, info = answer
        state, done = self.state, terminated | truncated
        decided = (state.left > 0) & ~state.done if self.next_step else state.left > 0
        state.left -= decided & done if state.told is None else state.told.ended(state.left > 0, info)
        # Environments may reuse their arrays, so each row keeps copies.
        self.rows.append((*self.decision, np.array(reward), terminated & decided, done & decided, decided))
        if self.memory is not None:  # emptied where an episode's last row is behind, or a restart has ended it
            begins = (state.done if self.next_step else done) | info.get(RESTARTED, False)
            state.memory = self.memory.forget(state.memory, begins)
        before, state.done = state.obs, ~info[DECIDES] if DECIDES in info else done
        if isinstance(before, Tensor):
            state.obs = torch.tensor(obs, dtype=before.dtype, device=before.device)
        else:
            state.obs = copy_like(before, obs)
        return int(decided.sum())

    def steps(self, rows: int) -> Steps:
        *decisions, reward, terminated, done, decided = zip(*self.rows, strict=True)
        self.reward = np.stack(reward)
        self.flags = np.stack(terminated), np.stack(done), np.stack(decided)
        if not float(np.vdot(self.reward, self.reward)) <= LARGEST_REWARD * LARGEST_REWARD:
            check_rewards(self.env, self.reward, self.flags[-1], self.state.steps)
        obs, action, log_prob, log_probs, masks = (each(lambda *x: torch.stack(x), *column) for column in decisions)
        device = self.state.generator.device
        facts = (torch.from_numpy(x).to(device) for x in (self.reward.astype(np.float32), *self.flags))
        return Steps(obs, action, log_prob, *facts, log_probs=log_probs, action_mask=masks)

    def remember(self, steps: Steps) -> Steps:
        """The steps with what a loss needs to run the memory over them again."""
        assert self.memory is not None
        return steps._replace(memory=self.memory.past(self.carried, steps.mask))
