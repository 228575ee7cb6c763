"""``sb3_contrib.MaskablePPO``: PPO with masks of the legal actions."""

from typing import ClassVar, TypeVar

import numpy as np
import torch
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete
from torch import Tensor

from clipper.compat.sb3.common.callbacks import MaybeCallback
from clipper.compat.sb3.common.maskable.policies import (
    MaskableActorCriticCnnPolicy,
    MaskableActorCriticPolicy,
    MaskableMultiInputActorCriticPolicy,
)
from clipper.compat.sb3.common.maskable.utils import check_legal, check_masking_supported, flags_of, get_action_masks
from clipper.compat.sb3.common.policies import BasePolicy
from clipper.compat.sb3.common.vec_env import VecEnv
from clipper.compat.sb3.models import PPO
from clipper.data.steps import Targets
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError

M = TypeVar("M", bound="MaskablePPO")


class MaskablePPO(PPO):
    """As PPO; environments say what is legal by ``action_masks()``, or by an ``ActionMasker`` around them."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MaskableActorCriticPolicy, "CnnPolicy": MaskableActorCriticCnnPolicy,
        "MultiInputPolicy": MaskableMultiInputActorCriticPolicy,
    }  # fmt: skip
    supported = (Discrete, MultiDiscrete, MultiBinary)
    uses_masks = True

    def _setup_model(self) -> None:
        if not issubclass(self.policy_class, MaskableActorCriticPolicy):
            name = self.policy_class.__name__
            raise ConfigError(f"MaskablePPO's policy is a MaskableActorCriticPolicy, and {name} is none")
        super()._setup_model()
        self.masking, self.masks = True, list[np.ndarray]()

    def make_policy(self) -> MaskableActorCriticPolicy:
        make: Tree = self.policy_class
        return make(self.observation_space, self.action_space, self.lr_schedule, **self.policy_kwargs)

    def learn(  # pyright: ignore[reportIncompatibleMethodOverride]
        self: M, total_timesteps: int, callback: MaybeCallback = None, log_interval: int | None = 1,
        tb_log_name: str = "PPO", reset_num_timesteps: bool = True, use_masking: bool = True,
        progress_bar: bool = False,
    ) -> M:  # fmt: skip
        """As PPO's; ``use_masking=False`` chooses among all actions."""
        self.masking = use_masking
        if use_masking and self.env is not None:
            check_masking_supported(self.env)
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def act(self, obs: Tree, env: VecEnv) -> tuple[Tensor, Tensor, Tensor]:
        if not self.masking:
            return self.policy(obs)
        if self.rollout_buffer.pos == 0:
            self.masks = []
        found = get_action_masks(env)
        rows = flags_of(found).reshape(self.n_envs, -1)
        check_legal(rows, self.action_space)
        self.masks.append(rows)
        return self.policy(obs, action_masks=found)

    def targets(self) -> Targets:
        found = super().targets()
        if not self.masking:
            return found
        masks = torch.as_tensor(np.stack(self.masks), device=self.device)
        return found._replace(steps=found.steps._replace(action_mask=masks))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, observation: Tree, state: Tree = None, episode_start: np.ndarray | None = None,
        deterministic: bool = False,
        action_masks: Tree = None,
    ) -> tuple[np.ndarray, Tree]:  # fmt: skip
        """Legal action(s), and the state as it was given."""
        if action_masks is not None:
            flags = flags_of(action_masks)
            check_legal(flags.reshape(len(flags) if flags.ndim > 1 else 1, -1), self.action_space)
        return self.policy.predict(observation, state, episode_start, deterministic, action_masks=action_masks)
