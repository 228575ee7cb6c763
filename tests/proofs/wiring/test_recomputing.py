"""What PPO keeps for a whole update, although it estimates advantages and targets anew before each epoch."""

import pytest
import torch
from batches import small_policy
from wiring.rig import recorded, trained

from clipper import PPO
from clipper.learning.kl import Exact
from clipper.learning.objectives import Clip, TrustRegion

KEPT = {"minibatches": 1, "learning_rate": 0.02, "kl": Exact()}


@pytest.mark.parametrize("recompute", [False, True])
def test_the_exact_kl_is_from_the_policy_with_which_the_update_began(recompute: bool) -> None:
    """Told of two epochs of one step each: the mean of 0 and of the KL after the first step, by torch."""
    policy = small_policy("categorical").double()
    steps, _ = recorded(policy, seed=0)
    with torch.no_grad():
        old = torch.distributions.Categorical(logits=policy.act(steps.obs)[0].params[0])
    algorithm = PPO(**KEPT, epochs=1, recompute=recompute)
    once = trained(algorithm, policy=policy, updates=1)
    with torch.no_grad():
        new = torch.distributions.Categorical(logits=policy.act(steps.obs)[0].params[0])
    exact = torch.distributions.kl_divergence(old, new)[steps.mask].mean()
    twice = trained(PPO(**KEPT, epochs=2, recompute=recompute), policy=small_policy("categorical").double(), updates=1)
    assert float(once.metrics[0]["policy/kl"]) == pytest.approx(0, abs=1e-12)
    assert float(exact) > 1e-4
    assert float(twice.metrics[0]["policy/kl"]) == pytest.approx(float(exact) / 2, rel=1e-6)
    estimate = twice.metrics[0]["policy/kl_k3"]
    assert float(estimate) != pytest.approx(float(exact) / 2, rel=1e-3)


@pytest.mark.parametrize("objective", [Clip(), TrustRegion(1e-3)], ids=["clip", "trust-region"])
def test_each_epoch_is_told_what_the_policy_was(objective) -> None:
    class Watching(PPO):
        """Notes what each loss is told of π_old."""

        def loss(self, learner, batch):
            told.append((batch.steps.obs, batch.old))
            return PPO.loss(self, learner, batch)

    told: list = []
    policy, first = small_policy("gaussian"), small_policy("gaussian")
    trained(Watching(epochs=3, minibatches=2, learning_rate=0.02, recompute=True, kl=Exact()), policy=policy, updates=1)
    assert len(told) == 6
    for obs, old in told:
        mean, log_std = first.act(obs)[0].params
        torch.testing.assert_close(old[0], mean)
        torch.testing.assert_close(old[1], log_std.expand_as(old[1]))
