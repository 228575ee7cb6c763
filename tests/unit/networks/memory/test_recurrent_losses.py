"""Whole losses of policies with a memory: finite differences, and every algorithm."""

from typing import Any

import gymnasium
import pytest
import torch
from kinds import KINDS

from clipper.algorithms import (
    A2C,
    NPG,
    PPO,
    TRPO,
    VPG,
    Algorithm,
    ImportanceSampling,
    PPOPenalty,
    PPOSeparate,
    Reinforce,
    quota_of,
)  # fmt: skip
from clipper.data.steps import Steps, Targets
from clipper.data.trees import each
from clipper.environments import make
from clipper.errors import ConfigError
from clipper.functional.linear import fisher_vector_product, flat_gradient
from clipper.learning.critic_targets import Polyak, TDLambda
from clipper.learning.kl import Exact
from clipper.learning.metrics import Metrics
from clipper.learning.minibatches import minibatches
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

STEP = 1e-5


def recurrent(kind: str, env: Any, **options: Any) -> ActorCritic:
    chosen = PolicyOptions(hidden=(4,), memory=KINDS[kind], **options)
    spaces = env.single_observation_space, env.single_action_space
    return make_policy(*spaces, chosen, torch.Generator().manual_seed(0))


@torch.no_grad()
def recorded(kind: str, shared: bool) -> tuple[ActorCritic, Targets]:
    """A short batch with resets, whose ratios are not 1 and whose state before row 0 is not empty."""
    env = make("CartPole-v1", 3)
    policy = recurrent(kind, env, shared=shared).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in policy.parameters():
        parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    algorithm = PPO(horizon=6)
    state = VectorRollouts(env, 0)
    state.collect(policy, horizon=6)
    steps, _ = state.collect(policy, horizon=6)
    mask, done = torch.ones(6, 3, dtype=torch.bool), torch.zeros(6, 3, dtype=torch.bool)
    done[1, 0] = done[3, 1] = done[2, 1] = True
    done[2, 1], mask[2, 0], mask[4, 1], mask[0, 2] = False, False, False, False
    assert policy.memory is not None
    before = tuple(x[0] for x in steps.memory.state)
    assert all(x.any() for x in before)
    noise = 0.1 * torch.randn(6, 3, generator=generator, dtype=torch.float64)
    steps = steps._replace(
        mask=mask, done=done, log_prob=steps.log_prob + noise, memory=policy.memory.past(before, mask)
    )
    return policy, algorithm.targets(algorithm.init(policy), steps, state.obs)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_the_whole_loss_equals_central_differences(kind: str, shared: bool) -> None:
    policy, targets = recorded(kind, shared)
    algorithm = PPO(horizon=6, entropy_coef=0.01, clip=0.6)
    learner = algorithm.init(policy)
    batch = next(minibatches(targets, 1, 1, torch.Generator().manual_seed(0)))
    assert batch.steps.memory.begins.any()
    algorithm.loss(learner, batch)[0].backward()
    generator = torch.Generator().manual_seed(2)
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None, name
        for _ in range(2):
            direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            moved = []
            with torch.no_grad():
                for sign in (1, -1):
                    parameter.add_(sign * STEP * direction)
                    moved.append(algorithm.loss(learner, batch)[0].item())
                    parameter.sub_(sign * STEP * direction)
            expected = (moved[0] - moved[1]) / (2 * STEP)
            assert (parameter.grad * direction).sum().item() == pytest.approx(expected, rel=1e-5, abs=1e-8), name


SHORT = {"horizon": 12, "epochs": 2, "minibatches": 2, "learning_rate": 1e-3}
CASES: list[tuple[str, str, Algorithm]] = [
    ("lstm", "CartPole-v1", PPO(**SHORT, kl=Exact(), recompute=True)),
    ("gru", "Pendulum-v1", PPO(**SHORT, critic_target=TDLambda(0.95, lag=Polyak(0.5)))),
    ("transformer", "Pendulum-v1", PPO(**SHORT)),
    ("lstm", "Pendulum-v1", A2C(learning_rate=1e-3)),
    ("gru", "CartPole-v1", VPG(horizon=12, learning_rate=1e-3)),
    ("lstm", "Pendulum-v1", TRPO(horizon=12)),
    ("transformer", "CartPole-v1", TRPO(horizon=12)),
    ("gru", "CartPole-v1", NPG(horizon=12)),
    ("lstm", "CartPole-v1", PPOSeparate(horizon=12, epochs=3, value_epochs=2)),
    ("transformer", "Pendulum-v1", PPOPenalty(**SHORT)),
    ("lstm", "Pendulum-v1", Reinforce(episodes=5)),
    ("gru", "CartPole-v1", ImportanceSampling(episodes=5)),
]


