"""A training run: its parts, its records, and its state on disk."""

import json
import math
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv

from clipper import checkpoint
from clipper.config import Config, from_json, to_json
from clipper.engines import Engine
from clipper.environments.make import EnvSource
from clipper.environments.state import EnvironmentState, get_states, set_states
from clipper.errors import CorruptCheckpointError
from clipper.evaluate import Evaluation, evaluate_policy
from clipper.optim import Learner, part
from clipper.rollout import CollectState
from clipper.space_json import check_same_spaces, space_to_json

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

    def save(self) -> None:
        """Write the checkpoint from which the run can be resumed; the one before stays beside it."""
        if self.path is None:
            return
        target, previous = self.path / "checkpoint.safetensors", self.path / "checkpoint.previous.safetensors"
        if target.exists():
            link = previous.with_suffix(".link")
            link.unlink(missing_ok=True)
            os.link(target, link)
            link.replace(previous)
        tensors, values = self.state_dict()
        checkpoint.save(target, tensors, values)

    def save_best(self) -> None:
        """Write the policy alone, as the best so far."""
        if self.path is not None:
            tensors = {f"policy.{k}": v for k, v in self.policy.state_dict().items()}
            checkpoint.save(self.path / "best.safetensors", tensors, self.identity() | {"return": self.best})

    def identity(self) -> dict[str, Any]:
        """What must agree between a checkpoint and the environment that it is loaded into."""
        spaces = {kind: space_to_json(space) for kind, space in spaces_of(self.env).items()}
        return {
            "config": to_json(self.config),
            "spaces": spaces,
            "steps": self.state.steps,
            "custom_policy": self.custom_policy,
        }

    def state_dict(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Everything that the next iteration depends on, as named tensors and JSON."""
        state = self.state
        tensors = {f"learner.{k}": v for k, v in self.learner.state_dict().items()}
        tensors |= {
            "collect.obs": state.obs,
            "collect.done": torch.from_numpy(state.done),
            "collect.generator": state.generator.get_state(),
            "collect.running_total": torch.from_numpy(state.running_total),
            "collect.running_length": torch.from_numpy(state.running_length),
            "recent": torch.tensor(list(self.recent), dtype=torch.float64),
        }
        environments = get_states(self.env)
        for i, saved in enumerate(environments or []):
            tensors |= {f"env.{i}.{k}": torch.from_numpy(np.array(v)) for k, v in saved.arrays.items()}
        counters = {name: getattr(self, name) for name in COUNTERS}
        values = self.identity() | counters | {"fresh": state.fresh}
        values["environments"] = None if environments is None else [saved.values for saved in environments]
        return tensors, values

    def load_state_dict(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> bool:
        """Go back to a saved state; False where the environments could not be restored and start afresh."""
        state = self.state
        try:
            check_same_spaces(values["spaces"], spaces_of(self.env))
            self.learner.load_state_dict(part(tensors, "learner."))
            state.steps, state.fresh = int(values["steps"]), bool(values["fresh"])
            self.recent.extend(tensors["recent"].tolist())
            for name in COUNTERS:
                setattr(self, name, type(getattr(self, name))(values[name]))
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
            state.obs = tensors["collect.obs"].to(state.obs.device)
            state.done = tensors["collect.done"].numpy()
            state.running_total = tensors["collect.running_total"].numpy()
            state.running_length = tensors["collect.running_length"].numpy()
        except (KeyError, TypeError, RuntimeError) as error:
            raise CorruptCheckpointError(f"the checkpoint does not fit its own settings: {error}") from error
        return True

    def rows(self) -> Iterator[Row]:
        """The rows of ``metrics.jsonl``."""
        if self.path is not None and (self.path / "metrics.jsonl").exists():
            with (self.path / "metrics.jsonl").open() as file:
                yield from (json.loads(line) for line in file if line.endswith("\n"))  # a crash may cut the last one


COUNTERS = ("iteration", "seconds", "exact", "best", "solved", "next_evaluation", "next_checkpoint")


def spaces_of(env: VectorEnv) -> dict[str, gymnasium.Space]:
    """The spaces of one of the environments."""
    return {"observation": env.single_observation_space, "action": env.single_action_space}


def read_config(run_dir: Path) -> Config:
    """The settings of a run's folder, checked field by field."""
    path = run_dir / "config.json"
    if not path.is_file():
        raise CorruptCheckpointError(f"{run_dir} is no run: it has no config.json")
    try:
        return from_json(json.loads(path.read_text()), Config)
    except json.JSONDecodeError as error:
        raise CorruptCheckpointError(f"{path} is not JSON: {error}") from error
