"""From spaces and options to an actor-critic: trunks, first weights, first means."""

import dataclasses

import gymnasium
import torch
from gymnasium.spaces import OneOf
from torch import Generator, nn

from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import NoValue
from clipper.networks.encoders import make_encoder, seen_by
from clipper.networks.heads import (
    BestHead,
    BestQ,
    DeterministicHead,
    GaussianHead,
    Head,
    HeadOptions,
    Latent,
    LatentHead,
    OneOfHead,
    StateDependentHead,
)
from clipper.networks.heads.best_of import Beside, argument_sizes
from clipper.networks.heads.make_head import make_head
from clipper.networks.initialisation import OrthogonalLinear, draw_uniform
from clipper.networks.memory import memory_of
from clipper.networks.normalise import ReturnNormaliser
from clipper.networks.of_agents import PolicyOfAgents
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.side_by_side import BranchQNetworks, Encoded, JointQNetworks

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}


def mlp(inputs: int, hidden: tuple[int, ...], options: PolicyOptions, generator: Generator) -> nn.Sequential:
    """Linear layers of these widths, each followed by the activation; with ``layer_norm`` that comes between."""
    layers: list[nn.Module] = []
    for width in hidden:
        norm = [nn.LayerNorm(width)] if options.layer_norm else []
        linear = OrthogonalLinear(inputs, width, options.hidden_gain, generator)
        layers += [linear, *norm, ACTIVATIONS[options.activation]()]
        inputs = width
    return nn.Sequential(*layers)


def mean_of(part: nn.Module) -> nn.Linear | None:
    """The layer whose outputs are a part's mean; None where it has none, or where the mean is a tanh of them."""
    if isinstance(part, DeterministicHead) and not part.squash:
        return part.raw
    return part.mean if isinstance(part, GaussianHead | StateDependentHead) else None


@torch.no_grad()
def start_means(head: Head, means: tuple[float, ...]) -> None:
    """Let the Gaussian parts of a head begin at ``means``, one number for each of their components; () leaves all.

    So may the deterministic parts whose numbers are no tanh's.
    """
    if not means:
        return
    assert isinstance(head, nn.Module)
    layers = [mean_of(part) for part in head.modules()]
    biases = [layer.bias for layer in layers if layer is not None]
    if len(means) != sum(len(bias) for bias in biases):
        raise ConfigError(f"initial_mean has {len(means)} numbers for {sum(map(len, biases))} Gaussian components")
    start = 0
    for bias in biases:
        bias.copy_(torch.tensor(means[start : start + len(bias)]))
        start += len(bias)


def by_best_q(
    head: OneOfHead, width: int, inputs: int, options: PolicyOptions, generator: Generator
) -> BestHead:  # fmt: skip
    """The head with Q of its arguments in the place of its choice's logits; it reads ``inputs`` beside the trunk's."""
    assert isinstance(options.head.one_of, BestQ)
    branches, kind = head.arguments.parts, BranchQNetworks if options.head.one_of.passes else JointQNetworks
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    activation = ACTIVATIONS[options.activation]()
    q = kind(Encoded(inputs), argument_sizes(branches), widths, activation, 1, generator)
    return BestHead(q, branches, width)


def head_of(space: gymnasium.Space, features: int, inputs: int, options: HeadOptions, generator: Generator) -> Head:
    """The head for a space; one of a latent space of actions also reads ``inputs``, beside the trunk's features."""
    if isinstance(options.one_of, Latent) and isinstance(space, OneOf):
        return LatentHead(space, features, inputs, options.action_gain, options.one_of, generator)
    return make_head(space, features, options, generator)


def make_policy(
    observation_space: gymnasium.Space, action_space: gymnasium.Space, options: PolicyOptions, generator: Generator
) -> ActorCritic:
    """The actor-critic for one environment's (unbatched) spaces, its first weights drawn from ``generator``.

    Where ``agents`` names groups, it is one for each of them.
    """
    if options.agents != "shared":
        return make_policy_of_agents(observation_space, action_space, options, generator)
    encoder = make_encoder(seen_by(observation_space, options.encoder), options, generator)
    separate = options.critic is not None and not options.shared
    own = options.encoder.critic_only or (separate and any(True for _ in encoder.parameters()))
    seen = seen_by(observation_space, options.encoder, critic=True)
    critic_encoder = make_encoder(seen, options, generator) if own else None
    critic_inputs = (critic_encoder or encoder).features
    widths = options.hidden if options.critic_hidden is None else options.critic_hidden
    actor = mlp(encoder.features, options.hidden, options, generator)
    critic = mlp(critic_inputs, widths, options, generator) if separate else actor if options.shared else NoValue()
    actor_width, critic_width = (encoder.features, *options.hidden)[-1], (critic_inputs, *widths)[-1]
    kind, memory = memory_of(options.memory), None
    if kind is not None:
        memory = kind.memories(actor_width, None if options.shared else critic_width, options.orthogonal, generator)
        actor_width = critic_width = memory.size
    head = head_of(action_space, actor_width, encoder.features, options.head, generator)
    start_means(head, options.head.initial_mean)
    if isinstance(head, LatentHead):
        actor = Beside(actor)
    if isinstance(options.head.one_of, BestQ) and isinstance(head, OneOfHead):
        actor, head = Beside(actor), by_best_q(head, actor_width, encoder.features, options, generator)
    if options.critic is None:
        value_layer = NoValue()
    else:
        value_layer = OrthogonalLinear(critic_width, options.critic.outputs, options.value_gain, generator)
    policy = ActorCritic(
        encoder, actor, critic, head, value_layer, None, action_space, critic_encoder=critic_encoder,
        mask_key=options.encoder.mask_key, memory=memory, ignore=options.encoder.ignore,
    )  # fmt: skip
    policy = policy if options.orthogonal else draw_uniform(policy, generator)
    if options.critic is not None and isinstance(value_layer, OrthogonalLinear):
        policy.returns = ReturnNormaliser() if options.normalise_returns else options.critic.reader(value_layer)
    policy.options = options
    return policy


def make_policy_of_agents(
    observation_space: gymnasium.Space, action_space: gymnasium.Space, options: PolicyOptions, generator: Generator
) -> PolicyOfAgents:
    """A policy for each group of agents, one after another drawn from ``generator``."""
    if isinstance(options.agents, str):
        raise ConfigError(
            "agents='separate' does not say how many there are: name the group of each, agents=('first', 'second'), or "
            "let clipper.train make the policy"
        )
    own = dataclasses.replace(options, agents="shared")
    names = dict.fromkeys(options.agents)
    members = [make_policy(observation_space, action_space, own, generator) for _ in names]
    policy = PolicyOfAgents(options.agents, members)
    policy.options = options
    return policy
