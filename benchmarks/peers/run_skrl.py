"""skrl's PPO on one workload, with Gymnasium's vector environment resetting in the same step: every row is a decision.

Its advantages are standardised over the whole batch, and its rewards at truncations carry no bootstrap by default.
"""

import time
from typing import Any

import gymnasium
import torch
from measure import begin, report
from mlps import mlp
from skrl.agents.torch.ppo import PPO, PPO_CFG  # pyright: ignore[reportMissingImports]
from skrl.envs.wrappers.torch import wrap_env  # pyright: ignore[reportMissingImports]
from skrl.memories.torch import RandomMemory  # pyright: ignore[reportMissingImports]
from skrl.models.torch import (  # pyright: ignore[reportMissingImports]
    CategoricalMixin,
    DeterministicMixin,
    GaussianMixin,
    Model,
)
from skrl.trainers.torch import SequentialTrainer  # pyright: ignore[reportMissingImports]
from skrl.utils import set_seed  # pyright: ignore[reportMissingImports]
from torch import nn


class Choice(CategoricalMixin, Model):
    """The actor, for discrete actions."""

    def __init__(self, spaces: dict[str, Any], hidden: list[int]) -> None:
        Model.__init__(self, **spaces)
        CategoricalMixin.__init__(self, unnormalized_log_prob=True)
        self.net = mlp(self.num_observations, hidden, self.num_actions)

    def compute(self, inputs: dict[str, Any], _role: str = "") -> tuple[torch.Tensor, dict[str, Any]]:
        """Observations → logits."""
        return self.net(inputs["observations"]), {}


class Gaussian(GaussianMixin, Model):
    """The actor, for continuous actions: one σ for all states."""

    def __init__(self, spaces: dict[str, Any], hidden: list[int]) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self, clip_actions=True)
        self.net = mlp(self.num_observations, hidden, self.num_actions)
        self.log_std = nn.Parameter(torch.zeros(self.num_actions))

    def compute(self, inputs: dict[str, Any], _role: str = "") -> tuple[torch.Tensor, dict[str, Any]]:
        """Observations → mean and log σ."""
        return self.net(inputs["observations"]), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    """The critic."""

    def __init__(self, spaces: dict[str, Any], hidden: list[int]) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self, clip_actions=False)
        self.net = mlp(self.num_observations, hidden, 1)

    def compute(self, inputs: dict[str, Any], _role: str = "") -> tuple[torch.Tensor, dict[str, Any]]:
        """Observations → values."""
        return self.net(inputs["observations"]), {}


class TimedPPO(PPO):
    """Notes the end of each iteration."""

    marks: list[float]

    def update(self, *, timestep: int, timesteps: int) -> None:
        """The whole update of an iteration."""
        super().update(timestep=timestep, timesteps=timesteps)
        self.marks.append(time.perf_counter())


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    set_seed(work["seed"])
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    raw = gymnasium.make_vec(
        work["env"], num_envs=work["num_envs"], vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
    )
    counted = gymnasium.wrappers.vector.RecordEpisodeStatistics(raw)
    env = wrap_env(counted, wrapper="gymnasium")
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space, "device": "cpu"}
    actor = Choice if isinstance(env.action_space, gymnasium.spaces.Discrete) else Gaussian
    agent = TimedPPO(
        models={"policy": actor(spaces, work["hidden"]), "value": Value(spaces, work["hidden"])},
        memory=RandomMemory(memory_size=work["horizon"], num_envs=work["num_envs"], device="cpu"),
        cfg=PPO_CFG(
            rollouts=work["horizon"],
            learning_epochs=work["epochs"],
            mini_batches=work["minibatches"],
            discount_factor=0.99,
            gae_lambda=0.95,
            learning_rate=work["learning_rate"],
            grad_norm_clip=0.5,
            ratio_clip=0.2,
            value_clip=0.0,
            entropy_loss_scale=0.0,
            value_loss_scale=0.5,
        ),
        **spaces,
    )
    agent.marks = []
    trainer = SequentialTrainer(
        env=env,
        agents=agent,
        cfg={
            "timesteps": work["iterations"] * work["horizon"],
            "headless": True,
            "disable_progressbar": True,
            "close_environment_at_exit": False,
        },
    )
    trainer.train()
    seconds = agent.marks[-1] - agent.marks[work["warmup"] - 1]
    timed = (work["iterations"] - work["warmup"]) * work["horizon"] * work["num_envs"]
    report(timed, seconds, [float(total) for total in counted.return_queue], "skrl")


if __name__ == "__main__":
    main()
