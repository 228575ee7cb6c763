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
from clipper.data.trees import Tree, each
from clipper.distributions import Sampler
from clipper.engines.cpu.action_table import at, none
from clipper.engines.cpu.calls import Call, Packed
from clipper.engines.cpu.kernel_files import Kernels
from clipper.engines.cpu.kernels.tables import Head, Net, Work
from clipper.engines.cpu.memory_cells import CellTable
from clipper.engines.cpu.network import Network
from clipper.engines.cpu.observation_rows import ObservationRows
from clipper.engines.cpu.threads import Team
from clipper.environments.checks import DECIDES, LARGEST_REWARD, Answer, check_finite, describe
from clipper.errors import ConfigError
from clipper.networks.heads import CategoricalHead
from clipper.rollout.recorder import OnFinish
from clipper.rollout.state import CollectState
from clipper.spaces.observations import place

AT_FIRST = 256  # rows of storage where it is not known how many are needed; it doubles


class RowKeeper:
    """Keeps what environments answer, in arrays that last; of who acts it knows nothing."""

    looks, around = False, nullcontext()

    def __init__(self, kernels: Kernels, env: VectorEnv, state: CollectState) -> None:
        self.kernels, self.env, self.state, self.n = kernels, env, state, env.num_envs
        self.rows = ObservationRows(env.single_observation_space)
        """Those of the environments, which may show more than the policy reads, such as masks."""
        self.on_finish = list[OnFinish]()
        self.horizon: int | None = 0
        self.masks: list[Tree] = []
        self.done, self.reward, self.keeper = np.empty(self.n, bool), np.empty((0, 0)), None
        self.first, self.last_obs = np.empty(0), torch.empty(0)
        self.flags: tuple[np.ndarray, ...] = ()
        self.obs = self.rewards = self.all_flags = np.empty((0, 0))

    def places(self, own: ObservationRows) -> np.ndarray:
        """Where each number of a policy's rows stands in these environments' rows, which may hold more."""
        rows = self.rows
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
        return moved

    def given(self, path: tuple[Key, ...]) -> tuple[int, ...]:
        """The shape of what the environments show there."""
        shapes = [leaf.shape for leaf in self.rows.leaves if leaf.path == path]
        return (self.n, *shapes[0]) if shapes else ()

    def keep(self, t: int, answer: Answer) -> int:
        seen, gain, *_ = answer
        if self.keeper is None or (self.keeper.lone and self.keeper.wide != (seen.dtype != np.float32)):
            flags: list[np.ndarray] = list(self.all_flags)
            storage = self.done, self.state.left, self.obs, self.rewards, *flags
            self.keeper = Keeper(self.kernels, self.rows, seen, storage)
        decided = self.keeper.keep(t, answer)
        if decided < 0:
            check_finite(self.env, gain, "reward", self.state.steps, largest=LARGEST_REWARD)
            check_finite(self.env, seen, "observation", self.state.steps)
            decided = int(np.count_nonzero(self.all_flags[2][t]))
        if DECIDES in answer[-1]:
            np.logical_not(answer[-1][DECIDES], out=self.done)
        return decided

    def leave(self, rows: int) -> tuple[np.ndarray, ...]:
        """Note where a segment of so many rows has ended, and its flags, which are returned."""
        if self.rows.long:
            self.rows.check_exact(self.obs[: rows + 1], describe(self.env))
        self.first = self.obs[rows].copy()
        self.state.obs = self.last_obs = self.rows.tree(self.first)
        self.reward = self.rewards[:rows]
        self.flags = tuple(self.all_flags[:, :rows].copy())
        return self.flags

    def kept(self, rows: int, action: Tree, log_prob: Tensor, log_probs: Tree = ()) -> Steps:
        """The segment of so many rows, with what the actor says of its own."""
        tensor = torch.from_numpy
        terminated, done, mask = self.leave(rows)
        return Steps(
            obs=self.rows.tree(self.obs[:rows]),
            action=action,
            log_prob=log_prob,
            reward=tensor(self.reward.astype(np.float32)),
            terminated=tensor(terminated),
            done=tensor(done),
            mask=tensor(mask),
            log_probs=log_probs,
            action_mask=each(lambda *x: torch.stack(x), *self.masks) if self.masks else (),
        )


