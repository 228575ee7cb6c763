"""Collecting with compiled kernels: ``clipper.rollout.collect`` in next-step mode, into storage made beforehand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Generator, Tensor

from clipper.data import Steps, Tree
from clipper.engines.kernels import act
from clipper.engines.kernels.tables import CATEGORICAL, Head, Net, Work
from clipper.engines.network import Network
from clipper.engines.team import Team
from clipper.environments.checks import LARGEST_REWARD, check_finite
from clipper.errors import EnvironmentContractError
from clipper.heads import CategoricalHead, MultiCategoricalHead
from clipper.rollout import CollectState, count_episodes, cut_off, keep_masks, restart

AT_FIRST = 256  # rows of storage where it is not known how many are needed; it doubles
UNLIMITED = np.iinfo(np.int64).max


class Player:
    """Acts, row by row, and keeps actions and log μ(a|s).

    Discrete actions are drawn from the numbers that the definition draws; so are continuous ones where noise is drawn
    row by row, not for a whole segment.
    """

    def __init__(
        self, policy: Any, network: Network, net: Net, head: Head, works: list[Work], team: Team, n: int, rows: int,
        generator: Generator, row_by_row: bool,
    ) -> None:  # fmt: skip
        self.policy, self.net, self.head, self.works, self.team = policy, net, head, works, team
        self.layers, self.n, self.generator, self.row_by_row = network.actor, n, generator, row_by_row
        self.discrete, self.single = head.kind == CATEGORICAL, isinstance(policy.head, CategoricalHead)
        self.width = head.sizes.size if self.discrete else head.outputs
        self.pieces = team.pieces(n, network.operations(network.actor))
        self.log_prob = np.empty((rows, n), np.float32)
        self.action = np.empty((rows, n, self.width), np.int64 if self.discrete else np.float32)
        if not self.discrete:
            own = policy.head.box
            self.bounds = [np.broadcast_to(x, own.shape).astype(np.float64).reshape(-1) for x in
                           (own.centre, own.half_width, own.low, own.high)]  # fmt: skip
            self.sent = np.empty((rows, n, self.width), own.dtype)
        self.noise = self.draw(1 if row_by_row else rows)
        self.all_legal = np.empty((0, head.outputs), bool)

    def draw(self, rows: int) -> np.ndarray:
        """Uniform numbers for choices, normal ones for movements."""
        shape = (rows, self.n, self.width)
        draw = torch.rand if self.discrete else torch.randn
        return draw(shape, generator=self.generator).numpy()

    def grow(self) -> None:
        """Double the storage."""
        for name in ("log_prob", "action", "sent"):
            if hasattr(self, name):
                setattr(self, name, doubled(getattr(self, name)))

    def act(self, obs: np.ndarray, t: int, mask: Tree = ()) -> np.ndarray:
        """Act in row t; returns what the environments take."""
        if self.row_by_row and t > 0:
            self.noise = self.draw(1)
        noise, action, log_prob = self.noise[0 if self.row_by_row else t], self.action[t], self.log_prob[t]
        play = self.choose if self.discrete else self.move
        legal = self.all_legal if isinstance(mask, tuple) else flat_mask(self.policy.head, mask)
        if len(self.pieces) == 1:
            play(0, self.pieces[0], obs, noise, action, log_prob, legal, t)
        else:
            self.team.run(lambda k, p: play(k, p, obs[p], noise[p], action[p], log_prob[p], legal[p], t), self.pieces)
        if not self.discrete:
            return self.sent[t].reshape(self.n, *self.policy.head.box.shape)
        head = self.policy.head
        if self.single:
            return action[:, 0] + head.start if head.start else action[:, 0]
        return (action.reshape(self.n, *head.start.shape) + head.start).astype(head.dtype)

    def choose(
        self, k: int, piece: slice, obs: np.ndarray, noise: np.ndarray, action: np.ndarray, log_prob: np.ndarray,
        legal: np.ndarray, t: int,
    ) -> None:  # fmt: skip
        """Discrete actions of some environments."""
        net, head, work = self.net, self.head, self.works[k]
        act.choose(
            net.theta, self.layers, net.shift, net.scale, net.bound, obs, head.slot, head.sizes, legal,
            work.capacity, work.out, work.pre, noise, action, log_prob,
        )  # fmt: skip

    def move(
        self, k: int, piece: slice, obs: np.ndarray, noise: np.ndarray, action: np.ndarray, log_prob: np.ndarray,
        legal: np.ndarray, t: int,
    ) -> None:  # fmt: skip
        """Continuous actions of some environments."""
        net, head, work = self.net, self.head, self.works[k]
        centre, half_width, low, high = self.bounds
        act.move(
            net.theta, self.layers, net.shift, net.scale, net.bound, obs, head.slot, head.log_std, head.low, head.high,
            work.capacity, work.out, work.pre, noise, action, log_prob, centre, half_width, low, high,
            self.sent[t, piece],
        )  # fmt: skip

    def tensors(self, rows: int) -> tuple[Tensor, Tensor]:
        """Actions and log μ(a|s), as the definition has them."""
        action = torch.from_numpy(self.action[:rows])
        return action.squeeze(-1) if self.single else action, torch.from_numpy(self.log_prob[:rows])


def collect_segment(
    env: VectorEnv, state: CollectState, horizon: int | None, episodes: int | None,
    make_player: Callable[[int, int, Generator, bool], Player],
) -> tuple[Steps, CollectState]:  # fmt: skip
    """``horizon`` rows, or whole ``episodes``, of an environment in next-step mode."""
    n, shape = env.num_envs, state.obs.shape[1:]
    if state.stale or (episodes is not None and not state.fresh):
        restart(env, state)
    state.fresh, state.stale = False, episodes is not None
    left = np.full(n, UNLIMITED)
    if episodes is not None:
        left = np.full(n, episodes // n) + (np.arange(n) < episodes % n)
    rows = horizon or AT_FIRST
    obs = np.empty((rows + 1, n, int(np.prod(shape))), np.float32)
    obs[0] = state.obs.numpy().reshape(n, -1)
    reward, flags = np.empty((rows, n), np.float32), list(np.empty((3, rows, n), bool))
    restarts: list[tuple[int, np.ndarray]] = []
    masks: list[Tree] = []
    player, done, t = make_player(n, rows, state.generator, horizon is None), state.done.copy(), 0
    while t < horizon if horizon is not None else (left > 0).any():
        if t == len(reward):
            obs, reward, flags = doubled(obs), doubled(reward), [doubled(x) for x in flags]
            player.grow()
        masks.append(state.action_mask)
        *answer, info = env.step(player.act(obs[t], t, state.action_mask))
        seen, gain, terminated, truncated = map(np.ascontiguousarray, answer)
        if gain.shape != (n,):
            raise EnvironmentContractError(
                f"rewards of shape {gain.shape} from {n} environments: each reward must be one number"
            )
        decided = act.keep(seen.reshape(n, -1), gain, terminated, truncated, done, left, t, obs, reward, *flags)
        if decided < 0:
            check_finite(env, gain, "reward", state.steps, largest=LARGEST_REWARD)
            check_finite(env, seen, "observation", state.steps)
            decided = int(np.count_nonzero(flags[2][t]))
        if "restarted" in info:
            restarts.append((t, info["restarted"]))
        state.steps += decided
        state.done = done
        if state.mask_source:
            keep_masks(env, state, seen, info)
        t += 1
    state.obs, state.done = torch.from_numpy(obs[t].reshape(n, *shape).copy()), done
    arrays = [torch.from_numpy(x[:t]) for x in (reward, *flags)]
    mask = torch.stack(masks) if state.mask_source else ()
    steps = Steps(torch.from_numpy(obs[:t].reshape(t, n, *shape)), *player.tensors(t), *arrays, action_mask=mask)
    if restarts:
        cut_off(steps, restarts, state)
    count_episodes(steps, state)
    return steps, state


def flat_mask(head: CategoricalHead | MultiCategoricalHead, mask: Tensor) -> np.ndarray:
    """``[*rows, ΣK]`` from ``[*rows, K]``, or from ``[*rows, D, K]``, in which parts are padded to the longest."""
    return mask.numpy() if isinstance(head, CategoricalHead) else mask.numpy()[..., head.exists.numpy()]


def doubled(x: np.ndarray) -> np.ndarray:
    """``x`` with as many rows again after it (observations: their last row stays the last one used)."""
    return np.concatenate([x, np.empty_like(x)])
