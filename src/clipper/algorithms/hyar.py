"""Hybrid action representation with TD3 (Li et al. 2022, arXiv:2109.05490, algorithm 1)."""

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.data.values import Bound, Count, Fraction, NonNegative, Positive, Range, value
from clipper.errors import ConfigError
from clipper.functional.intrinsic import squared_error
from clipper.functional.latent_actions import central_range, evidence_bound, relabelled
from clipper.functional.q_targets import clipped_double_q, smoothed_action, td_target
from clipper.learning.critic_targets import Polyak
from clipper.learning.exploration import Epsilon, UniformOrPolicy
from clipper.learning.gradient_step import gradient_step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.off_policy import (
    OffPolicy,
    add_critics,
    ascent,
    batch_mean,
    encoding_actions,
    lagging,
    legal_after,
    make_learner,
)
from clipper.learning.parts import make_part
from clipper.learning.replay import Transitions
from clipper.learning.schedules import Annealed, Rate, at
from clipper.networks.heads import LatentHead
from clipper.networks.heads.latent import UNKNOWN
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.q_networks import make_q_networks

SLOW = 0.01
"""The part of the way that the latent space's bounds, and the usual error, go to those of a batch."""


@value(kw_only=True)
class HyAR(OffPolicy):
    """TD3 on (e, z), numbers that stand for a choice and its arguments, in a space that is learned from what they do.

    The first ``learning_starts`` decisions, and those of the next ``representation_starts`` gradient steps, in which
    only the representation learns, are uniform; all of them count. It needs actions in one ``OneOf``, each choice with
    one finite ``Box`` of arguments, or ``Discrete(1)`` for none, and observations without images; what is legal of the
    choice may be masked. ``critics=1, target_noise=0, policy_delay=1`` makes it HyAR-DDPG.

    As in the authors' code, the policy is bounded by inverted gradients (arXiv:1511.04143). That code learns the
    representation by phases, and explores by noise that falls over 1,000 episodes. Here representation and policy take
    turns, and ε goes by the run's progress, slowly: the space that is learned has to show all choices for long.
    """

    tau: Fraction = 0.005
    """τ, the part of the way to critics and policy that their lagged copies go."""
    epsilon: Epsilon = Annealed(1.0, 0.05, 0.7)
    """ε, the part of decisions that are uniform: a number, or a schedule, as annealed(start,end,until)."""
    critics: Count = 2
    """Q networks, of which the lowest counts."""
    target_noise: NonNegative = 0.2
    """σ̃ of the noise about (e, z) in a target."""
    noise_clip: NonNegative = 0.5
    """c, its largest size."""
    policy_delay: Count = 2
    """d, gradient steps of the critics for one of the policy."""
    learning_rate: Rate = 1e-3
    """The step size of critics and policy; 3e-4 in the authors' code."""
    representation_learning_rate: Rate = 1e-3
    """The step size of the representation; 1e-4 there."""
    representation_starts: Count = 3_000
    """Gradient steps in which only the representation learns, at first."""
    representation_every: Count = 2
    """Later, gradient steps for one of the representation."""
    kl_weight: NonNegative = 0.01
    """Weight of the KL term. With 1 codes of uniform arguments say nothing of them: their variance, a third, costs less
    than the half that codes with any sense would."""
    change_weight: NonNegative = 1.0
    """β, weight of the error of what is said of the next state."""
    central_share: Annotated[float, Range(0, 1, open_below=True)] = 0.96
    """c, the part of the codes of each component between whose bounds the policy's z lies."""
    stale_factor: Positive = 5.0
    """A code is made anew where the error of what follows from it is larger than this many times the usual one."""
    max_grad_norm: Bound = 10.0
    """Bound on each gradient's Euclidean norm."""
    batch_size: Count = 128
    """Decisions of which a gradient step learns."""

    def policy_options(self, options: PolicyOptions | None) -> PolicyOptions:
        """The network for these options, or the usual one, with HyAR's head: latent(choice_size,argument_size)."""
        return encoding_actions(options)

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = make_learner(policy, LatentHead, self.optimizer, self.capacity, seed)
        if self.n_step > 1:
            raise ConfigError("codes of HyAR say what follows from one action: leave n_step at 1")
        if any(True for _ in learner.policy.encoder.parameters()):
            raise ConfigError("the representation needs observations that are numbers: use PPO, which encodes any")
        own = list(learner.policy.head.representation.parameters())
        rest = [p for p in policy.parameters() if all(p is not x for x in own)]
        learner.parts = {"": make_part(rest, self.optimizer), "representation": make_part(own, self.optimizer)}
        add_critics(learner, make_q_networks(learner.policy, self.critics, learner.generator), self.optimizer)
        first = self.learning_starts + math.ceil(self.representation_starts / max(self.update_ratio, 1e-9))
        learner.behaviour = UniformOrPolicy(learner, self.epsilon, first)
        learner.modules["lagged_actor"] = lagging(policy)
        return learner

    def gradient_step(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of the representation, where it is due, then of critics and policy as in TD3."""
        count, policy, modules = int(learner.extra["gradient_steps"]), learner.policy, learner.modules
        first = count <= self.representation_starts
        watched = self.represent(learner, batch) if first or count % self.representation_every == 0 else {}
        if first:
            return watched
        rate = at(self.learning_rate, learner.progress)
        with torch.no_grad():
            action = self.kept(learner, batch)  # (e, z)
            after = modules["lagged_actor"].act(batch.next_obs)[0].latent.mode
            noise = torch.randn(after.shape, generator=learner.generator, dtype=after.dtype) * self.target_noise
            after = smoothed_action(after, noise, self.noise_clip)
            target = td_target(
                batch.reward, batch.discount, clipped_double_q(modules["lagged_critics"](batch.next_obs, after))
            )
        q = modules["critics"](batch.obs, action)
        error = batch_mean(learner, (q - target).square())
        gradient_step(learner, error.sum(), rate, self.max_grad_norm, "critics")
        watched |= {"loss/q": error.mean(), "value/q": batch_mean(learner, q).mean()}
        if count % self.policy_delay:
            return watched
        p = policy.act(batch.obs)[0].mean  # before it is clipped
        value = modules["critics"](batch.obs, p)[0]
        gradient_step(learner, -batch_mean(learner, ascent(value, [p])), rate, self.max_grad_norm)
        Polyak(self.tau)(modules["lagged_critics"], modules["critics"], 0)
        Polyak(self.tau)(modules["lagged_actor"], policy, 0)
        return watched | {"loss/policy": -batch_mean(learner, value)}

    def represent(self, learner: Learner, batch: Transitions) -> Metrics:
        """One step of table, encoder and decoder; the bounds of z follow the codes."""
        policy, own, (_, choice, x) = learner.policy, learner.policy.head.representation, batch.action
        with torch.no_grad():
            features, after = policy.encoder(batch.obs), policy.encoder(batch.next_obs)
        mean, log_std = own.encode(features, choice, x)
        noise = torch.randn(mean.shape, generator=learner.generator, dtype=mean.dtype)
        again, change = own.decode(features, choice, mean + log_std.exp() * noise)  # z ~ q
        goes_on = batch.discount > 0  # what follows a termination is not kept
        wrong = squared_error(change, after - features).where(goes_on, 0)
        loss = batch_mean(learner, evidence_bound(x, again, mean, log_std, self.kl_weight) + self.change_weight * wrong)
        rate = at(self.representation_learning_rate, learner.progress)
        gradient_step(learner, loss, rate, self.max_grad_norm, "representation")
        usual = learner.world.mean(wrong.detach(), goes_on)
        low, high = central_range(learner.world.gather(mean.detach()), self.central_share)
        for now, batch_s in ((own.low, low), (own.high, high), (own.usual_error, usual)):
            now.lerp_(batch_s, SLOW)
        return {"loss/representation": loss, "representation/change_error": usual}

    def kept(self, learner: Learner, batch: Transitions) -> Float[Tensor, "B L"]:
        """(e, z) of what was done, as they were kept, or as they are now where these do not stand for it any more."""
        policy, own, (latent, choice, x) = learner.policy, learner.policy.head.representation, batch.action
        features, after = policy.encoder(batch.obs), policy.encoder(batch.next_obs)
        e, z = latent.split(list(policy.head.sizes), -1)
        change = own.decode(features, choice, own.to_code(z))[1]
        wrong = squared_error(change, after - features) > self.stale_factor * own.usual_error
        stale = wrong & (batch.discount > 0)  # what follows a termination is not kept
        legal = legal_after(batch.action_mask[0] if batch.action_mask else ())
        moved = (own.nearest(e, legal) != choice) | (latent[:, 0] == UNKNOWN)
        now = torch.cat([own.table[choice], own.from_code(own.encode(features, choice, x)[0])], -1)
        return relabelled(latent, now, moved, stale, policy.head.sizes[0])