class KernelRecorder(RowKeeper):
    """Acts and keeps rows for one policy in one environment. Storage is kept as long as segments are of one length.

    Discrete actions are drawn from the numbers that the definition draws; so are continuous ones where noise is drawn
    row by row, for whole episodes, and not for a segment at once.
    """

    def __init__(
        self, kernels: Kernels, policy: Any, network: Network, net: Packed[Net], head: Packed[Head],
        works: list[Packed[Work]], team: Team, look: Callable[[], None], env: VectorEnv, state: CollectState,
    ) -> None:  # fmt: skip
        super().__init__(kernels, env, state)
        self.policy, self.head, self.works, self.team = policy, head, works, team
        self.look = look
        """Notes what of the policy the kernels have a copy of."""
        self.net, self.layers = self.net_of(network, net), network.actor
        self.actions = network.actions
        self.pieces = team.pieces(self.n, network.operations(network.actor))
        self.legal, self.bounds = np.empty((0, self.actions.legal), bool), self.actions.bounds()
        self.forms, self.masked = self.actions.forms(), False
        self.single = policy.head if isinstance(policy.head, CategoricalHead) else None

    def net_of(self, network: Network, net: Packed[Net]) -> Packed[Net]:
        """What heads read of these environments' rows."""
        return self.seen(network, net)

    def source(self) -> np.ndarray:
        """What they read it from, ``[T, N, …]``."""
        return self.obs

    def seen(self, network: Network | CellTable, net: Packed[Net]) -> Packed[Net]:
        """The network as it reads these environments' rows, which may hold more than it reads, in another order."""
        own = network.rows
        moved = self.places(own)
        if (moved == np.arange(own.width)).all():
            return net
        choices = network.choices.copy()
        choices[:, 0] = moved[choices[:, 0]]
        return Packed(net.value._replace(columns=moved[network.columns], choices=choices))

    def begin(self, horizon: int | None) -> None:
        state = self.state
        if state.obs is not self.last_obs:  # they are new
            self.first = self.rows.of(state.obs, (self.n,))
        self.look()
        self.look_at_masks()
        if horizon != self.horizon:
            self.make_storage(horizon)
        self.done[:], self.obs[0], self.masks = state.done, self.first, []
        state.done = self.done
        if horizon is not None:
            self.draw()

    def make_storage(self, horizon: int | None) -> None:
        """Arrays for segments of this length."""
        rows, n, actions, noise = horizon or AT_FIRST, self.n, self.actions, horizon or 1
        self.horizon = horizon
        self.obs = np.empty((rows + 1, n, self.rows.width), np.float32)
        self.log_prob, self.log_probs = (
            np.empty((rows, n), np.float32),
            np.empty((rows, n, len(actions.names)), np.float32),
        )
        self.choice = np.empty((rows, n, actions.choices), np.int64)
        self.action = np.empty((rows, n, actions.components), np.float32)
        self.sent = np.empty((n, actions.components))
        self.rewards, self.all_flags = np.empty((rows, n)), np.empty((3, rows, n), bool)  # terminated, done, mask
        self.uniform, self.normal = torch.empty(noise, n, actions.choices), torch.empty(noise, n, actions.components)
        self.seeds = torch.empty(noise, n, actions.components if actions.seeded else 0, dtype=torch.int64)
        self.drawn = self.uniform, self.normal, self.seeds
        if (columns := self.state.columns) is not None:
            self.drawn = tuple(x.new_empty(noise, columns.total, x.shape[-1]) for x in self.drawn)
        self.bind()

    def bind(self) -> None:
        """Note where the kernels find their arrays."""
        self.calls, self.keeper = list[Call](), None
        noise, source = (self.uniform.numpy(), self.normal.numpy(), self.seeds.numpy()), self.source()
        for work, piece in zip(self.works, self.pieces, strict=False):
            self.calls.append(
                self.kernels.decide.bind(
                    self.net, self.layers, self.head, work, piece.start, piece.stop, source, *noise, self.choice,
                    self.action, self.log_prob, self.log_probs, self.legal, *self.bounds, self.forms, self.sent, 0,
                )
            )  # fmt: skip

    def draw(self) -> None:
        """Uniform numbers for choices, normal ones for movements, and seeds for what takes several.

        Where other processes collect other columns, each draws the numbers of all and uses its own: who collects what
        changes no number.
        """
        generator, (uniform, normal, seeds) = self.state.generator, self.drawn
        if self.actions.choices:
            uniform.uniform_(generator=generator)
        if self.actions.components:
            normal.normal_(generator=generator)
        if self.actions.seeded:
            seeds.random_(generator=generator)
        if (columns := self.state.columns) is not None:
            for own, drawn in zip((self.uniform, self.normal, self.seeds), self.drawn, strict=True):
                own.copy_(drawn[:, columns.first : columns.first + self.n])

    def look_at_masks(self) -> None:
        """Room for what masks say, which are such as these environments' actions have."""
        mask, n, actions = self.state.action_mask, self.n, self.actions
        masked = not none(mask)
        for leaf in actions.leaves if masked else ():
            x = at(mask, leaf.path)
            form = (n, *leaf.forms) if leaf.box is None else (n, 2, leaf.size)
            if not none(x) and x.shape != form:
                raise ConfigError(
                    f"masks of shape {tuple(x.shape)}, but {n} environments choose among {leaf.choices or leaf.size}"
                )
        if masked != self.masked:
            self.masked = masked
            self.legal = np.empty((n if masked else 0, actions.legal), bool)
            self.bounds = actions.bounds()
            if masked:
                self.bounds = tuple(np.repeat(x, n, axis=0) for x in self.bounds)
            self.horizon = 0

    def act(self, t: int) -> Tree:
        if t == len(self.log_prob):
            self.grow()
        if self.horizon is None:
            self.draw()
        if self.masked:
            mask = self.state.action_mask
            self.masks.append(mask)
            self.actions.legal_rows(mask, self.legal)
            self.actions.bound_rows(mask, *self.bounds)
        if len(self.calls) == 1:
            self.calls[0](t)
        else:
            self.team.run(lambda k, _: self.calls[k](t), self.pieces)
        # Copies: environments may keep their actions, or write into them, and these rows are written again.
        if self.single is not None:  # by far the most frequent
            return self.choice[t, :, 0] + self.single.start
        return self.actions.sent(self.choice[t], self.sent, self.state.action_mask)

    def grow(self) -> None:
        """Double the storage."""
        for name in ("obs", "log_prob", "log_probs", "choice", "action", "rewards"):
            setattr(self, name, doubled(getattr(self, name)))
        self.all_flags = np.stack([doubled(x) for x in self.all_flags])
        self.bind()

    def steps(self, rows: int) -> Steps:
        action = self.actions.actions(self.choice[:rows], self.action[:rows])
        log_prob, log_probs = self.log_prob[:rows].copy(), self.log_probs[:rows]
        return self.kept(rows, action, torch.from_numpy(log_prob), self.actions.log_probs(log_probs))


