"""The gradient of each whole loss, in float64, against central differences of its value, in every parameter."""

import math

import pytest
import torch
from batches import Kind, small_policy
from torch import Tensor, nn

from clipper.algorithms import PPO, Reinforce
from clipper.data.steps import Steps, Targets
from clipper.learning.objectives import (
    SPO,
    Clip,
    DualClip,
    Objective,
    Rollback,
    TrustRegion,
    TrustRegionRollback,
    Unclipped,
)
from clipper.learning.value_losses import MSE, ClippedMSE, Huber, ValueLoss
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.policy_options import PolicyOptions

STEP = 1e-5
# Cells of the losses' pieces, each far from a kink. log π − log μ, where the clip's edges are log 0.8 and log 1.2:
LOG_RATIOS = [-0.6, -0.1, 0.05, 0.4]
# V − V_old and R − V, where the value clip's bound is 0.5 and Huber's δ is 1:
VALUE_MOVES = [(0.1, 0.4), (-0.2, -1.7), (0.9, 2.0), (0.9, -0.6), (-0.8, -1.6), (-0.8, 0.7)]


@torch.no_grad()
def batch_in_all_cells(policy: ActorCritic, kind: Kind) -> Targets:
    """One decision for each pairing of ratio, advantage's sign and value cell, as one column, and masked rows."""
    cells = [(x, sign, *move) for x in LOG_RATIOS for sign in (-1.0, 1.0) for move in VALUE_MOVES]
    size = len(cells)
    generator = torch.Generator().manual_seed(1)
    obs = torch.randn(size, 3, generator=generator, dtype=torch.float64)
    dist, value = policy(obs)
    action = dist.sample(generator)
    log_ratio, sign, moved, error = torch.tensor(cells, dtype=torch.float64).unbind(1)
    advantage = sign * (0.2 + torch.rand(size, generator=generator, dtype=torch.float64))
    mask = torch.rand(size, generator=generator) < 0.9
    done = torch.rand(size, generator=generator) < 0.2
    no = torch.zeros(size, dtype=torch.bool)
    steps = Steps(obs, action, dist.log_prob(action) - log_ratio, advantage, no, done & mask, mask)
    return Targets(steps, advantage, value.mean + error, value.mean - moved)


def central_difference(loss: "Loss", parameter: nn.Parameter) -> Tensor:
    """(L(θ + h eᵢ) − L(θ − h eᵢ)) / 2h for each i."""
    flat = parameter.data.view(-1)
    result = torch.zeros_like(flat)
    for i in range(len(flat)):
        centre = flat[i].item()
        flat[i] = centre + STEP
        above = loss()
        flat[i] = centre - STEP
        result[i] = (above - loss()) / (2 * STEP)
        flat[i] = centre
    return result.view_as(parameter)


class Loss:
    """A whole loss as a function of the policy's parameters alone."""

    def __init__(self, algorithm: PPO | Reinforce, policy: nn.Module, batch: Targets) -> None:
        self.algorithm, self.learner, self.batch = algorithm, algorithm.init(policy), batch

    def tensor(self) -> Tensor:
        return self.algorithm.loss(self.learner, self.batch)[0]

    @torch.no_grad()
    def __call__(self) -> float:
        return self.tensor().item()


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
@pytest.mark.parametrize("value_loss", [MSE(), Huber(1.0), ClippedMSE(0.5)], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("algorithm", [PPO, Reinforce], ids=lambda a: a.__name__)
@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
def test_gradient_of_the_whole_loss(
    kind: Kind, value_loss: ValueLoss, algorithm: type[PPO | Reinforce], shared: bool
) -> None:
    # A gain of 1 for the head, since at 0.01 the actor's trunk would hardly matter.
    options = PolicyOptions(hidden=(4,), shared=shared)
    policy = small_policy(kind, options).double()
    with torch.no_grad():
        policy.get_parameter("head.logits.weight" if kind == "categorical" else "head.mean.weight").mul_(100)
    check(algorithm(value_loss=value_loss, entropy_coef=0.03), policy, batch_in_all_cells(policy, kind))


DELTA, C = 0.02, 1.3


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
@pytest.mark.parametrize(
    "objective",
    [Clip(), DualClip(C), Unclipped(), Rollback(0.4), SPO(), TrustRegion(DELTA), TrustRegionRollback(DELTA, 7.0)],
    ids=lambda o: type(o).__name__,
)
def test_gradient_with_each_objective(kind: Kind, objective: Objective) -> None:
    policy = small_policy(kind, PolicyOptions(hidden=(4,))).double()
    with torch.no_grad():
        policy.get_parameter("head.logits.weight" if kind == "categorical" else "head.mean.weight").mul_(100)
    batch = batch_in_all_cells(policy, kind)
    if getattr(objective, "needs_kl", False):
        batch = old_around(policy, batch)
    check(PPO(objective=objective, clip=(0.2, 0.3), entropy_coef=0.03), policy, batch)


@torch.no_grad()
def old_around(policy: ActorCritic, batch: Targets) -> Targets:
    """π_old beside π in each state, at KLs on both sides of δ and far from it; the rows nearer by are masked."""
    generator = torch.Generator().manual_seed(2)
    now = policy.act(batch.steps.obs)[0]
    params = [p.expand(len(batch.advantage), -1) for p in now.params]
    size = torch.linspace(0.02, 0.5, len(batch.advantage), dtype=torch.float64)[:, None]
    noise = [size * torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params]
    batch = batch._replace(old=tuple(p + shift for p, shift in zip(params, noise, strict=True)))
    kl = type(now)(*batch.old).kl(now)
    assert (kl > DELTA).sum() > 5
    assert (kl < DELTA).sum() > 5
    return batch._replace(steps=batch.steps._replace(mask=batch.steps.mask & ((kl - DELTA).abs() > 1e-3)))


def check(settings: PPO | Reinforce, policy: ActorCritic, batch: Targets) -> None:
    """Compare every parameter's gradient."""
    loss = Loss(settings, policy, batch)
    loss.tensor().backward()
    for name, parameter in policy.named_parameters():
        expected = central_difference(loss, parameter)
        assert parameter.grad is not None
        assert expected.norm() > 1e-4, f"{name} has no gradient to compare"
        error = (parameter.grad - expected).norm() / expected.norm()
        assert error < 1e-6, f"{name}: relative error {error}"


def test_no_cell_stands_near_a_kink() -> None:
    """The finite differences above may not step over an edge."""
    for x in LOG_RATIOS:
        assert min(abs(x - math.log(edge)) for edge in (0.8, 1.2, C, 1.0)) > 0.04
    for moved, error in VALUE_MOVES:
        clipped = error + moved - max(-0.5, min(0.5, moved))  # R − (V_old + clip(V − V_old))
        assert abs(abs(moved) - 0.5) > 0.05
        assert abs(abs(error) - 1) > 0.05
        assert abs(moved) < 0.5 or abs(abs(error) - abs(clipped)) > 0.05
