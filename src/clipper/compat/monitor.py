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

EXT = "monitor.csv"


class EpisodeFile:
    """A row for each episode, after a line of JSON; an ``info`` entry may be a column of its own."""

    def __init__(
        self, filename: str | Path, began: float, env_id: str | None, extra_keys: tuple[str, ...] = (),
        override_existing: bool = True,
    ) -> None:  # fmt: skip
        named = str(from_user(filename))
        if not named.endswith(EXT):
            named = str(Path(named) / EXT) if Path(named).is_dir() else f"{named}.{EXT}"
        self.path = Path(named)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = override_existing or not self.path.exists()
        self.file = self.path.open("w" if new else "a", newline="")
        self.rows = csv.DictWriter(self.file, ("r", "l", "t", *extra_keys), lineterminator="\n")
        if new:
            self.file.write(f"#{json.dumps({'t_start': began, 'env_id': str(env_id)})}\n")
            self.rows.writeheader()
        self.file.flush()

    def write_row(self, row: Mapping[str, object]) -> None:
        """One more, which is on disk then."""
        self.rows.writerow(row)
        self.file.flush()

    def close(self) -> None:
        """Write no more."""
        self.file.close()


class Monitor(gymnasium.Wrapper):
    """Puts ``{"r": return, "l": length, "t": seconds}`` into ``info["episode"]`` at an episode's end.

    Where an environment keeps count itself, as Clipper's Atari games do of whole games and their scores, that is what
    it puts there. With ``filename`` also into ``FILENAME.monitor.csv``, with what ``info_keywords`` names of ``info``
    and ``reset_keywords`` of the arguments of ``reset``.
    """

    EXT = EXT

    def __init__(
        self, env: gymnasium.Env, filename: str | Path | None = None, allow_early_resets: bool = True,
        reset_keywords: tuple[str, ...] = (), info_keywords: tuple[str, ...] = (), override_existing: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(env)
        self.t_start, self.info_keywords, self.reset_keywords = time.time(), info_keywords, reset_keywords
        self.allow_early_resets, self.needs_reset = allow_early_resets, True
        self.results_writer = None
        if filename is not None:
            keys = (*reset_keywords, *info_keywords)
            name = None if env.spec is None else env.spec.id
            self.results_writer = EpisodeFile(filename, self.t_start, name, keys, override_existing)
        self.rewards = list[float]()
        self.episode_returns, self.episode_lengths = list[float](), list[int]()
        self.episode_times, self.total_steps = list[float](), 0
        self.current_reset_info: Info = {}
        self.tells = bool(env.metadata.get(TELLS))

    def reset(self, **kwargs: Tree) -> tuple[Tree, Info]:
        if not self.allow_early_resets and not self.needs_reset:
            raise RuntimeError(
                "Tried to reset an environment before done: Monitor(…, allow_early_resets=True) permits it"
            )
        self.rewards, self.needs_reset = [], False
        for key in self.reset_keywords:
            if kwargs.get(key) is None:
                raise ValueError(f"Expected you to pass keyword argument {key} into reset")
            self.current_reset_info[key] = kwargs[key]
        return self.env.reset(**kwargs)

    def step(self, action: Tree) -> tuple[Tree, SupportsFloat, bool, bool, Info]:
        if self.needs_reset:
            raise RuntimeError("Tried to step environment that needs reset")
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.rewards.append(float(reward))
        self.total_steps += 1
        self.needs_reset = bool(terminated or truncated)
        if TOLD[0] in info if self.tells else self.needs_reset:
            total, length = (info[key] for key in TOLD) if self.tells else (sum(self.rewards), len(self.rewards))
            seconds = time.time() - self.t_start
            row = {"r": round(total, 6), "l": length, "t": round(seconds, 6)}
            row |= {key: info[key] for key in self.info_keywords}
            self.episode_returns.append(total)
            self.episode_lengths.append(length)
            self.episode_times.append(seconds)
            row |= self.current_reset_info
            if self.results_writer is not None:
                self.results_writer.write_row(row)
            info = {**info, "episode": row}
        return obs, reward, terminated, truncated, info

    def close(self) -> None:
        super().close()
        if self.results_writer is not None:
            self.results_writer.close()

    def get_total_steps(self) -> int:
        """Steps since it was made."""
        return self.total_steps

    def get_episode_rewards(self) -> list[float]:
        """Returns of all episodes."""
        return self.episode_returns

    def get_episode_lengths(self) -> list[int]:
        """Steps of all episodes."""
        return self.episode_lengths

    def get_episode_times(self) -> list[float]:
        """When they ended, in seconds since it was made."""
        return self.episode_times


class LoadMonitorResultsError(Exception):
    """A folder holds no file that a ``Monitor`` wrote."""


def get_monitor_files(path: str | Path) -> list[str]:
    """All files in a folder that a ``Monitor`` wrote."""
    return [str(file) for file in sorted(from_user(path).glob(f"*{EXT}"))]


def load_results(path: str | Path) -> Tree:
    """Episodes of all files in a folder, a ``pandas.DataFrame`` in their order in time, which then begins at 0."""
    try:
        import pandas  # noqa: PLC0415  # pyright: ignore[reportMissingImports] (only tables need it)
    except ImportError as error:
        raise ImportError("pandas is required for loading results: pip install pandas") from error

    files = get_monitor_files(path)
    if not files:
        raise LoadMonitorResultsError(f"{path} holds no file of Monitor's, whose names end with {EXT}")
    tables, headers = [], []
    for name in files:
        with Path(name).open() as file:
            first = file.readline()
            assert first.startswith("#"), f"{name} begins with no header of a Monitor"
            headers.append(json.loads(first[1:]))
            table = pandas.read_csv(file, index_col=None)
        if not table.empty or not tables:
            table["t"] += headers[-1]["t_start"]
        tables.append(table)
    full = [table for table in tables if not table.empty] or tables[:1]
    whole = pandas.concat(full).sort_values("t").reset_index()
    whole["t"] -= min(header["t_start"] for header in headers)
    return whole


def monitored(
    env_id: str | Callable[..., gymnasium.Env],
    env_kwargs: Mapping[str, object],
    path: str | None,
    monitor_kwargs: Mapping[str, object],
    wrapper_class: Callable[..., gymnasium.Env] | None,
    wrapper_kwargs: Mapping[str, object],
    seed: int | None,
) -> gymnasium.Env:
    """One environment in a ``Monitor``, and that in a wrapper; its action space is seeded."""
    if isinstance(env_id, str):
        made = made_of_id(env_id, env_kwargs)
    else:
        made = env_id(**env_kwargs)
        if not isinstance(made, gymnasium.Env):
            made = make_single(env_id, **env_kwargs)  # which says what is wrong
    if seed is not None:
        made.action_space.seed(seed)
    env: gymnasium.Env = called(Monitor, made, path, **monitor_kwargs)
    return env if wrapper_class is None else wrapper_class(env, **wrapper_kwargs)


def made_of_id(env_id: str, env_kwargs: Mapping[str, object]) -> gymnasium.Env:
    """Gymnasium's environment of this name, which can be filmed where it can; otherwise Clipper's, or its error."""
    if "," in env_id:  # Clipper's way of giving arguments
        return make_single(env_id, **env_kwargs)
    try:
        return called(gymnasium.make, env_id, **{"render_mode": "rgb_array"} | dict(env_kwargs))
    except gymnasium.error.UnregisteredEnv:
        return make_single(env_id, **env_kwargs)
    except TypeError:
        return called(gymnasium.make, env_id, **env_kwargs)
