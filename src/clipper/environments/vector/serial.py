"""Several environments in this process, stepped one after another, in next-step autoreset mode.

What Gymnasium's ``SyncVectorEnv`` does, without its per-step copies and info dictionaries, which cost more than a cheap
environment's own step; and an environment that misbehaves is named.
"""

import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import TimeLimit

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.checks import (
    FIVE,
    MASK_KEYS,
    RESTARTED,
    SINCE,
    check_apart,
    check_numbers,
    checked_info,
    checked_start,
    describe,
    fitting,
)
from clipper.environments.closing import close
from clipper.environments.state import get_state, set_state
from clipper.environments.state_trees import EnvironmentState, entry
from clipper.environments.told_episodes import EACH, TELLS, TOLD, WHOLE, Info
from clipper.environments.vector.made import anew, made, unguarded
from clipper.environments.vector.numbers import EXACT, INTEGERS, is_number, is_truth_value, number_of
from clipper.environments.vector.reach import one_each
from clipper.errors import (
    ClipperError,
    CorruptCheckpointError,
    EnvironmentContractError,
    EnvWorkerError,
    repr_of,
    text_of,
)
from clipper.spaces.actions import batch, element
from clipper.spaces.observations import Leaf, observation_leaves, observation_tree, place

NOTHING: Info = {}
SUCCESS_KEYS = ("is_success", "success")
"""The entries of an episode's last info that say whether its task was done."""


