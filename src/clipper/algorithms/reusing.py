"""An algorithm that holds an algorithm, PPO: it learns from the latest segments, not from the newest alone.

Off-policy PPO, as DI-engine and the course PPO × Family have it, with each segment's own behaviour policy μ; and the
decoupled objective (Hilton, Cobbe & Schulman 2022, arXiv:2110.00641), without which old segments are soon out of reach.
"""

from dataclasses import KW_ONLY

import torch
from torch import Tensor, nn

from clipper.algorithms.ppo import PPO
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.data.values import Bound, Count, value
from clipper.errors import ConfigError
from clipper.functional.importance import effective_sample_size
from clipper.learning.kept_segments import KeptSegments, Segment, side_by_side
from clipper.learning.kl import Exact
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.proximal import decoupled


@value
class Reusing:
    """PPO's improvement towards targets of the last k segments, side by side.

    Advantages and the critic's targets of all are estimated anew in each update, with the critic of now. GAE is not
    corrected for the actions of older policies.
    """

    algorithm: PPO = PPO()
    """Who learns, with all of its settings. Its minibatches share what is kept: they are up to k times as large."""
    _: KW_ONLY
    segments: Count = 4
    """k, segments that an update learns from; 1 is the held algorithm itself, bit for bit."""
    decoupled: bool = True
    """Clip the ratio to π as the update begins, π_prox, and weigh by π_prox/μ; off: clip the ratio to each segment's
    own μ, as DI-engine does, whose advantages stay those of when they were collected."""
    weight_bound: Bound = 2.0
    """c, the largest weight π_prox/μ of an old decision, where decoupled. 2 is ours; the paper's code has 100."""

    def __post_init__(self) -> None:
        own = self.algorithm
        whole = isinstance(own.kl, Exact) or getattr(own.objective, "needs_kl", False)
        if whole and not self.decoupled and self.segments > 1:
            raise ConfigError(
                "an exact KL, or an objective that needs one, is about π as the update begins, and without decoupled "
                "ratios are to each segment's own policy: leave decoupled on, or take kl=sampled and another objective"
            )

    @property
    def horizon(self) -> int:
        """Rows collected per environment and iteration: the held algorithm's."""
        return self.algorithm.horizon

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = self.algorithm.init(policy, seed=seed)
        learner.modules["kept"] = KeptSegments(self.segments - 1)
        return learner

    def update(self, learner: Learner, steps: Steps, last_obs: Tree) -> Metrics:
        """The held algorithm's, towards targets of all that is kept."""
        if not learner.world.agree(steps.mask.any()):
            return learner.pass_over(steps)
        kept, newest = learner.modules["kept"], Segment(steps, last_obs)
        every = [newest, *kept.before(newest)]
        targets, log_weight = self.weighed(learner, self.targets(learner, every), len(steps.mask[0]))

        def again() -> Targets:
            made = self.targets(learner, every, again=True)
            return made._replace(steps=targets.steps, weight=targets.weight, fresh=targets.fresh)

        metrics = self.algorithm.improve(learner, targets, again)
        kept.add(newest)
        if not log_weight.numel():
            return metrics
        return metrics | {"reuse/effective_fraction": effective_sample_size(log_weight) / log_weight.numel()}

    @torch.no_grad()
    def targets(self, learner: Learner, every: list[Segment], again: bool = False) -> Targets:
        """The held algorithm's of each segment, side by side; statistics have taken the older ones in already."""
        made = [self.algorithm.targets(learner, *segment, again=again or i > 0) for i, segment in enumerate(every)]
        if len(made) == 1:
            return made[0]
        plain = [x._replace(advantage=x.raw[0] if x.raw else x.advantage, raw=()) for x in made]  # in their own units
        return self.algorithm.advantages.of_batch(side_by_side(plain), learner.world)

    @torch.no_grad()
    def weighed(self, learner: Learner, targets: Targets, newest: int) -> tuple[Targets, Tensor]:
        """With π_prox in the place of the older segments' μ, and log π_prox/μ of their decisions.

        μ of the ``newest`` columns is π_prox. Running statistics take in these alone, and so each decision once.
        """
        mask = targets.steps.mask
        if mask.shape[1] == newest:
            return targets, targets.value.new_zeros(0)
        fresh = torch.zeros_like(mask)
        fresh[:, :newest] = True
        targets, behaviour = targets._replace(fresh=fresh & mask), targets.steps
        if not self.decoupled:
            return targets, targets.value.new_zeros(0)
        about = decoupled(learner.policy, targets, self.weight_bound)
        log_prob = torch.where(fresh, behaviour.log_prob, about.steps.log_prob)
        log_weight = (log_prob - behaviour.log_prob)[mask & ~fresh]
        weight = about.weight.masked_fill(fresh, 1.0)
        parts = each(lambda x, y: torch.where(fresh, x, y), behaviour.log_probs, about.steps.log_probs)
        return about._replace(steps=behaviour._replace(log_prob=log_prob, log_probs=parts), weight=weight), log_weight
