"""More programs in the manner of Stable-Baselines3's documentation, whose numbers are not learned."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from compat.sb3_programs import Library, Numbers
from gymnasium.spaces import Box, Discrete
from torch import nn

QUICK: dict[str, Any] = {"device": "cpu", "seed": 3}
SMALL: dict[str, Any] = {**QUICK, "n_steps": 16, "batch_size": 8, "n_epochs": 1}
REPLAYED: dict[str, Any] = {**QUICK, "learning_starts": 12, "batch_size": 4, "buffer_size": 40}


class Levels(gymnasium.Env):
    """Episodes of four steps, whose rewards are the level times the step."""

    observation_space: ClassVar[Box] = Box(-9, 9, (2,), np.float32)  # pyright: ignore[reportIncompatibleVariableOverride]
    action_space: ClassVar[Discrete] = Discrete(3)  # pyright: ignore[reportIncompatibleVariableOverride]
    level, steps = 1.0, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        ended = self.steps == 4
        return np.full(2, self.steps, np.float32), self.level * self.steps, ended, False, {"is_success": ended}

    def set_level(self, level: float) -> None:
        self.level = level


class Lives(Levels):
    """The same with lives, frames and meanings of actions, as an Atari game has them."""

    observation_space: ClassVar[Box] = Box(0, 255, (6, 6, 3), np.uint8)  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self) -> None:
        self.ale = SimpleNamespace(lives=lambda: 3 - self.steps // 6)

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "RIGHT"]

    def step(self, action: Any) -> Any:
        self.steps += 1
        seen = np.full((6, 6, 3), 10 * self.steps + int(action), np.uint8)
        return seen, (-1.5) ** self.steps, self.steps == 18, False, {}

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.steps = 0
        return np.zeros((6, 6, 3), np.uint8), {}


def tags(file: Path) -> list[str]:
    """The columns of a log."""
    return sorted(next(csv.reader(file.open())))


def curriculum(sb3: Library, folder: Path) -> Numbers:
    seen = []

    class Harder(sb3.callbacks.BaseCallback):
        def _on_step(self) -> bool:
            seen.append(self.locals["rewards"].tolist())
            if self.n_calls == 6:
                self.training_env.env_method("set_level", 10.0)
            return True

    env = sb3.env_util.make_vec_env(Levels, n_envs=2)
    model = sb3.models.PPO("MlpPolicy", env, **SMALL)
    model.learn(32, callback=Harder())
    return {"rewards": seen, "mean": [info["r"] for info in model.ep_info_buffer], "level": env.get_attr("level")}


def extractor(sb3: Library, folder: Path) -> Numbers:
    class Own(sb3.torch_layers.BaseFeaturesExtractor):
        def __init__(self, space: Any, features_dim: int = 6) -> None:
            super().__init__(space, features_dim)
            self.net = nn.Sequential(nn.Linear(2, features_dim), nn.ReLU())

        def forward(self, obs: Any) -> Any:
            return self.net(obs)

    kwargs = {"features_extractor_class": Own, "features_extractor_kwargs": {"features_dim": 5}, "net_arch": [4]}
    model = sb3.models.A2C("MlpPolicy", Levels(), policy_kwargs=kwargs, **QUICK)
    value = model.policy.predict_values(torch.ones(2, 2)).flatten().tolist()
    shapes = {name: list(x.shape) for name, x in model.policy.state_dict().items()}
    return {"shapes": shapes, "value": value, "groups": len(model.policy.optimizer.param_groups)}


def masks(sb3: Library, folder: Path) -> Numbers:
    env = sb3.contrib_common("wrappers").ActionMasker(Levels(), lambda _: np.array([True, False, True]))
    model = sb3.contrib.MaskablePPO("MlpPolicy", env, **SMALL)
    obs = np.zeros((40, 2), np.float32)
    mask = np.tile([False, True, True], (40, 1))
    found = model.predict(obs, action_masks=mask)[0]
    dist = model.policy.get_distribution(torch.zeros(1, 2), action_masks=mask[:1]).distribution
    model.learn(32)
    return {"least": int(found.min()), "probs": dist.probs.flatten().tolist(), "steps": model.num_timesteps}


def recurrent(sb3: Library, folder: Path) -> Numbers:
    seen: Numbers = {}

    class Look(sb3.callbacks.BaseCallback):
        def _on_step(self) -> bool:
            seen["state"] = list(self.locals["lstm_states"].pi[0].shape)
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            for name in ("values", "log_probs", "advantages", "hidden_states_pi", "cell_states_vf"):
                seen.setdefault(name, np.ravel(getattr(buffer, name))[::3].tolist())

    kwargs = {"lstm_hidden_size": 4, "n_lstm_layers": 2, "net_arch": [3]}
    env = sb3.env_util.make_vec_env(Levels, n_envs=2)
    model = sb3.contrib.RecurrentPPO("MlpLstmPolicy", env, policy_kwargs=kwargs, **SMALL)
    obs = np.ones((2, 2), np.float32)
    _, state = model.predict(obs, deterministic=True)
    _, state = model.predict(obs, state, np.array([False, True]), deterministic=True)
    model.learn(32, callback=Look())
    names = {name: list(x.shape) for name, x in model.policy.state_dict().items()}
    return {**seen, "names": names, "after": state[0].flatten().tolist(), "shape": list(state[1].shape)}


def games(sb3: Library, folder: Path) -> Numbers:
    wrappers = sb3.atari_wrappers
    env = wrappers.ClipRewardEnv(wrappers.EpisodicLifeEnv(wrappers.MaxAndSkipEnv(Lives(), skip=4)))
    rows, (obs, _) = [], env.reset()
    for _ in range(6):
        obs, reward, terminated, _, _ = env.step(2)
        rows.append([int(obs.max()), float(reward), bool(terminated)])
        if terminated:
            env.reset()
    fire = wrappers.FireResetEnv(Lives())
    return {"rows": rows, "fired": int(fire.reset()[0].max())}


def plotting(sb3: Library, folder: Path) -> Numbers:
    """What a curve is drawn of."""
    env = sb3.env_util.make_vec_env(Levels, n_envs=2, monitor_dir=str(folder))
    sb3.models.A2C("MlpPolicy", env, **QUICK).learn(40)
    env.close()
    curves = []
    for file in sorted(sb3.monitor.get_monitor_files(str(folder))):
        rows = [row.split(",") for row in Path(file).read_text().splitlines()[2:]]
        curves.append([np.cumsum([int(row[1]) for row in rows]).tolist(), [float(row[0]) for row in rows]])
    return {"curves": curves}


def saving(sb3: Library, folder: Path) -> Numbers:
    model = sb3.models.PPO("MlpPolicy", Levels(), learning_rate=0.1, clip_range=0.3, **SMALL)
    before = {name: float(x.sum()) for name, x in model.policy.state_dict().items()}
    model.learn(16)
    model.save(folder / "model")
    again = sb3.models.PPO.load(folder / "model", env=Levels(), n_steps=8, device="cpu")
    obs = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
    same = bool((again.predict(obs, deterministic=True)[0] == model.predict(obs, deterministic=True)[0]).all())
    again.set_parameters(model.get_parameters())
    return {
        "before": before, "same": same, "files": sorted(x.name for x in folder.iterdir()), "steps": again.num_timesteps,
        "n_steps": again.n_steps, "clip": again.clip_range(1), "parameters": sorted(again.get_parameters()),
    }  # fmt: skip


def watching(sb3: Library, folder: Path) -> Numbers:
    env = sb3.vec_env.VecMonitor(sb3.vec_env.DummyVecEnv([Levels, Levels]), str(folder / "all"), info_keywords=())
    env.reset()
    ends, rewards = [], np.zeros(2)
    for _ in range(9):
        _, rewards, _, infos = env.step([0, 1])
        ends += [[info["episode"]["r"], info["episode"]["l"]] for info in infos if "episode" in info]
    env.close()
    lines = (folder / "all.monitor.csv").read_text().splitlines()
    return {"ends": ends, "names": lines[1], "rows": len(lines), "rewards": rewards.tolist()}


def stopping(sb3: Library, folder: Path) -> Numbers:
    calls = sb3.callbacks
    best = calls.StopTrainingOnRewardThreshold(reward_threshold=5, verbose=0)
    evaluate = calls.EvalCallback(
        sb3.env_util.make_vec_env(Levels), callback_on_new_best=best, eval_freq=20, n_eval_episodes=2, verbose=0,
    )  # fmt: skip
    model = sb3.models.PPO("MlpPolicy", Levels(), **SMALL)
    model.learn(200, callback=evaluate)
    second = sb3.models.PPO("MlpPolicy", Levels(), **SMALL)
    second.learn(200, callback=calls.StopTrainingOnMaxEpisodes(5))
    last = [evaluate.last_mean_reward, evaluate.best_mean_reward, evaluate.n_calls]
    return {"steps": [model.num_timesteps, second.num_timesteps], "reward": last}


def every_so_often(sb3: Library, folder: Path) -> Numbers:
    at = []

    class Note(sb3.callbacks.BaseCallback):
        def _on_step(self) -> bool:
            at.append(self.num_timesteps)
            return True

    calls = sb3.callbacks
    callback = calls.CallbackList([
        calls.EveryNTimesteps(10, Note()), calls.CheckpointCallback(12, str(folder), "own", save_replay_buffer=True),
        calls.ConvertCallback(lambda _locals, _globals: True),
    ])  # fmt: skip
    sb3.models.SAC("MlpPolicy", "Pendulum-v1", **REPLAYED).learn(30, callback=callback)
    return {"at": at, "files": sorted(x.name for x in folder.iterdir())}


def replayed(sb3: Library, folder: Path) -> Numbers:
    env = sb3.env_util.make_vec_env("Pendulum-v1", n_envs=2, seed=1)
    env.action_space.seed(5)
    model = sb3.models.SAC("MlpPolicy", env, train_freq=3, gradient_steps=2, **REPLAYED)
    first = {name: float(x.sum()) for name, x in model.policy.state_dict().items()}
    model.learn(30, log_interval=1)
    buffer = model.replay_buffer
    rows = {name: np.ravel(getattr(buffer, name)[:6]).tolist() for name in ("observations", "actions", "rewards")}
    sample = buffer.sample(5)
    shapes = {name: list(x.shape) for name, x in sample._asdict().items() if x is not None}
    counts = [model._n_updates, buffer.size(), buffer.pos, bool(buffer.full), buffer.buffer_size, model.num_timesteps]
    model.save_replay_buffer(folder / "replay")
    again = sb3.models.SAC("MlpPolicy", "Pendulum-v1", **{**REPLAYED, "learning_starts": 100})
    other = sb3.models.SAC("MlpPolicy", env, **REPLAYED)
    other.load_replay_buffer(folder / "replay")
    same = bool((other.replay_buffer.rewards[:6] == buffer.rewards[:6]).all())
    return {
        "first": first, **rows, "shapes": shapes, "counts": counts, "loaded": [other.replay_buffer.pos, same],
        "parameters": sorted(model.get_parameters()), "empty": again.replay_buffer.size(),
    }  # fmt: skip


def exploring(sb3: Library, folder: Path) -> Numbers:
    rates, env = [], sb3.env_util.make_vec_env("CartPole-v1", seed=2)

    class Note(sb3.callbacks.BaseCallback):
        def _on_step(self) -> bool:
            rates.append(self.model.exploration_rate)
            return True

    model = sb3.models.DQN(
        "MlpPolicy", env, exploration_fraction=0.5, exploration_final_eps=0.2, target_update_interval=8,
        **{**REPLAYED, "learning_starts": 10_000},
    )  # fmt: skip
    names = {name: list(x.shape) for name, x in model.policy.state_dict().items()}
    model.learn(40, callback=Note())
    q = model.q_net(torch.ones(2, 4)).flatten().tolist()
    actions = model.replay_buffer.actions.flatten().tolist()
    return {"rates": rates, "names": names, "q": q, "actions": actions, "greedy": model.predict(np.ones(4), deterministic=True)[0].tolist()}  # fmt: skip  # noqa: E501


def noisy(sb3: Library, folder: Path) -> Numbers:
    noise = sb3.noise
    env = sb3.env_util.make_vec_env("Pendulum-v1", n_envs=2, seed=4)
    own = noise.OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.3 * np.ones(1))
    found: Numbers = {}
    for name, given in (("td3", own), ("ddpg", noise.NormalActionNoise(np.zeros(1), 0.2 * np.ones(1))), ("none", None)):
        kind = sb3.models.DDPG if name == "ddpg" else sb3.models.TD3
        options = {**REPLAYED, "learning_starts": 0, "train_freq": 20}
        model = kind("MlpPolicy", env, action_noise=given, policy_kwargs={"net_arch": [6]}, **options)
        model.learn(20)
        found[name] = [np.ravel(model.replay_buffer.actions[:10]).tolist(), str(model.action_noise), model.n_envs]
        found[f"{name} weights"] = {key: list(x.shape) for key, x in model.policy.state_dict().items()}
    return found


def logged(sb3: Library, folder: Path) -> Numbers:
    found: Numbers = {}
    envs = {"PPO": None, "A2C": None, "SAC": "Pendulum-v1", "TD3": "Pendulum-v1", "DQN": "CartPole-v1"}
    for name, env in envs.items():
        made = Levels() if env is None else gymnasium.make(env, max_episode_steps=20)
        options = SMALL if name == "PPO" else QUICK if name == "A2C" else REPLAYED
        model = getattr(sb3.models, name)("MlpPolicy", made, policy_kwargs={"net_arch": [8]}, **options)
        model.set_logger(sb3.logger.configure(str(folder / name), ["csv"]))
        model.learn(42, log_interval=1)
        model.logger.close()
        found[name] = tags(folder / name / "progress.csv")
    return found


def several_observations(sb3: Library, folder: Path) -> Numbers:
    env = sb3.env_util.make_vec_env(sb3.envs.SimpleMultiObsEnv, env_kwargs={"random_start": False})
    model = sb3.models.PPO("MultiInputPolicy", env, policy_kwargs={"net_arch": [8]}, **SMALL)
    tensors, batch = model.policy.obs_to_tensor(env.reset())
    value = list(model.policy.predict_values(tensors).shape)
    off = sb3.models.DQN("MultiInputPolicy", env, **REPLAYED)
    off.learn(10)
    keys = sorted(off.replay_buffer.observations)
    kinds = [type(model.rollout_buffer).__name__, type(off.replay_buffer).__name__]
    return {"value": value, "batch": batch, "keys": keys, "kinds": kinds}


def scheduled(sb3: Library, folder: Path) -> Numbers:
    model = sb3.models.PPO(
        "MlpPolicy", Levels(), learning_rate=lambda left: 1e-3 * left,
        clip_range=sb3.utils.LinearSchedule(0.4, 0.1, 1.0), **SMALL,
    )  # fmt: skip
    model.set_logger(sb3.logger.configure(str(folder), ["csv"]))
    model.learn(64)
    model.logger.close()
    with (folder / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [row[f"train/{name}"] for row in rows] for name in ("learning_rate", "clip_range", "n_updates")}


def learned(sb3: Library, folder: Path) -> Numbers:
    """Where an update draws nothing but its batch, all weights are as there."""
    found: Numbers = {}
    for name, env, options in (
        ("DQN", "CartPole-v1", {"target_update_interval": 10, "tau": 0.5, "max_grad_norm": 1.0}),
        ("TD3", "Pendulum-v1", {"target_policy_noise": 0.0}),
        ("DDPG", "Pendulum-v1", {"n_steps": 3}),
    ):
        model = getattr(sb3.models, name)("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, **options, **REPLAYED)
        model.learn(50)
        found[name] = {key: float(x.abs().sum()) for key, x in model.policy.state_dict().items()}
    return found


PROGRAMS = (
    curriculum, extractor, masks, recurrent, games, plotting, saving, watching, stopping, every_so_often, replayed,
    exploring, noisy, logged, several_observations, scheduled, learned,
)  # fmt: skip
