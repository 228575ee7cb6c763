"""What episodes gave, counted around all environments at once."""

import time
import warnings
from pathlib import Path

import numpy as np

from clipper.compat.monitor import EpisodeFile
from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper
from clipper.data.tree_type import Tree


class VecMonitor(VecEnvWrapper):
    """Puts ``{"r": return, "l": length, "t": seconds}`` into ``info["episode"]`` at an episode's end.

    With ``filename`` also into a file, with the entries of ``info`` that ``info_keywords`` names.
    """

    def __init__(self, venv: VecEnv, filename: str | Path | None = None, info_keywords: tuple[str, ...] = ()) -> None:
        if "Monitor" in {name for name in ("Monitor",) if any(monitored(venv))}:
            warnings.warn(
                "the environments are in a Monitor already, of which VecMonitor overwrites the statistics", stacklevel=2
            )
        super().__init__(venv)
        self.episode_count, self.t_start, self.info_keywords = 0, time.time(), info_keywords
        specs = venv.get_attr("spec") if venv.has_attr("spec") else [None]
        env_id = None if specs[0] is None else specs[0].id
        self.results_writer = None
        if filename:
            self.results_writer = EpisodeFile(filename, self.t_start, env_id, info_keywords, override_existing=True)
        self.episode_returns, self.episode_lengths = (
            np.zeros(venv.num_envs, np.float32),
            np.zeros(venv.num_envs, np.int32),
        )

    def reset(self) -> Tree:
        obs = self.venv.reset()
        n = self.num_envs
        self.episode_returns, self.episode_lengths = np.zeros(n, np.float32), np.zeros(n, np.int32)
        return obs

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        self.episode_returns += rewards
        self.episode_lengths += 1
        infos = list(infos)
        for i in np.flatnonzero(dones):
            own = infos[i] = infos[i].copy()
            row = {
                "r": float(self.episode_returns[i]), "l": int(self.episode_lengths[i]),
                "t": round(time.time() - self.t_start, 6),
            }  # fmt: skip
            row |= {key: own[key] for key in self.info_keywords}
            own["episode"] = row
            self.episode_count += 1
            self.episode_returns[i] = self.episode_lengths[i] = 0
            if self.results_writer is not None:
                self.results_writer.write_row(row)
        return obs, rewards, dones, infos

    def close(self) -> None:
        if self.results_writer is not None:
            self.results_writer.close()
        self.venv.close()


def monitored(venv: VecEnv) -> list[bool]:
    """Is each in a ``Monitor``?"""
    from clipper.compat.monitor import Monitor  # noqa: PLC0415

    try:
        return venv.env_is_wrapped(Monitor)
    except AttributeError:
        return [False]
