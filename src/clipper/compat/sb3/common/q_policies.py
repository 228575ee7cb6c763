"""What policies of off-policy models are made of: Q networks, an actor and critics, and copies that lag behind."""

from abc import abstractmethod
from typing import Generic, TypeVar

import gymnasium
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn

from clipper.compat.sb3.common.policies import BaseModel, BasePolicy, Schedule
from clipper.compat.sb3.common.preprocessing import get_action_dim
from clipper.compat.sb3.common.schedules import ConstantSchedule
from clipper.compat.sb3.common.torch_layers import (
    BaseFeaturesExtractor,
    FlattenExtractor,
    NatureCNN,
    create_mlp,
    get_actor_critic_arch,
    widths_of,
)
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError

A = TypeVar("A", bound="Part")
P = TypeVar("P", bound="Part")


class Part(BasePolicy):
    """A part of a policy, which has made an extractor for it; alone in a file, it says how that was made."""

    net_arch: list[int]
    activation_fn: type[nn.Module]

    def of(self: P, policy: BaseModel) -> P:
        """The same part, which remembers how the policy makes extractors."""
        self.features_extractor_class = policy.features_extractor_class
        self.features_extractor_kwargs = policy.features_extractor_kwargs
        return self

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        kind, own = self.features_extractor_class, type(self.features_extractor)
        if kind is not own:
            raise ConfigError(f"no file keeps a {own.__name__} that was made outside of a policy: save the policy")
        return super()._get_constructor_parameters() | {
            "net_arch": self.net_arch, "activation_fn": self.activation_fn, "features_extractor_class": kind,
            "features_extractor_kwargs": self.features_extractor_kwargs,
        }  # fmt: skip

    @classmethod
    def of_arguments(
        cls: type[P], observation_space: gymnasium.Space, features_extractor_class: type[BaseFeaturesExtractor],
        features_extractor_kwargs: dict[str, Tree], **others: Tree,
    ) -> P:  # fmt: skip
        """A part that a file keeps, with a new extractor."""
        own = features_extractor_class(observation_space, **features_extractor_kwargs)
        make: Tree = cls
        made: P = make(
            observation_space=observation_space, features_extractor=own, features_dim=own.features_dim, **others
        )
        made.features_extractor_class, made.features_extractor_kwargs = type(own), features_extractor_kwargs
        return made


class ContinuousCritic(BaseModel):
    """Several networks, each of which gives Q of observations and actions; ``qf0`` is the first."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Box, net_arch: list[int],
        features_extractor: BaseFeaturesExtractor, features_dim: int, activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True, n_critics: int = 2, share_features_extractor: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, features_extractor=features_extractor, normalize_images=normalize_images
        )
        self.share_features_extractor, self.n_critics = share_features_extractor, n_critics
        self.q_networks = list[nn.Module]()
        for i in range(n_critics):
            own = nn.Sequential(*create_mlp(features_dim + get_action_dim(action_space), 1, net_arch, activation_fn))
            self.add_module(f"qf{i}", own)
            self.q_networks.append(own)

    def forward(self, obs: Tree, actions: Tensor) -> tuple[Tensor, ...]:
        """Q of each, ``[B, 1]``; what makes features learns by the actor's loss where the two share it."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.share_features_extractor):
            features = self.extract_features(obs)
        both = torch.cat([features, actions], dim=1)
        return tuple(own(both) for own in self.q_networks)

    def q1_forward(self, obs: Tree, actions: Tensor) -> Tensor:
        """Q of the first alone; the features are held fixed."""
        with torch.no_grad():
            features = self.extract_features(obs)
        return self.q_networks[0](torch.cat([features, actions], dim=1))


