"""SAC's policies, laid out and named as Stable-Baselines3's."""

import gymnasium
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from clipper.compat.sb3.common.distributions import (
    SquashedDiagGaussianDistribution,
    StateDependentNoiseDistribution,
)
from clipper.compat.sb3.common.policies import ForImages, ForParts, Schedule
from clipper.compat.sb3.common.preprocessing import get_action_dim
from clipper.compat.sb3.common.q_policies import ActorCriticsPolicy, Part
from clipper.compat.sb3.common.torch_layers import (
    BaseFeaturesExtractor,
    FlattenExtractor,
    create_mlp,
)
from clipper.data.tree_type import Tree

LOG_STD_MAX, LOG_STD_MIN = 2, -20


class Actor(Part):
    """Features → layers → the tanh of a Gaussian, whose σ a layer of its own says, or gSDE's noise."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Box, net_arch: list[int],
        features_extractor: BaseFeaturesExtractor, features_dim: int, activation_fn: type[nn.Module] = nn.ReLU,
        use_sde: bool = False, log_std_init: float = -3, full_std: bool = True, use_expln: bool = False,
        clip_mean: float = 2.0, normalize_images: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images,
            squash_output=True,
        )  # fmt: skip
        self.net_arch, self.features_dim, self.activation_fn, self.use_sde = (
            net_arch, features_dim, activation_fn, use_sde,
        )  # fmt: skip
        self.log_std_init, self.full_std, self.use_expln, self.clip_mean = log_std_init, full_std, use_expln, clip_mean
        self.latent_pi = nn.Sequential(*create_mlp(features_dim, -1, net_arch, activation_fn))
        last, size = net_arch[-1] if net_arch else features_dim, get_action_dim(action_space)
        if use_sde:
            noise = StateDependentNoiseDistribution(
                size, full_std=full_std, use_expln=use_expln, learn_features=True, squash_output=True
            )
            self.action_dist: Tree = noise
            self.mu, self.log_std = noise.proba_distribution_net(last, log_std_init, last)
            if clip_mean > 0:
                self.mu = nn.Sequential(self.mu, nn.Hardtanh(min_val=-clip_mean, max_val=clip_mean))
        else:
            self.action_dist = SquashedDiagGaussianDistribution(size)
            self.mu, self.log_std = nn.Linear(last, size), nn.Linear(last, size)

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        return super()._get_constructor_parameters() | {
            "use_sde": self.use_sde, "log_std_init": self.log_std_init, "full_std": self.full_std,
            "use_expln": self.use_expln, "clip_mean": self.clip_mean,
        }  # fmt: skip

    def get_std(self) -> Tensor:
        """Σ of gSDE's noise."""
        assert self.use_sde, "get_std() is of gSDE: use_sde=True"
        return self.action_dist.get_std(self.log_std)

    def reset_noise(self, batch_size: int = 1) -> None:
        """Draw gSDE's noise anew."""
        assert self.use_sde, "reset_noise() is of gSDE: use_sde=True"
        self.action_dist.sample_weights(self.log_std, batch_size=batch_size)

    def get_action_dist_params(self, obs: Tree) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Mean, log σ, and what gSDE needs besides."""
        latent = self.latent_pi(self.extract_features(obs))
        if isinstance(self.log_std, nn.Module):
            return self.mu(latent), self.log_std(latent).clamp(LOG_STD_MIN, LOG_STD_MAX), {}
        return self.mu(latent), self.log_std, {"latent_sde": latent}

    def told(self, obs: Tree) -> Tree:
        """The distribution of these observations."""
        mean, log_std, more = self.get_action_dist_params(obs)
        return self.action_dist.proba_distribution(mean, log_std, *more.values())

    def forward(self, obs: Tree, deterministic: bool = False) -> Tensor:
        """Actions within [−1, 1]."""
        return self.told(obs).get_actions(deterministic=deterministic)

    def action_log_prob(self, obs: Tree) -> tuple[Tensor, Tensor]:
        """Actions, and their log-probabilities."""
        mean, log_std, more = self.get_action_dist_params(obs)
        return self.action_dist.log_prob_from_params(mean, log_std, *more.values())

    def _predict(self, observation: Tree, deterministic: bool = False) -> Tensor:
        return self(observation, deterministic)


class SACPolicy(ActorCriticsPolicy[Actor]):
    """An actor, and critics with a copy that lags behind."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Box, lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None, activation_fn: type[nn.Module] = nn.ReLU,
        use_sde: bool = False, log_std_init: float = -3, use_expln: bool = False, clip_mean: float = 2.0,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Tree] | None = None, normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Tree] | None = None, n_critics: int = 2, share_features_extractor: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, lr_schedule, net_arch, activation_fn, features_extractor_class,
            features_extractor_kwargs, normalize_images, optimizer_class, optimizer_kwargs, n_critics,
            share_features_extractor, use_sde=use_sde, log_std_init=log_std_init, use_expln=use_expln,
            clip_mean=clip_mean,
        )  # fmt: skip

    def actor_with(self, features_extractor: BaseFeaturesExtractor) -> Actor:
        return Actor(
            self.observation_space, self.action_space, self.actor_arch, features_extractor,  # pyright: ignore[reportArgumentType]
            features_extractor.features_dim, self.activation_fn, normalize_images=self.normalize_images,
            **self.of_actor,
        )  # fmt: skip

    def reset_noise(self, batch_size: int = 1) -> None:
        """Draw gSDE's noise anew."""
        self.actor.reset_noise(batch_size=batch_size)


MlpPolicy = SACPolicy


class CnnPolicy(ForImages, SACPolicy):
    """For images, by ``NatureCNN``."""


class MultiInputPolicy(ForParts, SACPolicy):
    """For Dict observations, by ``CombinedExtractor``."""
