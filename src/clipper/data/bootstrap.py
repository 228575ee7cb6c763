"""Between which numbers a mean lies, by drawing with replacement."""

import numpy as np


def bootstrap_interval(x: np.ndarray, level: float = 0.95, resamples: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean over the first axis, ``[N, M]`` → low and high ``[M]`` (Efron 1979,
    doi:10.1214/aos/1176344552). The draws are always the same, so the same numbers have the same interval.
    """
    index = np.random.default_rng(0).integers(0, len(x), (resamples, len(x)))
    tail = (1 - level) / 2
    low, high = np.quantile(x[index].mean(1), (tail, 1 - tail), axis=0)
    return low, high
