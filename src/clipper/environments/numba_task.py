"""An environment of one's own as functions of one copy, which Numba compiles: all copies step in one loop.

Between two decisions of a policy there is one call from Python, however many copies there are.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import ClassVar, cast

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvCreator, parse_env_id
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, OneOf

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.hybrid.single import Single
from clipper.environments.hybrid.vector import Native
from clipper.environments.vector.numbers import is_number
from clipper.errors import ConfigError, text_of
from clipper.spaces.actions import in_batch

LARGEST_STATE = 1_000_000  # numbers of one copy
Kernel = Callable[..., object]


class NumbaTask:
    """One environment, described by functions of one copy that Numba can compile.

    - ``begin(state, generator)`` writes the state in which an episode begins.
    - ``step(state, action, generator)`` changes it, and returns reward, terminated and truncated.
    - ``observe(state, obs)`` writes the observation, in the shape and dtype of ``observation_space``.
    - ``legal(state, mask)``, if given, writes which choices are legal: the action mask.
    - ``draw(state)``, if given, returns a picture, ``[height, width, 3]`` bytes; plain Python, nothing is compiled.

    ``state`` is a row of ``size`` float64 numbers, and holds all that changes, a count of steps included; ``generator``
    is a ``numpy.random.Generator``, the only source of chance. ``action`` is an integer where the space is
    ``Discrete``, a row where it is ``Box``, ``MultiDiscrete`` or ``MultiBinary``, and of a ``OneOf`` the pair of the
    choice and a row of all branches' arguments in their order. What the functions call needs ``numba.njit``. Two steps
    of one copy are tried in plain Python, which raises where an index is beyond an array's end; compiled code does not.

    >>> task = NumbaTask(observation_space, action_space, 4, begin, step, observe)
    >>> clipper.train(task.vector(512), total_steps=1_000_000)
    >>> task.register("Mine-v0")  # and from then on by name, one alone and many together
    """

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, size: int, begin: Kernel, step: Kernel,
        observe: Kernel, *, legal: Kernel | None = None, draw: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(observation_space, Box):
            raise ConfigError(f"a NumbaTask observes a Box, not {observation_space}")
        if not isinstance(action_space, Discrete | MultiDiscrete | MultiBinary | Box | OneOf):
            raise ConfigError(
                f"a NumbaTask acts in a Discrete, MultiDiscrete, MultiBinary, Box or OneOf, not in {action_space}"
            )
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST_STATE:
            raise ConfigError(
                f"the size of a NumbaTask's state must be a whole number from 1 to {LARGEST_STATE:,}, not {shown(size)}"
            )
        if legal is not None and not isinstance(action_space, Discrete | MultiDiscrete):
            raise ConfigError(f"legal is for choices, and the action space is {action_space}: leave it out")
        given = {"begin": begin, "step": step, "observe": observe, **({} if legal is None else {"legal": legal})}
        for name, function in given.items():
            if not callable(function):
                raise ConfigError(f"{name} of a NumbaTask must be a function, not {shown(function)}")
        self.observation_space: Box = observation_space
        self.action_space: gymnasium.Space = action_space
        self.size = size
        self.picture = draw
        from clipper.environments.hybrid.kernels import of_copies  # noqa: PLC0415 (Numba takes a while to import)

        self.begins, self.steps, self.looks = (
            of_copies.begin_all(begin), of_copies.step_all(step), of_copies.write_all(observe)
        )  # fmt: skip
        self.masks = None if legal is None else of_copies.write_all(legal)
        self.choices = int(np.sum(getattr(action_space, "nvec", getattr(action_space, "n", 0))))
        self.try_once(given)

    def try_once(self, given: dict[str, Kernel]) -> None:
        """A step of one copy in plain Python, which looks at indices: compiled code writes beyond an array's end.

        Raises ``ConfigError`` where a function fails there, or gives something else than it should.
        """

        def call(name: str, *arguments: object) -> object:
            function: Kernel = getattr(given[name], "py_func", given[name])  # what numba.njit was given
            try:
                with np.errstate(all="ignore"):
                    return function(*arguments)
            except Exception as error:
                raise ConfigError(
                    f"{name} of this NumbaTask fails on one copy: {type(error).__name__}: {text_of(error)}"
                ) from error

        state, generator = np.zeros(self.size), np.random.default_rng(0)
        space = copy.deepcopy(self.action_space)
        space.seed(0)
        action = space.sample()
        if isinstance(space, OneOf):
            numbers = [np.ravel(batch_of_one) for batch_of_one in in_batch(space, action)[1]]
            action = int(action[0]), np.concatenate(numbers, dtype=np.float64)
        call("begin", state, generator)
        for _ in range(2):
            call("observe", state, np.zeros(self.observation_space.shape, self.observation_space.dtype))
            if "legal" in given:
                call("legal", state, np.zeros(self.choices, bool))
            answer = call("step", state, action, generator)
            if not isinstance(answer, tuple) or len(answer) != 3 or not all(map(is_number, answer)):
                raise ConfigError(
                    f"step of this NumbaTask gives {shown(answer)}: reward, terminated and truncated are wanted"
                )

    def copies(self, count: int) -> "CompiledCopies":
        """So many copies side by side, as arrays."""
        return CompiledCopies(count, self)

    def vector(self, num_envs: int, render_mode: str | None = None) -> Native:
        """A vector environment of ``num_envs`` copies, ready to be trained in."""
        return Native(self.copies, num_envs, render_mode=render_mode)

    def __call__(self, *, render_mode: str | None = None) -> Single:
        """One copy as a Gymnasium environment."""
        return Single(self.copies, render_mode=render_mode)

    def register(self, name: str, reward_threshold: float | None = None) -> None:
        """Register it with Gymnasium as ``name``, such as ``Mine-v0``, alone and vectorised.

        A time limit is the step's own matter: ``truncated``.
        """
        try:
            parse_env_id(name)
        except gymnasium.error.Error as error:
            raise ConfigError(f"{name!r} cannot be an environment's name, write it as Mine-v0: {error}") from None
        gymnasium.register(
            name, entry_point=cast(EnvCreator, self), vector_entry_point=partial(Native, self.copies),
            order_enforce=False, disable_env_checker=True, reward_threshold=reward_threshold,
        )  # fmt: skip


class CompiledCopies:
    """N copies of a ``NumbaTask``."""

    fps: ClassVar[int] = 30

    def __init__(self, count: int, own: NumbaTask) -> None:
        self.own, self.count = own, count
        self.single_observation_space: Box = own.observation_space
        self.single_action_space: gymnasium.Space = own.action_space
        self.rows = np.zeros((count, own.size))
        self.state = self.rows.T
        """The same numbers as ``[F, N]``."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        rows = np.zeros((count, self.own.size))
        self.own.begins(rows, generator)
        return rows.T

    def step(
        self, action: Tree, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reward, (terminated, truncated) = np.zeros(self.count), np.zeros((2, self.count), bool)
        if isinstance(self.single_action_space, OneOf):
            choice, arguments = action
            numbers = np.concatenate([np.reshape(x, (self.count, -1)) for x in arguments], axis=1, dtype=np.float64)
            self.own.steps(self.rows, np.asarray(choice), numbers, generator, over, reward, terminated, truncated)
        else:
            none = np.empty((0, 0))
            self.own.steps(self.rows, np.asarray(action), none, generator, over, reward, terminated, truncated)
        return reward, terminated, truncated

    def observe(self) -> np.ndarray:
        obs = np.zeros((self.count, *self.single_observation_space.shape), self.single_observation_space.dtype)
        self.own.looks(self.rows, obs)
        return obs

    def info(self) -> dict[str, np.ndarray]:
        if self.own.masks is None:
            return {}
        mask = np.zeros((self.count, self.own.choices), bool)
        self.own.masks(self.rows, mask)
        return {"action_mask": mask}

    def draw(self, i: int) -> np.ndarray:
        if self.own.picture is None:
            raise ConfigError("this NumbaTask has no pictures: give it draw, a function of the state")
        return self.own.picture(self.rows[i].copy())
