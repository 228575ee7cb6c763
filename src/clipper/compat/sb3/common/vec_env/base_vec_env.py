"""What every vector of environments has, and every wrapper around one."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import gymnasium
import numpy as np
from gymnasium import vector

from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError

VecEnvIndices = None | int | Iterable[int]
VecEnvObs = Tree
VecEnvStepReturn = tuple[Tree, np.ndarray, np.ndarray, list[Info]]


class CloudpickleWrapper(vector.utils.CloudpickleWrapper):
    """What crosses to another process by Gymnasium's way of it, as functions without a module do."""

    @property
    def var(self) -> Tree:
        return self.fn


def tile_images(images_nhwc: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size as one picture, in rows and columns as near to a square as can be, black where none is."""
    images = np.asarray(images_nhwc)
    n, height, width, channels = images.shape
    rows = int(np.ceil(np.sqrt(n)))
    columns = int(np.ceil(n / rows))
    filled = np.concatenate([images, np.zeros((rows * columns - n, *images.shape[1:]), images.dtype)])
    grid = filled.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)


class VecEnv(ABC):
    """N environments: ``reset()`` gives observations, ``step(actions)`` observations, rewards, dones and infos.

    One that is done is reset in the same step; its last observation is ``info["terminal_observation"]``, and what the
    latest reset reported is in ``reset_infos``.
    """

    closed = False

    def __init__(self, num_envs: int, observation_space: gymnasium.Space, action_space: gymnasium.Space) -> None:
        self.num_envs, self.observation_space, self.action_space = num_envs, observation_space, action_space
        self.reset_infos: list[Info] = [{} for _ in range(num_envs)]
        self._seeds: list[int | None] = [None] * num_envs
        self._options: list[Info] = [{} for _ in range(num_envs)]
        self.render_mode: str | None = self.common_render_mode()
        self.metadata: Info = {"render_modes": [] if self.render_mode is None else [self.render_mode]}

    def common_render_mode(self) -> str | None:
        """How all environments render; raises where they differ."""
        try:
            modes = self.get_attr("render_mode")
        except AttributeError:
            warnings.warn("the `render_mode` attribute is not defined in your environment: it is None", stacklevel=3)
            return None
        assert all(mode == modes[0] for mode in modes), "render_mode must be the same for all environments"
        return modes[0]

    @abstractmethod
    def reset(self) -> Tree: ...

    @abstractmethod
    def step_async(self, actions: Tree) -> None: ...

    @abstractmethod
    def step_wait(self) -> VecEnvStepReturn: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Tree]: ...

    @abstractmethod
    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None: ...

    @abstractmethod
    def env_method(
        self, method_name: str, *method_args: object, indices: VecEnvIndices = None, **method_kwargs: object
    ) -> list[Tree]: ...

    @abstractmethod
    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]: ...

    def has_attr(self, attr_name: str) -> bool:
        try:
            self.get_attr(attr_name)
        except AttributeError:
            return False
        return True

    def step(self, actions: Tree) -> VecEnvStepReturn:
        self.step_async(actions)
        return self.step_wait()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of each environment, as its ``render`` gives it."""
        return self.env_method("render")

    def render(self, mode: str | None = None) -> np.ndarray | None:
        if mode == "human" and self.render_mode not in ("human", "rgb_array"):
            warnings.warn(
                f"human rendering needs render_mode='human' or 'rgb_array', not {self.render_mode}", stacklevel=2
            )
            return None
        if mode is not None and mode != self.render_mode and not (mode == "human" and self.render_mode == "rgb_array"):
            warnings.warn(
                f"the environments were made with render_mode={self.render_mode!r}, not {mode!r}", stacklevel=2
            )
            return None
        mode = mode or self.render_mode
        if mode is None:
            warnings.warn("render shows nothing: the environments were made without a render_mode", stacklevel=2)
            return None
        if self.render_mode == "human":
            self.env_method("render")
            return None
        if self.render_mode != "rgb_array":
            return None
        picture = tile_images([image for image in self.get_images() if image is not None])
        if mode == "human":
            import cv2  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (it need not be there for anything else)

            cv2.imshow("vecenv", picture[:, :, ::-1])
            cv2.waitKey(1)
        return picture

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Environment i is reset with ``seed + i`` next time; without a seed one is drawn from numpy's generator."""
        first = int(np.random.randint(0, 2**32 - 1, dtype=np.uint32)) if seed is None else seed
        self._seeds = [first + i for i in range(self.num_envs)]
        return self._seeds

    def set_options(self, options: list[Info] | Info | None = None) -> None:
        """What the next reset is given as ``options``: the same for all environments, or one for each."""
        options = {} if options is None else options
        self._options = [dict(options) for _ in range(self.num_envs)] if isinstance(options, dict) else options

    def _reset_seeds(self) -> None:
        self._seeds = [None] * self.num_envs

    def _reset_options(self) -> None:
        self._options = [{} for _ in range(self.num_envs)]

    @property
    def unwrapped(self) -> "VecEnv":
        return self

    def getattr_depth_check(self, name: str, already_found: bool) -> str | None:
        return f"{type(self).__module__}.{type(self).__name__}" if already_found and hasattr(self, name) else None

    def _get_indices(self, indices: VecEnvIndices) -> Iterable[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else indices


class VecEnvWrapper(VecEnv):
    """One around another, to which it hands on all that it does not do itself."""

    def __init__(
        self,
        venv: VecEnv,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
    ) -> None:
        self.venv = venv
        super().__init__(venv.num_envs, observation_space or venv.observation_space, action_space or venv.action_space)
        self.class_attributes = dict.fromkeys(dir(type(self)))

    @abstractmethod
    def reset(self) -> Tree: ...

    @abstractmethod
    def step_wait(self) -> VecEnvStepReturn: ...

    def step_async(self, actions: Tree) -> None:
        self.venv.step_async(actions)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        return self.venv.seed(seed)

    def set_options(self, options: list[Info] | Info | None = None) -> None:
        self.venv.set_options(options)

    def close(self) -> None:
        self.venv.close()

    def render(self, mode: str | None = None) -> np.ndarray | None:
        return self.venv.render(mode)

    def get_images(self) -> Sequence[np.ndarray | None]:
        return self.venv.get_images()

    def has_attr(self, attr_name: str) -> bool:
        return self.venv.has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Tree]:
        return self.venv.get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        self.venv.set_attr(attr_name, value, indices)

    def env_method(
        self, method_name: str, *method_args: object, indices: VecEnvIndices = None, **method_kwargs: object
    ) -> list[Tree]:
        return self.venv.env_method(method_name, *method_args, indices=indices, **method_kwargs)

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return self.venv.env_is_wrapped(wrapper_class, indices)

    @property
    def unwrapped(self) -> VecEnv:
        return self.venv.unwrapped

    def __getattr__(self, name: str) -> Tree:
        """What another one further in has, where it is not hidden by a third."""
        if name == "venv":  # not there yet
            raise AttributeError(name)
        hidden = self.getattr_depth_check(name, already_found=False)
        if hidden is not None:
            own = f"{type(self).__module__}.{type(self).__name__}"
            raise AttributeError(f"{name} of {own} is ambiguous: {hidden} has another one, which hides it")
        return self.getattr_recursive(name)

    def _get_all_attributes(self) -> dict[str, object]:
        return {**self.__dict__, **self.class_attributes}

    def getattr_recursive(self, name: str) -> Tree:
        if name in self._get_all_attributes():
            return getattr(self, name)
        if isinstance(self.venv, VecEnvWrapper):
            return self.venv.getattr_recursive(name)
        return getattr(self.venv, name)

    def getattr_depth_check(self, name: str, already_found: bool) -> str | None:
        there = name in self._get_all_attributes()
        if there and already_found:
            return f"{type(self).__module__}.{type(self).__name__}"
        return self.venv.getattr_depth_check(name, already_found or there)


Factory = Callable[[], gymnasium.Env]


def checked(env_fns: Sequence[Factory], kind: str) -> Sequence[Factory]:
    """Functions that make an environment each; raises ``ConfigError`` for anything else."""
    how = f"{kind} takes a list of functions, {kind}([lambda: gym.make('CartPole-v1')])"
    if not isinstance(env_fns, Iterable) or isinstance(env_fns, gymnasium.Env | VecEnv | str) or callable(env_fns):
        raise ConfigError(f"{how}, not {env_fns!r}: put it into one, or call make_vec_env")
    found = list(env_fns)
    for make in found:
        if isinstance(make, gymnasium.Env) or not callable(make):
            raise ConfigError(f"{how}, and {make!r} is none: write lambda: before it")
    if not found:
        raise ConfigError(f"{how}, and this one is empty: give it one function or more")
    return found


def check_distinct(envs: Sequence[gymnasium.Env]) -> None:
    """Raise ``ValueError`` where two factories gave one environment."""
    if len({id(env.unwrapped) for env in envs}) != len(envs):
        raise ValueError(
            "each factory must give an environment of its own, but two gave the same one: write "
            "`[lambda: gym.make(...) for _ in range(n)]`, and make the environment within the function"
        )


def wrapped_in(env: gymnasium.Env, wrapper_class: type) -> bool:
    """Is there such a wrapper?"""
    while not isinstance(env, wrapper_class):
        if not isinstance(env, gymnasium.Wrapper):
            return False
        env = env.env
    return True