class KernelActor:
    """A policy, with kernels that act for it where its environments reset in the next step."""

    def __init__(self, policy: Any, make: Callable[[VectorEnv, CollectState], KernelRecorder]) -> None:
        self.policy, self.make, self.memory = policy, make, policy.memory

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Sampler, Tree]:
        return self.policy.act(obs, memory, action_mask)

    def to_env(self, action: Tree, action_mask: Tree = ()) -> object:
        return self.policy.to_env(action, action_mask)

    def recorder(self, env: VectorEnv, state: CollectState) -> KernelRecorder | None:
        return self.make(env, state) if state.mode is AutoresetMode.NEXT_STEP else None


class Keeper:
    """Keeps rows of a segment. What environments answer may be of any type; it is copied to where a kernel reads it."""

    def __init__(self, kernels: Kernels, rows: ObservationRows, seen: Tree, storage: tuple[np.ndarray, ...]) -> None:
        n, self.rows, self.lone = len(storage[0]), rows, rows.lone
        self.wide = not rows.lone or seen.dtype != np.float32
        shape = seen.shape if rows.lone else (n, rows.width)
        self.seen = np.empty(shape, np.float64 if self.wide else np.float32)
        self.gain, self.terminated, self.truncated = np.empty(n), np.empty(n, bool), np.empty(n, bool)
        kernel = kernels.keep_f8 if self.wide else kernels.keep
        self.call = kernel.bind(*storage, self.seen.reshape(n, -1), self.gain, self.terminated, self.truncated, 0)

    def keep(self, t: int, answer: Answer) -> int:
        """Row t from what ``env.step`` gave; the number of decisions, or −1 where a number may not be finite."""
        if self.lone:
            self.seen[...], self.gain[...], self.terminated[...], self.truncated[...], _ = answer
        else:
            seen, self.gain[...], self.terminated[...], self.truncated[...], _ = answer
            self.rows.pack(seen, self.seen)
        return self.call(t)


def doubled(x: np.ndarray) -> np.ndarray:
    """``x`` with as many rows again after it (observations: their last row stays the last one used)."""
    return np.concatenate([x, np.empty_like(x)])
