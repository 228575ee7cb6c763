"""Runs whose ranks send gradients: sharing.py FOLDER CASE… writes what each process has learned into the folder.

A file for each case and rank is JSON: parameters, running statistics, steps that the optimizer has taken and skipped.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

import clipper
from clipper.data.trees import each
from clipper.learning.kl import KLStop
from clipper.learning.rewards import Scaled
from clipper.ranks.group import joined
from clipper.ranks.shared_batch import share_batches
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.together import columns_of

warnings.simplefilter("ignore")
UPDATES, ENVS = 3, 5
SCALED = clipper.PolicyOptions(normalise_obs=True, normalise_returns=True)
PLAY: dict[str, Any] = {
    "ppo": clipper.PPO(horizon=32, epochs=4, stop=KLStop(0.006), rewards=Scaled()),
    "few": clipper.PPO(
        horizon=4, epochs=2, minibatches=10, advantages=clipper.learning.advantages.Standardised("batch")
    ),
    "a2c": clipper.A2C(),
    "reinforce": clipper.Reinforce(episodes=7),
    "trpo": clipper.TRPO(horizon=32),
}
"""Whole runs on CartPole, in which kernels act: they draw the same actions whoever collects a column."""


class Picture(gymnasium.Env):
    """A square of grey, brighter where the right action is 1."""

    observation_space, action_space = Box(0, 255, (1, 36, 36), np.uint8), Discrete(2)

    def look(self) -> np.ndarray:
        self.right = int(self.np_random.integers(2))
        return np.full((1, 36, 36), 40 + 160 * self.right, np.uint8) + self.np_random.integers(
            0, 9, (1, 36, 36), np.uint8
        )

    def reset(self, **options: Any) -> Any:
        super().reset(**options)
        return self.look(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.right)
        return self.look(), reward, self.np_random.random() < 0.2, False, {}


PPO = clipper.PPO(horizon=16, epochs=2, minibatches=3)
SAME: dict[str, tuple[Any, Any, Any]] = {
    "lstm": ("CartPole-v1", PPO, clipper.PolicyOptions(memory="lstm", normalise_obs=True)),
    "transformer": ("CartPole-v1", PPO, clipper.PolicyOptions(memory=clipper.networks.memory.Transformer(window=4))),
    "picture": (Picture, PPO, clipper.PolicyOptions()),
    "nan": ("CartPole-v1", PPO, clipper.PolicyOptions()),
}
"""Updates from the same batches, which every process collects whole and takes its columns of; by torch."""


def numbers(learner: Any) -> dict[str, Any]:
    """What a test compares."""
    optimizer = learner.optimizer.state[learner.parts[""].parameters[0]]
    return {
        "parameters": learner.parameters.detach().flatten().tolist(),
        "buffers": [x.double().flatten().tolist() for x in learner.policy.buffers() if x.is_floating_point()],
        "taken": float(optimizer.get("step", 0)), "skipped": float(learner.skipped),
        "generator": int(learner.generator.get_state().long().sum()),
    }  # fmt: skip


def play(name: str, folder: Path, updates: int = UPDATES) -> dict[str, Any]:
    run = clipper.train(
        "CartPole-v1", PLAY[name], num_envs=ENVS, policy=SCALED, rank_mode="gradients", engine="cpu", vector="serial",
        total_steps=10**7, run_dir=folder, resume="auto", callback=lambda run: run.iteration < updates,
    )  # fmt: skip
    rows = [{k: x for k, x in row.items() if not k.startswith("time/")} for row in run.history]
    return numbers(run.learner) | {"steps": run.steps, "rows": rows, "engine": run.engine.description}


def update(name: str) -> dict[str, Any]:
    source, algorithm, options = SAME[name]
    env = clipper.make_env(source, ENVS)
    rollouts = VectorRollouts(env, seed=3)
    policy = clipper.make_policy(
        env.single_observation_space, env.single_action_space, options, torch.Generator().manual_seed(1)
    ).double()  # Adam makes whole steps of gradients that are rounding
    batches = [rollouts.collect(policy, horizon=algorithm.horizon) for _ in range(UPDATES)]
    learner, group, own = algorithm.init(policy, seed=1), joined(), slice(0, ENVS)
    if group is not None:
        columns, n = columns_of(group.rank, group.size, ENVS)
        own = slice(columns.first, columns.first + n)
        share_batches(learner, group)
    for steps, last in batches:
        if name == "nan":
            steps.reward[:, -1] = torch.nan  # of a column of the last rank
        algorithm.update(learner, each(lambda x: x[:, own], steps), each(lambda x: x[own], last))
    return numbers(learner)


if __name__ == "__main__":
    folder, rank = Path(sys.argv[1]), int(os.environ.get("RANK", "0"))
    for name in sys.argv[2:]:
        case, _, until = name.partition(":")
        path = folder / "resumed" if until else folder / case
        found = play(case, path, int(until or UPDATES)) if case in PLAY else update(case)
        (folder / f"{case}-{rank}.json").write_text(json.dumps(found))
