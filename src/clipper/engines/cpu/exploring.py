"""Acting and keeping rows for who learns from a replay: a row or a few at a time, with nothing made anew for them."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.distributions import Sampler
from clipper.engines.cpu.calls import Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.replayed_tables import DETERMINISTIC, DQN, Inputs, Policy, Spaces
from clipper.engines.cpu.kernels.tables import RESCALED, TANH_OF
from clipper.engines.cpu.replayed_networks import Networks
from clipper.engines.cpu.segment import AT_FIRST, RowKeeper, doubled
from clipper.errors import ConfigError
from clipper.learning.learner import Learner
from clipper.rollout.state import CollectState


class Explorer(NamedTuple):
    """Who acts."""

    kernels: Kernels
    learner: Learner
    networks: Networks
    policy: Policy
    kind: int
    spaces: Packed[Spaces]
    theta: np.ndarray
    uniform: Callable[[], bool]
    """Does it act uniformly still?"""
    number: Callable[[], float]
    """σ of the noise about a deterministic policy, or the probability of any action."""


class ExploringRecorder(RowKeeper):
    """Acts for one learner in one environment, by the numbers that the definition draws, row by row.

    log π is not told, which nothing asks for that learns from a replay: it is NaN.
    """

    def __init__(self, explorer: Explorer, env: VectorEnv, state: CollectState) -> None:
        super().__init__(explorer.kernels, env, state)
        self.explorer, self.head = explorer, explorer.learner.policy.head
        networks = explorer.networks
        self.size, self.chooses = networks.size, explorer.kind == DQN
        features = networks.features
        self.inputs = Inputs(*features._replace(columns=self.places(networks.rows)[features.columns]))
        self.noise = torch.empty(self.n, 1 if self.chooses else self.size)
        self.legal = np.empty((0, self.size), bool)
        self.sent = np.empty((self.n, 0 if self.chooses else self.size))

    def begin(self, horizon: int | None) -> None:
        state = self.state
        if state.obs is not self.last_obs:  # they are new
            self.first = self.rows.of(state.obs, (self.n,))
        self.uniform, self.number = self.explorer.uniform(), self.explorer.number()
        self.explorer.networks.look()
        masked = self.chooses and isinstance(state.action_mask, Tensor)
        if masked != bool(len(self.legal)):
            self.legal = np.empty((self.n if masked else 0, self.size), bool)
            self.horizon = 0
        if horizon != self.horizon:
            self.make_storage(horizon)
        self.done[:], self.obs[0], self.masks = state.done, self.first, []
        state.done = self.done

    def make_storage(self, horizon: int | None) -> None:
        """Arrays for segments of this length."""
        rows, n, components = horizon or AT_FIRST, self.n, self.sent.shape[1]
        self.horizon = horizon
        self.obs = np.empty((rows + 1, n, self.rows.width), np.float32)
        self.action = np.empty((rows, n, components), np.float32)
        self.choice = np.empty((rows, n if self.chooses else 0), np.int64)
        self.rewards, self.all_flags = np.empty((rows, n)), np.empty((3, rows, n), bool)  # terminated, done, mask
        self.log_prob = torch.full((rows, n), math.nan)
        self.bind()

    def bind(self) -> None:
        """Note where the kernels find their arrays."""
        explorer, kind = self.explorer, self.explorer.kind
        low = high = np.empty((1, 0))
        if not self.chooses:
            box = self.head.box
            low, high = (x.reshape(1, -1).astype(np.float64) for x in (box.low, box.high))
        forms = np.full(low.shape[1], RESCALED if kind == DETERMINISTIC else TANH_OF, np.int64)
        self.keeper = None
        self.call = explorer.kernels.explore.bind(
            self.inputs, explorer.policy, explorer.theta, explorer.spaces, self.obs, self.noise.numpy(), self.legal,
            low, high, forms, self.action, self.choice, self.sent, kind, 0, 0.0,
        )  # fmt: skip

    def act(self, t: int) -> object:
        if t == len(self.rewards):
            self.grow()
        generator = self.state.generator
        if self.chooses:
            return self.choose(t)
        if self.uniform:
            drawn = self.head.unbounded(2 * torch.rand(self.noise.shape, generator=generator) - 1)
            self.action[t] = drawn.numpy()
            return self.head.to_env(drawn)
        self.noise.normal_(generator=generator)
        self.call(t, self.number)
        return self.sent.reshape(self.n, *self.head.box.shape).astype(self.head.box.dtype)

    def choose(self, t: int) -> np.ndarray:
        """Of choices; without a mask all are legal."""
        mask = self.state.action_mask
        if len(self.legal):
            if not isinstance(mask, Tensor) or mask.shape != self.legal.shape:
                raise ConfigError(f"masks of {self.n} environments must be of shape {self.legal.shape}, not {mask}")
            self.legal[:] = mask.numpy()
            self.masks.append(mask)
        self.noise.uniform_(generator=self.state.generator)
        self.call(t, 1.0 if self.uniform else self.number)
        return self.choice[t] + self.head.start

    def grow(self) -> None:
        """Double the storage."""
        self.obs, self.action, self.choice, self.rewards = map(
            doubled, (self.obs, self.action, self.choice, self.rewards)
        )
        self.all_flags, self.log_prob = np.stack([doubled(x) for x in self.all_flags]), self.log_prob.repeat(2, 1)
        self.bind()

    def steps(self, rows: int) -> Steps:
        action = (self.choice if self.chooses else self.action)[:rows].copy()
        log_prob = self.log_prob if rows == len(self.rewards) else self.log_prob[:rows]
        return self.kept(rows, torch.from_numpy(action), log_prob)


class ExploringActor:
    """Who acts as the definition has it, with kernels that do so for it where environments reset in the next step."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, self.behaviour = explorer, explorer.learner.behaviour
        self.mask_key = explorer.learner.policy.mask_key

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        return self.behaviour.act(obs, memory, action_mask)

    def to_env(self, action: Tree, action_mask: Tree = ()) -> object:
        return self.behaviour.to_env(action, action_mask)

    def recorder(self, env: VectorEnv, state: CollectState) -> ExploringRecorder | None:
        bounded = state.mask_source is not None and self.explorer.kind != DQN  # by the state
        if state.mode is not AutoresetMode.NEXT_STEP or state.columns is not None or bounded:
            return None
        return ExploringRecorder(self.explorer, env, state)
