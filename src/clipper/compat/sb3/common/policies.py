"""Policies: networks with a distribution over actions and a value, laid out and named as Stable-Baselines3's."""

import collections
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict
from torch import Tensor, nn

from clipper.compat.sb3 import public_names
from clipper.compat.sb3.common.distributions import (
    DiagGaussianDistribution,
    Distribution,
    StateDependentNoiseDistribution,
    make_proba_distribution,
)
from clipper.compat.sb3.common.preprocessing import is_image_space, maybe_transpose, preprocess_obs
from clipper.compat.sb3.common.saved_policies import load_policy, save_policy
from clipper.compat.sb3.common.schedules import ConstantSchedule
from clipper.compat.sb3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    MlpExtractor,
    NatureCNN,
    widths_of,
)
from clipper.compat.sb3.common.utils import get_device, is_vectorized_observation, obs_as_tensor
from clipper.data.tree_type import Tree

M = TypeVar("M", bound="BaseModel")
Schedule = Callable[[float], float]


class BaseModel(nn.Module):
    """A network for observations of a space."""

    optimizer: torch.optim.Optimizer

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Tree] | None = None,
        features_extractor: BaseFeaturesExtractor | None = None,
        normalize_images: bool = True, optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Tree] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.observation_space, self.action_space, self.normalize_images = (
            observation_space,
            action_space,
            normalize_images,
        )
        self.optimizer_class, self.optimizer_kwargs = (
            optimizer_class,
            {} if optimizer_kwargs is None else optimizer_kwargs,
        )
        self.features_extractor_class = features_extractor_class
        self.features_extractor_kwargs = {} if features_extractor_kwargs is None else features_extractor_kwargs
        self.features_extractor: Tree = features_extractor
        if not normalize_images and issubclass(features_extractor_class, NatureCNN | CombinedExtractor):
            self.features_extractor_kwargs = {**self.features_extractor_kwargs, "normalized_image": True}

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """A new one."""
        return self.features_extractor_class(self.observation_space, **self.features_extractor_kwargs)

    def preprocess(self, obs: Tree) -> Tree:
        """As a features extractor takes them."""
        return preprocess_obs(obs, self.observation_space, normalize_images=self.normalize_images)

    def extract_features(self, obs: Tree, features_extractor: BaseFeaturesExtractor | None = None) -> Tree:
        """Features of observations."""
        return (features_extractor or self.features_extractor)(self.preprocess(obs))

    @property
    def device(self) -> torch.device:
        """Where its first parameter lies."""
        return next((x.device for x in self.parameters()), get_device("cpu"))

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        return {
            "observation_space": self.observation_space, "action_space": self.action_space,
            "normalize_images": self.normalize_images,
        }  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Weights and constructor arguments, without a pickle."""
        save_policy(path, self, self._get_constructor_parameters())

    @classmethod
    def load(cls: type[M], path: str | Path, device: torch.device | str = "auto") -> M:
        """What ``save`` wrote."""
        return load_policy(cls, path, get_device(device))

    def load_from_vector(self, vector: np.ndarray) -> None:
        """All parameters, of one flat vector."""
        flat = torch.as_tensor(vector, dtype=torch.float, device=self.device)
        nn.utils.vector_to_parameters(flat, self.parameters())

    def parameters_to_vector(self) -> np.ndarray:
        """The inverse."""
        return nn.utils.parameters_to_vector(self.parameters()).detach().cpu().numpy()

    def set_training_mode(self, mode: bool) -> None:
        """Whether it learns or acts, where layers differ by that."""
        self.train(mode)

    def is_vectorized_observation(self, observation: Tree) -> bool:
        """Is it a batch?"""
        if isinstance(observation, dict):
            assert isinstance(self.observation_space, Dict), f"a dict is no observation of {self.observation_space}"
            spaces = self.observation_space.spaces
            return any(
                is_vectorized_observation(maybe_transpose(x, spaces[k]), spaces[k]) for k, x in observation.items()
            )
        return is_vectorized_observation(maybe_transpose(observation, self.observation_space), self.observation_space)

    def obs_to_tensor(self, observation: Tree) -> tuple[Tree, bool]:
        """Observation(s) as the environment gives them → tensors ``[B, ...]``, and whether it was a batch."""
        vectorized = False
        if isinstance(observation, dict):
            assert isinstance(self.observation_space, Dict), f"a dict is no observation of {self.observation_space}"
            batch = dict[str, np.ndarray]()
            for key, x in observation.items():
                space = self.observation_space.spaces[key]
                own = maybe_transpose(np.array(x), space) if is_image_space(space) else np.array(x)
                vectorized = vectorized or is_vectorized_observation(own, space)
                batch[key] = own.reshape((-1, *(space.shape or ())))
            return obs_as_tensor(batch, self.device), vectorized
        array = maybe_transpose(np.array(observation), self.observation_space)
        vectorized = is_vectorized_observation(array, self.observation_space)
        return obs_as_tensor(array.reshape((-1, *(self.observation_space.shape or ()))), self.device), vectorized


class BasePolicy(BaseModel, ABC):
    """A network that says what to do."""

    def __init__(self, *args: Tree, squash_output: bool = False, **kwargs: Tree) -> None:
        super().__init__(*args, **kwargs)
        self._squash_output = squash_output

    @property
    def squash_output(self) -> bool:
        """Are actions a tanh, which is mapped onto the bounds?"""
        return self._squash_output

    @staticmethod
    def init_weights(module: nn.Module, gain: float = 1) -> None:
        """Orthogonal weights, no bias."""
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, gain=gain)
            if module.bias is not None:
                module.bias.data.fill_(0.0)

    @abstractmethod
    def _predict(self, observation: Tree, deterministic: bool = False) -> Tensor: ...

    def predict(
        self,
        observation: Tree,
        state: Tree = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Tree]:
        """Action(s) for one observation or a batch, as the environment takes them, and the state as it was given."""
        self.set_training_mode(False)
        refuse_pair(observation)
        tensors, vectorized = self.obs_to_tensor(observation)
        with torch.no_grad():
            actions = self._predict(tensors, deterministic=deterministic)
        return self.as_given(actions, vectorized), state

    def as_given(self, actions: Tensor, vectorized: bool) -> np.ndarray:
        """Actions as the environment takes them, one of a single observation."""
        found = actions.cpu().numpy().reshape((-1, *(self.action_space.shape or ())))
        if isinstance(self.action_space, Box):
            space = self.action_space
            found = self.unscale_action(found) if self.squash_output else np.clip(found, space.low, space.high)
            found = found.astype(space.dtype)
        return found if vectorized else found.squeeze(axis=0)

    def scale_action(self, action: np.ndarray) -> np.ndarray:
        """From the bounds to [−1, 1]."""
        low, high = self.bounds()
        return 2.0 * ((action - low) / (high - low)) - 1.0

    def unscale_action(self, scaled_action: np.ndarray) -> np.ndarray:
        """From [−1, 1] to the bounds."""
        low, high = self.bounds()
        return low + 0.5 * (scaled_action + 1.0) * (high - low)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of a Box."""
        assert isinstance(self.action_space, Box), f"only actions of a Box are scaled, not those of {self.action_space}"
        return self.action_space.low, self.action_space.high


