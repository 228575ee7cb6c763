"""Models whose networks are Clipper's own, and whose run is: off-policy ones, and the one with a memory."""

import dataclasses
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, TypeVar

import gymnasium
import numpy as np
import torch
from torch import Generator

from clipper.algorithms import Algorithm, quota_of
from clipper.compat.sb3 import archive
from clipper.compat.sb3.arguments import device_of, refuse_others
from clipper.compat.sb3.common.callbacks import BaseCallback, MaybeCallback, one_callback
from clipper.compat.sb3.common.logger import Logger
from clipper.compat.sb3.common.saved_policies import File, on_disk, write
from clipper.compat.sb3.common.utils import set_random_seed
from clipper.compat.sb3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize
from clipper.compat.sb3.common.wrapping import maybe_make_env, wrap_env
from clipper.compat.sb3.gym_vector import AsGymnasium
from clipper.compat.sb3.watching import Watching
from clipper.data.trees import Tree
from clipper.engines import choose
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.learning.learner import part
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.callbacks import Callbacks, IterationCallback
from clipper.runs.load import check_finite, check_size
from clipper.runs.make_run import write_config
from clipper.runs.progress import ProgressDisplay
from clipper.runs.run import Row, Run
from clipper.runs.terminal import Terminal
from clipper.runs.train import go_on
from clipper.settings.config import Config
from clipper.settings.config_json import from_json, to_json
from clipper.spaces.space_json import check_same_spaces, space_to_json, spaces_from_json
from clipper.storage import checkpoint
from clipper.storage.files import from_user
from clipper.storage.saved import value_of

Spaces = dict[str, gymnasium.Space]
M = TypeVar("M", bound="Model")


