"""What every model has: environments, a policy, a logger, settings that may be changed, and files."""

import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, MultiBinary

from clipper.compat.sb3 import archive
from clipper.compat.sb3.common import saved_policies
from clipper.compat.sb3.common.callbacks import BaseCallback, MaybeCallback, one_callback
from clipper.compat.sb3.common.logger import Logger
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.preprocessing import (
    check_multi_binary,
)
from clipper.compat.sb3.common.saved_policies import taken, with_suffix
from clipper.compat.sb3.common.schedules import FloatSchedule
from clipper.compat.sb3.common.utils import (
    check_for_correct_spaces,
    configure_logger,
    get_device,
    get_system_info,
    set_random_seed,
)
from clipper.compat.sb3.common.vec_env import (
    VecEnv,
    VecNormalize,
    unwrap_vec_normalize,
)
from clipper.compat.sb3.common.wrapping import maybe_make_env, wrap_env
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.runs.rows import Row
from clipper.storage import checkpoint

M = TypeVar("M", bound="BaseAlgorithm")


class BaseAlgorithm(ABC):
    """What all algorithms share; each has its own arguments, which are its attributes, and may be changed."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {}
    supported: ClassVar[tuple[type[gymnasium.Space], ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ()
    """Attributes that a file keeps, beside those of all."""
    COMMON = (
        "learning_rate",
        "policy_kwargs",
        "verbose",
        "use_sde",
        "sde_sample_freq",
        "seed",
        "tensorboard_log",
        "_stats_window_size",
    )
    COUNTS = ("num_timesteps", "_total_timesteps", "_n_updates", "_episode_num", "_num_timesteps_at_start")
    policy: Tree
    uses_masks = False

    def __init__(
        self, policy: str | type[BasePolicy], env: gymnasium.Env | VecEnv | str | None,
        learning_rate: float | Callable[[float], float],
        policy_kwargs: dict[str, Tree] | None = None, stats_window_size: int = 100, tensorboard_log: str | None = None,
        verbose: int = 0, device: torch.device | str = "auto", support_multi_env: bool = True,
        monitor_wrapper: bool = True, seed: int | None = None, use_sde: bool = False, sde_sample_freq: int = -1,
        supported_action_spaces: tuple[type[gymnasium.Space], ...] | None = None,
    ) -> None:  # fmt: skip
        self.policy_class = self._get_policy_from_name(policy) if isinstance(policy, str) else policy
        self.verbose, self.seed, self.learning_rate, self.tensorboard_log = (
            verbose,
            seed,
            learning_rate,
            tensorboard_log,
        )
        self.policy_kwargs = {} if policy_kwargs is None else policy_kwargs
        self.use_sde, self.sde_sample_freq, self._stats_window_size = use_sde, sde_sample_freq, stats_window_size
        self.observation_space: Tree = None
        self.action_space: Tree = None
        self.begin(device)
        if env is None:
            return
        env = self._wrap_env(maybe_make_env(env, verbose), verbose, monitor_wrapper)
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.n_envs, self.env = env.num_envs, env
        self._vec_normalize_env = unwrap_vec_normalize(env)
        self.check_spaces(policy, supported_action_spaces or self.supported)
        if not support_multi_env and self.n_envs > 1:
            raise ValueError(f"{type(self).__name__} learns in one environment at a time: give a vector of one")

    def begin(self, device: torch.device | str) -> None:
        """All that a new model has."""
        self.device = get_device(device)
        if self.verbose >= 1:
            print(f"Using {self.device} device")  # noqa: T201
        self.env: VecEnv | None = None
        self.num_timesteps = self._total_timesteps = self._num_timesteps_at_start = 0
        self._n_updates, self._episode_num, self.n_envs, self.start_time = 0, 0, 1, 0
        self._last_obs: Tree = None
        self._last_episode_starts: Tree = None
        self._current_progress_remaining = 1.0
        self.ep_info_buffer: deque[Info] | None = None
        self.ep_success_buffer: deque[bool] | None = None
        self._logger: Logger | None = None
        self._custom_logger, self.action_noise = False, None
        self._vec_normalize_env: VecNormalize | None = None
        self.history = list[Row]()

    def check_spaces(self, policy: object, supported: tuple[type[gymnasium.Space], ...]) -> None:
        """Raise ``AssertionError`` or ``ValueError`` for spaces that the algorithm or the policy cannot do with."""
        space = self.action_space
        assert not supported or isinstance(space, supported), (
            f"The algorithm only supports {supported} as action spaces but {space} was provided"
        )
        if isinstance(space, MultiBinary):
            check_multi_binary(space)
        if policy in ("MlpPolicy", "CnnPolicy") and isinstance(self.observation_space, Dict):
            raise ValueError(f"a Dict observation is read by MultiInputPolicy, not by {policy}")
        if self.use_sde and not isinstance(space, Box):
            raise ValueError(f"use_sde=True is for a Box of actions, not for {space}")
        if isinstance(space, Box):
            assert np.all(np.isfinite(space.low) & np.isfinite(space.high)), (
                f"the bounds of the actions, {space}, must be finite: wrap the environment in RescaleAction"
            )

    _wrap_env = staticmethod(wrap_env)

    @abstractmethod
    def _setup_model(self) -> None: ...

    @abstractmethod
    def learn(
        self: M, total_timesteps: int, callback: MaybeCallback = None, log_interval: int = 100,
        tb_log_name: str = "run",
        reset_num_timesteps: bool = True, progress_bar: bool = False,
    ) -> M: ...  # fmt: skip

    def set_logger(self, logger: Logger) -> None:
        """Note with this one from now on."""
        self._logger, self._custom_logger = logger, True

    @property
    def logger(self) -> Logger:
        """What numbers are noted with."""
        if self._logger is None:
            self._logger = Logger(None, [])
        return self._logger

    def _setup_lr_schedule(self) -> None:
        self.lr_schedule = FloatSchedule(self.learning_rate)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        self._current_progress_remaining = 1.0 - float(num_timesteps) / float(total_timesteps)

    def _get_policy_from_name(self, policy_name: str) -> type[BasePolicy]:
        if policy_name in self.policy_aliases:
            return self.policy_aliases[policy_name]
        raise ValueError(f"Policy {policy_name} unknown: there are {', '.join(self.policy_aliases)}")

    def _setup_learn(
        self, total_timesteps: int, callback: MaybeCallback = None, reset_num_timesteps: bool = True,
        tb_log_name: str = "run", progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:  # fmt: skip
        if self.env is None:
            raise ConfigError("this model has no environments to learn in: load it with env=, or call set_env")
        self.start_time = time.time_ns()
        if self.ep_info_buffer is None or reset_num_timesteps:
            self.ep_info_buffer = deque(maxlen=self._stats_window_size)
            self.ep_success_buffer = deque(maxlen=self._stats_window_size)
        if reset_num_timesteps:
            self.num_timesteps, self._episode_num, self.history = 0, 0, []
        else:
            total_timesteps += self.num_timesteps
        self._total_timesteps, self._num_timesteps_at_start = total_timesteps, self.num_timesteps
        if reset_num_timesteps or self._last_obs is None:
            self._last_obs = self.env.reset()
            self._last_episode_starts = np.ones(self.env.num_envs, dtype=bool)
        if not self._custom_logger:
            self.logger.close()  # the files of the learn before
            self._logger = configure_logger(self.verbose, self.tensorboard_log, tb_log_name, reset_num_timesteps)
        found = one_callback(callback, progress_bar)
        found.init_callback(self)
        return total_timesteps, found

    def _update_info_buffer(self, infos: list[Info], dones: np.ndarray | None = None) -> None:
        assert self.ep_info_buffer is not None
        assert self.ep_success_buffer is not None
        over = np.zeros(len(infos), bool) if dones is None else dones
        for info, done in zip(infos, over, strict=False):  # some programs' vectors give no info where there is none
            if info.get("episode") is not None:
                self.ep_info_buffer.append(info["episode"])
            if info.get("is_success") is not None and done:
                self.ep_success_buffer.append(info["is_success"])

    def get_env(self) -> VecEnv | None:
        """The environments."""
        return self.env

    def get_vec_normalize_env(self) -> VecNormalize | None:
        """The ``VecNormalize`` around them, if any."""
        return self._vec_normalize_env

    def set_env(self, env: gymnasium.Env | VecEnv, force_reset: bool = True) -> None:
        """Learn in other environments of the same spaces, as many."""
        env = self._wrap_env(env, self.verbose)
        assert env.num_envs == self.n_envs, (
            f"this model learns in {self.n_envs} environments, and set_env was given {env.num_envs}: another number "
            f"needs {type(self).__name__}.load(path, env)"
        )
        check_for_correct_spaces(env, self.observation_space, self.action_space)
        self._vec_normalize_env = unwrap_vec_normalize(env)
        if force_reset:
            self._last_obs = None
        self.n_envs, self.env = env.num_envs, env

    def predict(
        self,
        observation: Tree,
        state: Tree = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Tree]:
        """Action(s) for one observation or a batch, and the state to give next time."""
        return self.policy.predict(observation, state, episode_start, deterministic)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seed the global generators, the action space and the environments."""
        if seed is None:
            return
        set_random_seed(seed, using_cuda=self.device.type == "cuda")
        self.action_space.seed(seed)
        if self.env is not None:
            self.env.seed(seed)

    def dump_logs(self) -> None:
        """Write what was noted."""
        self.logger.dump(self.num_timesteps)

    def parts(self) -> dict[str, Tree]:
        """Modules and optimizers by their names, whose states are the model's parameters."""
        return {"policy": self.policy, "policy.optimizer": self.policy.optimizer}

    def get_parameters(self) -> dict[str, dict[str, Tree]]:
        """The state of each."""
        return {name: own.state_dict() for name, own in self.parts().items()}

    def set_parameters(
        self,
        load_path_or_dict: saved_policies.File | dict[str, Tree],
        exact_match: bool = True,
        device: torch.device | str = "auto",
    ) -> None:
        """Take states over, of a dict or a file. Raises ``ValueError`` for names that are not, or lacking, here."""
        given = load_path_or_dict if isinstance(load_path_or_dict, dict) else None
        if given is None:
            loaded = type(self).load(load_path_or_dict, device=device)  # pyright: ignore[reportArgumentType]
            given = loaded.get_parameters()
        own, updated = self.parts(), set[str]()
        for name, state in given.items():
            if name not in own:
                raise ValueError(f"Key {name} is an invalid object name: there are {', '.join(own)}")
            if isinstance(own[name], torch.optim.Optimizer):
                own[name].load_state_dict(state)
            else:
                own[name].load_state_dict(state, strict=exact_match)
            updated.add(name)
        if exact_match and updated != set(own):
            raise ValueError(
                f"these are parameters of {sorted(updated)}, the model's of {sorted(own)}; exact_match=False takes some"
            )

    def saved(self) -> dict[str, Tree]:
        """What a file keeps beside tensors."""
        names = (
            *self.COMMON,
            *self.settings,
            *self.COUNTS,
            "policy_class",
            "n_envs",
            "observation_space",
            "action_space",
        )
        return {name: getattr(self, name) for name in names}

    def save(
        self, path: saved_policies.File, exclude: Iterable[str] | None = None, include: Iterable[str] | None = None
    ) -> None:
        """Write the model to ``path``, with ``.zip`` where it has no suffix; the file is Clipper's in any case."""
        left_out = set(exclude or ()) - set(include or ())
        data = {name: saved_policies.encode(x) for name, x in self.saved().items() if name not in left_out}
        data |= {name: saved_policies.encode(getattr(self, name)) for name in include or ()}
        for name in [name for name, x in data.items() if saved_policies.lacks(x)]:
            text = f"no file keeps {name}, which has no name: give it again, load(…, custom_objects={{{name!r}: …}})"
            warnings.warn(text, UserWarning, stacklevel=2)
        where = with_suffix(path)
        values: dict[str, object] = {"sb3_model": type(self).__name__, "settings": data}
        saved_policies.write(where, self.tensors(), values)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Weights, and what the optimizers remember."""
        state = self.policy.state_dict()  # of a policy that torch.compile wraps, under its own names
        return {f"policy.{name.removeprefix('_orig_mod.')}": x for name, x in state.items()}

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take them over."""
        self.policy.load_state_dict(taken(tensors, "policy."))

    @classmethod
    def load(
        cls: type[M], path: saved_policies.File, env: gymnasium.Env | VecEnv | str | None = None,
        device: torch.device | str = "auto", custom_objects: dict[str, Tree] | None = None,
        print_system_info: bool = False, force_reset: bool = True, **kwargs: Tree,
    ) -> M:  # fmt: skip
        """A model that ``save`` wrote, or the weights and plain settings of an archive of Stable-Baselines3.

        Nothing is unpickled. ``custom_objects`` and other keywords stand for settings of the file.
        """
        if print_system_info:
            get_system_info()
        with tempfile.TemporaryDirectory() as folder:
            file = saved_policies.on_disk(path, folder)
            file = next((x for x in (file, file.with_name(f"{file.name}.zip")) if x.is_file()), file)
            if not file.is_file():
                raise CorruptCheckpointError(f"there is no model at {path} or {path}.zip")
            wrapped = None if env is None else cls._wrap_env(maybe_make_env(env, 0), 0)
            if archive.is_archive(file):
                return cls.from_archive(file, wrapped, device, **kwargs)
            tensors, values = checkpoint.load(file)
        if values.get("sb3_model") != cls.__name__:
            raise ConfigError(f"{path} holds {values.get('sb3_model') or 'no model'}, not {cls.__name__}")
        return cls.of_file(
            str(path), values.get("settings"), tensors, wrapped, device, force_reset, custom_objects or {}, kwargs
        )

    @classmethod
    def of_file(
        cls: type[M], path: str, data: object, tensors: dict[str, torch.Tensor], env: VecEnv | None,
        device: torch.device | str, force_reset: bool, custom: dict[str, Tree], others: dict[str, Tree],
    ) -> M:  # fmt: skip
        """The model of a file's settings and tensors."""
        if not isinstance(data, dict):
            raise CorruptCheckpointError(f"{path} holds no settings")
        known = {*cls.COMMON, *cls.settings, *cls.COUNTS, "policy_class", "n_envs", "observation_space", "action_space"}
        found = dict[str, Tree]()
        for name, x in data.items():
            if name not in known:
                raise CorruptCheckpointError(f"{path} has a setting {name}, which {cls.__name__} has not")
            try:
                found[name] = custom[name] if name in custom else saved_policies.decode(x, name)
            except saved_policies.NotSavedError:
                if name not in others:
                    raise
        if not issubclass(found.get("policy_class", BasePolicy), BasePolicy):
            raise CorruptCheckpointError(f"{path} names a policy_class that is no policy: {found['policy_class']}")
        before = found.get("policy_kwargs")
        given = others.get("policy_kwargs")
        usual = {k: x for k, x in (before or {}).items() if k in (given or {}) or not k.startswith("optimizer_")}
        if given is not None and usual != given:
            raise ValueError(
                f"the model was saved with policy_kwargs={before}: {given} makes another network, leave it out"
            )
        others = {name: x for name, x in others.items() if name != "policy_kwargs"}
        model: Tree = cls.__new__(cls)
        vars(model).update({"verbose": 0, **{name: found[name] for name in cls.COMMON if name in found}})
        model.begin(device)
        vars(model).update(found | others)
        if env is not None:
            check_for_correct_spaces(env, model.observation_space, model.action_space)
            model.env, model.n_envs, model._vec_normalize_env = env, env.num_envs, unwrap_vec_normalize(env)
            if not force_reset:
                model._last_obs = env.reset()
                model._last_episode_starts = np.ones(env.num_envs, dtype=bool)
        counts = {name: getattr(model, name) for name in cls.COUNTS}
        try:
            model._setup_model()
            model.load_tensors(tensors)
        except (LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise CorruptCheckpointError(f"{path} does not fit its own settings: {error}") from error
        vars(model).update(counts)
        return model

    @classmethod
    def from_archive(cls: type[M], file: Tree, env: VecEnv | None, device: torch.device | str, **told: Tree) -> M:
        """The weights and plain settings of an archive of Stable-Baselines3; its optimizer starts afresh."""
        if env is None:
            raise ConfigError(f"{file} keeps its spaces as a pickle, which is not read: load it with env=")
        found = archive.read(file)
        make: Tree = cls
        model = make(next(iter(cls.policy_aliases)), env, device=device, **archive.arguments(found, cls) | told)
        archive.fill(model.policy, found)
        model.num_timesteps = found.steps
        return model
