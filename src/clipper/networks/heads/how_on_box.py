"""What any head on a Box may be told besides its size."""

from typing import TypedDict

from clipper.networks.heads.scales import Scale


class HowOnBox(TypedDict):
    """Keywords of every ``box_head``; a distribution reads those that mean something to it."""

    gain: float
    """Of the last layer's orthogonal weights."""
    std: Scale
    """Where σ comes from."""
    initial_log_std: float
    """Log σ at the start."""
    rescale: bool
    """Act on a finite Box in [−1, 1]."""
