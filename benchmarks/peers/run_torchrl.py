"""TorchRL's parts put together as its own PPO examples do, on one workload: collector, GAE, ClipPPOLoss.

Environments are stepped one by one by its ``SerialEnv`` and reset in the same step: every row is a decision. Advantages
are computed once a batch. Nothing is compiled, nothing is logged.
"""

import time
import warnings
from typing import Any

import gymnasium
import torch
from measure import begin, report
from mlps import mlp
from tensordict.nn import (  # pyright: ignore[reportMissingImports]
    AddStateIndependentNormalScale,
    TensorDictModule,
)
from torch import nn
from torch.distributions import Categorical
from torchrl.collectors import Collector  # pyright: ignore[reportMissingImports]
from torchrl.data import (  # pyright: ignore[reportMissingImports]
    LazyTensorStorage,
    ReplayBuffer,
    SamplerWithoutReplacement,
)
from torchrl.envs import (  # pyright: ignore[reportMissingImports]
    Compose,
    DoubleToFloat,
    GymEnv,
    RewardSum,
    SerialEnv,
    TransformedEnv,
)
from torchrl.modules import IndependentNormal, ProbabilisticActor, ValueOperator  # pyright: ignore[reportMissingImports]
from torchrl.objectives import ClipPPOLoss  # pyright: ignore[reportMissingImports]
from torchrl.objectives.value.advantages import GAE  # pyright: ignore[reportMissingImports]

warnings.filterwarnings("ignore")


def networks(env: gymnasium.Env, spec: Any, hidden: list[int]) -> tuple[Any, Any]:
    """Actor and critic, with a trunk each."""
    assert env.observation_space.shape is not None
    inputs = env.observation_space.shape[0]
    common = {"spec": spec, "return_log_prob": True}
    if isinstance(env.action_space, gymnasium.spaces.Discrete):
        net = TensorDictModule(
            mlp(inputs, hidden, int(env.action_space.n)), in_keys=["observation"], out_keys=["logits"]
        )
        actor = ProbabilisticActor(net, in_keys=["logits"], distribution_class=Categorical, **common)
    else:
        assert env.action_space.shape is not None
        width = env.action_space.shape[0]
        scaled = nn.Sequential(mlp(inputs, hidden, width), AddStateIndependentNormalScale(width, scale_lb=1e-8))
        net = TensorDictModule(scaled, in_keys=["observation"], out_keys=["loc", "scale"])
        actor = ProbabilisticActor(net, in_keys=["loc", "scale"], distribution_class=IndependentNormal, **common)
    return actor, ValueOperator(mlp(inputs, hidden, 1), in_keys=["observation"])


def make_env(work: dict[str, Any]) -> TransformedEnv:
    """All environments, with the sum of rewards of every episode."""
    single = lambda: GymEnv(work["env"], categorical_action_encoding=True, device="cpu")  # noqa: E731
    env = TransformedEnv(SerialEnv(work["num_envs"], single), Compose(DoubleToFloat(), RewardSum()))
    env.set_seed(work["seed"])
    return env


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    torch.manual_seed(work["seed"])
    rows = work["horizon"] * work["num_envs"]
    env = make_env(work)
    actor, critic = networks(gymnasium.make(work["env"]), env.full_action_spec_unbatched["action"], work["hidden"])
    collector = Collector(env, actor, frames_per_batch=rows, total_frames=work["iterations"] * rows, device="cpu")
    buffer = ReplayBuffer(
        storage=LazyTensorStorage(rows),
        sampler=SamplerWithoutReplacement(),
        batch_size=rows // work["minibatches"],
    )
    advantages = GAE(gamma=0.99, lmbda=0.95, value_network=critic, average_gae=False)
    loss = ClipPPOLoss(
        actor,
        critic,
        clip_epsilon=0.2,
        entropy_bonus=False,
        critic_coeff=0.5,
        loss_critic_type="l2",
        normalize_advantage=True,
    )
    optimizer = torch.optim.Adam(loss.parameters(), lr=work["learning_rate"], eps=1e-5)
    marks: list[float] = []
    returns: list[float] = []
    for batch in collector:
        with torch.no_grad():
            advantages(batch)
        ended = batch["next", "done"]
        returns += batch["next", "episode_reward"][ended].tolist()
        buffer.empty()
        buffer.extend(batch.reshape(-1))
        for _ in range(work["epochs"]):
            for minibatch in buffer:
                losses = loss(minibatch)
                (losses["loss_objective"] + losses["loss_critic"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
                optimizer.zero_grad()
        marks.append(time.perf_counter())
    collector.shutdown()
    timed = (work["iterations"] - work["warmup"]) * rows
    report(timed, marks[-1] - marks[work["warmup"] - 1], returns, "torchrl", "tensordict")


if __name__ == "__main__":
    main()
