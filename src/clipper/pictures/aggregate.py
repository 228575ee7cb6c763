"""Several tasks and seeds as one number with its interval (Agarwal et al. 2021, arXiv:2108.13264).

Scores of one method are an array of runs per task. Tasks may have differing numbers of runs.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm, trim_mean

Scores = Sequence[np.ndarray]
RESAMPLES = 2000


def interquartile_mean(scores: Scores) -> float:
    """IQM: the mean of the middle half of all runs (section 4.3); a quarter is cut from each end."""
    return float(trim_mean(np.concatenate(scores), 0.25))


def stratified_interval(
    scores: Scores, statistic: Callable[[Scores], float] = interquartile_mean, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of a statistic; runs are drawn with replacement within each task (section 4.1).

    With the usual three to five runs a task it is rather too narrow.
    """
    draw = np.random.default_rng(seed)
    found = [statistic([runs[draw.integers(0, len(runs), len(runs))] for runs in scores]) for _ in range(RESAMPLES)]
    tail = (1 - level) / 2
    low, high = np.quantile(found, (tail, 1 - tail))
    return float(low), float(high)


def performance_profile(scores: Scores, thresholds: np.ndarray) -> np.ndarray:
    """Share of runs whose score is above τ, for each τ; every task counts alike (section 4.2)."""
    return np.mean([(runs[:, None] > thresholds).mean(0) for runs in scores], axis=0)


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """P(X > Y) + ½ P(X = Y), a run of each on the same task; mean over tasks (section 4.3). Mann & Whitney's U / mn."""
    each = [np.mean((x[:, None] > y) + 0.5 * (x[:, None] == y)) for x, y in zip(ours, theirs, strict=True)]
    return float(np.mean(each))


def probability_above(runs: np.ndarray, mean: float, deviation: float) -> float:
    """P(X > Y) where of the other only mean and standard deviation are published, and Y is taken to be normal."""
    if deviation == 0:
        return float(np.mean((runs > mean) + 0.5 * (runs == mean)))
    return float(np.mean(norm.cdf((runs - mean) / deviation)))
