"""What kernels are given, in the order of their arguments' names: arrays and numbers that belong together."""

from typing import NamedTuple

import numpy as np

CATEGORICAL, GAUSSIAN = range(2)
"""Action distributions."""


class Net(NamedTuple):
    """What a forward pass reads."""

    theta: np.ndarray
    """All parameters, flat."""
    layers: np.ndarray
    """All layers in the order of computation; columns as in ``clipper.engines.network``."""
    shift: np.ndarray
    scale: np.ndarray
    bound: float
    """Observations are brought to clip((s − shift) × scale, ±bound); not at all where the bound is 0."""


class Head(NamedTuple):
    """The distribution that the network's outputs stand for."""

    kind: int
    slot: int
    """Where the logits, or means, are."""
    outputs: int
    """How many per row."""
    value: int
    """Where V is."""
    sizes: np.ndarray
    """Choices of each part, for categorical ones."""
    log_std: np.ndarray
    """Log σ of each component, for Gaussian ones, before it is brought within bounds."""
    log_std_at: int
    """Where its gradient belongs; −1 where it is not learned."""
    low: float
    high: float
    """Bounds on log σ."""


class Work(NamedTuple):
    """Memory for the decisions that pass through the layers together, each of which has a column."""

    capacity: int
    """The most decisions."""
    out: np.ndarray
    pre: np.ndarray
    slopes: np.ndarray
    log_prob: np.ndarray
    entropy: np.ndarray
    d_log_prob: np.ndarray
    largest: np.ndarray
    total: np.ndarray


class Rows(NamedTuple):
    """One update's rows, of which minibatches are indices."""

    obs: np.ndarray
    choice: np.ndarray
    """Discrete actions ``[rows, parts]``; no rows for continuous ones."""
    action: np.ndarray
    """Continuous actions ``[rows, components]``; no rows for discrete ones."""
    legal: np.ndarray
    """Which choices are legal ``[rows, ΣK]``; no rows where all are."""
    log_prob: np.ndarray
    advantage: np.ndarray
    value_target: np.ndarray
    value: np.ndarray


class Loss(NamedTuple):
    """The numbers in a loss, at one moment of a run."""

    objective: int
    number: float
    """The objective's own."""
    low: float
    high: float
    """How far the ratio may fall below 1, and rise above it."""
    value_loss: int
    value_bound: float
    value_coef: float
    entropy_coef: float
    value_shift: float
    value_scale: float
    """Of normalised returns."""
    standardise: bool
    """Bring each minibatch's advantages to standard units."""
    correction: int
    """Degrees of freedom that their deviation leaves out."""
    mean: float
    factor: float
    """Else they become (Â − mean) × factor."""
    actor_weight: float
    """Weight of each decision in the actor's loss; 0 is 1 over their number, as in all other terms."""


class Optimizer(NamedTuple):
    """The moving averages of an optimizer and its numbers."""

    kind: int
    first: np.ndarray
    second: np.ndarray
    learning_rate: float
    beta1: float
    beta2: float
    eps: float
    max_norm: float
