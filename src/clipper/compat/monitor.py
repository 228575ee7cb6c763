"""An environment that tells what an episode gave when it ends. Loads little: worker processes make it."""

import csv
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import SupportsFloat

import gymnasium

from clipper.data.tree_type import Tree
from clipper.environments.ids import called
from clipper.environments.make import make_single
from clipper.environments.told_episodes import TELLS, TOLD, Info
from clipper.storage.files import from_user


class Monitor(gymnasium.Wrapper):
    """Puts ``{"r": return, "l": length, "t": seconds}`` into ``info["episode"]`` at an episode's end.

    Where an environment keeps count itself, as Atari's do of whole games and their scores, that is what it puts there.
    With ``filename`` also into ``FILENAME.monitor.csv``, with the entries of ``info`` that ``info_keywords`` names.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        filename: str | Path | None = None,
        allow_early_resets: bool = True,
        reset_keywords: tuple[str, ...] = (),
        info_keywords: tuple[str, ...] = (),
        override_existing: bool = True,
    ) -> None:
        super().__init__(env)
        self.began, self.keywords = time.time(), info_keywords
        self.total, self.length = 0.0, 0
        self.tells = bool(env.metadata.get(TELLS))
        self.path: Path | None = None
        if filename is not None:
            named = str(from_user(filename))
            named = named if named.endswith("monitor.csv") else f"{named.rstrip('.')}.monitor.csv"
            self.path = Path(named) if not Path(named).is_dir() else Path(named) / "monitor.csv"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if override_existing or not self.path.exists():
                header = {"t_start": self.began, "env_id": None if env.spec is None else env.spec.id}
                names = ",".join(("r", "l", "t", *info_keywords))
                self.path.write_text(f"#{json.dumps(header)}\n{names}\n")

    def reset(self, **kwargs: object) -> tuple[Tree, Info]:
        self.total, self.length = 0.0, 0
        return called(self.env.reset, **kwargs)

    def step(self, action: Tree) -> tuple[Tree, SupportsFloat, bool, bool, Info]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.total, self.length = self.total + float(reward), self.length + 1
        if TOLD[0] in info if self.tells else terminated or truncated:
            total, length = (info[key] for key in TOLD) if self.tells else (self.total, self.length)
            row = {"r": round(total, 6), "l": length, "t": round(time.time() - self.began, 6)}
            row |= {key: info[key] for key in self.keywords}
            info = {**info, "episode": row}
            if self.path is not None:
                with self.path.open("a", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerow(row.values())
        return obs, reward, terminated, truncated, info


def monitored(
    env_id: str | Callable[..., gymnasium.Env],
    env_kwargs: Mapping[str, object],
    path: str | None,
    monitor_kwargs: Mapping[str, object],
    wrapper_class: Callable[..., gymnasium.Env] | None,
    wrapper_kwargs: Mapping[str, object],
) -> gymnasium.Env:
    """One environment in a ``Monitor``, and that in a wrapper."""
    env: gymnasium.Env = called(Monitor, make_single(env_id, **env_kwargs), path, **monitor_kwargs)
    return env if wrapper_class is None else wrapper_class(env, **wrapper_kwargs)
