"""Small things that programs for Stable-Baselines3 use."""

import importlib.metadata
import platform
import random
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from clipper.compat.sb3 import public_names
from clipper.compat.sb3.common.logger import Logger, configure
from clipper.compat.sb3.common.schedules import ConstantSchedule, FloatSchedule, LinearSchedule
from clipper.compat.sb3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError
from clipper.storage.files import from_user

VERSION = "2.9.2"
"""Of Stable-Baselines3, whose interface this is."""


def set_random_seed(seed: int, using_cuda: bool = False) -> None:
    """Seed Python's, numpy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    if using_cuda:
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def explained_variance(y_pred: np.ndarray, y_true: np.ndarray) -> float:
    """1 − Var[y − ŷ] / Var[y]; NaN where y is constant."""
    assert y_true.ndim == y_pred.ndim == 1
    variance = np.var(y_true)
    return np.nan if variance == 0 else float(1 - np.var(y_true - y_pred) / variance)


def update_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


def get_schedule_fn(value_schedule: Callable[[float], float] | float) -> Callable[[float], float]:
    """``FloatSchedule``, by its former name."""
    warnings.warn("get_schedule_fn is a former name of FloatSchedule", stacklevel=2)
    return FloatSchedule(value_schedule)


def get_linear_fn(start: float, end: float, end_fraction: float) -> Callable[[float], float]:
    """``LinearSchedule``, by its former name."""
    warnings.warn("get_linear_fn is a former name of LinearSchedule", stacklevel=2)
    return LinearSchedule(start, end, end_fraction)


def constant_fn(val: float) -> Callable[[float], float]:
    """``ConstantSchedule``, by its former name."""
    warnings.warn("constant_fn is a former name of ConstantSchedule", stacklevel=2)
    return ConstantSchedule(val)


def get_device(device: torch.device | str = "auto") -> torch.device:
    """The CPU where CUDA is asked for and not there; auto is an accelerator where there is one."""
    try:
        found = torch.device("cuda" if str(device) == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"device={device!r} is no device of torch: say 'auto', 'cpu', 'cuda' or 'cuda:1'") from error
    return torch.device("cpu") if found.type == "cuda" and not torch.cuda.is_available() else found


def get_latest_run_id(log_path: str = "", log_name: str = "") -> int:
    """The highest N of folders ``log_name_N``; 0 without any."""
    folder, name = from_user(log_path or "."), re.compile(re.escape(log_name) + r"_(\d+)")
    numbers = [int(found[1]) for x in folder.glob("*") if (found := name.fullmatch(x.name))] if folder.is_dir() else []
    return max(numbers, default=0)


def configure_logger(
    verbose: int = 0, tensorboard_log: str | None = None, tb_log_name: str = "", reset_num_timesteps: bool = True
) -> Logger:
    """What ``learn`` logs with: a table where ``verbose``, and TensorBoard's files where there is a folder."""
    path, formats = None, [""] if verbose == 0 else ["stdout"]
    if tensorboard_log is not None:
        latest = get_latest_run_id(tensorboard_log, tb_log_name)
        number = latest + 1 if reset_num_timesteps else max(latest, 1)
        path = str(Path(tensorboard_log) / f"{tb_log_name}_{number}")
        formats = ["stdout", "tensorboard"] if verbose > 0 else ["tensorboard"]
    return configure(path, formats)


def check_for_correct_spaces(env: Tree, observation_space: gymnasium.Space, action_space: gymnasium.Space) -> None:
    """Raise ``ValueError`` where an environment has other spaces."""
    if observation_space != env.observation_space:
        raise ValueError(f"the model has observations of {observation_space}, and not of {env.observation_space}")
    if action_space != env.action_space:
        raise ValueError(f"the model has actions of {action_space}, and not of {env.action_space}")


def check_shape_equal(space1: gymnasium.Space, space2: gymnasium.Space) -> None:
    """Raise ``AssertionError`` where shapes differ."""
    if isinstance(space1, Dict):
        assert isinstance(space2, Dict), "spaces must be of the same kind"
        assert space1.spaces.keys() == space2.spaces.keys(), "spaces must have the same keys"
        for key in space1.spaces:
            check_shape_equal(space1.spaces[key], space2.spaces[key])
    elif isinstance(space1, Box):
        assert space1.shape == space2.shape, "spaces must have the same shape"


