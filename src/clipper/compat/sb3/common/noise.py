"""Noise about the actions of DDPG and TD3, under Stable-Baselines3's names."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np

from clipper.data.tree_type import Tree


class ActionNoise(ABC):
    """Gives another draw at each call, from numpy's global generator, as Stable-Baselines3's does."""

    def reset(self) -> None:  # noqa: B027 (most remember nothing)
        """Begin an episode."""

    @abstractmethod
    def __call__(self) -> np.ndarray: ...


class NormalActionNoise(ActionNoise):
    """N(mean, σ²) in each component."""

    def __init__(self, mean: np.ndarray | float, sigma: np.ndarray | float, dtype: type = np.float32) -> None:
        self._mu, self._sigma, self._dtype = mean, sigma, dtype

    def __call__(self) -> np.ndarray:
        return np.random.normal(self._mu, self._sigma).astype(self._dtype)  # pyright: ignore[reportAttributeAccessIssue]

    def __repr__(self) -> str:
        return f"NormalActionNoise(mu={self._mu}, sigma={self._sigma})"


class OrnsteinUhlenbeckActionNoise(ActionNoise):
    """Noise that is drawn back to its mean: x += θ (μ − x) dt + σ √dt N(0, 1)."""

    def __init__(
        self, mean: np.ndarray, sigma: np.ndarray, theta: float = 0.15, dt: float = 1e-2,
        initial_noise: np.ndarray | None = None, dtype: type = np.float32,
    ) -> None:  # fmt: skip
        self._mu, self._sigma, self._theta, self._dt = mean, sigma, theta, dt
        self.initial_noise, self._dtype = initial_noise, dtype
        self.noise_prev = np.zeros_like(mean)
        self.reset()

    def __call__(self) -> np.ndarray:
        drift = self._theta * (self._mu - self.noise_prev) * self._dt
        self.noise_prev = (
            self.noise_prev + drift + self._sigma * np.sqrt(self._dt) * np.random.normal(size=self._mu.shape)
        )
        return self.noise_prev.astype(self._dtype)

    def reset(self) -> None:
        self.noise_prev = np.zeros_like(self._mu) if self.initial_noise is None else self.initial_noise

    def __repr__(self) -> str:
        return f"OrnsteinUhlenbeckActionNoise(mu={self._mu}, sigma={self._sigma})"


class VectorizedActionNoise(ActionNoise):
    """A copy of one noise for each environment."""

    def __init__(self, base_noise: ActionNoise, n_envs: int) -> None:
        try:
            self.n_envs = int(n_envs)
            assert self.n_envs > 0
        except (TypeError, ValueError, AssertionError) as error:
            raise ValueError(f"n_envs is a whole number from 1 on, not {n_envs!r}") from error
        if base_noise is None:
            raise ValueError("base_noise is None: give an ActionNoise")
        if not isinstance(base_noise, ActionNoise):
            raise TypeError(f"base_noise is {base_noise!r}, which is no ActionNoise")
        self.base_noise = base_noise
        self.noises = [copy.deepcopy(base_noise) for _ in range(self.n_envs)]

    def reset(self, indices: Iterable[int] | None = None) -> None:
        for i in range(self.n_envs) if indices is None else indices:
            self.noises[i].reset()

    def __repr__(self) -> str:
        return f"VecNoise(BaseNoise={self.base_noise!r}), n_envs={self.n_envs})"

    def __call__(self) -> np.ndarray:
        return np.stack([noise() for noise in self.noises])

    @property
    def noises(self) -> list[ActionNoise]:
        """One for each environment."""
        return self._noises

    @noises.setter
    def noises(self, noises: list[ActionNoise]) -> None:
        own = list(noises)  # raises TypeError
        assert len(own) == self.n_envs, f"there are {len(own)} noises for {self.n_envs} environments"
        kind = type(self.base_noise)
        different = [i for i, noise in enumerate(own) if not isinstance(noise, kind)]
        if different:
            raise ValueError(f"noises {different} are no {kind.__name__}, as base_noise is")
        for noise in own:
            noise.reset()
        self._noises = own


def noise_to_json(noise: ActionNoise) -> object:
    """What a file keeps of a noise; None of one's own kind."""
    if isinstance(noise, VectorizedActionNoise):
        base = noise_to_json(noise.base_noise)
        return None if base is None else ["vectorized", base, noise.n_envs]
    if type(noise) is NormalActionNoise:
        return ["normal", np.asarray(noise._mu).tolist(), np.asarray(noise._sigma).tolist()]
    if type(noise) is OrnsteinUhlenbeckActionNoise:
        first = None if noise.initial_noise is None else np.asarray(noise.initial_noise).tolist()
        numbers = [np.asarray(x).tolist() for x in (noise._mu, noise._sigma)]
        return ["ornstein-uhlenbeck", *numbers, float(noise._theta), float(noise._dt), first]
    return None


def noise_from_json(data: Tree) -> ActionNoise:
    """The inverse."""
    kind, *numbers = data
    if kind == "vectorized":
        return VectorizedActionNoise(noise_from_json(numbers[0]), numbers[1])
    if kind == "normal":
        mean, sigma = (np.asarray(x, float) for x in numbers)
        return NormalActionNoise(mean, sigma)
    mean, sigma, theta, dt, first = numbers
    start = None if first is None else np.asarray(first, float)
    return OrnsteinUhlenbeckActionNoise(np.asarray(mean, float), np.asarray(sigma, float), theta, dt, start)
