"""Action distributions under Stable-Baselines3's names. They draw from torch's global generator, as theirs do."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Normal
from torch.distributions import kl_divergence as torch_kl

from clipper.compat.sb3.common.preprocessing import UnsupportedError, check_multi_binary, get_action_dim
from clipper.data.tree_type import Tree
from clipper.distributions.squashed import log_slope_of_tanh

D = TypeVar("D")


def sum_independent_dims(tensor: Tensor) -> Tensor:
    """Over the components of each row."""
    return tensor.sum(dim=1) if tensor.ndim > 1 else tensor.sum()


class Distribution(ABC):
    """What an action is drawn from, once ``proba_distribution`` was given the numbers of a network."""

    distribution: Tree = None

    @abstractmethod
    def proba_distribution_net(self, latent_dim: int, *args: object, **kwargs: object) -> Tree: ...

    @abstractmethod
    def proba_distribution(self, *args: Tensor) -> "Distribution": ...

    @abstractmethod
    def log_prob(self, actions: Tensor) -> Tensor: ...

    @abstractmethod
    def entropy(self) -> Tensor | None: ...

    @abstractmethod
    def sample(self) -> Tensor: ...

    @abstractmethod
    def mode(self) -> Tensor: ...

    @abstractmethod
    def actions_from_params(self, *args: Tensor, deterministic: bool = False) -> Tensor: ...

    @abstractmethod
    def log_prob_from_params(self, *args: Tensor) -> tuple[Tensor, Tensor]: ...

    def get_actions(self, deterministic: bool = False) -> Tensor:
        return self.mode() if deterministic else self.sample()


class OfParams(Distribution, Generic[D]):
    """Two methods that all share."""

    def actions_from_params(self, *args: Tensor, deterministic: bool = False) -> Tensor:
        return self.proba_distribution(*args).get_actions(deterministic)

    def log_prob_from_params(self, *args: Tensor) -> tuple[Tensor, Tensor]:
        actions = self.actions_from_params(*args)
        return actions, self.log_prob(actions)


class DiagGaussianDistribution(OfParams):
    """Independent normal components."""

    def __init__(self, action_dim: int) -> None:
        self.action_dim = action_dim

    def proba_distribution_net(self, latent_dim: int, log_std_init: float = 0.0) -> tuple[nn.Module, nn.Parameter]:  # pyright: ignore[reportIncompatibleMethodOverride]
        log_std = torch.ones(self.action_dim) * float(log_std_init)
        return nn.Linear(latent_dim, self.action_dim), nn.Parameter(log_std, requires_grad=True)

    def proba_distribution(self, mean_actions: Tensor, log_std: Tensor) -> "DiagGaussianDistribution":  # pyright: ignore[reportIncompatibleMethodOverride]
        self.distribution = Normal(mean_actions, torch.ones_like(mean_actions) * log_std.exp())
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        return sum_independent_dims(self.distribution.log_prob(actions))

    def entropy(self) -> Tensor | None:
        return sum_independent_dims(self.distribution.entropy())

    def sample(self) -> Tensor:
        return self.distribution.rsample()

    def mode(self) -> Tensor:
        return self.distribution.mean


class SquashedDiagGaussianDistribution(DiagGaussianDistribution):
    """The same, through tanh; it has no entropy in closed form."""

    def __init__(self, action_dim: int, epsilon: float = 1e-6) -> None:
        super().__init__(action_dim)
        self.epsilon = epsilon
        self.gaussian_actions: Tensor | None = None

    def log_prob(self, actions: Tensor, gaussian_actions: Tensor | None = None) -> Tensor:
        raw = TanhBijector.inverse(actions) if gaussian_actions is None else gaussian_actions
        return super().log_prob(raw) - sum_independent_dims(torch.log(1 - actions**2 + self.epsilon))

    def entropy(self) -> Tensor | None:
        return None

    def sample(self) -> Tensor:
        self.gaussian_actions = super().sample()
        return torch.tanh(self.gaussian_actions)

    def mode(self) -> Tensor:
        self.gaussian_actions = super().mode()
        return torch.tanh(self.gaussian_actions)

    def log_prob_from_params(self, *args: Tensor) -> tuple[Tensor, Tensor]:
        action = self.actions_from_params(*args)
        return action, self.log_prob(action, self.gaussian_actions)


class CategoricalDistribution(OfParams):
    """One choice."""

    def __init__(self, action_dim: int) -> None:
        self.action_dim = action_dim

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        return nn.Linear(latent_dim, self.action_dim)

    def proba_distribution(self, action_logits: Tensor) -> "CategoricalDistribution":  # pyright: ignore[reportIncompatibleMethodOverride]
        self.distribution = Categorical(logits=action_logits)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        return self.distribution.log_prob(actions)

    def entropy(self) -> Tensor | None:
        return self.distribution.entropy()

    def sample(self) -> Tensor:
        return self.distribution.sample()

    def mode(self) -> Tensor:
        return self.distribution.probs.argmax(dim=-1)


class MultiCategoricalDistribution(OfParams):
    """Several choices, of ``action_dims[i]`` each."""

    def __init__(self, action_dims: list[int]) -> None:
        self.action_dims = [int(n) for n in action_dims]

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        return nn.Linear(latent_dim, sum(self.action_dims))

    def proba_distribution(self, action_logits: Tensor) -> "MultiCategoricalDistribution":  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = torch.split(action_logits, self.action_dims, dim=-1)
        self.distribution = [Categorical(logits=part) for part in parts]
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        pairs = zip(self.distribution, actions.unbind(dim=-1), strict=True)
        return torch.stack([own.log_prob(action) for own, action in pairs], dim=-1).sum(dim=-1)

    def entropy(self) -> Tensor | None:
        return torch.stack([own.entropy() for own in self.distribution], dim=-1).sum(dim=-1)

    def sample(self) -> Tensor:
        return torch.stack([own.sample() for own in self.distribution], dim=-1)

    def mode(self) -> Tensor:
        return torch.stack([own.probs.argmax(dim=-1) for own in self.distribution], dim=-1)


class BernoulliDistribution(OfParams):
    """Yes or no for each of ``action_dims``."""

    def __init__(self, action_dims: int) -> None:
        self.action_dims = action_dims

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:  # pyright: ignore[reportIncompatibleMethodOverride]
        return nn.Linear(latent_dim, self.action_dims)

    def proba_distribution(self, action_logits: Tensor) -> "BernoulliDistribution":  # pyright: ignore[reportIncompatibleMethodOverride]
        self.distribution = Bernoulli(logits=action_logits)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        return self.distribution.log_prob(actions).sum(dim=-1)

    def entropy(self) -> Tensor | None:
        return self.distribution.entropy().sum(dim=-1)

    def sample(self) -> Tensor:
        return self.distribution.sample()

    def mode(self) -> Tensor:
        return torch.round(self.distribution.probs)


class StateDependentNoiseDistribution(OfParams):
    """GSDE (Raffin et al. 2020, arXiv:2005.05719): noise that is a linear function of the features."""

    def __init__(
        self, action_dim: int, full_std: bool = True, use_expln: bool = False, squash_output: bool = False,
        learn_features: bool = False, epsilon: float = 1e-6,
    ) -> None:  # fmt: skip
        self.action_dim, self.full_std, self.use_expln = action_dim, full_std, use_expln
        self.learn_features, self.epsilon = learn_features, epsilon
        self.latent_sde_dim: int | None = None
        self.bijector = TanhBijector(epsilon) if squash_output else None

    def get_std(self, log_std: Tensor) -> Tensor:
        """σ of each weight of the noise."""
        if self.use_expln:  # grows no faster than a logarithm above 1
            above = log_std.clamp(min=0) + self.epsilon
            std = torch.where(log_std <= 0, log_std.exp(), torch.log1p(above) + 1.0)
        else:
            std = log_std.exp()
        if self.full_std:
            return std
        assert self.latent_sde_dim is not None
        return torch.ones(self.latent_sde_dim, self.action_dim, device=log_std.device) * std

    def sample_weights(self, log_std: Tensor, batch_size: int = 1) -> None:
        """Draw the noise's matrix anew, one for all rows and one for each of a batch."""
        std = self.get_std(log_std)
        self.weights_dist = Normal(torch.zeros_like(std), std)
        self.exploration_mat = self.weights_dist.rsample()
        self.exploration_matrices = self.weights_dist.rsample(torch.Size((batch_size,)))

    def proba_distribution_net(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, latent_dim: int, log_std_init: float = -2.0, latent_sde_dim: int | None = None
    ) -> tuple[nn.Module, nn.Parameter]:
        self.latent_sde_dim = latent_dim if latent_sde_dim is None else latent_sde_dim
        shape = (self.latent_sde_dim, self.action_dim if self.full_std else 1)
        log_std = nn.Parameter(torch.ones(shape) * float(log_std_init), requires_grad=True)
        self.sample_weights(log_std)
        return nn.Linear(latent_dim, self.action_dim), log_std

    def proba_distribution(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, mean_actions: Tensor, log_std: Tensor, latent_sde: Tensor
    ) -> "StateDependentNoiseDistribution":
        self._latent_sde = latent_sde if self.learn_features else latent_sde.detach()
        if self.latent_sde_dim is None:
            self.latent_sde_dim = latent_sde.shape[-1]
        variance = self._latent_sde**2 @ self.get_std(log_std) ** 2
        self.distribution = Normal(mean_actions, torch.sqrt(variance + self.epsilon))
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        raw = actions if self.bijector is None else self.bijector.inverse(actions)
        found = sum_independent_dims(self.distribution.log_prob(raw))
        return found if self.bijector is None else found - self.bijector.log_prob_correction(raw).sum(dim=1)

    def entropy(self) -> Tensor | None:
        return None if self.bijector is not None else sum_independent_dims(self.distribution.entropy())

    def sample(self) -> Tensor:
        noise = self.get_noise(self._latent_sde)
        actions = self.distribution.mean + noise
        return actions if self.bijector is None else self.bijector.forward(actions)

    def mode(self) -> Tensor:
        actions = self.distribution.mean
        return actions if self.bijector is None else self.bijector.forward(actions)

    def get_noise(self, latent_sde: Tensor) -> Tensor:
        """By each row's own matrix where there are as many, otherwise by the one for all."""
        features = latent_sde if self.learn_features else latent_sde.detach()
        if len(features) != len(self.exploration_matrices) or len(features) == 1:
            return features @ self.exploration_mat
        return torch.bmm(features.unsqueeze(1), self.exploration_matrices).squeeze(1)


