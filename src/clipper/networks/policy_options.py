"""How a policy is built, as values."""

from dataclasses import field
from typing import Literal

from clipper.data.values import Bound, Count, Natural, NonNegative, value
from clipper.errors import ConfigError
from clipper.networks.critics import Critic, Scalar
from clipper.networks.heads import HeadOptions
from clipper.networks.memory import Memory, MemoryName

MASK_KEY = "action_mask"
MOST_LAYERS = 1000


@value(kw_only=True)
class EncoderOptions:
    """How observations become numbers."""

    cnn: Literal["nature", "impala", "none"] = "nature"
    """Network for images, which are uint8 Boxes of two to four dimensions: nature (Mnih et al. 2015,
    doi:10.1038/nature14236; three padded 3 × 3 layers where a side is shorter than 36), impala (Espeholt et al. 2018,
    arXiv:1802.01561), none flattens them."""
    cnn_features: Count | None = None
    """Numbers that an image becomes; none for the papers' 512 and 256."""
    bfloat16: bool = False
    """Compute image networks in bfloat16 (torch's autocast), which is about twice as fast where the processor has it.
    Weights and gradients stay float32; the first epoch's ratios are then only near 1."""
    image_layout: Literal["auto", "hwc", "chw"] = "auto"
    """Where an image's channels stand. Auto tells by the shape, or asks; hwc and chw make an image of every Box of
    three dimensions, those of floats too."""
    embedding: Natural = 0
    """Width of a learned vector for each value of Discrete and MultiDiscrete; 0 for one-hot vectors."""
    image_size: tuple[Count, Count] | None = None
    """Height and width to which images are brought, by means over areas, before their network; none leaves them."""
    ignore: tuple[str, ...] = ()
    """Keys of a Dict observation that nobody sees, as of texts that no network reads (MiniGrid's mission)."""
    critic_only: tuple[str, ...] = ()
    """Keys of a Dict observation that the critic sees and the actor does not (Pinto et al. 2017, arXiv:1710.06542)."""
    mask_key: str = MASK_KEY
    """The key of a Dict observation that is the action mask, which no network sees; "" for none."""

    def __post_init__(self) -> None:
        if self.mask_key and self.mask_key in self.critic_only:
            raise ConfigError(f"{self.mask_key!r} cannot be both the action mask and for the critic only")
        if both := set(self.ignore) & {*self.critic_only, *([self.mask_key] if self.mask_key != MASK_KEY else [])}:
            raise ConfigError(f"{both.pop()!r} cannot be both ignored and read: leave it out of one of the two")


@value(kw_only=True)
class PolicyOptions:
    """The actor-critic that is built when no policy of your own is given."""

    hidden: tuple[Count, ...] = (64, 64)
    """Widths of the hidden layers, of the actor and of the critic alike."""
    critic_hidden: tuple[Count, ...] | None = None
    """Widths of the critic's layers where they differ from the actor's."""
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    """The nonlinearity between layers."""
    layer_norm: bool = False
    """Bring what each hidden layer says to mean 0 and deviation 1 over its numbers, before the activation, with a gain
    and a bias of each that are learned (Ba et al. 2016, arXiv:1607.06450); of Q networks none."""
    shared: bool = False
    """One trunk for actor and critic instead of two; of images and embeddings one encoder, too."""
    agents: Literal["shared", "separate"] | tuple[str, ...] = "shared"
    """Which of several agents share parameters: shared, all; separate, none (independent learning, de Witt et al. 2020,
    arXiv:2011.09533); or for each agent the name of its group. A group has a network and an optimizer of its own, and
    learns from its own columns."""
    memory: Memory | MemoryName = None
    """What is remembered between trunks and heads, emptied where an episode begins: lstm(size), gru(size),
    transformer(size,window,heads,layers,burn_in,gate_bias), or none. Each trunk has its own."""
    orthogonal: bool = True
    """First weights orthogonal times the gains below, biases 0 ("37 details", core 2); off: as torch.nn.Linear's."""
    hidden_gain: NonNegative = 2**0.5
    """Gain of the hidden layers' orthogonal weights (√2; "37 details", core 2)."""
    value_gain: NonNegative = 1.0
    """Gain of the value layer's orthogonal weights."""
    normalise_obs: bool = False
    """Bring each number of Box observations, images aside, to mean 0 and standard deviation 1 by running statistics."""
    clip_obs: Bound = 10.0
    """Bound on normalised observations, in standard deviations."""
    normalise_returns: bool = False
    """The critic predicts returns in units of their running standard deviation."""
    critic: Critic | None = field(default_factory=Scalar)
    """What the value layer says: scalar, V itself; pop_art(beta), V in units of the returns that keep up with them, and
    predictions that stay where these move; rescaled(ε), h(V), about the root of large values; two_hot(bins,limit), a
    distribution, to be fitted by cross_entropy. None: the policy has no V, as SAC, TD3 and DDPG need none; their Q
    networks have the critic's widths."""
    encoder: EncoderOptions = field(default_factory=EncoderOptions)
    """How observations become numbers."""
    head: HeadOptions = field(default_factory=HeadOptions)
    """How features become an action distribution."""

    def __post_init__(self) -> None:
        if max(len(self.hidden), len(self.critic_hidden or ())) > MOST_LAYERS:
            raise ConfigError(f"no trunk has more than {MOST_LAYERS} layers: shorten hidden or critic_hidden")
        if self.shared and self.critic_hidden is not None:
            raise ConfigError("a shared trunk has one set of widths: leave out critic_hidden, or set shared=False")
        if self.shared and self.encoder.critic_only:
            raise ConfigError("what only the critic sees needs a trunk of its own: leave out critic_only, or shared")
        if isinstance(self.agents, tuple) and not all(self.agents or ("",)):
            raise ConfigError("agents names the group of each agent, and one has no name: name all of them")
        if self.critic is None:
            self.check_without_critic()
        elif self.normalise_returns and self.critic != Scalar():
            raise ConfigError(
                f"{type(self.critic).__name__} copes with returns of any size by itself: leave out normalise_returns"
            )

    def check_without_critic(self) -> None:
        """Raise ``ConfigError`` for what only a policy with V can have."""
        for name, given in {
            "shared": self.shared, "normalise_returns": self.normalise_returns, "memory": self.memory is not None,
            "critic_only": self.encoder.critic_only,
        }.items():  # fmt: skip
            if given:
                raise ConfigError(
                    f"a policy without V (critic=None, as for SAC, TD3 and DDPG) has no {name}: leave it out"
                )
