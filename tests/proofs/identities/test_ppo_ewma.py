"""PPO-EWMA: the average by a loop, the decoupled loss by a loop, and what it is where β = 0 or π_prox = π_old."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import make_steps, small_policy

import clipper
from clipper.algorithms import PPOEWMA
from clipper.data.trees import each
from clipper.functional.statistics import weighted_average
from clipper.learning.advantages import Raw
from clipper.learning.objectives import Unclipped

SMALL = clipper.PolicyOptions(hidden=(8,), normalise_obs=True)
PLAN: Any = {"policy": SMALL, "num_envs": 4, "total_steps": 128, "seed": 5}


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.95])
def test_the_average_is_the_weighted_sum(beta: float) -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    average, weight = x[0], 1.0
    for n in range(1, 9):
        average, weight = weighted_average(average, x[n], weight, beta), beta * weight + 1
        powers = np.array([beta ** (n - i) for i in range(n + 1)])
        np.testing.assert_allclose(average.numpy(), powers @ x[: n + 1].numpy() / powers.sum(), rtol=1e-12)
    assert weight == pytest.approx(sum(beta**i for i in range(9)))


def test_the_proximal_policy_is_the_average_of_the_policies_after_each_step() -> None:
    algorithm = PPOEWMA(beta=0.7, epochs=1, minibatches=1, learning_rate=0.02)
    policy = small_policy("gaussian")
    learner = algorithm.init(policy)
    seen = [learner.parameters.detach().clone()]
    for update in range(6):
        algorithm.update(learner, *make_steps(policy, 12, 3, seed=update))
        seen.append(learner.parameters.detach().clone())
    powers = torch.tensor([0.7 ** (6 - i) for i in range(7)], dtype=torch.float64)
    expected = (powers[:, None] * torch.stack(seen).double()).sum(0) / powers.sum()
    found = algorithm.init(copy.deepcopy(learner.modules["proximal"]).requires_grad_()).parameters
    torch.testing.assert_close(found.detach().double(), expected, rtol=1e-5, atol=1e-6)
    assert float(learner.extra["proximal_weight"]) == pytest.approx(float(powers.sum()))


def test_the_loss_by_a_loop_over_decisions() -> None:
    algorithm = PPOEWMA(advantages=Raw(), value_coef=0.0, weight_bound=1.2)
    policy = small_policy("categorical").double()
    steps, last = make_steps(policy, 9, 3, seed=0)
    learner = algorithm.init(policy)
    targets = algorithm.targets(learner, steps, last)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for module, by in ((policy, 0.4), (learner.modules["proximal"], 0.2)):
            for x in module.parameters():
                x.add_(by * torch.randn(x.shape, generator=generator, dtype=x.dtype))
    loss, metrics = algorithm.loss(learner, each(lambda x: x[steps.mask], targets))
    now, proximal = (m.act(steps.obs)[0].log_prob(steps.action).detach() for m in (policy, learner.modules["proximal"]))
    terms = []
    for t, n in steps.mask.nonzero().tolist():
        a = float(targets.advantage[t, n])
        weight = min(np.exp(float(proximal[t, n] - steps.log_prob[t, n])), 1.2)
        r = np.exp(float(now[t, n] - proximal[t, n]))
        terms.append(-weight * min(r * a, np.clip(r, 0.8, 1.2) * a))
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-10)
    assert float(metrics["policy/clip_fraction"]) > 0


def test_with_beta_0_nothing_bounds_a_step() -> None:
    """π_prox is then π itself: r = 1, and the gradient is that of π/μ Â, PPO's without the clip."""
    same: Any = {"epochs": 2, "minibatches": 2, "horizon": 16}
    free = clipper.train("CartPole-v1", clipper.PPO(objective=Unclipped(), **same), **PLAN)
    run = clipper.train("CartPole-v1", PPOEWMA(beta=0.0, **same), **PLAN)
    torch.testing.assert_close(run.learner.policy_parameters, free.learner.policy_parameters, rtol=1e-4, atol=1e-5)
    clipped = clipper.train("CartPole-v1", PPOEWMA(beta=0.9, clip=1e-3, **same), **PLAN)
    assert not torch.allclose(clipped.learner.policy_parameters, free.learner.policy_parameters, rtol=1e-2)


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_where_pi_prox_is_pi_old_it_is_ppo(kind: Any) -> None:
    """In the first update, as long as no average has moved: the loss and its gradient anywhere around π_old."""
    policy = small_policy(kind).double()
    steps, last = make_steps(policy, 12, 3, seed=0)
    ours, theirs = PPOEWMA(), clipper.PPO()
    learner = ours.init(policy)
    targets = each(lambda x: x[steps.mask], ours.targets(learner, steps, last))
    with torch.no_grad():
        for x in policy.parameters():
            x.add_(0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype))
    losses = [algorithm.loss(learner, targets) for algorithm in (ours, theirs)]
    assert float(losses[0][1]["policy/clip_fraction"]) > 0.05
    found, expected = (torch.autograd.grad(loss, list(policy.parameters())) for loss, _ in losses)
    torch.testing.assert_close(losses[0][0], losses[1][0], rtol=1e-12, atol=1e-14)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_a_run_is_resumed_exactly(tmp_path: Path) -> None:
    kwargs: Any = {"algorithm": PPOEWMA(horizon=8, epochs=2, minibatches=2), **PLAN}
    ours = clipper.train("CartPole-v1", run_dir=tmp_path / "whole", **kwargs)
    clipper.train("CartPole-v1", run_dir=tmp_path / "cut", callback=lambda run: run.iteration < 2, **kwargs)
    again = clipper.train(resume=tmp_path / "cut")
    assert again.exact
    theirs = again.state_dict()[0]
    assert all(torch.equal(x, theirs[name]) for name, x in ours.state_dict()[0].items())
