"""The kernels' gradient against the definition's in float64, through torch's own differentiation."""

import copy
import itertools
from typing import Any, Literal

import numpy as np
import pytest
import torch
from batches import Kind, decisions, make_steps, small_policy

import clipper
from clipper.algorithms import Algorithm
from clipper.data.steps import Targets
from clipper.data.trees import each
from clipper.engines.cpu.engine import CPU
from clipper.engines.cpu.kernels.tables import RATIO, Loss, Rows
from clipper.engines.cpu.passes import Shares
from clipper.learning.advantages import Advantages, Standardised
from clipper.learning.objectives import Objective
from clipper.learning.rewards import Raw
from clipper.networks.actor_critic import ActorCritic

LOSSES = (clipper.value_losses.MSE(), clipper.value_losses.Huber(0.5), clipper.value_losses.ClippedMSE(0.2))
CLIPS = (0.2, (0.1, 0.3), clipper.schedules.Linear(0.4, 0.0))
ENTROPY = (0.0, clipper.schedules.Linear(0.02))
PROGRESS, EDGE = 0.5, 1e-3


def shaken(policy: ActorCritic, by: float, generator: torch.Generator) -> ActorCritic:
    """A copy whose parameters all differ."""
    policy = copy.deepcopy(policy)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(by * torch.randn(p.shape, generator=generator))
    return policy


def make_targets(behaviour: ActorCritic, policy: ActorCritic, algorithm: Algorithm, rows: int) -> Targets:
    """Rows that ``behaviour`` decided, with noise as targets; none where ``policy`` is at a kink of the loss."""
    steps, _ = make_steps(behaviour, rows, 4, seed=1)
    generator = torch.Generator().manual_seed(2)
    advantage, target, old = torch.randn(3, rows, 4, generator=generator)
    # Signal beside the noise: else gradients are sums that cancel, whose relative error says nothing.
    action = steps.action.float().reshape(rows, 4, -1)
    advantage, target = advantage + (action + action.square()).sum(-1), target + 1
    with torch.no_grad():
        dist, value = policy(steps.obs)
        ratio = (dist.log_prob(steps.action) - steps.log_prob).exp()
        v, target, old = value.mean, target + value.mean, old * 0.3 + value.mean
    clip = algorithm.clip if isinstance(algorithm, clipper.PPO) else 0.2
    low, high = clip if isinstance(clip, tuple) else (0.2, 0.2)
    bound = 0.2 * float(value.scale)
    near = old + (v - old).clamp(-bound, bound)
    kinks = [ratio - (1 - low), ratio - (1 + high), (v - target).abs() / value.scale - 0.5, (v - old).abs() - bound]
    kinks += [((near - target).abs() - (v - target).abs()).where((v - old).abs() > bound, torch.ones_like(v))]
    kinks += [ratio - 1.5]  # of DualClip(1.5)
    mask = steps.mask & torch.stack([k.abs() > EDGE for k in kinks]).all(0)
    return Targets(steps._replace(mask=mask), advantage, target, old)