class TanhBijector:
    """Tanh and its inverse; the logarithm of its slope is exact, without ``epsilon``."""

    def __init__(self, epsilon: float = 1e-6) -> None:
        self.epsilon = epsilon

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def atanh(x: Tensor) -> Tensor:
        return 0.5 * (x.log1p() - (-x).log1p())

    @staticmethod
    def inverse(y: Tensor) -> Tensor:
        """The numbers at the bounds as the last ones before them."""
        eps = torch.finfo(y.dtype).eps
        return TanhBijector.atanh(y.clamp(min=-1.0 + eps, max=1.0 - eps))

    def log_prob_correction(self, x: Tensor) -> Tensor:
        """Log |d tanh(x) / dx|."""
        return log_slope_of_tanh(x)


def make_proba_distribution(
    action_space: gymnasium.Space, use_sde: bool = False, dist_kwargs: dict[str, Tree] | None = None
) -> Distribution:
    """The distribution for an action space."""
    options = dist_kwargs or {}
    if isinstance(action_space, Box):
        kind = StateDependentNoiseDistribution if use_sde else DiagGaussianDistribution
        return kind(get_action_dim(action_space), **options)
    if isinstance(action_space, Discrete):
        return CategoricalDistribution(int(action_space.n), **options)
    if isinstance(action_space, MultiDiscrete):
        return MultiCategoricalDistribution(list(action_space.nvec), **options)
    if isinstance(action_space, MultiBinary):
        check_multi_binary(action_space)
        return BernoulliDistribution(int(np.prod(action_space.n)), **options)
    raise UnsupportedError(
        f"no distribution for actions of {action_space}: there are those of Box, Discrete, MultiDiscrete and "
        "MultiBinary; clipper.train takes Dict, Tuple and OneOf, too"
    )


def kl_divergence(dist_true: Distribution, dist_pred: Distribution) -> Tensor:
    """KL(true ‖ pred) of two of one kind, in closed form; of several choices their sum."""
    assert type(dist_true) is type(dist_pred), "Error: input distributions should be the same type"
    if isinstance(dist_true, MultiCategoricalDistribution):
        assert isinstance(dist_pred, MultiCategoricalDistribution)
        assert dist_true.action_dims == dist_pred.action_dims, "Error: distributions must have the same input space"
        pairs = zip(dist_true.distribution, dist_pred.distribution, strict=True)
        return torch.stack([torch_kl(p, q) for p, q in pairs], dim=1).sum(dim=1)
    return torch_kl(dist_true.distribution, dist_pred.distribution)
