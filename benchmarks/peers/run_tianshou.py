"""Tianshou's PPO on one workload, on its ``DummyVectorEnv``, which resets in the same step: every row is a decision.

Continuous actions are scaled from [-1, 1] to their bounds, as is its default. Nothing is logged, as is its default too.
"""

import random
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from measure import begin, report
from tianshou.algorithm import PPO  # pyright: ignore[reportMissingImports]
from tianshou.algorithm.modelfree.reinforce import (  # pyright: ignore[reportMissingImports]
    DiscreteActorPolicy,
    ProbabilisticActorPolicy,
)
from tianshou.algorithm.optim import AdamOptimizerFactory  # pyright: ignore[reportMissingImports]
from tianshou.data import Collector, VectorReplayBuffer  # pyright: ignore[reportMissingImports]
from tianshou.env import DummyVectorEnv  # pyright: ignore[reportMissingImports]
from tianshou.trainer import OnPolicyTrainerParams  # pyright: ignore[reportMissingImports]
from tianshou.utils.net.common import Net  # pyright: ignore[reportMissingImports]
from tianshou.utils.net.continuous import (  # pyright: ignore[reportMissingImports]
    ContinuousActorProbabilistic,
    ContinuousCritic,
)
from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic  # pyright: ignore[reportMissingImports]
from torch.distributions import Independent, Normal


class TimedPPO(PPO):
    """Notes the end of each iteration."""

    marks: list[float]

    def _update_with_batch(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._update_with_batch(*args, **kwargs)
        self.marks.append(time.perf_counter())
        return result


class CountingCollector(Collector):
    """Keeps steps and returns of each collection."""

    steps: list[int]
    returns: list[float]

    def collect(self, *args: Any, **kwargs: Any) -> Any:
        """One segment of each environment."""
        stats = super().collect(*args, **kwargs)
        self.steps.append(stats.n_collected_steps)
        self.returns += stats.returns.tolist()
        return stats


def normal(loc_scale: tuple[torch.Tensor, torch.Tensor]) -> Independent:
    """A diagonal Gaussian."""
    return Independent(Normal(*loc_scale), 1)


def networks(env: gymnasium.Env, hidden: list[int]) -> tuple[Any, torch.nn.Module]:
    """Policy and critic, with a trunk each."""
    space, trunk = env.action_space, {"hidden_sizes": hidden, "activation": torch.nn.Tanh}
    shape = env.observation_space.shape
    first, second = Net(state_shape=shape, **trunk), Net(state_shape=shape, **trunk)
    if isinstance(space, gymnasium.spaces.Discrete):
        actor = DiscreteActor(preprocess_net=first, action_shape=int(space.n))
        return DiscreteActorPolicy(actor=actor, action_space=space), DiscreteCritic(preprocess_net=second)
    actor = ContinuousActorProbabilistic(preprocess_net=first, action_shape=space.shape, unbounded=True)
    policy = ProbabilisticActorPolicy(actor=actor, dist_fn=normal, action_space=space)
    return policy, ContinuousCritic(preprocess_net=second)


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    random.seed(work["seed"])
    np.random.seed(work["seed"])  # it samples from numpy's global generator
    torch.manual_seed(work["seed"])
    envs = DummyVectorEnv([lambda: gymnasium.make(work["env"]) for _ in range(work["num_envs"])])
    envs.seed(work["seed"])
    rows = work["horizon"] * work["num_envs"]
    policy, critic = networks(gymnasium.make(work["env"]), work["hidden"])
    algorithm = TimedPPO(
        policy=policy,
        critic=critic,
        optim=AdamOptimizerFactory(lr=work["learning_rate"]),
        eps_clip=0.2,
        value_clip=False,
        advantage_normalization=True,
        vf_coef=0.5,
        ent_coef=0.0,
        max_grad_norm=0.5,
        gae_lambda=0.95,
        gamma=0.99,
    )
    collector = CountingCollector(algorithm, envs, VectorReplayBuffer(rows, work["num_envs"]))
    algorithm.marks, collector.steps, collector.returns = [], [], []
    algorithm.run_training(
        OnPolicyTrainerParams(
            training_collector=collector,
            max_epochs=1,
            epoch_num_steps=work["iterations"] * rows,
            collection_step_num_env_steps=rows,
            update_step_num_repetitions=work["epochs"],
            batch_size=rows // work["minibatches"],
            verbose=False,
            show_progress=False,
        )
    )
    seconds = algorithm.marks[-1] - algorithm.marks[work["warmup"] - 1]
    report(sum(collector.steps[work["warmup"] :]), seconds, collector.returns, "tianshou")


if __name__ == "__main__":
    main()