def is_vectorized_observation(observation: Tree, observation_space: gymnasium.Space) -> bool:
    """Is it a batch? Raises ``ValueError`` where it is neither one observation nor a batch of such."""
    if isinstance(observation_space, Dict):
        found = {is_vectorized_observation(observation[key], part) for key, part in observation_space.spaces.items()}
        if len(found) > 1:
            raise ValueError("some parts of the observation are a batch, and others are not")
        return found == {True}
    if not isinstance(observation_space, Box | Discrete | MultiDiscrete | MultiBinary):
        raise ValueError(
            f"one observation and many look alike in {observation_space}: it is none of the spaces known here"
        )
    shape = () if isinstance(observation_space, Discrete) else observation_space.shape
    given = np.shape(observation)
    if given == shape:
        return False
    if given[1:] == shape and len(given) == len(shape) + 1:
        return True
    raise ValueError(
        f"an observation of {observation_space} has the shape {shape}, and many of them one number more at its front, "
        f"not {given}"
    )


is_vectorized_box_observation = is_vectorized_discrete_observation = is_vectorized_observation
is_vectorized_multidiscrete_observation = is_vectorized_multibinary_observation = is_vectorized_observation
is_vectorized_dict_observation = is_vectorized_observation


def safe_mean(arr: np.ndarray | list | deque) -> float:
    """NaN of nothing."""
    return np.nan if len(arr) == 0 else float(np.mean(arr))


def get_parameters_by_name(model: torch.nn.Module, included_names: Iterable[str]) -> list[torch.Tensor]:
    """Parameters and buffers whose name has one of these in it."""
    return [x for name, x in model.state_dict().items() if any(part in name for part in included_names)]


def zip_strict(*iterables: Iterable) -> Iterator[tuple]:
    """``zip`` that raises ``ValueError`` where lengths differ."""
    nothing = object()
    for row in zip_longest(*iterables, fillvalue=nothing):
        if any(x is nothing for x in row):
            raise ValueError("Iterables have different lengths")
        yield row


def polyak_update(params: Iterable[torch.Tensor], target_params: Iterable[torch.Tensor], tau: float) -> None:
    """θ' ← (1 − τ) θ' + τ θ, in place."""
    with torch.no_grad():
        for own, target in zip_strict(params, target_params):
            target.data.mul_(1 - tau).add_(own.data, alpha=tau)


def obs_as_tensor(obs: Tree, device: torch.device | str) -> Tree:
    """An array, or a dict of such, as tensors."""
    if isinstance(obs, np.ndarray):
        return torch.as_tensor(obs, device=device)
    if isinstance(obs, dict):
        return {key: torch.as_tensor(x, device=device) for key, x in obs.items()}
    raise TypeError(f"Unrecognized type of observation {type(obs)}")


def should_collect_more_steps(train_freq: TrainFreq, num_collected_steps: int, num_collected_episodes: int) -> bool:
    """Is there too little for a gradient step?"""
    by_step = train_freq.unit == TrainFrequencyUnit.STEP
    return (num_collected_steps if by_step else num_collected_episodes) < train_freq.frequency


def get_system_info(print_info: bool = True) -> tuple[dict[str, str], str]:
    """Versions of what matters, as a dict and as text."""
    found = {
        "OS": f"{platform.platform()} {platform.version()}", "Python": platform.python_version(),
        "Stable-Baselines3": VERSION,
        "Clipper": importlib.metadata.version("clipper-rl") if installed("clipper-rl") else "",
        "PyTorch": torch.__version__, "GPU Enabled": str(torch.cuda.is_available()), "Numpy": np.__version__,
        "Cloudpickle": importlib.metadata.version("cloudpickle"), "Gymnasium": gymnasium.__version__,
    }  # fmt: skip
    text = "".join(f"- {key}: {value}\n" for key, value in found.items())
    if print_info:
        print(text)  # noqa: T201 (what it is asked for)
    return found, text


def installed(project: str) -> bool:
    """Is there such a package?"""
    try:
        importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.utils", name)
