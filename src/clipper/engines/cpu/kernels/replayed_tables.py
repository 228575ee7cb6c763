"""What the kernels of those who learn from a replay are given: networks of plain layers, batches, numbers of a loss."""

from typing import NamedTuple

from clipper.engines.cpu.kernels.tables import Bools1, Bools2, Doubles1, Floats1, Floats2, Ints1, Ints2, Optimizer

WEIGHT, BIAS, INPUTS, OUTPUTS, SOURCE, SLOT, ACTIVATION, DOWN, ALONG, BACK = range(10)
"""Columns of a table of plain layers: offsets of the parameters, sizes, slots of input and output, activation; from the
weight of one output to the next one's, and of one input to the next one's; and what the input's gradient is (``STOP``,
``WRITE``, ``ADD``)."""
LOSS, POLICY, VALUE, ALPHA, ENTROPY = range(5)
"""What is watched of a gradient step: Q's loss, the policy's, the mean Q, α, and the policy's entropy."""
WATCHED = 5
SAC, DETERMINISTIC, DQN, PDQN = range(4)
"""Whose steps they are."""


class Inputs(NamedTuple):
    """How an observation's row becomes features, which take the first slots."""

    columns: Ints1
    """Where each feature's number stands in the row."""
    chosen: Bools1
    """Is the feature 1 where that number is ``code`` and else 0, as in a one-hot vector?"""
    code: Floats1
    shift: Floats1
    scale: Floats1
    bound: Floats1
    """Other numbers are brought to clip((s − shift) × scale, ±bound); not at all where the bound is 0."""


class Learned(NamedTuple):
    """Parameters that one optimizer moves."""

    theta: Floats1
    gradient: Floats1
    optimizer: Optimizer
    """Its learning rate is not read."""
    taken: Floats1
    """Its steps so far, a single number."""
    skipped: Floats1
    in_a_row: Floats1
    """Steps of the learner that were left out since their loss or gradient was not finite, and those of them since the
    last step that was taken: a single number each."""


class Spaces(NamedTuple):
    """Memory for the decisions that pass through the layers together, each of which has a column."""

    capacity: int
    """The most decisions."""
    out: Floats1
    pre: Floats1
    slopes: Floats1
    aside: Floats1
    """As many numbers as the widest layer has, of no account."""
    target: Floats1
    log_prob: Floats1
    best: Ints1


class Batch(NamedTuple):
    """The decisions of some gradient steps, ``size`` each, one after another."""

    size: int
    obs: Floats2
    next_obs: Floats2
    action: Floats2
    choice: Ints1
    """Actions: numbers within [−1, 1], one choice, or both where choices have arguments."""
    reward: Floats1
    discount: Floats1
    legal: Bools2
    """Which choices are legal in the next state; no rows where all are."""
    legal_now: Bools2
    """The same of the state itself; no rows where nobody asks."""
    noise: Floats2
    """Numbers that are drawn besides: all of a gradient step's draws, a row of each for each decision."""


class Policy(NamedTuple):
    """The layers of who acts, and where its outputs stand."""

    layers: Ints2
    action: int
    """Slot of the action's components, which follow the features."""
    size: int
    """Components, or choices."""
    mean: int
    """Slot of the means before tanh, of the components themselves, or of what is said of each choice."""
    std: int
    """Slot of what a layer says of σ."""
    scale: int
    start: float
    low: float
    high: float
    """What becomes log σ of that, and its bounds."""
    starts: Ints1
    """Where each choice's arguments begin among the components, and where the last one's end."""


class Numbers(NamedTuple):
    """Of a loss and of who follows."""

    rates: Doubles1
    """Step sizes: the policy's, the critics', α's."""
    tau: float
    tuned: bool
    """Does α move?"""
    entropy: float
    """H̄, which α is to bring about."""
    smoothing: float
    bound: float
    """σ̃ of the noise about a target's action, and its largest size."""
    delay: int
    """Gradient steps of the critics for one of the policy."""
    double: bool
    """Does Q choose the action of a target, and its lagged copy judge it?"""
    delta: float
    """From where Q's error is linear."""
    every: int
    """Gradient steps after which the lagged copy is what it follows; 0 where it follows by ``tau``."""
    actor_tau: float
    """How far the policy's lagged copy goes, beside one of critics."""
    inverted: bool
    """Do gradients keep the policy's numbers within bounds, which else a tanh does?"""
    passes: bool
    """Does Q of a choice see that choice's arguments alone?"""


class Ring(NamedTuple):
    """Rows ``[C, N]`` of a replay, flat."""

    columns: int
    """N."""
    obs: Floats2
    last_obs: Floats2
    """What is seen after the newest row, ``[N, F]``."""
    action: Floats2
    choice: Ints1
    reward: Floats1
    terminated: Bools1
    done: Bools1
    mask: Bools1
    legal: Bools2
    powers: Floats1
    """γᵐ for m from 0 to n."""
