"""What a run would take of the machine's memory, looked at before any of it is taken."""

import math
from itertools import pairwise

from clipper.algorithms import quota_of
from clipper.errors import ConfigError
from clipper.networks.initialisation import COPIES, physical_memory
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.protocol import Rollouts
from clipper.settings.config import Config
from clipper.spaces.observations import Leaf, observation_leaves


def check_memory(config: Config, rollouts: Rollouts, options: PolicyOptions | None) -> None:
    """Raise ``ConfigError`` where observations of a segment or a replay, or the weights that options ask for, would
    fill it.
    """
    rows = int(quota_of(config.algorithm).get("horizon") or 1) * rollouts.num_envs
    leaves = observation_leaves(rollouts.single_observation_space)
    each = sum(math.prod(leaf.shape) * (4 if leaf.dtype.kind == "f" else leaf.dtype.itemsize) for leaf in leaves)
    if rows * each > physical_memory():
        raise ConfigError(
            f"a segment of {rows:,} rows, num_envs × horizon, takes {rows * each / 1e9:,.0f} GB for its observations "
            "alone, more memory than there is: lower horizon or num_envs"
        )
    kept = getattr(config.algorithm, "capacity", 0)
    if isinstance(kept, int) and kept * each > physical_memory():
        raise ConfigError(
            f"a replay of {kept:,} decisions takes {kept * each / 1e9:,.0f} GB for its observations alone, more memory "
            "than there is: lower capacity"
        )
    weights = 0 if options is None else least_weights(options, leaves)
    if 4 * COPIES * weights > physical_memory():
        raise ConfigError(
            f"networks of at least {weights:,} weights take {4 * COPIES * weights / 1e9:,.0f} GB to learn, more memory "
            "than there is: lower hidden, critic_hidden or embedding"
        )


def least_weights(options: PolicyOptions, leaves: list[Leaf]) -> int:
    """Of the layers between those that are as wide as asked for, and of the vectors that are learned for choices."""
    critic = () if options.shared else options.hidden if options.critic_hidden is None else options.critic_hidden
    layers = sum(before * after for widths in (options.hidden, critic) for before, after in pairwise(widths))
    choices = sum(int((leaf.most - leaf.least + 1).sum()) for leaf in leaves if leaf.least is not None)  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
    return layers + choices * options.encoder.embedding
