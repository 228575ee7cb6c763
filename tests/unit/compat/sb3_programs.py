"""Short programs in the manner of Stable-Baselines3's documentation, whose numbers are not learned: the first ones."""

import importlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

Numbers = dict[str, Any]


class Library:
    """Modules of the library under a name."""

    def __init__(self, root: str) -> None:
        self.root = root

    def __getattr__(self, name: str) -> Any:
        return importlib.import_module(f"{self.root}.common.{name}")

    @property
    def contrib(self) -> Any:
        """Of sb3-contrib."""
        return importlib.import_module(self.root.replace("stable_baselines3", "sb3_contrib"))

    def contrib_common(self, name: str) -> Any:
        """Of its ``common``."""
        return importlib.import_module(f"{self.contrib.__name__}.common.{name}")

    @property
    def models(self) -> Any:
        return importlib.import_module(self.root)


def counting(sb3: Library, folder: Path) -> Numbers:
    calls = []

    class Note(sb3.callbacks.BaseCallback):
        def _on_rollout_start(self) -> None:
            calls.append("rollout")

        def _on_step(self) -> bool:
            calls.append("step")
            assert set(self.locals) >= {"infos", "rewards", "dones", "new_obs", "actions", "values", "clipped_actions"}
            return True

        def _on_rollout_end(self) -> None:
            calls.append("end")

    env = sb3.env_util.make_vec_env("CartPole-v1", n_envs=2, seed=0)
    model = sb3.models.PPO("MlpPolicy", env, n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu")
    model.learn(100, callback=Note())
    first = model.num_timesteps
    model.learn(10, reset_num_timesteps=False)
    return {
        "timesteps": [first, model.num_timesteps],
        **{name: calls.count(name) for name in ("rollout", "step", "end")},
    }


def first_rollout(sb3: Library, folder: Path) -> Numbers:
    seen: Numbers = {}

    class Look(sb3.callbacks.BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            buffer = self.model.rollout_buffer
            for name in ("actions", "rewards", "values", "log_probs", "advantages", "returns", "episode_starts"):
                seen.setdefault(name, np.ravel(getattr(buffer, name))[::5].tolist())
            seen.setdefault("lengths", [info["l"] for info in self.model.ep_info_buffer])

    sb3.models.A2C("MlpPolicy", "Pendulum-v1", n_steps=210, seed=3, device="cpu").learn(210, callback=Look())
    return seen


def normalising(sb3: Library, folder: Path) -> Numbers:
    env = sb3.vec_env.VecNormalize(sb3.env_util.make_vec_env("CartPole-v1", n_envs=3, seed=5), gamma=0.9, clip_obs=2.0)
    env.reset()
    actions = np.random.default_rng(0).integers(0, 2, (60, 3))
    rewards = sum(env.step(row)[1].sum() for row in actions)
    obs = env.normalize_obs(env.get_original_obs())
    return {
        "mean": env.obs_rms.mean.tolist(), "var": env.obs_rms.var.tolist(), "count": env.obs_rms.count,
        "return": float(env.ret_rms.var), "rewards": float(rewards), "obs": obs.tolist(),
    }  # fmt: skip


def stacking(sb3: Library, folder: Path) -> Numbers:
    env = sb3.vec_env.VecFrameStack(sb3.env_util.make_vec_env("CartPole-v1", n_envs=2, seed=1), n_stack=3)
    first = obs = env.reset().copy()
    for _ in range(3):
        obs, _, _, _ = env.step(np.array([0, 1]))
    return {"first": first.tolist(), "obs": obs.tolist(), "shape": list(env.observation_space.shape)}


def monitoring(sb3: Library, folder: Path) -> Numbers:
    env = sb3.monitor.Monitor(gymnasium.make("CartPole-v1"), str(folder / "one"))
    info: Numbers = {}
    for episode in range(3):
        env.reset(seed=episode)
        over, info = False, {}
        while not over:
            _, _, terminated, truncated, info = env.step(episode % 2)
            over = terminated or truncated
    env.close()
    lines = (folder / "one.monitor.csv").read_text().splitlines()
    rows = [line.split(",")[:2] for line in lines[2:]]
    return {
        "names": lines[1],
        "rows": rows,
        "total": env.get_total_steps(),
        "last": [info["episode"]["r"], info["episode"]["l"]],
    }


def evaluating(sb3: Library, folder: Path) -> Numbers:
    env = sb3.env_util.make_vec_env("CartPole-v1", n_envs=2, seed=7)
    model = sb3.models.PPO("MlpPolicy", env, seed=7, device="cpu")
    evaluate = sb3.evaluation.evaluate_policy
    returns, lengths = evaluate(model, env, n_eval_episodes=5, return_episode_rewards=True)
    return {"returns": returns, "lengths": lengths}


def files(sb3: Library, folder: Path) -> Numbers:
    calls = sb3.callbacks
    callback = calls.CallbackList([
        calls.CheckpointCallback(20, str(folder / "saved"), name_prefix="x", save_vecnormalize=True),
        calls.EvalCallback(
            sb3.vec_env.VecNormalize(sb3.env_util.make_vec_env("CartPole-v1", n_envs=1), training=False),
            eval_freq=25, n_eval_episodes=2, log_path=str(folder / "log"), best_model_save_path=str(folder / "best"),
            verbose=0,
        ),
    ])  # fmt: skip
    env = sb3.vec_env.VecNormalize(sb3.env_util.make_vec_env("CartPole-v1", n_envs=2, seed=0))
    sb3.models.PPO("MlpPolicy", env, n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu").learn(128, callback)
    with np.load(folder / "log" / "evaluations.npz") as found:
        steps, shape = found["timesteps"].tolist(), list(found["results"].shape)
    return {"files": sorted(x.name for x in folder.rglob("*") if x.is_file()), "steps": steps, "shape": shape}


def policies(sb3: Library, folder: Path) -> Numbers:
    arch = {"net_arch": {"pi": [8, 4], "vf": [6]}, "activation_fn": torch.nn.ReLU, "log_std_init": -0.5}
    model = sb3.models.PPO("MlpPolicy", "Pendulum-v1", policy_kwargs=arch, seed=11, device="cpu")
    obs, _ = model.policy.obs_to_tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    with torch.no_grad():
        value, log_prob, entropy = model.policy.evaluate_actions(obs, torch.full((4, 1), 0.3))
        mode = model.policy.get_distribution(obs).mode()
    names = {name: float(x.abs().sum()) for name, x in model.policy.state_dict().items()}
    return {
        "weights": names, "value": value.flatten().tolist(), "log_prob": log_prob.tolist(), "entropy": entropy.tolist(),
        "mode": mode.flatten().tolist(), "action": model.predict(obs.numpy(), deterministic=True)[0].flatten().tolist(),
    }  # fmt: skip


def small_things(sb3: Library, folder: Path) -> Numbers:
    utils = sb3.utils
    written = folder / "log" / "progress.csv"
    schedule = utils.LinearSchedule(1.0, 0.1, 0.5)
    logger = sb3.logger.configure(str(folder / "log"), ["csv"])
    for number in (1.0, 3.0):
        logger.record_mean("a/mean", number)
    logger.record("b", 2)
    logger.dump(step=5)
    rows = [sorted(row.split(",")) for row in written.read_text().splitlines()]
    utils.set_random_seed(4)
    return {
        "schedule": [schedule(x) for x in (1.0, 0.8, 0.2)], "csv": rows,
        "variance": float(utils.explained_variance(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.5, 3.5]))),
        "drawn": [float(np.random.rand()), float(torch.rand(()))],
    }  # fmt: skip


PROGRAMS = (counting, first_rollout, normalising, stacking, monitoring, evaluating, files, policies, small_things)
