"""What kernels are given, in the order of their arguments' names: arrays and numbers that belong together."""

from typing import Annotated, NamedTuple

import numpy as np

Floats1 = Annotated[np.ndarray, "f4", 1]
Floats2 = Annotated[np.ndarray, "f4", 2]
Floats3 = Annotated[np.ndarray, "f4", 3]
Doubles1 = Annotated[np.ndarray, "f8", 1]
Doubles2 = Annotated[np.ndarray, "f8", 2]
Doubles3 = Annotated[np.ndarray, "f8", 3]
Ints1 = Annotated[np.ndarray, "i8", 1]
Ints2 = Annotated[np.ndarray, "i8", 2]
Ints3 = Annotated[np.ndarray, "i8", 3]
Bools1 = Annotated[np.ndarray, "b1", 1]
Bools2 = Annotated[np.ndarray, "b1", 2]
"""C-contiguous arrays, by what is in them and how many axes they have."""

READ, PRODUCT, GATHER, EMBED, NORMALISE = range(5)
"""What a row of the table of layers does: copy numbers of an observation, multiply by weights, add up the weights'
columns that an observation's choices name (a product with one-hot vectors), look up a learned vector for each, or
bring a layer's numbers to mean 0 and deviation 1."""
KIND, WEIGHT, BIAS, INPUTS, OUTPUTS, SOURCE, SLOT, ACTIVATION, BACK, PITCH, FIRST, LAST = range(12)
"""Columns of that table: offsets of the parameters, sizes, slots of input and output, activation, what the input's
gradient is, from one row of the weights to the next; whether the row writes its output or adds to it, and whether that
is whole then. Several rows make one layer where its input does not lie in one piece.

Of ``READ`` the weight is its first entry in the tables of numbers; of ``GATHER`` and ``EMBED`` the source is its first
entry in the table of choices, and inputs are their number."""
LINEAR, TANH, RELU, ELU, SILU = range(5)
"""Activations."""
STOP, WRITE, ADD = range(3)
"""The gradient of a layer's input is not needed, the first one there, or one of several."""
CATEGORICAL, GAUSSIAN, SQUASHED, BETA = range(4)
"""Action distributions."""
CLIPPED, RESCALED, TANH_OF, TANH_OF_HALF = range(4)
"""What a component becomes before it is clipped to its bounds: itself, or mapped from [−1, 1] onto them, after tanh."""
LEARNED, PLANNED, EXP, SOFTPLUS = range(4)
"""Where log σ stands: among the parameters, in a table, or what a layer says, itself or as σ's softplus."""
PARTS = 11
"""Columns of the table of an action's parts: distribution; slot and number of its outputs; first column of its choice,
or of its components, in an action's row; first column of its choices in a mask's; the part that is its gate, −1 for
none, and which choice of that opens it; which of the parts with names it belongs to; where log σ stands, and the place
there: offset, entry, or slot; and the first column of what is remembered of π_old: log π of each choice, all μ before
all log σ, or all α before all β."""
POLICY_GRADIENT, CLIP, DUAL_CLIP, UNCLIPPED, ROLLBACK, SPO, TRUST_REGION, TRUST_REGION_ROLLBACK = range(8)
"""Objectives (``clipper.functional.objectives``)."""
MSE, HUBER, CLIPPED_MSE = range(3)
"""Value losses."""
ADAM, RMSPROP = range(2)
"""Optimizers."""
K1, K2, K3, EXACT = range(4)
"""Which KL(μ‖π) is reported and decides: an estimate, or that of whole distributions."""
SUMS = 9
"""What is added up: objective, value loss, entropy, that KL, ratios outside the clip range, k1, k2, k3, and
ratios that were bounded so as not to overflow."""
RATIO, MEAN, STD, NORM = range(SUMS, SUMS + 4)
"""Where the largest ratio, the advantages' mean and deviation, and the gradient's norm stand after these."""
LEAF_SUMS = 3
"""Entropy, KL and ratios outside the clip range of each part with a name: they come last."""


