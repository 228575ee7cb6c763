"""Acting and keeping rows with compiled kernels, in next-step mode, into storage that is kept between segments."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.tree_type import Key
from clipper.data.trees import Tree
from clipper.distributions import Sampler
from clipper.engines.cpu.calls import Call, Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.tables import CATEGORICAL, Head, Net, Work
from clipper.engines.cpu.network import Network
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.engines.cpu.threads import Team
from clipper.environments.checks import LARGEST_REWARD, Answer, check_finite, describe
from clipper.errors import ConfigError
from clipper.networks.heads import CategoricalHead, MultiCategoricalHead
from clipper.rollout.recorder import OnFinish
from clipper.rollout.state import CollectState
from clipper.spaces.observations import place

AT_FIRST = 256  # rows of storage where it is not known how many are needed; it doubles


class KernelRecorder:
    """Acts and keeps rows for one policy in one environment. Storage is kept as long as segments are of one length.

    Discrete actions are drawn from the numbers that the definition draws; so are continuous ones where noise is drawn
    row by row, for whole episodes, and not for a segment at once.
    """

    looks, around = False, nullcontext()

    def __init__(
        self, kernels: Kernels, policy: Any, network: Network, net: Packed[Net], head: Packed[Head],
        works: list[Packed[Work]], team: Team, look: Callable[[], None], env: VectorEnv, state: CollectState,
    ) -> None:  # fmt: skip
        self.kernels, self.policy, self.head, self.works, self.team = kernels, policy, head, works, team
        self.look = look
        """Notes what of the policy the kernels have a copy of."""
        self.env, self.state, self.n = env, state, env.num_envs
        self.rows = ObservationRows(env.single_observation_space)
        """Those of the environments, which may show more than the policy reads, such as masks."""
        self.net, self.layers = self.seen(network, net), network.actor
        self.on_finish = list[OnFinish]()
        table = head.value
        self.discrete, self.single = table.kind == CATEGORICAL, isinstance(policy.head, CategoricalHead)
        self.width = table.sizes.size if self.discrete else table.outputs
        self.pieces = team.pieces(self.n, network.operations(network.actor))
        self.all_legal = np.empty((0, table.outputs), bool)
        self.bounds: list[np.ndarray] = []
        if not self.discrete:
            own = policy.head.box
            self.bounds = [np.broadcast_to(x, own.shape).astype(np.float64).reshape(-1) for x in
                           (own.centre, own.half_width, own.low, own.high)]  # fmt: skip
        self.horizon: int | None = 0
        self.masks: list[Tree] = []
        self.done, self.reward, self.keeper = np.empty(self.n, bool), np.empty((0, 0)), None
        self.first, self.last_obs = np.empty(0), torch.empty(0)
        self.flags: tuple[np.ndarray, ...] = ()

    def seen(self, network: Network, net: Packed[Net]) -> Packed[Net]:
        """The network as it reads these environments' rows, which may hold more than it reads, in another order."""
        own, rows = network.rows, self.rows
        moved, there = np.empty(own.width, np.int64), [leaf.path for leaf in rows.leaves]
        for leaf, first, size in zip(own.leaves, own.firsts, own.sizes, strict=True):
            at, given = rows.place(leaf.path) if leaf.path in there else (0, 0)
            if given != size:
                raise ConfigError(
                    f"observations{place(leaf.path)} of shape {self.given(leaf.path)}, but the policy reads {size} "
                    f"numbers of each of {self.n} environments: collect from environments of the space that the policy "
                    "was made for"
                )
            moved[first : first + size] = np.arange(at, at + size)
        if (moved == np.arange(own.width)).all():
            return net
        choices = network.choices.copy()
        choices[:, 0] = moved[choices[:, 0]]
        return Packed(net.value._replace(columns=moved[network.columns], choices=choices))

    def given(self, path: tuple[Key, ...]) -> tuple[int, ...]:
        """The shape of what the environments show there."""
        shapes = [leaf.shape for leaf in self.rows.leaves if leaf.path == path]
        return (self.n, *shapes[0]) if shapes else ()

    def begin(self, horizon: int | None) -> None:
        state = self.state
        if state.obs is not self.last_obs:  # they are new
            self.first = self.rows.of(state.obs, (self.n,))
        self.look()
        if horizon != self.horizon:
            self.make_storage(horizon)
        self.done[:], self.obs[0], self.masks = state.done, self.first, []
        state.done = self.done
        if horizon is not None:
            self.draw()

    def make_storage(self, horizon: int | None) -> None:
        """Arrays for segments of this length."""
        rows, n, width = horizon or AT_FIRST, self.n, self.width
        self.horizon = horizon
        self.obs = np.empty((rows + 1, n, self.rows.width), np.float32)
        self.log_prob = np.empty((rows, n), np.float32)
        self.action = np.empty((rows, n, width), np.int64 if self.discrete else np.float32)
        exact = not self.discrete and self.policy.head.box.dtype == np.float64
        self.sent = np.empty((0 if self.discrete else rows, n, width), np.float64 if exact else np.float32)
        self.rewards, self.all_flags = np.empty((rows, n)), np.empty((3, rows, n), bool)  # terminated, done, mask
        self.noise = torch.empty(horizon or 1, n, width)
        self.bind()

    def bind(self) -> None:
        """Note where the kernels find their arrays."""
        kernels, self.calls, self.keeper = self.kernels, list[Call](), None
        for work, piece in zip(self.works, self.pieces, strict=False):
            shared = (
                self.net, self.layers, self.head, work, piece.start, piece.stop, self.obs, self.noise.numpy(),
                self.action, self.log_prob,
            )  # fmt: skip
            if self.discrete:
                self.calls.append(kernels.choose.bind(*shared, self.all_legal, 0))
            else:
                move = kernels.move_f8 if self.sent.dtype == np.float64 else kernels.move
                self.calls.append(move.bind(*shared, *self.bounds, self.sent, 0))

    def draw(self) -> None:
        """Uniform numbers for choices, normal ones for movements."""
        draw = self.noise.uniform_ if self.discrete else self.noise.normal_
        draw(generator=self.state.generator)

    def act(self, t: int) -> np.ndarray:
        if t == len(self.log_prob):
            self.grow()
        if self.horizon is None:
            self.draw()
        mask, changed = self.state.action_mask, (t,)
        if not isinstance(mask, tuple):
            self.masks.append(mask)
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
        # Copies: environments may keep their actions, or write into them, and these rows are written again.
        if not self.discrete:
            box = self.policy.head.box
            return self.sent[t].reshape(self.n, *box.shape).astype(box.dtype)
        action, head = self.action[t], self.policy.head
        if self.single:
            return action[:, 0] + head.start
        return (action.reshape(self.n, *head.start.shape) + head.start).astype(head.dtype)

    def grow(self) -> None:
        """Double the storage."""
        for name in ("obs", "log_prob", "action", "sent", "rewards"):
            setattr(self, name, doubled(getattr(self, name)))
        self.all_flags = np.stack([doubled(x) for x in self.all_flags])
        self.bind()

    def keep(self, t: int, answer: Answer) -> int:
        seen, gain, *_ = answer
        if self.keeper is None or (self.rows.lone and self.keeper.wide != (seen.dtype != np.float32)):
            storage = self.done, self.state.left, self.obs, self.rewards, *self.all_flags
            self.keeper = Keeper(self.kernels, self.rows, seen, storage)
        decided = self.keeper.keep(t, answer)
        if decided < 0:
            check_finite(self.env, gain, "reward", self.state.steps, largest=LARGEST_REWARD)
            check_finite(self.env, seen, "observation", self.state.steps)
            decided = int(np.count_nonzero(self.all_flags[2][t]))
        return decided

    def steps(self, rows: int) -> Steps:
        tensor = torch.from_numpy
        if self.rows.long:
            self.rows.check_exact(self.obs[: rows + 1], describe(self.env))
        self.first = self.obs[rows].copy()
        self.state.obs = self.last_obs = self.rows.tree(self.first)
        self.reward = self.rewards[:rows]
        action = self.action[:rows, :, 0] if self.single else self.action[:rows]
        self.flags = terminated, done, mask = tuple(self.all_flags[:, :rows].copy())
        return Steps(
            obs=self.rows.tree(self.obs[:rows]),
            action=tensor(action.copy()),
            log_prob=tensor(self.log_prob[:rows].copy()),
            reward=tensor(self.reward.astype(np.float32)),
            terminated=tensor(terminated),
            done=tensor(done),
            mask=tensor(mask),
            action_mask=torch.stack(self.masks) if self.masks else (),
        )