@pytest.mark.parametrize(
    ("kind", "env", "algorithm"), CASES, ids=lambda x: x if isinstance(x, str) else type(x).__name__
)
def test_every_algorithm_moves_every_parameter(kind: str, env: str, algorithm: Algorithm) -> None:
    envs: Any = make(env if env == "CartPole-v1" else (lambda: gymnasium.make(env, max_episode_steps=9)), 3)
    policy = recurrent(kind, envs)
    learner, state = algorithm.init(policy), VectorRollouts(envs, 0)
    before = learner.parameters.detach().clone()
    metrics: Metrics = {}
    for _ in range(2):
        steps, _ = state.collect(policy, **quota_of(algorithm))
        metrics = algorithm.update(learner, steps, state.obs)
    assert all(x.isfinite() for x in metrics.values())
    assert int(learner.skipped) == 0
    places, at = {}, 0
    for name, parameter in policy.named_parameters():
        places[name] = slice(at, at + parameter.numel())
        at += parameter.numel()
    apart = learner.critic_optimizer is not None  # the flat vector then has another order
    still = [] if apart else [name for name, p in places.items() if torch.equal(before[p], learner.parameters[p])]
    assert not still
    assert (before != learner.parameters).float().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_fisher_products_pass_through_a_memory(kind: str) -> None:
    """H v of the KL, a second backpropagation, against central differences of its gradient."""
    policy, targets = recorded(kind, shared=False)
    steps = next(minibatches(targets, 1, 1, torch.Generator().manual_seed(0))).steps
    parameters = list(policy.actor_parameters())
    old = policy.act(steps.obs, steps.memory)[0]
    old = type(old)(*each(torch.detach, old.params))

    def gradient(create_graph: bool = False) -> torch.Tensor:
        kl = old.kl(policy.act(steps.obs, steps.memory)[0]).mean()
        return flat_gradient(kl, parameters, create_graph=create_graph)

    v = torch.randn(sum(p.numel() for p in parameters), dtype=torch.float64)
    found = fisher_vector_product(gradient(create_graph=True), parameters, v)
    around = []
    for sign in (1, -1):
        with torch.no_grad():
            for p, part in zip(parameters, v.split([p.numel() for p in parameters]), strict=True):
                p.add_(sign * STEP * part.view_as(p))
        around.append(gradient())
        with torch.no_grad():
            for p, part in zip(parameters, v.split([p.numel() for p in parameters]), strict=True):
                p.sub_(sign * STEP * part.view_as(p))
    expected = (around[0] - around[1]) / (2 * STEP)
    assert (found - expected).norm() < 1e-6 * expected.norm()


def test_actor_and_critic_that_share_a_memory_cannot_move_apart() -> None:
    env = make("CartPole-v1", 2)
    with pytest.raises(ConfigError, match="share parameters"):
        TRPO().init(recurrent("lstm", env, shared=True))


def test_rows_without_their_past_are_refused() -> None:
    env = make("CartPole-v1", 2)
    policy = recurrent("gru", env)
    with pytest.raises(ValueError, match="without a past"):
        policy(torch.zeros(5, 2, 4))
    policy.act(torch.zeros(2, 4))  # the first step of two episodes


def test_minibatches_are_whole_columns_as_equal_as_can_be() -> None:
    env = make("CartPole-v1", 7)
    policy = recurrent("lstm", env)
    algorithm = PPO(horizon=5)
    learner, state = algorithm.init(policy), VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=5)
    targets = algorithm.targets(learner, steps, state.obs)
    marked = targets._replace(advantage=torch.arange(7.0).expand(5, 7))
    for _ in range(2):
        groups = [sorted({*b.advantage.tolist()}) for b in minibatches(marked, 1, 3, learner.generator)]
        assert sorted(len(g) for g in groups) == [2, 2, 3]
        assert sorted(x for g in groups for x in g) == list(range(7))


def test_steps_of_a_policy_without_a_memory_have_none() -> None:
    env = make("CartPole-v1", 2)
    spaces = env.single_observation_space, env.single_action_space
    policy = make_policy(*spaces, PolicyOptions(), torch.Generator())
    steps, _ = VectorRollouts(env, 0).collect(policy, horizon=3)
    assert isinstance(steps, Steps)
    assert steps.memory == ()