class Net(NamedTuple):
    """What a forward pass reads."""

    theta: Floats1
    """All parameters, flat."""
    layers: Ints2
    """All layers in the order of computation."""
    columns: Ints1
    """Where each number that is read stands in an observation's row."""
    shift: Floats1
    scale: Floats1
    bound: Floats1
    """They are brought to clip((s − shift) × scale, ±bound); not at all where the bound is 0."""
    choices: Ints2
    """Where each choice stands in an observation's row, and what is taken from it to give a place in the weights."""


class Head(NamedTuple):
    """The distribution that the network's outputs stand for."""

    parts: Ints2
    """Of an action, choices before what depends on them."""
    leaves: int
    """How many parts have names; 0 where an action is undivided."""
    value: int
    """Where V is."""
    log_std: Floats1
    """Log σ where it follows a plan, before it is brought within bounds."""
    starts: Doubles1
    """What is added to a layer that says log σ, for each part."""
    low: float
    high: float
    """Bounds on log σ."""


class Work(NamedTuple):
    """Memory for the decisions that pass through the layers together, each of which has a column."""

    capacity: int
    """The most decisions."""
    out: Floats1
    pre: Floats1
    slopes: Floats1
    log_prob: Floats1
    entropy: Floats1
    kl: Floats1
    d_log_prob: Floats1
    d_kl: Floats1
    d_part: Floats1
    d_entropy: Floats1
    d_part_kl: Floats1
    """∂L/∂log π, ∂L/∂H and ∂L/∂KL of the current part."""
    largest: Floats1
    total: Floats1
    spare: Floats1
    std: Floats1
    log_probs: Floats2
    entropies: Floats2
    reach: Floats2
    """The probability that a part counts."""
    worth: Floats2
    """What a part, and what it opens, is worth to the entropy bonus."""
    kls: Floats2
    """KL(π_old ‖ π) of each part, in the states where it counts."""
    old_reach: Floats2
    """The probability under π_old that a part counts."""
    leaf_log_prob: Floats2
    leaf_entropy: Floats2
    leaf_kl: Floats2
    d_leaf: Floats2
    """∂L/∂log π of each part with a name."""
    d_leaf_kl: Floats2
    """∂L/∂KL of each."""
    used: Bools2
    """Which parts count."""
    chosen: Ints2
    aside: Floats1
    """As many numbers as the widest layer has, of no account."""
    place: Ints1
    """Where a choice of theirs leads, in the weights."""
    order: Ints1
    """0, 1, …: the decisions of a piece, one after the other."""
    sums: Doubles1
    """Of what is watched in a minibatch."""


class Rows(NamedTuple):
    """One update's rows, of which minibatches are indices."""

    obs: Floats2
    choice: Ints2
    """Discrete parts of the actions."""
    action: Floats2
    """Continuous components."""
    legal: Bools2
    """Which choices are legal ``[rows, ΣK]``; no rows where all are."""
    log_prob: Floats1
    log_probs: Floats2
    """Of the parts with names."""
    advantage: Floats1
    value_target: Floats1
    value: Floats1
    old: Floats2
    """What is remembered of π_old in each of them; no rows where nothing is."""


class Loss(NamedTuple):
    """The numbers in a loss, at one moment of a run."""

    acts: bool
    judges: bool
    """Is there a loss of the actor, and one of the critic?"""
    objective: int
    number: float
    limit: float
    """The objective's own: α or c, and δ."""
    kl: int
    """Which KL decides."""
    kl_coef: float
    """Weight of a penalty on the exact one."""
    low: float
    high: float
    """How far the ratio may fall below 1, and rise above it."""
    value_loss: int
    value_bound: float
    value_coef: float
    entropy_coefs: Doubles1
    """Of each part with a name."""
    per_part: bool
    """One ratio for each of them, not one for all."""
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
    start: int
    """Of its parameters among all."""
    first: Floats1
    second: Floats1
    learning_rate: float
    beta1: float
    beta2: float
    eps: float
    max_norm: float
