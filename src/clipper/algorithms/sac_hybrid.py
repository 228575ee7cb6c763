"""Soft actor-critic for a choice with arguments (Delalleau et al. 2019, arXiv:1912.11077)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.values import Count, Fraction, value
from clipper.distributions import OneOf
from clipper.functional.q_targets import chosen_value, clipped_double_q, hybrid_soft_value, td_target
from clipper.learning.critic_targets import Polyak
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    acting_with,
    batch_mean,
    legal_after,
)
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Rate, at
from clipper.learning.temperature import (
    Alpha,
    ChoiceAlpha,
    EntropyShare,
    EntropyTarget,
    add_temperature,
    soft_learner,
    wanted_entropy,
)
from clipper.networks.heads import ExpOfState, OneOfHead, TanhGaussian
from clipper.networks.policy_options import PolicyOptions


@value(kw_only=True)
class HybridSAC(OffPolicy):
    """SAC with one ``OneOf`` for actions: a choice, over which sums are exact, and arguments, one draw for each choice.

    Entropies of choice and arguments have a weight each. Arguments are of one finite ``Box`` for each choice, or
    ``Discrete(1)`` for none; what is legal of the choice may be masked. The critics read each choice with its own
    arguments only (MP-DQN's passes). The share of the choice's entropy is ours, the paper gives none.
    """

    tau: Fraction = 0.005
    """τ, the part of the way to the critics that their lagged copy goes in each gradient step."""
    alpha: ChoiceAlpha = EntropyShare(0.3)
    """α_d, weight of the choice's entropy: a number, entropy_share(share,start) or entropy_target(entropy,start)."""
    argument_alpha: Alpha = EntropyTarget()
    """α_c, weight of the arguments' entropy: a number, or entropy_target(entropy,start); none for −Aₖ of choice k."""
    learning_rate: Rate = 3e-4
    """The step size of all optimizers."""
    batch_size: Count = 128
    """Decisions of which a gradient step learns."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, whose arguments are tanh Gaussians, σ of the state."""
        return acting_with(options, TanhGaussian(), ExpOfState())

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = soft_learner(self, self.alpha, policy, OneOfHead, seed)
        add_temperature(learner, "argument_alpha", self.argument_alpha, self.optimizer)
        return learner

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the critics, of the policy and of both α, and of the lagged critics after them."""
        rate, policy, modules = at(self.learning_rate, learner.progress), learner.policy, learner.modules
        alphas = modules["alpha"](), modules["argument_alpha"]()
        with torch.no_grad():
            legal = legal_after(batch.next_mask[0] if batch.next_mask else ())
            dist = policy.act(batch.next_obs, action_mask=() if legal is None else (legal, ()))[0]
            x, log_density = self.draw(learner, dist)
            q = clipped_double_q(modules["lagged_critics"](batch.next_obs, x))
            v = hybrid_soft_value(q, dist.choice.logits.log_softmax(-1), log_density, *alphas)  # V(s′)
            target = td_target(batch.reward, batch.discount, v)
        choice, arguments = batch.action
        q = modules["critics"](batch.obs, arguments)
        chosen = chosen_value(q, choice.expand(q.shape[:-1]))
        error = batch_mean(learner, 0.5 * (chosen - target).square())
        gradient_step(learner, error.sum(), rate, self.max_grad_norm, "critics")
        dist = policy.act(batch.obs, action_mask=(batch.action_mask[0], ()) if batch.action_mask else ())[0]
        x, log_density = self.draw(learner, dist)
        log_p = dist.choice.logits.log_softmax(-1)
        q = clipped_double_q(modules["critics"](batch.obs, x))
        loss = -batch_mean(learner, hybrid_soft_value(q, log_p, log_density, *alphas))
        gradient_step(learner, loss, rate, self.max_grad_norm)
        watched = self.move_alphas(learner, log_p.detach(), log_density.detach(), rate)
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        watched |= {"loss/q": error.mean(), "loss/policy": loss, "value/q": batch_mean(learner, chosen).mean()}
        return watched | {"policy/alpha": alphas[0], "policy/argument_alpha": alphas[1]}

    def draw(self, learner: Learner, dist: OneOf) -> tuple[tuple[Tensor, ...], Float[Tensor, "B K"]]:
        """Arguments for each choice, within [−1, 1], and the logs of their densities."""
        x = [branch.sample(learner.generator) for branch in dist.branches]
        density = torch.stack([branch.log_prob(own) for branch, own in zip(dist.branches, x, strict=True)], -1)
        heads = learner.policy.head.arguments.heads
        return tuple(head.bounded(own) for head, own in zip(heads, x, strict=True)), density

    def move_alphas(
        self, learner: Learner, log_p: Float[Tensor, "B K"], log_density: Float[Tensor, "B K"], rate: float
    ) -> Metrics:
        """A step of each α that moves: it rises where its entropy is below H̄."""
        p, sizes = log_p.exp(), torch.tensor(learner.modules["critics"].sizes, dtype=log_p.dtype)
        of_choice, of_arguments = (p * log_p).sum(-1), (p * log_density).sum(-1)
        wanted = {"alpha": (of_choice, wanted_entropy(self.alpha, log_p))}
        if isinstance(self.argument_alpha, EntropyTarget):
            h = self.argument_alpha.entropy
            wanted["argument_alpha"] = of_arguments, p @ (-sizes if h is None else h * sizes.sign())
        for name, (log_prob, entropy) in wanted.items():
            if entropy is not None:
                loss = batch_mean(learner, learner.modules[name].loss(log_prob, entropy))
                gradient_step(learner, loss, rate, self.max_grad_norm, name)
        return {"policy/entropy": -batch_mean(learner, of_choice + of_arguments)}
