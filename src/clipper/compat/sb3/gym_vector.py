"""Environments behind Stable-Baselines3's interface as one of Gymnasium's vector environments."""

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import EACH, Info


class AsGymnasium(VectorEnv):
    """The same environments, which reset in the step in which an episode ends. Seeds are their own: none is passed on.

    Where ``last_obs`` is given episodes go on from there: the first reset is none.
    """

    def __init__(self, venv: VecEnv, last_obs: Tree = None) -> None:
        self.venv, self.num_envs, self.last_obs = venv, venv.num_envs, last_obs
        self.single_observation_space, self.single_action_space = venv.observation_space, venv.action_space
        self.observation_space = batch_space(venv.observation_space, venv.num_envs)
        self.action_space = batch_space(venv.action_space, venv.num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.render_mode, self.spec = venv.render_mode, None

    def reset(self, *, seed: Tree = None, options: Info | None = None) -> tuple[Tree, Info]:
        if self.last_obs is None:
            self.last_obs = self.venv.reset()
        obs, self.last_obs = self.last_obs, None
        return obs, self.masks()

    def step(self, actions: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]:
        obs, rewards, dones, infos = self.venv.step(actions)
        cut = np.array([bool(info.get("TimeLimit.truncated")) for info in infos]) & dones
        told: Info = {EACH: infos} | self.masks()
        if dones.any():
            last = np.empty(self.num_envs, dtype=object)
            for i in np.flatnonzero(dones):
                last[i] = infos[i]["terminal_observation"]
            told |= {"final_obs": last, "_final_obs": dones.copy()}
        return obs, rewards.astype(np.float64), dones & ~cut, cut, told

    def masks(self) -> Info:
        """None: models that read masks ask the environments themselves."""
        return {}

    def close_extras(self, **kwargs: object) -> None:
        """They belong to the program."""