def refuse_pair(observation: Tree) -> None:
    """Raise ``ValueError`` for what Gymnasium's ``reset`` gives."""
    if isinstance(observation, tuple) and len(observation) == 2 and isinstance(observation[1], dict):
        raise ValueError(
            "You are mixing Gym API and VecEnv's: predict takes an observation, and this is a pair of one and an info, "
            "as a gymnasium.Env gives them. Write obs, info = env.reset(); a vector of environments gives no info"
        )


class ForImages(BasePolicy):
    """A policy that reads images, by ``NatureCNN``, unless another extractor is named."""

    def __init__(
        self, *args: Tree, features_extractor_class: type[BaseFeaturesExtractor] = NatureCNN, **kwargs: Tree
    ) -> None:
        super().__init__(*args, features_extractor_class=features_extractor_class, **kwargs)


class ForParts(BasePolicy):
    """A policy that reads Dict observations, by ``CombinedExtractor``, likewise."""

    def __init__(
        self, *args: Tree, features_extractor_class: type[BaseFeaturesExtractor] = CombinedExtractor, **kwargs: Tree
    ) -> None:
        super().__init__(*args, features_extractor_class=features_extractor_class, **kwargs)


class ActorCriticPolicy(BasePolicy):
    """Features → layers of the actor and of the critic → a distribution, and a value."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None, activation_fn: type[nn.Module] = nn.Tanh,
        ortho_init: bool = True, use_sde: bool = False, log_std_init: float = 0.0, full_std: bool = True,
        use_expln: bool = False, squash_output: bool = False,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Tree] | None = None, share_features_extractor: bool = True,
        normalize_images: bool = True, optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Tree] | None = None,
    ) -> None:  # fmt: skip
        options = {} if optimizer_kwargs is None else optimizer_kwargs
        if optimizer_class is torch.optim.Adam:
            options = {"eps": 1e-5, **options}
        super().__init__(
            observation_space, action_space, features_extractor_class, features_extractor_kwargs,
            normalize_images=normalize_images, optimizer_class=optimizer_class, optimizer_kwargs=options,
            squash_output=squash_output,
        )  # fmt: skip
        if net_arch is None:
            net_arch = [] if features_extractor_class is NatureCNN else {"pi": [64, 64], "vf": [64, 64]}
        self.net_arch, self.activation_fn, self.ortho_init = widths_of(net_arch), activation_fn, ortho_init
        self.share_features_extractor, self.log_std_init, self.use_sde = share_features_extractor, log_std_init, use_sde
        self.features_extractor = self.pi_features_extractor = self.make_features_extractor()
        self.vf_features_extractor = (
            self.pi_features_extractor if share_features_extractor else self.make_features_extractor()
        )
        self.features_dim = self.features_extractor.features_dim
        assert not (squash_output and not use_sde), "squash_output=True needs use_sde=True"
        self.dist_kwargs = None
        if use_sde:
            self.dist_kwargs = {
                "full_std": full_std, "squash_output": squash_output, "use_expln": use_expln, "learn_features": False,
            }  # fmt: skip
        self.action_dist = make_proba_distribution(action_space, use_sde=use_sde, dist_kwargs=self.dist_kwargs)
        self._build(lr_schedule)

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        found = super()._get_constructor_parameters()
        sde = self.dist_kwargs or collections.defaultdict(lambda: None)
        found |= {
            "net_arch": self.net_arch, "activation_fn": self.activation_fn, "use_sde": self.use_sde,
            "log_std_init": self.log_std_init, "ortho_init": self.ortho_init, "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs, "features_extractor_class": self.features_extractor_class,
            "features_extractor_kwargs": self.features_extractor_kwargs, "lr_schedule": ConstantSchedule(0.0),
            "share_features_extractor": self.share_features_extractor,
        }  # fmt: skip
        if self.use_sde:
            found |= {name: sde[name] for name in ("full_std", "squash_output", "use_expln")}
        return found

    def reset_noise(self, n_envs: int = 1) -> None:
        """Draw gSDE's noise anew."""
        assert isinstance(self.action_dist, StateDependentNoiseDistribution), (
            "this policy has no noise to draw anew: use_sde=True gives it one"
        )
        self.action_dist.sample_weights(self.log_std, batch_size=n_envs)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor: Tree = MlpExtractor(self.features_dim, self.net_arch, self.activation_fn, self.device)

    def _build(self, lr_schedule: Schedule) -> None:
        self._build_mlp_extractor()
        latent = self.mlp_extractor.latent_dim_pi
        if isinstance(self.action_dist, DiagGaussianDistribution):
            self.action_net, self.log_std = self.action_dist.proba_distribution_net(
                latent, log_std_init=self.log_std_init
            )
        elif isinstance(self.action_dist, StateDependentNoiseDistribution):
            self.action_net, self.log_std = self.action_dist.proba_distribution_net(
                latent, latent_sde_dim=latent, log_std_init=self.log_std_init
            )
        else:
            self.action_net = self.action_dist.proba_distribution_net(latent)
        self.value_net = nn.Linear(self.mlp_extractor.latent_dim_vf, 1)
        if self.ortho_init:
            gains = {
                self.features_extractor: np.sqrt(2), self.mlp_extractor: np.sqrt(2), self.action_net: 0.01,
                self.value_net: 1,
            }  # fmt: skip
            if not self.share_features_extractor:
                del gains[self.features_extractor]
                gains |= {self.pi_features_extractor: np.sqrt(2), self.vf_features_extractor: np.sqrt(2)}
            for module, gain in gains.items():
                module.apply(partial(self.init_weights, gain=gain))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # pyright: ignore[reportCallIssue]

    def forward(self, obs: Tree, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values ``[B, 1]`` and log-probabilities."""
        latent_pi, latent_vf = self.latents(obs)
        values = self.value_net(latent_vf)
        distribution = self._get_action_dist_from_latent(latent_pi)
        actions = distribution.get_actions(deterministic=deterministic)
        log_prob = distribution.log_prob(actions)
        return actions.reshape((-1, *(self.action_space.shape or ()))), values, log_prob

    def latents(self, obs: Tree) -> tuple[Tensor, Tensor]:
        """What the last layers of actor and critic read."""
        features = self.extract_features(obs)
        if self.share_features_extractor:
            return self.mlp_extractor(features)
        actor, critic = features
        return self.mlp_extractor.forward_actor(actor), self.mlp_extractor.forward_critic(critic)

    def extract_features(self, obs: Tree, features_extractor: BaseFeaturesExtractor | None = None) -> Tree:
        """Features; a pair, the actor's and the critic's, where these have their own extractors."""
        if features_extractor is not None or self.share_features_extractor:
            return super().extract_features(obs, features_extractor or self.features_extractor)
        return super().extract_features(obs, self.pi_features_extractor), super().extract_features(
            obs, self.vf_features_extractor
        )

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        mean_actions = self.action_net(latent_pi)
        if isinstance(self.action_dist, DiagGaussianDistribution):
            return self.action_dist.proba_distribution(mean_actions, self.log_std)
        if isinstance(self.action_dist, StateDependentNoiseDistribution):
            return self.action_dist.proba_distribution(mean_actions, self.log_std, latent_pi)
        return self.action_dist.proba_distribution(mean_actions)

    def _predict(self, observation: Tree, deterministic: bool = False) -> Tensor:
        return self.get_distribution(observation).get_actions(deterministic=deterministic)

    def evaluate_actions(self, obs: Tree, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log-probabilities and entropies."""
        latent_pi, latent_vf = self.latents(obs)
        distribution = self._get_action_dist_from_latent(latent_pi)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Tree) -> Distribution:
        """π(·|s)."""
        features = super().extract_features(obs, self.pi_features_extractor)
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(features))

    def predict_values(self, obs: Tree) -> Tensor:
        """V(s), ``[B, 1]``."""
        features = super().extract_features(obs, self.vf_features_extractor)
        return self.value_net(self.mlp_extractor.forward_critic(features))


class ActorCriticCnnPolicy(ForImages, ActorCriticPolicy):
    """For images, by ``NatureCNN``."""


class MultiInputActorCriticPolicy(ForParts, ActorCriticPolicy):
    """For Dict observations, by ``CombinedExtractor``."""


def sampled(policy: BasePolicy, actions: np.ndarray) -> np.ndarray:
    """Actions of a policy as the environments take them."""
    if not isinstance(policy.action_space, Box):
        return actions
    if policy.squash_output:
        return policy.unscale_action(actions)
    return np.clip(actions, policy.action_space.low, policy.action_space.high)


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.policies", name)