class KernelActor:
    """A policy, with kernels that act for it where its environments reset in the next step."""

    def __init__(self, policy: Any, make: Callable[[VectorEnv, CollectState], KernelRecorder]) -> None:
        self.policy, self.make = policy, make

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        return self.policy.act(obs, memory, action_mask)

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Any:
        return self.policy.to_env(action, action_mask)

    def recorder(self, env: VectorEnv, state: CollectState) -> KernelRecorder | None:
        return self.make(env, state) if state.mode is AutoresetMode.NEXT_STEP else None


class Keeper:
    """Keeps rows of a segment. What environments answer may be of any type; it is copied to where a kernel reads it."""

    def __init__(self, kernels: Kernels, rows: ObservationRows, seen: Tree, storage: tuple[np.ndarray, ...]) -> None:
        n, self.rows = len(storage[0]), rows
        self.wide = not rows.lone or seen.dtype != np.float32
        shape = seen.shape if rows.lone else (n, rows.width)
        self.seen = np.empty(shape, np.float64 if self.wide else np.float32)
        self.gain, self.terminated, self.truncated = np.empty(n), np.empty(n, bool), np.empty(n, bool)
        kernel = kernels.keep_f8 if self.wide else kernels.keep
        self.call = kernel.bind(*storage, self.seen.reshape(n, -1), self.gain, self.terminated, self.truncated, 0)

    def keep(self, t: int, answer: Answer) -> int:
        """Row t from what ``env.step`` gave; the number of decisions, or −1 where a number may not be finite."""
        seen, self.gain[...], self.terminated[...], self.truncated[...], _ = answer
        if self.rows.lone:
            self.seen[...] = seen
        else:
            self.rows.pack(seen, self.seen)
        return self.call(t)


def flat_mask(head: CategoricalHead | MultiCategoricalHead, mask: Tensor) -> np.ndarray:
    """``[*rows, ΣK]`` from ``[*rows, K]``, or from ``[*rows, D, K]``, in which parts are padded to the longest."""
    return mask.numpy() if isinstance(head, CategoricalHead) else mask.numpy()[..., head.exists.numpy()]


def doubled(x: np.ndarray) -> np.ndarray:
    """``x`` with as many rows again after it (observations: their last row stays the last one used)."""
    return np.concatenate([x, np.empty_like(x)])