@pytest.mark.parametrize("normalised", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_gradient_is_the_definition_s(
    kind: Kind, activation: Literal["tanh", "relu", "elu", "silu"], shared: bool, normalised: bool
) -> None:
    options = clipper.PolicyOptions(
        hidden=(24, 7, 16), activation=activation, shared=shared, normalise_obs=normalised, normalise_returns=normalised
    )
    generator = torch.Generator().manual_seed(3)
    behaviour = shaken(small_policy(kind, options), 0.2, generator)
    behaviour.absorb(1 + 2 * torch.randn(99, 3, generator=generator), 3 + 2 * torch.randn(99, generator=generator))
    for value_loss, clip, entropy in itertools.product(LOSSES, CLIPS, ENTROPY):
        algorithm = clipper.PPO(clip=clip, value_loss=value_loss, entropy_coef=entropy)
        check(shaken(behaviour, 0.05, generator), behaviour, algorithm, rows=150)


@pytest.mark.parametrize("hidden", [(), (512,)])
@pytest.mark.parametrize(
    "advantages",
    [Standardised("batch"), Standardised("minibatch"), Standardised("trajectories"), Raw()],
    ids=["batch", "minibatch", "trajectories", "none"],
)
@pytest.mark.parametrize("kind", ["categorical", "gaussian", "several"])
def test_depths_and_widths(kind: Kind, advantages: Advantages, hidden: tuple) -> None:
    generator = torch.Generator().manual_seed(4)
    behaviour = shaken(small_policy(kind, clipper.PolicyOptions(hidden=hidden)), 0.1, generator)
    policy = shaken(behaviour, 0.01, generator)
    check(policy, behaviour, clipper.PPO(advantages=advantages), rows=300)


@pytest.mark.parametrize(
    "objective",
    [
        clipper.objectives.DualClip(1.5),
        clipper.objectives.Unclipped(),
        clipper.objectives.Rollback(0.3),
        clipper.objectives.SPO(),
    ],
    ids=lambda objective: type(objective).__name__,
)
@pytest.mark.parametrize("kind", ["gaussian", "several"])
def test_objectives(kind: Kind, objective: Objective) -> None:
    generator = torch.Generator().manual_seed(6)
    behaviour = shaken(small_policy(kind, clipper.PolicyOptions(hidden=(24, 16))), 0.2, generator)
    algorithm = clipper.PPO(objective=objective, clip=(0.1, 0.3), entropy_coef=0.01)
    check(shaken(behaviour, 0.1, generator), behaviour, algorithm, rows=150)


@pytest.mark.parametrize(
    "algorithm",
    [
        clipper.A2C(value_loss=clipper.value_losses.Huber(0.5), entropy_coef=clipper.schedules.Linear(0.02)),
        clipper.Reinforce(value_loss=clipper.value_losses.ClippedMSE(0.2), entropy_coef=0.01),
    ],
    ids=["a2c", "reinforce"],
)
@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_policy_gradients(kind: Kind, algorithm: Algorithm) -> None:
    generator = torch.Generator().manual_seed(5)
    policy = shaken(small_policy(kind, clipper.PolicyOptions(hidden=(24, 16))), 0.2, generator)
    check(policy, policy, algorithm, rows=150)


def gradient_of(engine: CPU, rows: Rows, loss: Loss, index: np.ndarray) -> np.ndarray:
    """Leave a minibatch's gradient in the learner's; returns means of what is watched, then the largest ratio."""
    shares = Shares(engine, engine.net, rows, loss, index)
    shares.add_up(0, len(index))
    means = shares.sums / len(index)
    means[RATIO] = shares.sums[RATIO]
    return means


def run_kernels(engine: CPU, targets: Targets) -> np.ndarray:
    """The gradient of all decisions as one minibatch, left in the learner's; the means of what is watched."""
    keep = np.flatnonzero(targets.steps.mask.numpy())
    rows = engine.rows(targets)
    loss = engine.loss(rows, keep, targets.steps)
    # Advantages in a batch's standard units are the targets' business, and these are targets already.
    watched = gradient_of(engine, rows, loss._replace(mean=0.0, factor=1.0), keep)
    watched[0] *= loss.actor_weight * len(keep) if loss.actor_weight else 1
    return watched


def check(policy: ActorCritic, behaviour: ActorCritic, algorithm: Any, rows: int) -> None:
    double = copy.deepcopy(policy).double()
    targets = make_targets(behaviour, policy, algorithm, rows)
    batch = each(lambda x: x.double() if x.is_floating_point() else x, decisions(targets))
    judge = algorithm.init(double)
    judge.progress = PROGRESS
    loss, metrics = algorithm.loss(judge, batch)
    loss.backward()

    engine = CPU(algorithm.init(policy), algorithm)
    engine.learner.progress = PROGRESS
    watched = run_kernels(engine, targets)
    expected = [
        float(m) for name, m in metrics.items() if not name.startswith("advantage/")
    ]  # those come from no kernel
    assert watched.tolist()[: len(expected)] == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for (name, p), q in zip(policy.named_parameters(), double.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        error = (p.grad - q.grad).norm() / q.grad.norm()
        assert error <= 1e-5, f"{name} {float(error):.1e} {algorithm}"
