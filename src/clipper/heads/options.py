"""How a head is built."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadOptions:
    """How the last layer of a policy turns features into a distribution."""

    action_gain: float = 0.01
    """Gain of the last policy layer's orthogonal weights: near 0 starts all actions alike."""
    initial_log_std: float = 0.0
    """log σ at the start, state-independent (Gaussian heads)."""
    rescale_action: bool = True
    """Act on a finite Box in [−1, 1] and map affinely onto its bounds."""
    initial_mean: tuple[float, ...] = ()
    """Where the means of all continuous arguments start, in the order of the space's parts, on a finite Box in [−1, 1];
    none for 0. It is knowledge about the task: say so where it is used."""
