"""Curves of what a ``Monitor`` wrote."""

import importlib
from collections.abc import Callable
from typing import Literal

import numpy as np

from clipper.compat.sb3.common.monitor import load_results
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError

for package in ("pandas", "matplotlib"):
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"Clipper has no curves here: {package} is required for plotting, pip install {package}"
        ) from error

X_TIMESTEPS, X_EPISODES, X_WALLTIME = "timesteps", "episodes", "walltime_hrs"
POSSIBLE_X_AXES = [X_TIMESTEPS, X_EPISODES, X_WALLTIME]
EPISODES_WINDOW = 100
Axis = Literal["timesteps", "episodes", "walltime_hrs"]


def rolling_window(array: np.ndarray, window: int) -> np.ndarray:
    """All stretches of ``window`` numbers in a row, along the last axis."""
    return np.lib.stride_tricks.sliding_window_view(array, window, axis=-1)


def window_func(
    var_1: np.ndarray, var_2: np.ndarray, window: int, func: Callable[..., np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The first where a window ends, and ``func`` of the second over each window."""
    return var_1[window - 1 :], func(rolling_window(var_2, window), axis=-1)


def ts2xy(data_frame: Tree, x_axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Episodes' returns over steps, episodes or hours."""
    if x_axis == X_TIMESTEPS:
        x = np.cumsum(data_frame.l.values)
    elif x_axis == X_EPISODES:
        x = np.arange(len(data_frame))
    elif x_axis == X_WALLTIME:
        x = data_frame.t.values / 3600.0
    else:
        raise ConfigError(f"x_axis is one of {POSSIBLE_X_AXES}, not {x_axis!r}")
    return x, data_frame.r.values


def plot_curves(
    xy_list: list[tuple[np.ndarray, np.ndarray]], x_axis: str, title: str, figsize: tuple[int, int] = (8, 2)
) -> None:
    """Each as dots, with its mean over a window of 100 episodes."""
    from matplotlib import pyplot  # noqa: PLC0415 (only pictures need it)

    pyplot.figure(title, figsize=figsize)
    pyplot.xlim(0, max(xy[0][-1] for xy in xy_list))
    for x, y in xy_list:
        pyplot.scatter(x, y, s=2)
        if x.shape[0] >= EPISODES_WINDOW:
            pyplot.plot(*window_func(x, y, EPISODES_WINDOW, np.mean))
    pyplot.title(title)
    pyplot.xlabel(x_axis)
    pyplot.ylabel("Episode Rewards")
    pyplot.tight_layout()


def plot_results(
    dirs: list[str], num_timesteps: int | None, x_axis: str, task_name: str, figsize: tuple[int, int] = (8, 2)
) -> None:
    """Of each folder of monitor files."""
    curves = list[tuple[np.ndarray, np.ndarray]]()
    for folder in dirs:
        table = load_results(folder)
        if num_timesteps is not None:
            table = table[table.l.cumsum() <= num_timesteps]
        curves.append(ts2xy(table, x_axis))
    plot_curves(curves, x_axis, task_name, figsize)