class Serial(VectorEnv):
    """N environments made by ``factories``. The arrays that ``step`` returns are reused by the next one.

    Where an environment's step raises, ``EnvWorkerError`` names it. Up to ``max_restarts`` times it is made anew
    instead, also where it gives NaN: the row holds the first observation of its next episode, and
    ``info[RESTARTED]`` (``[N]``) says where.
    """

    def __init__(
        self, factories: Sequence[Callable[[], gymnasium.Env]], *, max_restarts: int = 0, first_index: int = 0
    ) -> None:
        self.factories, self.max_restarts, self.first_index = factories, max_restarts, first_index
        self.envs = made(factories)
        check_apart(self.envs, first_index)
        first = self.envs[0]
        self.num_envs = len(self.envs)
        self.spec, self.render_mode = first.spec, first.render_mode
        self.leaves = observation_leaves(first.observation_space)
        self.lone = not isinstance(first.observation_space, Dict | Tuple) and self.leaves[0].least is None
        """Is an observation one array of numbers?"""
        self.bounds = [leaf.one_choice for leaf in self.leaves]
        """The least and the largest of what is one choice, None of all else."""
        self.metadata = {**first.metadata, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space, self.single_action_space = first.observation_space, first.action_space
        for i, env in enumerate(self.envs):
            if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
                raise EnvironmentContractError(
                    f"environment {i} has other spaces than environment 0: {env.observation_space}, {env.action_space} "
                    f"and {first.observation_space}, {first.action_space}"
                )
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch(first.action_space, self.num_envs)
        self.cut = not isinstance(first.action_space, Discrete) and not first.action_space.shape
        """Is one action more than a row of an array?"""
        n = self.num_envs
        obs = [np.zeros((n, *leaf.shape), leaf.dtype) for leaf in self.leaves]
        self.write_to(obs, np.zeros(n), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool))
        self.resets = [True] * n
        """Which environments the next step resets."""
        self.seeds: Sequence[int | None] = [None] * n
        self.rows_stepped = self.restarts = 0
        self.tells = bool(self.metadata.get(TELLS))
        """Do environments keep count of their episodes? One may end while it is reset."""
        self.passed_on = (*SUCCESS_KEYS, *(TOLD if self.tells else ()))
        """What of an episode's last info goes into the step's."""
        self.mask_key: str | None = None
        """The entry of an environment's info that says which actions are legal."""
        in_sight = isinstance(first.observation_space, Dict) and MASK_KEYS[0] in first.observation_space.spaces
        self.asks = not in_sight and first.has_wrapper_attr("action_masks")
        """Is ``action_masks()`` of an environment asked where its info tells nothing?"""
        self.masks: list[Tree] = [None] * n
        self.infos: list[Info] = [NOTHING] * n
        """What each environment reported with the latest step."""
        self.passes_infos = False

    def pass_infos(self, wanted: bool = True) -> None:
        """Put each environment's own info into ``info[EACH]`` of every step, or no longer."""
        self.passes_infos = wanted

    def limit(self, steps: int) -> list[bool]:
        """End episodes after so many steps, where an environment has no time limit of its own; which those are."""
        endless = [not is_limited(env) for env in self.envs]
        pairs = zip(self.envs, endless, strict=True)
        self.envs = [TimeLimit(env, steps) if without else env for env, without in pairs]
        return endless

    def write_to(
        self, obs: list[np.ndarray], reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
    ) -> None:
        """Take these arrays, of the shapes and dtypes of its own, for what ``step`` returns; ``obs`` leaf by leaf."""
        self.obs = observation_tree(self.single_observation_space, iter(obs))
        self.reward, self.terminated, self.truncated = reward, terminated, truncated
        views = [[array[i, ...] for array in obs] for i in range(self.num_envs)]
        self.rows: list[Tree] = [row[0] for row in views] if self.lone else views
        """Views of ``obs``, or one for each leaf: assigning to one costs half of assigning to an index."""

    def __getstate__(self) -> dict[str, object]:
        """Of a copy: views are made anew, which would else be arrays apart from those that ``step`` returns."""
        return {name: x for name, x in vars(self).items() if name != "rows"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self.write_to([leaf.of(self.obs) for leaf in self.leaves], self.reward, self.terminated, self.truncated)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, object] | None = None
    ) -> tuple[Tree, Info]:
        """Reset all; an integer seeds environment i with ``seed + i``."""
        if seed is None or isinstance(seed, int):
            seed = [None if seed is None else seed + i for i in range(self.num_envs)]
        self.seeds = seed
        for i in range(self.num_envs):
            self.begin(i, seed[i], options)
        return self.obs, self.with_masks(NOTHING)

    def begin(self, i: int, seed: int | None, options: dict[str, object] | None = None) -> None:
        """Reset one environment."""
        self.resets[i] = True
        wanted = WHOLE if self.tells and options is None else options
        try:
            obs, info = checked_start(self.envs[i].reset(seed=seed, options=wanted), self.name(i))
            if self.lone:
                self.check(i, obs, self.leaves[0])
                self.rows[i][...] = obs
            else:
                self.write(i, obs)
            self.reward[i], self.resets[i] = 0.0, False
            if self.mask_key is None:
                self.mask_key = next((key for key in MASK_KEYS if key in info), MASK_KEYS[0] if self.asks else None)
            if self.mask_key is not None:
                self.masks[i] = self.mask_of(i, info)
        except ClipperError:
            raise
        except (Exception, SystemExit) as error:
            if isinstance(error, TypeError) and re.search(r"unexpected keyword argument '(seed|options)'", str(error)):
                told = f"{self.name(i)} cannot be reset, {error}: write reset(self, *, seed=None, options=None) {SINCE}"
                raise EnvironmentContractError(told) from error
            raise self.failure(i, error) from error

    def write(self, i: int, obs: Tree) -> None:
        """Keep an observation that is a tree, or that is made of choices, leaf by leaf."""
        for leaf, row, bounds in zip(self.leaves, self.rows[i], self.bounds, strict=True):
            try:
                part = leaf.of(obs)
            except (LookupError, TypeError) as error:
                raise EnvironmentContractError(
                    f"{self.name(i)} gave an observation without {place(leaf.path)}, which its observation space has: "
                    "fix one of the two"
                ) from error
            if bounds is not None and type(part) in INTEGERS and bounds[0] <= part <= bounds[1]:
                row[...] = part
                continue
            if type(part) is not np.ndarray or part.dtype is not leaf.dtype or part.shape != leaf.shape:
                self.check(i, part, leaf)
            if leaf.least is not None and (np.any(part < leaf.least) or np.any(part > leaf.most)):
                raise EnvironmentContractError(
                    f"{self.name(i)} gave an observation{place(leaf.path)} of {part}, but its observation space has "
                    f"{leaf.least} to {leaf.most}: fix one of the two"
                )
            row[...] = part

    def five_of(self, i: int, answer: object) -> tuple[Tree, SupportsFloat, bool, bool, Info]:
        """What an environment's step gave, if it is five things."""
        if not isinstance(answer, tuple | list) or len(answer) != 5:
            raise EnvironmentContractError(f"{self.name(i)} {FIVE}")
        obs, reward, terminated, truncated, info = answer
        return obs, reward, terminated, truncated, info

    def note_mask(self, i: int, info: Info) -> None:
        """Keep the mask that an environment's info holds."""
        if type(info) is not dict:
            checked_info(info, self.name(i))
        if self.mask_key is None and info.keys().isdisjoint(MASK_KEYS):
            return
        if self.mask_key is None:
            raise EnvironmentContractError(
                f"{self.name(i)} gives an action mask with a step, but gave none with its reset: add it to both"
            )
        self.masks[i] = self.mask_of(i, info)

    def mask_of(self, i: int, info: Info) -> Tree:
        """What the environment's info says is legal, or else its method, which is asked only where it decides next."""
        if self.mask_key in info:
            return info[self.mask_key]
        if not self.asks or self.resets[i]:
            return None
        return self.envs[i].get_wrapper_attr("action_masks")()

    def with_masks(self, info: Info) -> Info:
        """The info with all masks, and which environments gave one."""
        if self.mask_key is None:
            return info
        return {**info, self.mask_key: self.masks, f"_{self.mask_key}": [mask is not None for mask in self.masks]}

    def step(self, actions: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step those whose episode goes on, reset the others; ``actions`` as ``clipper.networks.heads.make_head`` lays
        them out.
        """
        if self.cut:
            actions = [element(self.single_action_space, actions, i) for i in range(self.num_envs)]
        self.rows_stepped += 1
        self.terminated.fill(False)
        self.truncated.fill(False)
        rows, rewards, resets, info = self.rows, self.reward, self.resets, NOTHING
        lone, leaf, masked, infos = self.lone, self.leaves[0], self.mask_key is not None, self.infos
        dtype, shape = leaf.dtype, leaf.shape
        for i, env in enumerate(self.envs):
            try:
                if resets[i]:
                    obs, own = env.reset()
                    reward, resets[i] = 0.0, False
                    info = self.with_last(i, own, info) if own and self.tells else info
                else:
                    answer = env.step(actions[i])
                    five = type(answer) is tuple and len(answer) == 5
                    obs, reward, terminated, truncated, own = answer if five else self.five_of(i, answer)
                    if self.max_restarts:
                        check_numbers(obs, reward)
                    if terminated is not False or truncated is not False:
                        odd = type(terminated) is not bool or type(truncated) is not bool
                        resets[i] = self.has_ended(i, terminated, truncated) if odd else True
                        self.terminated[i], self.truncated[i] = terminated, truncated
                        info = self.with_last(i, own, info) if own and resets[i] else info
                if lone:
                    if type(obs) is not np.ndarray or obs.dtype is not dtype or obs.shape != shape:
                        self.check(i, obs, leaf)
                    rows[i][...] = obs
                else:
                    self.write(i, obs)
                if masked or type(own) is not dict or (own and not own.keys().isdisjoint(MASK_KEYS)):
                    self.note_mask(i, own)
                number = isinstance(reward, float) or (type(reward) is int and -EXACT < reward < EXACT)
                rewards[i] = reward if number else self.one_number(i, reward)
                infos[i] = own
            except (Exception, SystemExit) as error:
                info = self.restart(i, error, info)
        if masked or self.passes_infos:
            info = {**self.with_masks(info), **({EACH: list(infos)} if self.passes_infos else {})}
        return self.obs, rewards, self.terminated, self.truncated, info

    def with_last(self, i: int, own: Info, info: Info) -> Info:
        """The info with what an episode's last one says about the whole of it, laid out as Gymnasium lays out infos."""
        for key in self.passed_on:
            if (number := number_of(own.get(key))) is not None:
                info = {key: np.zeros(self.num_envs), f"_{key}": np.zeros(self.num_envs, dtype=bool), **info}
                info[key][i], info[f"_{key}"][i] = number, True
        return info

    def restart(self, i: int, error: Exception | SystemExit, info: Info) -> Info:
        """Make environment i anew after its step raised, and add it to ``info[RESTARTED]``, or raise.

        One that cannot even be reset, or breaks its spaces' promise, would do so again: it is not made anew. Nor is
        one that exits: it may have been the user who closed its window.
        """
        if isinstance(error, ClipperError):
            raise error
        if self.resets[i] or self.restarts >= self.max_restarts or isinstance(error, SystemExit):
            raise self.failure(i, error) from error
        self.restarts += 1
        with suppress(Exception):
            self.envs[i].close()
        try:
            self.envs[i] = unguarded(self.factories[i]())
        except Exception as second:
            raise self.failure(i, second) from second
        self.begin(i, anew(self.seeds[i], self.rows_stepped))
        warnings.warn(
            f"{self.name(i)} failed in step {self.rows_stepped} and was made anew, restart {self.restarts} of "
            f"{self.max_restarts}: {repr_of(error)}",
            stacklevel=3,
        )
        info = {RESTARTED: np.zeros(self.num_envs, dtype=bool), **info}
        info[RESTARTED][i] = True
        self.infos[i] = NOTHING
        return info

    def failure(self, i: int, error: BaseException) -> EnvWorkerError:
        """What an environment's own error is reported as, with its traceback: a worker has no other way."""
        during = "its reset" if self.resets[i] else f"step {self.rows_stepped}"
        used = f"; {self.restarts} restarts were tried" if self.restarts else ""
        text = "".join(traceback.format_exception(error)).rstrip()
        return EnvWorkerError(f"{self.name(i)} failed in {during}{used}: {repr_of(error)}\n{text}")

    def check(self, i: int, obs: Tree, leaf: Leaf) -> None:
        """Raise unless the shape of an observation, or of its part, is right and its dtype can hold its numbers."""
        what = f"{self.name(i)} gave an observation{place(leaf.path)}"
        try:
            shape = np.shape(obs)
        except Exception as error:  # whatever somebody's own kind of array may raise
            raise EnvironmentContractError(f"{what} that is no array of one shape: {text_of(error)}") from error
        if shape != leaf.shape:
            raise EnvironmentContractError(
                f"{what} of shape {shape}, but its observation space says {leaf.shape}: fix one of the two"
            )
        try:
            fitting(np.asarray(obs), leaf._replace(least=None))
        except ValueError as error:
            raise EnvironmentContractError(f"{what} {error}: fix one of the two") from None

    def has_ended(self, i: int, terminated: object, truncated: object) -> bool:
        """Has the episode? Raises unless both are truth values."""
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(flag, bool | np.bool_) and not is_truth_value(flag):
                raise EnvironmentContractError(
                    f"{self.name(i)} gave {name} = {shown(flag)}: it must be True or False, which says whether the "
                    "episode has ended so"
                )
        return bool(terminated or truncated)

    def one_number(self, i: int, reward: object) -> float:
        """A reward as a float, if it is one number; a text that reads like one is none."""
        if is_number(reward):
            return float(reward)
        raise EnvironmentContractError(f"{self.name(i)} gave the reward {shown(reward)}: a reward must be one number")

    def name(self, i: int) -> str:
        """Environment i, as an error calls it."""
        return f"environment {self.first_index + i} of {describe(self)}"

    def get_states(self) -> list[EnvironmentState] | None:
        """The states of all environments, copied; None if one is opaque."""
        states = []
        for single, resets in zip(self.envs, self.resets, strict=True):
            state = get_state(single)
            if state is None:
                return None
            states.append(state._replace(values=state.values | {"resets": bool(resets)}))
        return states

    def set_states(self, states: list[EnvironmentState]) -> None:
        """The inverse of ``get_states``; buffers need none of it."""
        for i, (single, state) in enumerate(zip(self.envs, states, strict=True)):
            try:
                self.resets[i] = entry(state.values, "resets", bool)
                set_state(single, state)
            except CorruptCheckpointError as error:
                raise CorruptCheckpointError(f"environment {i}: {error}") from error

    def render(self) -> tuple[Any, ...]:
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: object, **kwargs: object) -> tuple[object, ...]:
        """What a method of each environment gives, or an attribute of each, as Gymnasium's vector environments do."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        return tuple(x(*args, **kwargs) if callable(x) else x for x in found)

    def get_attr(self, name: str) -> tuple[object, ...]:
        """An attribute of each environment."""
        return tuple(env.get_wrapper_attr(name) for env in self.envs)

    def set_attr(self, name: str, values: object) -> None:
        """Set an attribute of each environment, to the entries of a list or tuple, or to one value for all."""
        for env, value in zip(self.envs, one_each(values, self.num_envs), strict=True):
            env.set_wrapper_attr(name, value)

    def close_extras(self, **kwargs: object) -> None:
        for i, env in enumerate(self.envs):
            close(env, f"environment {i} of {type(env.unwrapped).__name__}")


def is_limited(env: gymnasium.Env | VectorEnv) -> bool:
    """Is it known to end its episodes after some time, by a limit that Gymnasium keeps or one of its own?"""
    return bool(env.metadata.get(TELLS)) or (env.spec is not None and env.spec.max_episode_steps is not None)
