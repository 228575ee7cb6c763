"""Collecting with compiled kernels: ``clipper.rollout.collect.collect`` in next-step mode, into storage made
beforehand.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.cpu.calls import Call, Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.tables import CATEGORICAL, Head, Net, Work
from clipper.engines.cpu.network import Network
from clipper.engines.cpu.threads import Team
from clipper.environments.checks import LARGEST_REWARD, RESTARTED, check_finite, checked_step
from clipper.errors import ConfigError
from clipper.networks.heads import CategoricalHead, MultiCategoricalHead
from clipper.rollout.collect import keep_masks, restart
from clipper.rollout.edges import cut_off
from clipper.rollout.episodes import count_episodes
from clipper.rollout.state import CollectState

AT_FIRST = 256  # rows of storage where it is not known how many are needed; it doubles
UNLIMITED = np.iinfo(np.int64).max


class Player:
    """Acts, row by row, and keeps actions and log μ(a|s).

    Discrete actions are drawn from the numbers that the definition draws; so are continuous ones where noise is drawn
    row by row, not for a whole segment.
    """

    def __init__(
        self, kernels: Kernels, policy: Any, network: Network, net: Packed[Net], head: Packed[Head],
        works: list[Packed[Work]], team: Team, n: int, rows: int, generator: Generator, row_by_row: bool,
    ) -> None:  # fmt: skip
        self.kernels, self.policy, self.net, self.head, self.works, self.team = kernels, policy, net, head, works, team
        self.layers, self.n, self.generator, self.row_by_row = network.actor, n, generator, row_by_row
        self.features = network.features
        table = head.value
        self.discrete, self.single = table.kind == CATEGORICAL, isinstance(policy.head, CategoricalHead)
        self.width = table.sizes.size if self.discrete else table.outputs
        self.pieces = team.pieces(n, network.operations(network.actor))
        self.log_prob = np.empty((rows, n), np.float32)
        self.action = np.empty((rows, n, self.width), np.int64 if self.discrete else np.float32)
        if not self.discrete:
            own = policy.head.box
            self.bounds = [np.broadcast_to(x, own.shape).astype(np.float64).reshape(-1) for x in
                           (own.centre, own.half_width, own.low, own.high)]  # fmt: skip
            self.sent = np.empty((rows, n, self.width), np.float64 if own.dtype == np.float64 else np.float32)
        self.noise = torch.empty(1 if row_by_row else rows, n, self.width)
        self.draw()
        self.all_legal = np.empty((0, table.outputs), bool)
        self.calls: list[Call] = []
        self.seen: np.ndarray | None = None

    def draw(self) -> None:
        """Uniform numbers for choices, normal ones for movements."""
        draw = torch.rand if self.discrete else torch.randn
        draw(self.noise.shape, generator=self.generator, out=self.noise)

    def grow(self) -> None:
        """Double the storage."""
        for name in ("log_prob", "action", "sent"):
            if hasattr(self, name):
                setattr(self, name, doubled(getattr(self, name)))

    def look_at(self, obs: np.ndarray) -> None:
        """Note where observations will stand: ``obs [rows + 1, N, numbers]``."""
        wanted = self.n, self.features
        if obs.shape[1:] != wanted:
            raise ConfigError(
                f"observations of shape {obs.shape[1:]}, but the policy reads {wanted}: collect from environments of "
                "the space that the policy was made for"
            )
        self.seen, kernels, self.calls = obs, self.kernels, []
        for work, piece in zip(self.works, self.pieces, strict=False):
            shared = (
                self.net, self.layers, self.head, work, piece.start, piece.stop, obs, self.noise.numpy(), self.action,
                self.log_prob,
            )  # fmt: skip
            if self.discrete:
                self.calls.append(kernels.choose.bind(*shared, self.all_legal, 0))
            else:
                move = kernels.move_f8 if self.sent.dtype == np.float64 else kernels.move
                self.calls.append(move.bind(*shared, *self.bounds, self.sent, 0))

    def act(self, obs: np.ndarray, t: int, mask: Tree = ()) -> np.ndarray:
        """Act on row t of ``obs [rows + 1, N, numbers]``; returns what the environments take."""
        if obs is not self.seen:
            self.look_at(obs)
        if not 0 <= t < len(self.log_prob) or t >= len(obs):
            raise IndexError(f"row {t} of {len(obs)} rows of observations, and {len(self.log_prob)} of actions")
        if self.row_by_row and t > 0:
            self.draw()
        changed: tuple[Any, ...] = (t,)
        if not isinstance(mask, tuple):
            legal = np.ascontiguousarray(flat_mask(self.policy.head, mask))
            if legal.shape != (self.n, self.all_legal.shape[1]):
                raise ConfigError(
                    f"masks of shape {legal.shape}, but {self.n} environments choose among {self.all_legal.shape[1]}"
                )
            changed = legal, t
        if len(self.calls) == 1:
            self.calls[0](*changed)
        else:
            self.team.run(lambda k, _: self.calls[k](*changed), self.pieces)
        if not self.discrete:
            box = self.policy.head.box
            return self.sent[t].reshape(self.n, *box.shape).astype(box.dtype, copy=False)
        action, head = self.action[t], self.policy.head
        if self.single:
            return action[:, 0] + head.start if head.start else action[:, 0]
        return (action.reshape(self.n, *head.start.shape) + head.start).astype(head.dtype)

    def tensors(self, rows: int) -> tuple[Tensor, Tensor]:
        """Actions and log μ(a|s), as the definition has them."""
        action = torch.from_numpy(self.action[:rows])
        return action.squeeze(-1) if self.single else action, torch.from_numpy(self.log_prob[:rows])


def collect_segment(
    env: VectorEnv, state: CollectState, horizon: int | None, episodes: int | None,
    make_player: Callable[[int, int, Generator, bool], Player],
) -> tuple[Steps, CollectState]:  # fmt: skip
    """``horizon`` rows, or whole ``episodes``, of an environment in next-step mode."""
    if state.stale or (episodes is not None and not state.fresh):
        restart(env, state)
    n, shape = env.num_envs, env.single_observation_space.shape
    assert shape is not None
    if state.obs.shape != (n, *shape) or state.done.shape != (n,):
        raise ConfigError(
            f"the state has observations of shape {tuple(state.obs.shape)}, but {n} environments give {(n, *shape)}: "
            "begin with start(env, seed) of these environments"
        )
    state.fresh, state.stale = False, episodes is not None
    left = np.full(n, UNLIMITED)
    if episodes is not None:
        left = np.full(n, episodes // n) + (np.arange(n) < episodes % n)
    rows = horizon or AT_FIRST
    obs = np.empty((rows + 1, n, int(np.prod(shape))), np.float32)
    obs[0] = state.obs.numpy().reshape(n, -1)
    reward, flags = np.empty((rows, n)), list(np.empty((3, rows, n), bool))
    restarts: list[tuple[int, np.ndarray]] = []
    masks: list[Tree] = []
    player, done, t = make_player(n, rows, state.generator, horizon is None), state.done.copy(), 0
    keeper, storage = None, (done, left, obs, reward, *flags)
    while t < horizon if horizon is not None else (left > 0).any():
        if t == len(reward):
            obs, reward, flags = doubled(obs), doubled(reward), [doubled(x) for x in flags]
            player.grow()
            storage = done, left, obs, reward, *flags
        masks.append(state.action_mask)
        *answer, info = checked_step(env, player.act(obs, t, state.action_mask), state, look=False)
        seen, gain, *_ = answer
        keeper = keeper or Keeper(player.kernels, seen)
        decided = keeper.keep(t, answer, storage)
        if decided < 0:
            check_finite(env, gain, "reward", state.steps, largest=LARGEST_REWARD)
            check_finite(env, seen, "observation", state.steps)
            decided = int(np.count_nonzero(flags[2][t]))
        if RESTARTED in info:
            restarts.append((t, info[RESTARTED]))
        state.steps += decided
        state.done = done
        if state.mask_source or info:
            keep_masks(env, state, seen, info)
        t += 1
    state.obs, state.done = torch.from_numpy(obs[t].reshape(n, *shape).copy()), done
    reward = reward[:t]
    arrays = [torch.from_numpy(x[:t]) for x in (reward.astype(np.float32), *flags)]
    mask = torch.stack(masks) if state.mask_source else ()
    steps = Steps(torch.from_numpy(obs[:t].reshape(t, n, *shape)), *player.tensors(t), *arrays, action_mask=mask)
    if restarts:
        cut_off(steps, restarts, state)
    count_episodes(steps, reward, state)
    return steps, state


class Keeper:
    """Keeps rows of a segment. What environments answer may be of any type; it is copied to where a kernel reads it."""

    def __init__(self, kernels: Kernels, seen: np.ndarray) -> None:
        n, wide = len(seen), seen.dtype != np.float32
        self.kernel = kernels.keep_f8 if wide else kernels.keep
        self.seen = np.empty(seen.shape, np.float64 if wide else np.float32)
        self.gain, self.terminated, self.truncated = np.empty(n), np.empty(n, bool), np.empty(n, bool)
        self.storage: tuple[np.ndarray, ...] = ()

    def keep(self, t: int, answer: Sequence[np.ndarray], storage: tuple[np.ndarray, ...]) -> int:
        """Row t from what ``env.step`` gave; the number of decisions, or −1 where a number may not be finite."""
        if storage is not self.storage:
            n, self.storage = len(self.seen), storage
            self.call = self.kernel.bind(
                *storage, self.seen.reshape(n, -1), self.gain, self.terminated, self.truncated, 0
            )  # fmt: skip
        self.seen[...], self.gain[...], self.terminated[...], self.truncated[...] = answer
        return self.call(t)


def flat_mask(head: CategoricalHead | MultiCategoricalHead, mask: Tensor) -> np.ndarray:
    """``[*rows, ΣK]`` from ``[*rows, K]``, or from ``[*rows, D, K]``, in which parts are padded to the longest."""
    return mask.numpy() if isinstance(head, CategoricalHead) else mask.numpy()[..., head.exists.numpy()]


def doubled(x: np.ndarray) -> np.ndarray:
    """``x`` with as many rows again after it (observations: their last row stays the last one used)."""
    return np.concatenate([x, np.empty_like(x)])
