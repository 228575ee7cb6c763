"""What policies do with a mask when it is not wholly heeded, to be held against one that heeds it."""

from typing import Self

from torch import Generator

from clipper import Config
from clipper.data.trees import Tree
from clipper.distributions import Distribution
from clipper.environments import make
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import CriticOutput
from clipper.networks.make_policy import make_policy


class MaskedOnlyWhenActing(ActorCritic):
    """Actions are drawn from what is left of π under the mask; the loss knows nothing of it ("naive" masking).

    So μ, whose likelihood was noted, is another distribution than π even before the first step (Huang and Ontañón
    2020, arXiv:2006.14171, section 5.4).
    """

    @classmethod
    def make(cls, config: Config) -> Self:
        """With the weights that Clipper's own policy would start from."""
        env = make(config.env, 1)
        spaces = env.single_observation_space, env.single_action_space
        policy = make_policy(*spaces, config.policy, Generator().manual_seed(config.seed))
        env.close()
        policy.__class__ = cls
        return policy  # pyright: ignore[reportReturnType]

    def forward(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, CriticOutput]:
        return super().forward(obs, memory)


class Unmasked(MaskedOnlyWhenActing):
    """Knows of no mask: whatever is illegal must be learned."""

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple[Distribution, Tree]:
        return super().act(obs, memory)