class ActorCriticsPolicy(BasePolicy, Generic[A]):
    """An actor whose actions lie within [−1, 1], critics, and copies that lag behind."""

    usual_widths: tuple[int, ...] = (256, 256)
    lagging_actor = False
    """Whether the actor has such a copy, too."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: Box, lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None, activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Tree] | None = None, normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Tree] | None = None, n_critics: int = 2, share_features_extractor: bool = False,
        **of_actor: Tree,
    ) -> None:  # fmt: skip
        super().__init__(
            observation_space, action_space, features_extractor_class, features_extractor_kwargs,
            normalize_images=normalize_images, optimizer_class=optimizer_class, optimizer_kwargs=optimizer_kwargs,
            squash_output=True,
        )  # fmt: skip
        if net_arch is None:
            net_arch = [] if features_extractor_class is NatureCNN else list(self.usual_widths)
        self.net_arch, self.activation_fn, self.n_critics = widths_of(net_arch), activation_fn, n_critics
        self.share_features_extractor, self.of_actor = share_features_extractor, of_actor
        self.actor_arch, self.critic_arch = get_actor_critic_arch(self.net_arch)
        self._build(lr_schedule)

    @abstractmethod
    def actor_with(self, features_extractor: BaseFeaturesExtractor) -> A:
        """A new actor that reads what this gives."""

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> A:
        """A new actor, with an extractor of its own where none is given."""
        return self.actor_with(features_extractor or self.make_features_extractor()).of(self)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """New critics, with an extractor of their own where none is given."""
        own = features_extractor or self.make_features_extractor()
        return ContinuousCritic(
            self.observation_space, self.action_space, self.critic_arch, own, own.features_dim, self.activation_fn,  # pyright: ignore[reportArgumentType]
            self.normalize_images, self.n_critics, self.share_features_extractor,
        )  # fmt: skip

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor = self.make_actor()
        if self.lagging_actor:
            self.actor_target = self.make_actor()
            self.actor_target.load_state_dict(self.actor.state_dict())
        self.actor.optimizer = self.optimizer_of(list(self.actor.parameters()), lr_schedule)
        shared = self.share_features_extractor
        self.critic = self.make_critic(self.actor.features_extractor if shared else None)
        with_target = shared and self.lagging_actor
        self.critic_target = self.make_critic(self.actor_target.features_extractor if with_target else None)
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.critic.optimizer = self.optimizer_of(self.critics_own(), lr_schedule)
        self.freeze()

    def critics_own(self) -> list[nn.Parameter]:
        """The critics' parameters, without those of an extractor that is the actor's."""
        named = self.critic.named_parameters()
        return [x for name, x in named if not (self.share_features_extractor and "features_extractor" in name)]

    def freeze(self) -> None:
        """Let what lags behind act as it does when nobody learns."""
        self.critic_target.set_training_mode(False)
        if self.lagging_actor:
            self.actor_target.set_training_mode(False)

    def optimizer_of(self, parameters: list[nn.Parameter], lr_schedule: Schedule) -> torch.optim.Optimizer:
        """A new one."""
        return self.optimizer_class(parameters, lr=lr_schedule(1), **self.optimizer_kwargs)  # pyright: ignore[reportCallIssue]

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        return super()._get_constructor_parameters() | {
            "net_arch": self.net_arch, "activation_fn": self.activation_fn, "n_critics": self.n_critics,
            "lr_schedule": ConstantSchedule(0.0), "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs, "features_extractor_class": self.features_extractor_class,
            "features_extractor_kwargs": self.features_extractor_kwargs,
            "share_features_extractor": self.share_features_extractor, **self.of_actor,
        }  # fmt: skip

    def forward(self, obs: Tree, deterministic: bool = False) -> Tensor:
        """Actions within [−1, 1]."""
        return self._predict(obs, deterministic=deterministic)

    def _predict(self, observation: Tree, deterministic: bool = False) -> Tensor:
        return self.actor._predict(observation, deterministic)

    def set_training_mode(self, mode: bool) -> None:
        """Actor and critics; what lags behind never learns."""
        self.actor.set_training_mode(mode)
        self.critic.set_training_mode(mode)
        self.training = mode
