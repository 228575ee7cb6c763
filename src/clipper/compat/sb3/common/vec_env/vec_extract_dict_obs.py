"""A wrapper that passes one part of a Dict observation on."""

import numpy as np
from gymnasium.spaces import Dict

from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper


class VecExtractDictObs(VecEnvWrapper):
    """The part ``key`` alone, as the whole observation."""

    def __init__(self, venv: VecEnv, key: str) -> None:
        self.key = key
        assert isinstance(venv.observation_space, Dict), (
            f"VecExtractDictObs takes Dict spaces, not {venv.observation_space}"
        )
        super().__init__(venv, venv.observation_space.spaces[key])

    def reset(self) -> np.ndarray:
        return self.venv.reset()[self.key]

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = info["terminal_observation"][self.key]
        return obs[self.key], rewards, dones, infos
