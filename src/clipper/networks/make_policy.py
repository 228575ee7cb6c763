"""From spaces and options to an actor-critic: trunks, first weights, first means."""

import gymnasium
import torch
from torch import Generator, nn

from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import NoValue
from clipper.networks.encoders import make_encoder, seen_by
from clipper.networks.heads import GaussianHead, Head, StateDependentHead
from clipper.networks.heads.make_head import make_head
from clipper.networks.initialisation import OrthogonalLinear, draw_uniform
from clipper.networks.memory import memory_of
from clipper.networks.normalise import ReturnNormaliser
from clipper.networks.policy_options import PolicyOptions

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


@torch.no_grad()
def start_means(head: Head, means: tuple[float, ...]) -> None:
    """Let the Gaussian parts of a head begin at ``means``, one number for each of their components; () leaves all."""
    if not means:
        return
    assert isinstance(head, nn.Module)
    biases = [part.mean.bias for part in head.modules() if isinstance(part, GaussianHead | StateDependentHead)]
    if len(means) != sum(len(bias) for bias in biases):
        raise ConfigError(f"initial_mean has {len(means)} numbers for {sum(map(len, biases))} Gaussian components")
    start = 0
    for bias in biases:
        bias.copy_(torch.tensor(means[start : start + len(bias)]))
        start += len(bias)


def make_policy(
    observation_space: gymnasium.Space, action_space: gymnasium.Space, options: PolicyOptions, generator: Generator
) -> ActorCritic:
    """The actor-critic for one environment's (unbatched) spaces, its first weights drawn from ``generator``."""
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
    head = make_head(action_space, actor_width, options.head, generator)
    start_means(head, options.head.initial_mean)
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
