"""Environments that are stepped one after another in this process."""

from collections.abc import Sequence

import gymnasium
import numpy as np

from clipper.compat.sb3.common.vec_env.base_vec_env import (
    Factory,
    VecEnv,
    VecEnvIndices,
    VecEnvStepReturn,
    check_distinct,
    checked,
    wrapped_in,
)
from clipper.compat.sb3.common.vec_env.patch_gym import _patch_env
from clipper.compat.vector_worker import stack
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info


class DummyVecEnv(VecEnv):
    """All in this process."""

    def __init__(self, env_fns: Sequence[Factory]) -> None:
        self.envs: list[gymnasium.Env] = [_patch_env(make()) for make in checked(env_fns, "DummyVecEnv")]
        check_distinct(self.envs)
        super().__init__(len(self.envs), self.envs[0].observation_space, self.envs[0].action_space)
        self.metadata = self.envs[0].metadata
        self.spec = self.envs[0].spec
        self.actions: Tree = None

    def step_async(self, actions: Tree) -> None:
        self.actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        rows, infos = list[Tree](), list[Info]()
        rewards, dones = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, bool)
        for i, env in enumerate(self.envs):
            obs, rewards[i], terminated, truncated, info = env.step(self.actions[i])
            dones[i] = terminated or truncated
            info = {**info, "TimeLimit.truncated": bool(truncated and not terminated)}
            if dones[i]:
                info["terminal_observation"] = obs
                obs, self.reset_infos[i] = env.reset()
            rows.append(obs)
            infos.append(info)
        return stack(self.observation_space, rows), rewards, dones, infos

    def reset(self) -> Tree:
        rows = list[Tree]()
        for i, env in enumerate(self.envs):
            options = {"options": self._options[i]} if self._options[i] else {}
            obs, self.reset_infos[i] = env.reset(seed=self._seeds[i], **options)
            rows.append(obs)
        self._reset_seeds()
        self._reset_options()
        return stack(self.observation_space, rows)

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def chosen(self, indices: VecEnvIndices) -> list[gymnasium.Env]:
        """Some of them."""
        return [self.envs[i] for i in self._get_indices(indices)]

    _get_target_envs = chosen

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Tree]:
        return [env.get_wrapper_attr(attr_name) for env in self.chosen(indices)]

    def set_attr(self, attr_name: str, value: object, indices: VecEnvIndices = None) -> None:
        for env in self.chosen(indices):
            setattr(env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: object, indices: VecEnvIndices = None, **method_kwargs: object
    ) -> list[Tree]:
        return [env.get_wrapper_attr(method_name)(*method_args, **method_kwargs) for env in self.chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return [wrapped_in(env, wrapper_class) for env in self.chosen(indices)]
