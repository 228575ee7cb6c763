"""A training run: its parts, its records, and its state on disk."""

import math
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Generator

from clipper.data.trees import each, leaves
from clipper.engines import Engine
from clipper.environments.make import EnvSource
from clipper.environments.state import get_states, set_states
from clipper.environments.state_trees import EnvironmentState
from clipper.errors import ClipperError, CorruptCheckpointError
from clipper.learning.learner import Learner, part
from clipper.rollout.evaluation import Evaluation, evaluate_policy
from clipper.rollout.state import CollectState
from clipper.runs.profile import Profile
from clipper.settings.config import Config
from clipper.settings.config_json import fits, read_settings, to_json
from clipper.spaces.space_json import check_same_spaces, space_to_json
from clipper.storage import checkpoint, json_text

Row = dict[str, float | int | None]
RECENT = 100  # episodes in the moving average that a run shows


@dataclass(slots=True)
class Run:
    """What ``train`` returns: the policy and everything around it."""

    config: Config
    source: EnvSource
    """What makes the environment: an id, a factory or a ready vector environment."""
    env: VectorEnv
    learner: Learner
    state: CollectState
    engine: Engine
    """What collects and updates."""
    path: Path | None = None
    """The run's folder; None where nothing is written."""
    settings: dict[str, Any] | None = None
    """``config`` as JSON, where there is a folder, of when the run was built: objects of the user's own may change."""
    profile: Profile | None = None
    """Where the time goes, if that was asked for."""
    stepping: str = ""
    """For people: how the environments are stepped, and why."""
    custom_policy: bool = False
    """The policy was given as a module, so that the settings alone cannot rebuild it."""
    iteration: int = 0
    seconds: float = 0.0
    """Wall-clock time spent training, over all resumptions."""
    exact: bool = True
    """False once a resumption could not restore the environments bit for bit."""
    best: float = -math.inf
    """Highest mean return of an evaluation."""
    solved: bool = False
    """An evaluation reached the environment's reward threshold."""
    next_evaluation: float = math.inf
    """Decisions after which the policy is evaluated next."""
    next_checkpoint: float = math.inf
    """Decisions after which the run is saved next."""
    phase: Literal["", "collecting", "evaluating"] = ""
    """What is under way that leaves the learner alone, so that it may be broken off at any moment."""
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Returns of the latest training episodes."""
    history: list[Row] = field(default_factory=list)
    """One row per iteration, as in ``metrics.jsonl``."""

    @property
    def policy(self) -> Any:
        """The policy, with ``predict(obs)``."""
        return self.learner.policy

    def evaluate(self, episodes: int = 100, *, seed: int = 0, deterministic: bool = True) -> Evaluation:
        """Play whole episodes with the current policy, apart from training."""
        return evaluate_policy(
            self.policy,
            self.source,
            episodes=episodes,
            seed=seed,
            deterministic=deterministic,
            device=self.config.device,
        )

    def save(self, environments: bool = True) -> None:
        """Write the checkpoint from which the run can be resumed; those before it stay beside it."""
        if self.path is not None:
            tensors, values = self.state_dict(environments)
            checkpoint.save(self.path / "checkpoint.safetensors", tensors, values, self.config.keep_checkpoints)

    def save_best(self) -> None:
        """Write the policy alone, as the best so far."""
        if self.path is not None:
            tensors = {f"policy.{k}": v for k, v in self.policy.state_dict().items()}
            told = {"return": self.best, "masked": self.state.mask_source is not None}
            checkpoint.save(self.path / "best.safetensors", tensors, self.identity() | told)

    def identity(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the environment that it is loaded into."""
        spaces = {kind: space_to_json(space) for kind, space in spaces_of(self.env).items()}
        return {
            "config": to_json(self.config) if self.settings is None else self.settings,
            "spaces": spaces,
            "steps": self.state.steps,
            "custom_policy": self.custom_policy,
        }

    def state_dict(self, environments: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Everything that the next iteration depends on, as named tensors and JSON.

        Without ``environments`` they are left out, and start afresh where the run is resumed; so are the decisions
        since the last iteration, from which nothing was learned.
        """
        state = self.state
        tensors = {f"learner.{k}": v for k, v in self.learner.state_dict().items()}
        tensors |= {
            **{f"collect.obs.{i}": x for i, x in enumerate(leaves(state.obs))},
            "collect.done": torch.from_numpy(state.done),
            "collect.generator": state.generator.get_state(),
            "collect.running_total": torch.from_numpy(state.running_total),
            "collect.running_length": torch.from_numpy(state.running_length),
            **{f"collect.action_mask.{i}": mask for i, mask in enumerate(leaves(state.action_mask))},
            "recent": torch.tensor(list(self.recent), dtype=torch.float64),
        }
        tensors |= {f"collect.memory.{i}": x for i, x in enumerate(state.memory)}
        states = get_states(self.env) if environments else None
        for i, saved in enumerate(states or []):
            tensors |= {f"env.{i}.{k}": torch.from_numpy(np.array(v)) for k, v in saved.arrays.items()}
        counters = {name: getattr(self, name) for name in COUNTERS}
        values = self.identity() | counters | {"fresh": state.fresh}
        if not environments:
            values["steps"] = self.history[-1]["steps"] if self.history else 0
        values["environments"] = None if states is None else [saved.values for saved in states]
        return tensors, values

    def load_state_dict(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> bool:
        """Go back to a saved state; False where the environments could not be restored and start afresh."""
        state, device = self.state, self.state.generator.device
        try:
            check_same_spaces(values["spaces"], spaces_of(self.env))
            self.learner.load_state_dict(part(tensors, "learner."))
            state.steps, state.fresh = value_of("steps", int, values), value_of("fresh", bool, values)
            self.recent.extend(
                like("recent", torch.zeros(len(tensors["recent"]), dtype=torch.float64), tensors).tolist()
            )
            for name, kind in COUNTERS.items():
                setattr(self, name, value_of(name, kind, values))
            state.generator.set_state(tensors["collect.generator"])
            if values["environments"] is None:
                return False
            set_states(
                self.env,
                [
                    EnvironmentState({k: v.numpy() for k, v in part(tensors, f"env.{i}.").items()}, own)
                    for i, own in enumerate(values["environments"])
                ],
            )
            remembering, renew, fresh = getattr(self.policy, "memory", None), getattr(self.policy, "renew", None), ()
            if remembering is not None:
                fresh = remembering.forget((), state.done)
            if renew is not None:
                fresh = renew(fresh, state.done, Generator(device))
            if "collect.memory.0" in tensors:  # before the first step there is none
                memory = (like(f"collect.memory.{i}", x.cpu(), tensors) for i, x in enumerate(fresh))
                state.memory = tuple(x.to(device) for x in memory)
            number = count()
            state.obs = each(lambda x: like(f"collect.obs.{next(number)}", x, tensors).to(device), state.obs)
            number = count()
            state.action_mask = each(
                lambda mask: like(f"collect.action_mask.{next(number)}", mask, tensors).to(mask.device),
                state.action_mask,
            )
            for name in ("done", "running_total", "running_length"):
                fresh = torch.from_numpy(getattr(state, name))
                setattr(state, name, like(f"collect.{name}", fresh, tensors).numpy())
        except ClipperError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CorruptCheckpointError(f"the checkpoint does not fit its own settings: {error}") from error
        return True


def read_rows(folder: Path) -> Iterator[Row]:
    """The rows of a run's ``metrics.jsonl``; one that a crash has damaged is left out, with a warning."""
    if not (folder / "metrics.jsonl").is_file():
        return
    with (folder / "metrics.jsonl").open(errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith("\n"):  # a crash may cut the last one
                row = read_row(line, f"line {number} of {folder / 'metrics.jsonl'}")
                yield from [] if row is None else [row]


def read_row(line: str, name: str) -> Row | None:
    """One row of numbers, with its iteration and steps; a warning and None where it is something else."""
    try:
        row = json_text.parse(line, name)
    except CorruptCheckpointError as error:
        warnings.warn(f"{error}; it is left out", stacklevel=3)
        return None
    if not fits(row, dict) or not all(fits(row.get(k), int) for k in ("iteration", "steps")):
        warnings.warn(f"{name} is no row of metrics; it is left out", stacklevel=3)
        return None
    return {k: v for k, v in row.items() if v is None or fits(v, float)}


def value_of(name: str, kind: type, values: dict[str, Any]) -> Any:
    """``values[name]``, if it is a ``kind``."""
    if not fits(values[name], kind):
        raise TypeError(f"{name} is {values[name]!r}, not of type {kind.__name__}")
    return values[name]


def like(name: str, fresh: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """A copy of ``tensors[name]``, if it has the shape and dtype of ``fresh``.

    Tensors out of a file are not aligned as torch's own are, on which the last bits of matrix products may depend.
    """
    x = tensors[name]
    if (x.shape, x.dtype) != (fresh.shape, fresh.dtype):
        raise TypeError(f"{name} is {x.dtype} of shape {list(x.shape)}, not {fresh.dtype} of {list(fresh.shape)}")
    return x.clone()


COUNTERS = {
    "iteration": int, "seconds": float, "exact": bool, "best": float, "solved": bool, "next_evaluation": float,
    "next_checkpoint": float,
}  # fmt: skip


def spaces_of(env: VectorEnv) -> dict[str, gymnasium.Space]:
    """The spaces of one of the environments."""
    return {"observation": env.single_observation_space, "action": env.single_action_space}


def read_config(run_dir: Path) -> Config:
    """The settings of a run's folder, checked field by field; see ``read_settings``."""
    path = run_dir / "config.json"
    if not path.is_file():
        raise CorruptCheckpointError(f"{run_dir} is no run: it has no config.json")
    return read_settings(json_text.read(path))