class Model:
    """What all algorithms share; each has its own arguments."""

    batch_argument: ClassVar[Callable[..., Algorithm]]
    """(algorithm, environments, batch size) → the algorithm with minibatches of that size, where it has some."""
    config: Config
    env: VecEnv | None
    batch_size = 0

    def setup(
        self, config: Config, env: VecEnv | None, spaces: Spaces, tensorboard_log: str | None, verbose: int
    ) -> None:
        """Make policy and learner."""
        self.config, self.env, self.verbose = config, env, verbose
        self.observation_space, self.action_space = spaces["observation"], spaces["action"]
        self.tensorboard_log, self.logger = tensorboard_log, Logger(None, [])
        self.ep_info_buffer, self.ep_success_buffer = deque[Info](maxlen=100), deque[bool](maxlen=100)
        generator = Generator().manual_seed(config.seed)
        policy = make_policy(self.observation_space, self.action_space, config.policy, generator)
        self.learner = config.algorithm.init(policy.to(config.device), seed=config.seed)
        self.generator = Generator(config.device).manual_seed(config.seed)
        self.num_timesteps = self.learned = 0
        self.history: list[Row] = []
        self.path: Path | None = None

    def make(
        self, algorithm: Algorithm, env: str | gymnasium.Env | VecEnv | None, options: PolicyOptions,
        seed: int | None, device: str | torch.device, *, tensorboard_log: str | None, verbose: int,
    ) -> None:  # fmt: skip
        """Set up from an algorithm and whatever names the environments."""
        if env is None:
            raise ConfigError(f"{type(self).__name__} needs an environment: an id, a gymnasium.Env or make_vec_env's")
        envs = vectorised(env)
        spec = envs.get_attr("spec")[0] if envs.has_attr("spec") else None
        config = Config(
            env=f"<{type(envs.unwrapped).__name__}>" if spec is None else spec.id,
            algorithm=algorithm, policy=options, num_envs=envs.num_envs, device=device_of(device),
            seed=int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed,
        )  # fmt: skip
        if seed is not None:
            set_random_seed(seed)
            envs.action_space.seed(seed)
            envs.seed(seed)
        spaces = {"observation": envs.observation_space, "action": envs.action_space}
        self.setup(config, envs, spaces, tensorboard_log, verbose)

    @property
    def policy(self) -> ActorCritic:
        """The policy, a torch module."""
        return self.learner.policy

    @property
    def n_envs(self) -> int:
        """How many environments it learns in."""
        return self.config.num_envs

    @property
    def n_steps(self) -> int:
        """Rows of each environment in a segment."""
        return quota_of(self.config.algorithm)["horizon"]

    @property
    def gamma(self) -> float:
        """The discount."""
        return self.config.algorithm.gamma  # pyright: ignore[reportAttributeAccessIssue] (one of Clipper's own)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device(self.config.device)

    def get_env(self) -> VecEnv | None:
        """The environments, to be stepped by hand."""
        return self.env

    def get_vec_normalize_env(self) -> VecNormalize | None:
        """The same, where statistics were asked for."""
        return None if self.env is None else unwrap_vec_normalize(self.env)

    def dump_logs(self) -> None:
        """Write what was noted."""
        self.logger.dump(self.num_timesteps)

    def set_logger(self, logger: Logger) -> None:
        """Note with this one from now on."""
        self.logger = logger

    def set_env(self, env: gymnasium.Env | VecEnv, force_reset: bool = True) -> None:
        """Learn in other environments of the same spaces; as many, since a segment's length is for each."""
        envs = vectorised(env)
        if self.env is not None and envs.num_envs != self.n_envs:
            raise ConfigError(f"set_env needs {self.n_envs} environments, not {envs.num_envs}: load with env= instead")
        self.check_env(envs)
        self.env, self.config = envs, dataclasses.replace(self.config, num_envs=envs.num_envs)

    def check_env(self, envs: VecEnv) -> None:
        """Raise where its spaces or its normalisation are not the model's."""
        mine = {"observation": space_to_json(self.observation_space), "action": space_to_json(self.action_space)}
        check_same_spaces(mine, {"observation": envs.observation_space, "action": envs.action_space})

    def learn(
        self: M,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> M:
        """Learn for so many decisions more, in fresh episodes; for none, nothing happens."""
        if self.env is None:
            raise ConfigError("this model has no environments to learn in: load it with env=, or call set_env")
        if reset_num_timesteps:
            self.num_timesteps, self.history, self.path = 0, [], None
        if int(total_timesteps) <= 0:
            return self
        total = self.num_timesteps + int(total_timesteps)
        config = dataclasses.replace(self.config, total_steps=total, checkpoint_every=2**62)
        vector = AsGymnasium(self.env)
        threads = torch.get_num_threads()
        torch.set_num_threads(config.threads)
        try:
            mask_key = config.policy.encoder.mask_key
            rollouts = VectorRollouts(vector, self.seed_of_episodes(), config.device, mask_key)
            engine = choose(self.learner, config, rollouts)
            torch.set_num_threads(1 if engine.name == "cpu" else config.threads)  # as clipper.runs.make_run does
            config = dataclasses.replace(config, engine=engine.name)
            rollouts.steps = self.num_timesteps
            run = Run(config, vector, self.learner, rollouts, engine, self.folder(tb_log_name))
            run.history, run.iteration = self.history, len(self.history)
            if run.path is not None:
                write_config(run)
            self.train(run, one_callback(callback, progress_bar))
        finally:
            torch.set_num_threads(threads)
        self.num_timesteps, self.learned = run.steps, self.learned + 1
        return self

    def train(self, run: Run, callback: BaseCallback) -> None:
        """The loop, with what is to be called in it."""
        with ExitStack() as stack:
            watching: list[IterationCallback] = [stack.enter_context(Watching(self, run, callback))]
            if self.verbose > 0:
                watching.append(stack.enter_context(ProgressDisplay()))
            go_on(run, Callbacks(watching))

    def seed_of_episodes(self) -> int:
        """Of this call of ``learn``: another one each time."""
        seeds = np.random.SeedSequence([self.config.seed, self.learned])
        return self.config.seed if self.learned == 0 else int(seeds.generate_state(1)[0])

    def folder(self, name: str | None) -> Path | None:
        """Where this call's metrics go: ``tensorboard_log/NAME_1``, or the first number that is free."""
        if self.tensorboard_log is not None and self.path is None:
            base, number = from_user(self.tensorboard_log), 1
            name = name or type(self).__name__
            while (base / f"{name}_{number}").exists():
                number += 1
            self.path = base / f"{name}_{number}"
            self.path.mkdir(parents=True)
        return self.path

    def say(self, text: str) -> None:
        """Tell the user, where ``verbose`` asks for it."""
        if self.verbose > 0:
            Terminal().print(text)

    def predict(
        self,
        observation: Tree,
        state: Tree = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: Tree = None,
    ) -> tuple[Tree, Tree]:
        """Action(s) for one observation or a batch, as the environment takes them, and the state to give next time.

        Without a memory that is the state that was given.
        """
        batch = np.ndim(action_masks) > 1 if isinstance(action_masks, np.ndarray) else False
        masks = list(action_masks) if batch else action_masks
        if self.config.policy.memory is None:
            return self.policy.predict(observation, deterministic, self.generator, action_mask=masks), state
        begins = False if episode_start is None else np.asarray(episode_start, dtype=bool)
        return self.policy.predict(
            observation, deterministic, self.generator, action_mask=masks, memory=() if state is None else state,
            begins=begins,
        )  # fmt: skip

    def save(self, path: File, exclude: object = None, include: object = None) -> None:
        """Write the model to ``path``, with ``.zip`` where it has no suffix; the file is Clipper's, whatever its name.

        It holds no code and can be read by ``clipper.load``, too.
        """
        refuse_others({"exclude": (exclude, None), "include": (include, None)}, "a file holds all of a model")
        if isinstance(path, str | Path):
            path = str(path) if Path(path).suffix else f"{path}.zip"
        spaces = {"observation": space_to_json(self.observation_space), "action": space_to_json(self.action_space)}
        values = {
            "config": to_json(self.config), "spaces": spaces, "steps": self.num_timesteps, "custom_policy": False,
            "model": type(self).__name__, "batch_size": self.batch_size,
        }  # fmt: skip
        write(path, {f"learner.{k}": v for k, v in self.learner.state_dict().items()}, values)

    @classmethod
    def load(
        cls: type[M],
        path: File,
        env: str | gymnasium.Env | VecEnv | None = None,
        device: str | torch.device = "auto",
        custom_objects: dict[str, object] | None = None,  # noqa: ARG003 (what these do has no meaning here)
        print_system_info: bool = False,  # noqa: ARG003
        force_reset: bool = True,  # noqa: ARG003
        *,
        verbose: int = 0,
        tensorboard_log: str | None = None,
        **others: object,
    ) -> M:
        """A model that ``save`` wrote, or the weights and plain settings of an archive of Stable-Baselines3.

        Nothing is unpickled, so ``custom_objects`` has nothing to replace. Raises ``CorruptCheckpointError`` for
        anything else, ``SpaceMismatchError`` where ``env`` has other spaces.
        """
        refuse_others({name: (value, ...) for name, value in others.items()}, "load takes what the file says")
        envs = None if env is None else vectorised(env)
        with tempfile.TemporaryDirectory() as folder:
            file = on_disk(path, folder)
            file = next((x for x in (file, file.with_name(f"{file.name}.zip")) if x.is_file()), None)
            if file is None:
                raise CorruptCheckpointError(f"there is no model at {path} or {path}.zip")
            if archive.is_archive(file):
                raise ConfigError(
                    f"{file} is an archive of Stable-Baselines3's: of these PPO, A2C and TRPO read weights"
                )
            tensors, values = checkpoint.load(file)
        if values.get("model") != cls.__name__:
            raise ConfigError(f"{file} holds {values.get('model') or 'no model'}, not {cls.__name__}")
        try:
            model = cls.__new__(cls)
            config = from_json(values["config"], Config)
            check_size(config, tensors, values)
            spaces = spaces_from_json(values["spaces"])
            model.batch_size = value_of("batch_size", int, values)
            config = dataclasses.replace(config, device=device_of(device))
            if envs is not None and model.batch_size:
                algorithm = cls.batch_argument(config.algorithm, envs.num_envs, model.batch_size)
                config = dataclasses.replace(config, algorithm=algorithm)
            model.setup(config, None, spaces, tensorboard_log, verbose)
            model.learner.load_state_dict(part(tensors, "learner."))
            check_finite(model.policy, file)
            model.num_timesteps = value_of("steps", int, values)
        except (LookupError, TypeError, AttributeError, RuntimeError) as error:
            raise CorruptCheckpointError(f"{file} does not fit its own settings: {error}") from error
        if envs is not None:
            model.set_env(envs)
        return model


def vectorised(env: str | gymnasium.Env | VecEnv) -> VecEnv:
    """An id, one environment, or several, wrapped as models learn in them."""
    return wrap_env(maybe_make_env(env, 0))
