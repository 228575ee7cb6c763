"""Models that learn from a replay: the loop, as Stable-Baselines3 runs it; the gradient steps are Clipper's."""

import copy
import warnings
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict

from clipper.algorithms import DDPG, DQN, SAC, TD3
from clipper.compat.sb3 import archive
from clipper.compat.sb3.arguments import refuse_others
from clipper.compat.sb3.common import saved_policies
from clipper.compat.sb3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from clipper.compat.sb3.common.callbacks import BaseCallback, MaybeCallback
from clipper.compat.sb3.common.learnt_q import transitions
from clipper.compat.sb3.common.logged import LoggedAlgorithm
from clipper.compat.sb3.common.noise import ActionNoise, VectorizedActionNoise
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.replay_file import load_replay, save_replay
from clipper.compat.sb3.common.saved_policies import taken
from clipper.compat.sb3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from clipper.compat.sb3.common.utils import get_device, should_collect_more_steps
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, NonFiniteError
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics

F = TypeVar("F", bound="OffPolicyAlgorithm")
Frequency = int | tuple[int, str] | TrainFreq
Own = SAC | TD3 | DDPG | DQN


class OffPolicyAlgorithm(LoggedAlgorithm):
    """What SAC, TD3, DDPG and DQN share."""

    settings: ClassVar[tuple[str, ...]] = (
        "buffer_size", "learning_starts", "batch_size", "tau", "gamma", "train_freq", "gradient_steps", "action_noise",
        "replay_buffer_class", "replay_buffer_kwargs", "optimize_memory_usage", "n_steps", "use_sde_at_warmup",
    )  # fmt: skip
    mirrors: ClassVar[tuple[str, ...]] = ("policy.", "critics.", "lagged")
    """Names in the learner's state of what the policy's has, too."""
    layers: ClassVar[dict[str, str]] = {}
    """Where an archive's weights say widths: those of ``net_arch``'s parts, or of the whole where that is ``""``."""
    learner: Learner
    replay_buffer: ReplayBuffer | None = None

    def __init__(
        self,
        policy: str | type[BasePolicy],
        env: gymnasium.Env | VecEnv | str | None,
        learning_rate: float | Callable[[float], float],
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: Frequency = (1, "step"),
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Tree] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        policy_kwargs: dict[str, Tree] | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        device: torch.device | str = "auto",
        support_multi_env: bool = True,
        monitor_wrapper: bool = True,
        seed: int | None = None,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        use_sde_at_warmup: bool = False,
        sde_support: bool = True,
        supported_action_spaces: tuple[type[gymnasium.Space], ...] | None = None,
    ) -> None:
        super().__init__(
            policy, env, learning_rate, policy_kwargs, stats_window_size, tensorboard_log, verbose, device,
            support_multi_env, monitor_wrapper, seed, use_sde, sde_sample_freq, supported_action_spaces,
        )  # fmt: skip
        if action_noise is not None and not isinstance(action_noise, ActionNoise):
            raise ConfigError(f"action_noise={action_noise!r} is no ActionNoise: give NormalActionNoise(mean, sigma)")
        self.buffer_size, self.learning_starts, self.batch_size = buffer_size, learning_starts, batch_size
        self.tau, self.gamma, self.gradient_steps, self.action_noise = tau, gamma, gradient_steps, action_noise
        self.optimize_memory_usage, self.replay_buffer_class = optimize_memory_usage, replay_buffer_class
        self.replay_buffer_kwargs, self.n_steps = replay_buffer_kwargs or {}, n_steps
        self.train_freq, self.use_sde_at_warmup = train_freq, use_sde_at_warmup

    def begin(self, device: torch.device | str) -> None:
        if str(device) != "auto" and get_device(device).type != "cpu":
            refuse_others({"device": (str(device), "cpu")}, f"{type(self).__name__} learns on the CPU: leave it out")
        super().begin("cpu")
        self._last_original_obs: Tree = None

    @abstractmethod
    def algorithm(self) -> Own:
        """Clipper's, of the attributes as they are now."""

    @abstractmethod
    def make_learner(self, seed: int) -> Learner:
        """What takes the algorithm's steps; the policy's optimizers are its."""

    def _setup_model(self) -> None:
        if self.observation_space is None:
            raise ConfigError(f"{type(self).__name__} needs an environment: an id, a gymnasium.Env or make_vec_env's")
        self._convert_train_freq()
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        if self.replay_buffer is None:
            self.replay_buffer = self.make_buffer()
        self.policy = self.make_policy().to(self.device)
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if self.seed is None else self.seed
        self.learner = self.make_learner(seed)
        self.learner.extra["gradient_steps"] = torch.zeros((), dtype=torch.int64)

    def make_buffer(self) -> ReplayBuffer:
        """A new replay."""
        kind, options = self.replay_buffer_class, dict(self.replay_buffer_kwargs)
        if kind is None:
            kind = DictReplayBuffer if isinstance(self.observation_space, Dict) else ReplayBuffer
            if self.n_steps > 1:
                assert kind is ReplayBuffer, f"Dict observation spaces have no n_steps={self.n_steps}: leave it out"
                kind, options = NStepReplayBuffer, {"n_steps": self.n_steps, "gamma": self.gamma} | options
        elif self.n_steps > 1 and not (kind is NStepReplayBuffer and options.get("n_steps") == self.n_steps):
            warnings.warn(
                f"`n_steps={self.n_steps}` is ignored, since replay_buffer_class says {kind.__name__}: "
                "replay_buffer_kwargs are its own",
                stacklevel=2,
            )
        self.replay_buffer_class, self.replay_buffer_kwargs = kind, options
        made: object = kind(
            self.buffer_size, self.observation_space, self.action_space, device=self.device, n_envs=self.n_envs,
            optimize_memory_usage=self.optimize_memory_usage, **options,
        ) if not issubclass(kind, dict) else None  # fmt: skip
        if not isinstance(made, ReplayBuffer):
            raise ConfigError(f"replay_buffer_class={kind.__name__} is no ReplayBuffer: derive yours from it")
        return made

    def make_policy(self) -> BasePolicy:
        """A new one."""
        make: Tree = self.policy_class
        return make(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)

    def _convert_train_freq(self) -> None:
        given: Tree = self.train_freq
        if isinstance(given, TrainFreq):
            return
        number, unit = given if isinstance(given, tuple | list) else (given, "step")
        if unit not in ("step", "episode"):
            raise ValueError(f"The unit of the `train_freq` must be either 'step' or 'episode' not '{unit}'!")
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"The frequency of `train_freq` must be an integer, at least 1, and not {number}")
        self.train_freq = TrainFreq(number, TrainFrequencyUnit(unit))

    def _setup_learn(
        self, total_timesteps: int, callback: MaybeCallback = None, reset_num_timesteps: bool = True,
        tb_log_name: str = "run", progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:  # fmt: skip
        buffer, fresh = self.replay_buffer, reset_num_timesteps or self._last_obs is None
        if self.optimize_memory_usage and reset_num_timesteps and buffer is not None and buffer.size():
            text = "The last trajectory in the replay buffer will be truncated: its newest step counts as an end"
            warnings.warn(text, stacklevel=3)
            buffer.dones[(buffer.pos - 1) % buffer.buffer_size] = True
        found = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        noise = self.action_noise
        if noise is not None and self.n_envs > 1 and not isinstance(noise, VectorizedActionNoise):
            self.action_noise = VectorizedActionNoise(noise, self.n_envs)
        if fresh or self._last_original_obs is None:
            own = self._vec_normalize_env
            self._last_original_obs = self._last_obs if own is None else own.get_original_obs()
        return found

    def learn(
        self: F,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int | None = 4,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> F:
        """Learn for so many steps more; ``log_interval`` counts episodes."""
        if not total_timesteps >= 0:  # nor NaN
            raise ConfigError(f"total_timesteps must be at least 0, not {total_timesteps}")
        total_timesteps, callback = self._setup_learn(
            total_timesteps, callback, reset_num_timesteps, tb_log_name or type(self).__name__, progress_bar
        )
        callback.on_training_start(locals(), globals())
        assert self.env is not None
        assert self.replay_buffer is not None
        assert isinstance(self.train_freq, TrainFreq)
        while self.num_timesteps < total_timesteps:
            rollout = self.collect_rollouts(
                self.env, train_freq=self.train_freq, action_noise=self.action_noise, callback=callback,
                learning_starts=self.learning_starts, replay_buffer=self.replay_buffer, log_interval=log_interval,
            )  # fmt: skip
            if not rollout.continue_training:
                break
            due = rollout.episode_timesteps if self.gradient_steps < 0 else self.gradient_steps
            if self.num_timesteps > self.learning_starts and due > 0:
                self.train(batch_size=self.batch_size, gradient_steps=due)
        callback.on_training_end()
        return self

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, train_freq: TrainFreq, replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None, learning_starts: int = 0, log_interval: int | None = None,
    ) -> RolloutReturn:  # fmt: skip
        """Steps, or whole episodes, into the replay."""
        self.policy.set_training_mode(False)
        num_collected_steps, num_collected_episodes = 0, 0
        if env.num_envs > 1 and train_freq.unit != TrainFrequencyUnit.STEP:
            raise ConfigError(f"train_freq counts episodes in one environment alone, not in {env.num_envs}: say steps")
        if self.use_sde:
            self.policy.reset_noise(env.num_envs)
        callback.on_rollout_start()
        while should_collect_more_steps(train_freq, num_collected_steps, num_collected_episodes):
            if self.use_sde and self.sde_sample_freq > 0 and num_collected_steps % self.sde_sample_freq == 0:
                self.policy.reset_noise(env.num_envs)
            actions, buffer_actions = self._sample_action(learning_starts, action_noise, env.num_envs)
            new_obs, rewards, dones, infos = env.step(actions)
            self.num_timesteps += env.num_envs
            num_collected_steps += 1
            callback.update_locals(locals())
            if not callback.on_step():
                return RolloutReturn(num_collected_steps * env.num_envs, num_collected_episodes, False)
            self._update_info_buffer(infos, dones)
            self._store_transition(replay_buffer, buffer_actions, new_obs, rewards, dones, infos)
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            for i in np.flatnonzero(dones):
                num_collected_episodes += 1
                self._episode_num += 1
                if isinstance(action_noise, VectorizedActionNoise):
                    action_noise.reset([int(i)])
                elif action_noise is not None:
                    action_noise.reset()
                if log_interval is not None and self._episode_num % log_interval == 0:
                    self.dump_logs()
        callback.on_rollout_end()
        return RolloutReturn(num_collected_steps * env.num_envs, num_collected_episodes, True)

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions for the environments, and as the replay keeps them: those of a Box within [−1, 1]."""
        if self.num_timesteps < learning_starts and not (self.use_sde and self.use_sde_at_warmup):
            chosen = np.array([self.action_space.sample() for _ in range(n_envs)])
        else:
            assert self._last_obs is not None, "learn begins with an observation: it calls _setup_learn first"
            chosen, _ = self.predict(self._last_obs, deterministic=False)
        if not isinstance(self.action_space, Box):
            return chosen, chosen
        scaled = self.policy.scale_action(chosen)
        if action_noise is not None:
            scaled = np.clip(scaled + action_noise(), -1, 1)
        return self.policy.unscale_action(scaled), scaled

    def _on_step(self) -> None:
        """After each step of the environments."""

    def _store_transition(
        self, replay_buffer: ReplayBuffer, buffer_action: np.ndarray, new_obs: Tree, reward: np.ndarray,
        dones: np.ndarray, infos: list[Info],
    ) -> None:  # fmt: skip
        """Keep a step as the environments gave it, with an episode's own last observation."""
        own = self._vec_normalize_env
        seen, paid = (new_obs, reward) if own is None else (own.get_original_obs(), own.get_original_reward())
        after = copy.deepcopy(seen)
        for i in np.flatnonzero(dones):
            last = infos[i].get("terminal_observation")
            if last is None:
                continue
            last = last if own is None else own.unnormalize_obs(last)
            for key in after if isinstance(after, dict) else ():
                after[key][i] = last[key]
            if not isinstance(after, dict):
                after[i] = last
        replay_buffer.add(self._last_original_obs, after, buffer_action, paid, dones, infos)
        self._last_obs, self._last_original_obs = new_obs, seen

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """So many gradient steps, by the settings as they are."""
        self.policy.set_training_mode(True)
        assert self.replay_buffer is not None
        algorithm, history = self.algorithm(), list[Metrics]()
        self.learner.progress = 1 - self._current_progress_remaining
        for i in range(gradient_steps):
            data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            batch = transitions(data, self.gamma, not isinstance(self.action_space, Box))
            self.learner.extra["gradient_steps"].fill_(self._n_updates + i + 1)
            history.append(self.step(algorithm, i).gradient_step(self.learner, batch))
        self._n_updates += gradient_steps
        self.record(history)

    def step(self, algorithm: Own, number: int) -> Own:
        """The algorithm for the gradient step of this number, of those that are due together."""
        return algorithm

    def record(self, history: list[Metrics]) -> None:
        """Note what was watched, by the names of Stable-Baselines3; Clipper's own names are in ``history``."""
        names = dict.fromkeys(name for metrics in history for name in metrics)
        rows = [{name: float(x.detach()) for name, x in metrics.items()} for metrics in history]
        numbers = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
        if not np.isfinite(list(numbers.values())).all():
            raise NonFiniteError(
                f"losses are not finite after {self.num_timesteps} steps: VecCheckNan(env) names the environment that "
                "gave such a number, or lower the learning rate"
            )
        self._numbers = numbers
        self.logger.record("train/learning_rate", self.rate())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, x in self.tags(rows, numbers).items():
            self.logger.record(f"train/{name}", x)

    @abstractmethod
    def tags(self, rows: list[dict[str, float]], numbers: dict[str, float]) -> dict[str, float]:
        """What is noted below ``train/``, of each gradient step's numbers and of their means."""

    def dump_logs(self) -> None:
        """Write a row of the log."""
        self.note_episodes("episodes", self._episode_num)
        if self.use_sde:
            self.logger.record("train/std", float(self.policy.actor.get_std().detach().mean()))
        self.remember(getattr(self, "_numbers", {}))
        self.logger.dump(step=self.num_timesteps)

    def save_replay_buffer(self, path: saved_policies.File) -> None:
        """Write what is kept to ``path``, with ``.pkl`` where it has no suffix; the file is Clipper's, no pickle."""
        assert self.replay_buffer is not None, "there is no replay buffer"
        save_replay(path, self.replay_buffer)

    def load_replay_buffer(self, path: saved_policies.File, truncate_last_traj: bool = True) -> None:
        """Take over what ``save_replay_buffer`` wrote; the newest steps, where there is not room for all."""
        self.replay_buffer = self.make_buffer()
        self.replay_buffer.device = self.device
        load_replay(path, self.replay_buffer)

    def saved(self) -> dict[str, Tree]:
        freq: Tree = self.train_freq
        return super().saved() | {"train_freq": (freq.frequency, freq.unit.value)}

    def tensors(self) -> dict[str, torch.Tensor]:
        state = self.learner.state_dict().items()
        return super().tensors() | {f"learner.{k}": x for k, x in state if not k.startswith(self.mirrors)}

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        super().load_tensors(tensors)
        mirrored = {k: x for k, x in self.learner.state_dict().items() if k.startswith(self.mirrors)}
        self.learner.load_state_dict(mirrored | taken(tensors, "learner."))

    @classmethod
    def from_archive(cls: type[F], file: Tree, env: VecEnv | None, device: torch.device | str, **told: Tree) -> F:
        """The weights and plain settings of an archive of Stable-Baselines3; its optimizers start afresh."""
        if env is None:
            raise ConfigError(f"{file} keeps its spaces as a pickle, which is not read: load it with env=")
        found, make = archive.read(file), cls
        model: F = make("MlpPolicy", env, device=device, **archive.off_policy_arguments(found, cls, cls.layers) | told)  # pyright: ignore[reportCallIssue, reportArgumentType]
        archive.fill(model.policy, found)
        model.num_timesteps = found.steps
        return model
