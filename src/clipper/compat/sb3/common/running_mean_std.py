"""Mean and variance of all that was seen so far."""

import numpy as np

EPSILON = 1e-4


class RunningMeanStd:
    """Moments that take in batch after batch by Chan et al.'s parallel rule; they begin at 0 and 1, of weight ε."""

    def __init__(self, epsilon: float = EPSILON, shape: tuple[int, ...] | None = ()) -> None:
        self.mean, self.var = np.zeros(shape or ()), np.ones(shape or ())
        self.count = float(epsilon)

    def copy(self) -> "RunningMeanStd":
        """Another one that is equal."""
        new = RunningMeanStd()
        new.mean, new.var, new.count = np.copy(self.mean), np.copy(self.var), float(self.count)
        return new

    def combine(self, other: "RunningMeanStd") -> None:
        """Take in what another has seen."""
        self.update_from_moments(other.mean, other.var, other.count)

    def update(self, arr: np.ndarray) -> None:
        """Take in a batch, which leads with its rows."""
        self.update_from_moments(np.mean(arr, axis=0), np.var(arr, axis=0), arr.shape[0])

    def update_from_moments(
        self, batch_mean: np.ndarray | float, batch_var: np.ndarray | float, batch_count: float
    ) -> None:
        """Take in a batch of which the moments are known."""
        delta, total = batch_mean - self.mean, self.count + batch_count
        squares = self.var * self.count + batch_var * batch_count + delta**2 * self.count * batch_count / total
        self.mean = np.asarray(self.mean + delta * batch_count / total)
        self.var, self.count = np.asarray(squares / total), total
