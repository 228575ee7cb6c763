"""How a head is built."""

from dataclasses import field
from typing import Protocol, TypeAlias, runtime_checkable

import gymnasium
from torch import Generator

from clipper.data.values import NonNegative, value
from clipper.networks.heads.best_of import BestQ
from clipper.networks.heads.beta import Beta
from clipper.networks.heads.binned import Binned
from clipper.networks.heads.deterministic import Deterministic
from clipper.networks.heads.gaussian import Gaussian, TanhGaussian
from clipper.networks.heads.latent import Latent
from clipper.networks.heads.protocol import Head
from clipper.networks.heads.scales import Learned, Scale
from clipper.networks.heads.scores import Scores
from clipper.networks.heads.state_dependent import GSDE


@runtime_checkable
class OwnDistribution(Protocol):
    """A distribution over a Box of your own."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> Head:  # fmt: skip
        """The head over ``features`` numbers."""
        ...


BoxDistribution: TypeAlias = Gaussian | TanhGaussian | Beta | GSDE | Binned | Deterministic | OwnDistribution


@value(kw_only=True)
class HeadOptions:
    """How the last layer of a policy turns features into a distribution."""

    action_gain: NonNegative = 0.01
    """Gain of the last policy layer's orthogonal weights: near 0 starts all actions alike."""
    distribution: BoxDistribution = field(default_factory=Gaussian)
    """Of continuous actions: gaussian, gsde(n), whose noise lasts n steps, binned(n), one of n values each; on finite
    bounds only, tanh_gaussian, beta, or deterministic(noise), which is for DDPG and TD3. Integers are always choices:
    of all, or of binned(n)."""
    std: Scale = field(default_factory=Learned)
    """Where σ comes from: learned, fixed, linear_log_std(end), linear_std(end), exp_of_state, softplus_of_state."""
    initial_log_std: float = 0.0
    """log σ at the start, before tanh where there is one; beta has none."""
    rescale_action: bool = True
    """Act on a finite Box in [−1, 1] and map affinely onto its bounds; tanh_gaussian and beta always do."""
    autoregressive: bool = False
    """Draw the parts of a Dict or Tuple one after another, each given those before it, instead of independently."""
    one_of: BestQ | Scores | Latent | None = None
    """How the choice of a OneOf is made: none, by logits of its own; best_q(passes), by Q of each choice and its
    arguments, which is for P-DQN and MP-DQN; scores(noise), by the highest of numbers beside them, for PA-DDPG;
    latent(choice_size,argument_size), in a learned space, for HyAR."""
    initial_mean: tuple[float, ...] = ()
    """Where the means of all continuous arguments start, in the order of the space's parts, on a finite Box in [−1, 1];
    none for 0. Deterministic ones need squash=False. It is knowledge about the task: say so where it is used."""
