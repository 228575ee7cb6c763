"""Rollouts of another's making: whatever gives Steps trains, is saved and goes on, without a case anywhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import Generator, Tensor

import clipper
from clipper.data.steps import Steps
from clipper.data.trees import each
from clipper.errors import ConfigError
from clipper.networks.protocol import Actor
from clipper.rollout.protocol import Episode, Rollouts

N, ROWS = 4, 64
ALGORITHM = clipper.PPO(horizon=ROWS, epochs=4, minibatches=2, learning_rate=5e-3)


class Scripted:
    """A written list of situations, one an episode: to choose 1 where the number is positive, else 0, is worth 1."""

    def __init__(self, seed: int = 0) -> None:
        self.num_envs, self.single_action_space = N, Discrete(2)
        self.single_observation_space = Box(-1, 1, (1,))
        self.script = torch.rand(1000, N, 1, generator=Generator().manual_seed(seed)) * 2 - 1
        self.steps, self.episodes, self.metrics, self.closed = 0, list[Episode](), {"script/at": 0.0}, False
        self.generator, self.at = Generator().manual_seed(seed), 0

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tensor]:
        rows = (torch.arange(horizon or 1) + self.at) % len(self.script)
        self.at = int(rows[-1] + 1) % len(self.script)
        obs = self.script[rows]
        with torch.no_grad():
            dist, _ = actor.act(obs)
            action: Any = dist.sample(self.generator)
            log_prob = dist.log_prob(action)
        reward = (action == (obs[..., 0] > 0)).float()
        all_true = torch.ones_like(reward, dtype=torch.bool)
        self.steps += reward.numel()
        self.episodes = [Episode(i % N, float(r), 1) for i, r in enumerate(reward.flatten())]
        self.metrics["script/at"] = float(self.at)
        return Steps(obs, action, log_prob, reward, all_true, all_true, all_true), self.script[self.at]

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"generator": self.generator.get_state()}, {"steps": self.steps, "at": self.at}

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, Any], actor: Actor) -> bool:
        self.generator.set_state(tensors["generator"])
        self.steps, self.at = values["steps"], values["at"]
        return True

    def close(self) -> None:
        self.closed = True


class Stored(Scripted):
    """What was collected first, given again and again: the ratio π/μ tells the learner whose actions they were."""

    def __init__(self, seed: int = 0, segments: int = 4) -> None:
        super().__init__(seed)
        self.kept, self.segments = list[tuple[Steps, Tensor]](), segments

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tensor]:
        if len(self.kept) < self.segments:
            self.kept.append(super().collect(actor, horizon=horizon))
            return self.kept[-1]
        self.at += 1
        steps, last_obs = self.kept[self.at % self.segments]
        self.steps += int(steps.mask.sum())
        return steps, last_obs


class Joined:
    """Two halves, side by side."""

    def __init__(self, *halves: Rollouts) -> None:
        self.halves, self.num_envs = halves, sum(half.num_envs for half in halves)
        self.single_observation_space = halves[0].single_observation_space
        self.single_action_space, self.metrics = halves[0].single_action_space, dict[str, float]()

    @property
    def steps(self) -> int:
        return sum(half.steps for half in self.halves)

    @property
    def episodes(self) -> list[Episode]:
        return [episode for half in self.halves for episode in half.episodes]

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tensor]:
        found = [half.collect(actor, horizon=horizon, episodes=episodes) for half in self.halves]
        steps = each(lambda *x: torch.cat(x, 1), *(steps for steps, _ in found))
        return steps, torch.cat([last_obs for _, last_obs in found])

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
        states = [half.state_dict(episodes) for half in self.halves]
        tensors = {f"{i}.{k}": x for i, (own, _) in enumerate(states) for k, x in own.items()}
        return tensors, {"steps": self.steps, "halves": [values for _, values in states]}

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, Any], actor: Actor) -> bool:
        exact = True
        for i, (half, own) in enumerate(zip(self.halves, values["halves"], strict=True)):
            mine = {k.partition(".")[2]: x for k, x in tensors.items() if k.startswith(f"{i}.")}
            exact = half.load_state_dict(mine, own, actor) and exact
        return exact

    def close(self) -> None:
        for half in self.halves:
            half.close()


def cart_poles() -> Any:
    return clipper.make_env("CartPole-v1", 2)


MADE = {
    "scripted": Scripted,
    "stored": Stored,
    "joined": lambda: Joined(Scripted(1), Scripted(2)),
    "joined environments": lambda: Joined(
        *(clipper.VectorRollouts(clipper.make_env("CartPole-v1", 2), i) for i in (1, 2))
    ),
}


def quality(policy: Any) -> float:
    """The probability of the better choice, where all situations are as likely."""
    obs = torch.linspace(-1, 1, 201)[:, None]
    with torch.no_grad():
        right = policy.act(obs)[0].log_prob((obs[:, 0] > 0).long()).exp()
    return float(right.mean())


@pytest.mark.parametrize("engine", ["torch", "cpu"])
@pytest.mark.parametrize("name", ["scripted", "stored", "joined"])
def test_ppo_learns_from_whatever_gives_steps(name: str, engine: Any) -> None:
    rollouts: Any = MADE[name]()
    iterations = 6 if name == "stored" else 40  # of old steps the clip lets it learn only so much
    run = clipper.train(rollouts, ALGORITHM, total_steps=iterations * ROWS * rollouts.num_envs, engine=engine)
    assert run.steps == rollouts.steps == iterations * ROWS * rollouts.num_envs
    assert quality(run.policy) > (0.75 if name == "stored" else 0.9)
    assert run.history[-1]["episode/count"] is not None


@pytest.mark.parametrize("name", ["scripted", "joined", "joined environments"])
def test_such_a_run_is_saved_and_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    total = 6 * ROWS * N
    whole = clipper.train(MADE[name](), ALGORITHM, total_steps=total, run_dir=tmp_path / "whole")
    clipper.train(
        MADE[name](), ALGORITHM, total_steps=total, run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 3
    )
    with pytest.raises(ConfigError, match="name it again with env="):
        clipper.train(resume=tmp_path / "cut")
    resumed = clipper.train(MADE[name](), resume=tmp_path / "cut")
    assert resumed.exact
    assert torch.equal(resumed.learner.parameters, whole.learner.parameters)
    assert clipper.load(tmp_path / "cut") is not None


def test_rollouts_that_are_handed_over_stay_open_and_say_what_they_count(tmp_path: Path) -> None:
    rollouts = Scripted()
    run = clipper.train(rollouts, ALGORITHM, total_steps=2 * ROWS * N, run_dir=tmp_path)
    assert not rollouts.closed
    assert [row["script/at"] for row in run.history] == [64.0, 128.0]
    with pytest.raises(ConfigError, match="name an environment"):
        run.evaluate()


def test_a_row_of_metrics_may_cover_many_iterations(tmp_path: Path) -> None:
    """Means over them, all episodes, and the first row no shorter than the others."""
    plan: Any = {"total_steps": 12 * ROWS * N, "seed": 3}
    single = clipper.train(Scripted(), ALGORITHM, **plan)
    gathered = clipper.train(Scripted(), ALGORITHM, log_every=3 * ROWS * N, run_dir=tmp_path, **plan)
    assert torch.equal(single.learner.parameters, gathered.learner.parameters)
    assert [row["steps"] for row in gathered.history] == [3 * ROWS * N * i for i in (1, 2, 3, 4)]
    assert [row["iteration"] for row in gathered.history] == [3, 6, 9, 12]
    for i, row in enumerate(gathered.history):
        parts = single.history[3 * i : 3 * i + 3]
        for name in ("loss/value", "policy/entropy", "episode/return"):
            assert row[name] == pytest.approx(np.mean([part[name] or 0.0 for part in parts]), rel=1e-5)
        assert row["policy/ratio_max"] == pytest.approx(max(part["policy/ratio_max"] or 0 for part in parts))
        assert row["episode/count"] == 3 * ROWS * N
    resumed = clipper.train(Scripted(), resume=tmp_path, total_steps=15 * ROWS * N)
    assert [row["iteration"] for row in resumed.history] == [3, 6, 9, 12, 15]
