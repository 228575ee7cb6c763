"""Policies whose distribution knows the legal actions, of sb3-contrib."""

import gymnasium
import numpy as np
import torch
from torch import Tensor

from clipper.compat.sb3.common.maskable.distributions import (
    MaskableDistribution,
    MaybeMasks,
    make_masked_proba_distribution,
)
from clipper.compat.sb3.common.policies import ActorCriticPolicy, ForImages, ForParts, refuse_pair
from clipper.data.tree_type import Tree


class MaskableActorCriticPolicy(ActorCriticPolicy):
    """As ``ActorCriticPolicy``, with ``action_masks`` wherever an action is chosen or judged."""

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, *args: Tree, use_sde: bool = False,
        **kwargs: Tree,
    ) -> None:  # fmt: skip
        assert not use_sde, "there are no masks of gSDE's actions"
        super().__init__(observation_space, action_space, *args, **kwargs)

    def _build(self, lr_schedule: Tree) -> None:
        self.action_dist: Tree = make_masked_proba_distribution(self.action_space)
        super()._build(lr_schedule)

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        found = super()._get_constructor_parameters()
        for name in ("use_sde", "log_std_init"):
            del found[name]
        return found

    def forward(
        self, obs: Tree, deterministic: bool = False, action_masks: MaybeMasks = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        latent_pi, latent_vf = self.latents(obs)
        distribution = self.masked(self._get_action_dist_from_latent(latent_pi), action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        log_prob = distribution.log_prob(actions)
        return actions.reshape((-1, *(self.action_space.shape or ()))), self.value_net(latent_vf), log_prob

    @staticmethod
    def masked(distribution: Tree, action_masks: MaybeMasks) -> MaskableDistribution:
        """The distribution, with the legal actions where they are known."""
        if action_masks is not None:
            distribution.apply_masking(action_masks)
        return distribution

    def evaluate_actions(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, obs: Tree, actions: Tensor, action_masks: MaybeMasks = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        latent_pi, latent_vf = self.latents(obs)
        distribution = self.masked(self._get_action_dist_from_latent(latent_pi), action_masks)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Tree, action_masks: MaybeMasks = None) -> MaskableDistribution:
        return self.masked(super().get_distribution(obs), action_masks)

    def _predict(self, observation: Tree, deterministic: bool = False, action_masks: MaybeMasks = None) -> Tensor:
        return self.get_distribution(observation, action_masks).get_actions(deterministic=deterministic)

    def predict(
        self, observation: Tree, state: Tree = None, episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: MaybeMasks = None,
    ) -> tuple[np.ndarray, Tree]:  # fmt: skip
        self.set_training_mode(False)
        refuse_pair(observation)
        tensors, vectorized = self.obs_to_tensor(observation)
        with torch.no_grad():
            actions = self._predict(tensors, deterministic=deterministic, action_masks=action_masks)
        return self.as_given(actions, vectorized), state


class MaskableActorCriticCnnPolicy(ForImages, MaskableActorCriticPolicy):
    """For images."""


class MaskableMultiInputActorCriticPolicy(ForParts, MaskableActorCriticPolicy):
    """For Dict observations."""
