"""Decisions ``[T, N]`` of a vector environment, whatever its autoreset mode.

Canonical is Gymnasium's next-step mode: the row after an episode's end holds the true last observation and is no
decision, so V(sₜ₊₁) is always ``value[t + 1]``. For environments that reset in the same step, or that wait to be reset,
that row is inserted afterwards.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Generator, Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree, each, leaves
from clipper.data.values import shown
from clipper.environments import make
from clipper.environments.checks import AGENTS, Promise, checked_reset, checked_step, describe
from clipper.environments.closing import close
from clipper.environments.mask_sources import mask_source
from clipper.environments.state import get_lasting, get_states, set_lasting, set_states
from clipper.environments.state_trees import EnvironmentState
from clipper.environments.told_episodes import TELLS, Info
from clipper.environments.vector.reach import call_each, get_from_each, set_in_each
from clipper.errors import ConfigError
from clipper.networks.policy_options import MASK_KEY
from clipper.networks.protocol import Actor, abilities
from clipper.rollout.episodes import Told, count_episodes
from clipper.rollout.protocol import Episode
from clipper.rollout.recorder import OnFinish, OnInfo, OnStep, RecordingActor, TensorRecorder
from clipper.rollout.stages import Edges, Masks, NoMasks, Restarts
from clipper.rollout.state import CollectState, autoreset_mode, observation_tensor
from clipper.rollout.teams import Teams
from clipper.storage.saved import like, part, value_of

UNLIMITED = np.iinfo(np.int64).max


class VectorRollouts(CollectState):
    """A vector environment, stepped by whoever acts.

    All environments are reset, environment i with ``seed + i`` (Gymnasium's custom), and the actions' generator is
    seeded. ``mask_key``: the part of a Dict observation that is the action mask, where there is one. ``first`` are
    further stages, which see each step before any other.
    """

    def __init__(
        self,
        env: VectorEnv,
        seed: int = 0,
        device: torch.device | str = "cpu",
        mask_key: str = MASK_KEY,
        *,
        first: Sequence[OnStep] = (),
    ) -> None:
        if not isinstance(env, VectorEnv):
            raise ConfigError(
                f"VectorRollouts steps a gymnasium.vector.VectorEnv, not {shown(env)}: write "
                "VectorRollouts(clipper.make_env(…, num_envs)), with an id or a factory"
            )
        env = make(env, env.num_envs)
        self.env, self.seed, self.num_envs = env, seed, env.num_envs
        self.single_observation_space, self.single_action_space = env.single_observation_space, env.single_action_space
        self.mode, self.promise = autoreset_mode(env), Promise(env)
        self.generator, self.steps = Generator(device).manual_seed(seed), 0
        self.left, self.told = np.zeros(self.num_envs, dtype=np.int64), Told() if env.metadata.get(TELLS) else None
        self.episodes, self.metrics = list[Episode](), dict[str, float]()
        self.first, self.actor, self.closed, self.masks = first, None, False, NoMasks(env)
        self.teams = Teams(env, self) if AGENTS in env.metadata else None
        obs, info = self.reset(seed)
        self.mask_source, self.action_mask = mask_source(env, obs, info, mask_key), ()
        if self.mask_source is not None:
            self.masks = Masks(env, self)
            self.masks.begin(obs, info)

    @property
    def masked(self) -> bool:
        """Does the environment say which actions are legal?"""
        return self.mask_source is not None

    @torch.set_grad_enabled(False)  # as no_grad, at half the price, which a segment of one row feels
    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tree]:
        """Act and record what happened: the steps, and ``last_obs``, the observations ``[N, ...]`` after them.

        ``horizon`` collects that many rows per environment and goes on where the last call stopped. ``episodes`` begins
        with a reset and collects whole episodes, a quota fixed in advance for each environment ("the first n to finish"
        would favour short ones), padded by the mask.
        """
        wanted = episodes if horizon is None else horizon
        if (horizon is None) == (episodes is None) or not isinstance(wanted, int | np.integer) or wanted < 1:
            raise ConfigError(
                f"collect takes either horizon or episodes, a whole number from 1 on, not {horizon=} and {episodes=}"
            )
        if self.closed or self.env.unwrapped.closed:
            raise ConfigError(
                "the environments of these rollouts were closed, as train closes those that it made, and as a "
                "failure ends worker processes: make others, VectorRollouts(clipper.make_env(…, num_envs))"
            )
        if self.stale or (episodes is not None and not self.fresh):
            self.reset()
        if actor is not self.actor:
            self.join(actor)
        self.fresh = False
        self.left[:] = UNLIMITED if episodes is None else self.quota_of(episodes)
        recorder, t, before = self.recorder, 0, self.steps
        try:
            recorder.begin(horizon)
            for begin in self.on_begin:
                begin()
            with recorder.around:
                while t < horizon if horizon is not None else (self.left > 0).any() or self.others_need(t):
                    answer = checked_step(self.env, recorder.act(t), self, recorder.looks)
                    for stage in self.on_step:
                        answer = stage(t, answer)
                    for note in self.on_info if answer[-1] else ():
                        note(t, answer[-1])
                    self.steps += recorder.keep(t, answer)
                    t += 1
            steps = recorder.steps(t)
            for finish in self.on_finish:
                steps = finish(steps)
        except BaseException:
            self.steps, self.stale = before, True  # nobody gets these rows, and nothing goes on from them
            raise
        self.stale = episodes is not None
        return steps, self.obs

    def quota_of(self, episodes: int) -> np.ndarray:
        """How many of the ``episodes`` each environment finishes, ``[N]``."""
        teams = self.teams
        return quota(episodes, self.num_envs) if teams is None else teams.quota(quota(episodes, teams.teams))

    def others_need(self, t: int) -> bool:
        """Do others, who collect whole episodes together with these, take more than ``t`` rows?"""
        return False

    def join(self, actor: Actor) -> None:
        """What acts and keeps rows for this actor, and the stages that it and the environment need."""
        if not isinstance(actor, Actor):
            inner = getattr(actor, "policy", getattr(actor, "actor", None))
            whose = ".policy" if hasattr(actor, "policy") else ".actor"
            remedy = f"give its {whose}" if isinstance(inner, Actor) else "give a policy, clipper.make_policy(…)"
            raise ConfigError(f"{type(actor).__name__} takes no actions, it has no act and to_env: {remedy}")
        own = actor.recorder(self.env, self) if isinstance(actor, RecordingActor) else None
        recorder = own or TensorRecorder(actor, self.env, self)
        self.actor, self.recorder = actor, recorder
        self.on_step, self.on_info, self.on_begin = [*self.first], list[OnInfo](), list[Callable[[], None]]()
        self.on_finish: list[OnFinish] = [partial(count_episodes, self, recorder)]
        if getattr(self.env, "max_restarts", 0):
            restarts = Restarts(self.env, self, recorder)
            self.on_begin.append(restarts.begin)
            self.on_info.append(restarts.note)
            self.on_finish = [restarts.cut, *self.on_finish, restarts.count]
        if self.mode is not AutoresetMode.NEXT_STEP:
            edges = Edges(self.env, self)
            self.on_begin.append(edges.begin)
            self.on_step.append(edges.reset)
            self.on_finish.append(edges.insert)
        if self.teams is not None:
            self.on_begin.append(self.teams.begin)
            self.on_step.append(self.teams.step)
            self.on_finish.append(self.teams.finish)
        if isinstance(self.masks, Masks):
            self.on_step.append(self.masks.step)
        else:
            self.on_info.append(self.masks.refuse)
        self.on_finish += recorder.on_finish

    def reset(self, seed: int | None = None, **options: object) -> tuple[Tree, Info]:
        """Reset all environments, and forget their unfinished episodes; what ``env.reset`` gave.

        Without a ``seed`` they are not seeded anew. ``options`` are what else ``env.reset`` takes.
        """
        try:
            obs, info = checked_reset(self.env, self, seed=seed, **options)
        except BaseException:
            self.stale = True
            raise
        n = self.num_envs
        self.obs, self.memory = observation_tensor(obs, self.generator.device), ()
        self.done, self.running_total, self.running_length = np.zeros(n, bool), np.zeros(n), np.zeros(n, np.int64)
        self.told = None if self.told is None else Told()
        if self.teams is not None:
            self.teams.reset()
            self.done = ~self.teams.decides(info)
        self.masks.begin(obs, info)
        self.fresh, self.stale = True, False
        return obs, info

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, object]]:
        """As named tensors and JSON; ``environments`` is None without ``episodes``, or where none can be restored."""
        states = get_states(self.env) if episodes else None
        tensors = {
            **{f"obs.{i}": x for i, x in enumerate(leaves(self.obs))},
            "done": torch.from_numpy(self.done.copy()),
            "generator": self.generator.get_state(),
            "running_total": torch.from_numpy(self.running_total.copy()),
            "running_length": torch.from_numpy(self.running_length.copy()),
            **{f"action_mask.{i}": mask for i, mask in enumerate(leaves(self.action_mask))},
            **{f"memory.{i}": x for i, x in enumerate(self.memory)},
            **({} if self.teams is None else self.teams.tensors()),
        }
        for i, saved in enumerate(states or []):
            tensors |= {f"env.{i}.{k}": torch.from_numpy(np.array(v)) for k, v in saved.arrays.items()}
        environments = None if states is None else [saved.values for saved in states]
        values: dict[str, object] = {"steps": self.steps, "fresh": self.fresh, "stale": self.stale}
        values["environments"] = environments
        if (lasting := get_lasting(self.env)) is not None:
            tensors |= {f"lasting.{k}": torch.from_numpy(np.array(v)) for k, v in lasting.arrays.items()}
            values["lasting"] = lasting.values
        return tensors, values

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, object], actor: Actor) -> bool:
        """Go back to such a state, of which ``actor`` goes on; False where that cannot be, and new episodes begin.

        They have other seeds: those of the run's beginning were played already.
        """
        self.steps, self.fresh = value_of("steps", int, values), value_of("fresh", bool, values)
        self.generator.set_state(tensors["generator"])
        if self.teams is not None:
            self.teams.load(tensors, episodes=values["environments"] is not None)
        if "lasting" in values:  # before new games begin
            lasting = {k: v.numpy() for k, v in part(tensors, "lasting.").items()}
            set_lasting(self.env, EnvironmentState(lasting, value_of("lasting", dict, values)))
        if values["environments"] is None:
            seeds = np.random.SeedSequence([self.seed, self.steps]).generate_state(1)
            self.reset(int(seeds[0]))
            return False
        self.stale = value_of("stale", bool, {"stale": False} | values)  # older files do not say
        self.memory, self.told = (), None if self.told is None else Told()
        states = [
            EnvironmentState({k: v.numpy() for k, v in part(tensors, f"env.{i}.").items()}, own)
            for i, own in enumerate(value_of("environments", list, values))
        ]
        set_states(self.env, states)
        number = count()
        self.obs = each(lambda x: like(f"obs.{next(number)}", x, tensors), self.obs)
        number = count()
        self.action_mask = each(lambda x: like(f"action_mask.{next(number)}", x, tensors), self.action_mask)
        for name in ("done", "running_total", "running_length"):
            setattr(self, name, like(name, torch.from_numpy(getattr(self, name)), tensors).numpy())
        numbers = [x for x in leaves(self.obs) if x.is_floating_point()]
        if self.steps < 0 or (self.running_length < 0).any() or not np.isfinite(self.running_total).all():
            raise ValueError("its decisions, or the lengths or returns of episodes under way, cannot be counted so")
        if not all(x.isfinite().all() for x in numbers):
            raise ValueError("obs holds numbers that are not finite")
        fresh, own = (), abilities(actor)
        if own.memory is not None:
            fresh = own.memory.forget((), self.done)
        if own.renew is not None:
            fresh = own.renew(fresh, self.done, Generator(self.generator.device))
        if "memory.0" in tensors:  # before the first step there is none
            self.memory = tuple(like(f"memory.{i}", x, tensors) for i, x in enumerate(fresh))
        return True

    def __getstate__(self) -> dict[str, object]:
        """What a copy goes on from; it finds anew who acts, and keeps rows in storage of its own."""
        joined = ("actor", "recorder", "on_step", "on_info", "on_begin", "on_finish")
        return {**{name: x for name, x in vars(self).items() if name not in joined}, "actor": None}

    def call(self, name: str, *args: object, **kwargs: object) -> tuple[object, ...]:
        """What a method of each environment gives, or an attribute of each."""
        return call_each(self.env, name, *args, **kwargs)

    def get_attr(self, name: str) -> tuple[object, ...]:
        """An attribute of each environment."""
        return get_from_each(self.env, name)

    def set_attr(self, name: str, values: object) -> None:
        """Set an attribute of each environment, to a list's entries or to one value for all."""
        set_in_each(self.env, name, values)

    def close(self) -> None:
        """Close the environments."""
        self.closed = True
        close(self.env, describe(self.env))


def quota(episodes: int, n: int) -> np.ndarray:
    """Episodes for each of ``n`` environments, as evenly as can be."""
    return np.array([episodes // n + (i < episodes % n) for i in range(n)])
