"""The latest observations of each environment as one."""

from collections.abc import Mapping

from gymnasium.spaces import Box, Dict

from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper
from clipper.compat.sb3.common.vec_env.stacked_observations import StackedObservations
from clipper.data.tree_type import Tree


class VecFrameStack(VecEnvWrapper):
    """The latest ``n_stack`` along the channels, 0 before an episode's first; images are known by their shape."""

    def __init__(
        self, venv: VecEnv, n_stack: int, channels_order: str | Mapping[str, str | None] | None = None
    ) -> None:
        assert isinstance(venv.observation_space, Box | Dict), "VecFrameStack takes Box and Dict spaces of such alone"
        self.stacked_obs = StackedObservations(venv.num_envs, n_stack, venv.observation_space, channels_order)
        self.n_stack = n_stack
        super().__init__(venv, self.stacked_obs.stacked_observation_space)

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        obs, infos = self.stacked_obs.update(obs, dones, infos)
        return obs, rewards, dones, infos

    def reset(self) -> Tree:
        return self.stacked_obs.reset(self.venv.reset())
