"""TD3's and DDPG's policies, laid out and named as Stable-Baselines3's."""

import gymnasium
from gymnasium.spaces import Box
from torch import Tensor, nn

from clipper.compat.sb3.common.policies import ForImages, ForParts
from clipper.compat.sb3.common.preprocessing import get_action_dim
from clipper.compat.sb3.common.q_policies import ActorCriticsPolicy, Part
from clipper.compat.sb3.common.torch_layers import BaseFeaturesExtractor, create_mlp
from clipper.data.tree_type import Tree


class Actor(Part):
    """Features → layers → the tanh of a last one."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Box, net_arch: list[int],
        features_extractor: BaseFeaturesExtractor, features_dim: int, activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images,
            squash_output=True,
        )  # fmt: skip
        self.net_arch, self.features_dim, self.activation_fn = net_arch, features_dim, activation_fn
        size = get_action_dim(action_space)
        self.mu = nn.Sequential(*create_mlp(features_dim, size, net_arch, activation_fn, squash_output=True))

    def forward(self, obs: Tree) -> Tensor:
        """Actions within [−1, 1]."""
        return self.mu(self.extract_features(obs))

    def _predict(self, observation: Tree, deterministic: bool = False) -> Tensor:
        return self(observation)


class TD3Policy(ActorCriticsPolicy[Actor]):
    """An actor and critics, each with a copy that lags behind."""

    usual_widths = (400, 300)
    lagging_actor = True

    def actor_with(self, features_extractor: BaseFeaturesExtractor) -> Actor:
        return Actor(
            self.observation_space, self.action_space, self.actor_arch, features_extractor,  # pyright: ignore[reportArgumentType]
            features_extractor.features_dim, self.activation_fn, self.normalize_images,
        )  # fmt: skip


MlpPolicy = TD3Policy


class CnnPolicy(ForImages, TD3Policy):
    """For images, by ``NatureCNN``."""


class MultiInputPolicy(ForParts, TD3Policy):
    """For Dict observations, by ``CombinedExtractor``."""
