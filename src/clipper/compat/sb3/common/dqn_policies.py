"""DQN's policies, laid out and named as Stable-Baselines3's."""

import gymnasium
import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn

from clipper.compat.sb3.common.policies import BasePolicy, ForImages, ForParts, Schedule
from clipper.compat.sb3.common.q_policies import Part
from clipper.compat.sb3.common.schedules import ConstantSchedule
from clipper.compat.sb3.common.torch_layers import (
    BaseFeaturesExtractor,
    FlattenExtractor,
    NatureCNN,
    create_mlp,
)
from clipper.data.tree_type import Tree


class QNetwork(Part):
    """Features → layers → Q of each action."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Discrete, features_extractor: BaseFeaturesExtractor,
        features_dim: int, net_arch: list[int] | None = None, activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images
        )
        self.net_arch, self.activation_fn = [64, 64] if net_arch is None else net_arch, activation_fn
        self.features_dim = features_dim
        self.q_net = nn.Sequential(*create_mlp(features_dim, int(action_space.n), self.net_arch, activation_fn))

    def forward(self, obs: Tree) -> Tensor:
        """Q(s, ·), ``[B, actions]``."""
        return self.q_net(self.extract_features(obs))

    def _predict(self, observation: Tree, deterministic: bool = True) -> Tensor:
        return self(observation).argmax(dim=1).reshape(-1)


class DQNPolicy(BasePolicy):
    """Q, and a copy that lags behind."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Discrete, lr_schedule: Schedule,
        net_arch: list[int] | None = None, activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Tree] | None = None, normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Tree] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, features_extractor_class, features_extractor_kwargs,
            normalize_images=normalize_images, optimizer_class=optimizer_class, optimizer_kwargs=optimizer_kwargs,
        )  # fmt: skip
        if net_arch is None:
            net_arch = [] if features_extractor_class is NatureCNN else [64, 64]
        self.net_arch, self.activation_fn = net_arch, activation_fn
        self.q_net, self.q_net_target = self.make_q_net(), self.make_q_net()
        self.q_net_target.load_state_dict(self.q_net.state_dict())
        self.q_net_target.set_training_mode(False)
        self.optimizer = optimizer_class(self.q_net.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # pyright: ignore[reportCallIssue]

    def make_q_net(self) -> QNetwork:
        """A new one."""
        own = self.make_features_extractor()
        return QNetwork(
            self.observation_space, self.action_space, own, own.features_dim, self.net_arch, self.activation_fn,  # pyright: ignore[reportArgumentType]
            self.normalize_images,
        ).of(self)  # fmt: skip

    def forward(self, obs: Tree, deterministic: bool = True) -> Tensor:
        """The actions of the highest Q."""
        return self._predict(obs, deterministic=deterministic)

    def _predict(self, observation: Tree, deterministic: bool = True) -> Tensor:
        return self.q_net._predict(observation, deterministic)

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        return super()._get_constructor_parameters() | {
            "net_arch": self.net_arch, "activation_fn": self.activation_fn, "lr_schedule": ConstantSchedule(0.0),
            "optimizer_class": self.optimizer_class, "optimizer_kwargs": self.optimizer_kwargs,
            "features_extractor_class": self.features_extractor_class,
            "features_extractor_kwargs": self.features_extractor_kwargs,
        }  # fmt: skip

    def set_training_mode(self, mode: bool) -> None:
        """Q alone: what lags behind never learns."""
        self.q_net.set_training_mode(mode)
        self.training = mode


MlpPolicy = DQNPolicy


class CnnPolicy(ForImages, DQNPolicy):
    """For images, by ``NatureCNN``."""


class MultiInputPolicy(ForParts, DQNPolicy):
    """For Dict observations, by ``CombinedExtractor``."""
