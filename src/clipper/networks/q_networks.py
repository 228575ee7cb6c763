"""Q networks beside a policy, of the kind that its actions ask for."""

import copy

from torch import Generator

from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import CategoricalHead, DeterministicHead, LatentHead, OneOfHead, SquashedHead
from clipper.networks.heads.best_of import argument_sizes
from clipper.networks.make_policy import ACTIVATIONS
from clipper.networks.side_by_side import BranchQNetworks, ChoiceQNetworks, QNetworks, SideBySide


def make_q_networks(policy: ActorCritic, count: int, generator: Generator) -> SideBySide:
    """``count`` of them with the critic's widths and the activation, of the kind that the policy's head asks for.

    Their encoder is the policy's where it has no weights, else a copy.
    """
    options, head = policy.options, policy.head
    assert options is not None
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    encoder = policy.encoder
    encoder = copy.deepcopy(encoder) if any(True for _ in encoder.parameters()) else encoder
    rest = ACTIVATIONS[options.activation](), count, generator
    if isinstance(head, CategoricalHead):
        return ChoiceQNetworks(encoder, 0, widths, head.logits.out_features, *rest)
    if isinstance(head, OneOfHead):
        return BranchQNetworks(encoder, argument_sizes(head.arguments.parts), widths, *rest)
    assert isinstance(head, SquashedHead | DeterministicHead | LatentHead)
    return QNetworks(encoder, sum(head.sizes) if isinstance(head, LatentHead) else head.box.size, widths, 1, *rest)
