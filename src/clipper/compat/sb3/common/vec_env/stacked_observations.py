"""Stacks of the latest observations, one for each environment."""

import warnings
from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np
from gymnasium.spaces import Box, Dict

from clipper.compat.sb3.common.preprocessing import is_image_space, is_image_space_channels_first
from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info

T = TypeVar("T")


class StackedObservations(Generic[T]):
    """``[N, ...]`` whose channels are those of the latest ``n_stack`` observations, the newest last."""

    def __init__(
        self, num_envs: int, n_stack: int, observation_space: Box | Dict,
        channels_order: str | Mapping[str, str | None] | None = None,
    ) -> None:  # fmt: skip
        self.n_stack, self.observation_space = n_stack, observation_space
        self.parts: dict[str, StackedObservations] = {}
        if isinstance(observation_space, Dict):
            orders = channels_order if isinstance(channels_order, Mapping) else {}
            common = None if isinstance(channels_order, Mapping) else channels_order
            for key, part in observation_space.spaces.items():
                assert isinstance(part, Box), "StackedObservations takes Dict spaces whose parts are Boxes"
                self.parts[key] = StackedObservations(num_envs, n_stack, part, orders.get(key, common))
            whole: dict[str, Tree] = {key: part.stacked_observation_space for key, part in self.parts.items()}
            self.stacked_observation_space: Box | Dict = Dict(whole)
            return
        assert isinstance(observation_space, Box), "StackedObservations takes Box spaces and Dicts of such"
        assert channels_order is None or isinstance(channels_order, str)
        found = self.compute_stacking(n_stack, observation_space, channels_order)
        self.channels_first, self.stack_dimension, self.stacked_shape, self.repeat_axis = found
        low, high = (
            np.repeat(x, n_stack, axis=self.repeat_axis) for x in (observation_space.low, observation_space.high)
        )
        self.stacked_observation_space = Box(low, high, dtype=observation_space.dtype.type)
        self.stacked_obs = np.zeros((num_envs, *self.stacked_shape), observation_space.dtype)

    @staticmethod
    def compute_stacking(
        n_stack: int, observation_space: Box, channels_order: str | None = None
    ) -> tuple[bool, int, tuple[int, ...], int]:
        """(are channels first, the axis of a batch, the stacked shape, the axis of one observation)."""
        if channels_order is None:
            first = is_image_space(observation_space) and is_image_space_channels_first(observation_space)
        else:
            assert channels_order in ("last", "first"), "channels_order is 'last', 'first' or None"
            first = channels_order == "first"
        axis = 0 if first else -1
        shape = list(observation_space.shape)
        shape[axis] *= n_stack
        return first, 1 if first else -1, tuple(shape), axis

    def reset(self, observation: Tree) -> Tree:
        """Begin all stacks anew with these."""
        if self.parts:
            return {key: part.reset(observation[key]) for key, part in self.parts.items()}
        self.stacked_obs[...] = 0
        self.put(observation)
        return self.stacked_obs

    def put(self, observation: np.ndarray) -> None:
        """Observations in the newest place."""
        width = observation.shape[self.stack_dimension]
        np.moveaxis(self.stacked_obs, self.stack_dimension, -1)[..., -width:] = np.moveaxis(
            observation, self.stack_dimension, -1
        )

    def update(self, observations: Tree, dones: np.ndarray, infos: list[Info]) -> tuple[Tree, list[Info]]:
        """The stacks with these in them, and infos whose ``terminal_observation`` is stacked, too."""
        if self.parts:
            lasts = {i: info["terminal_observation"] for i, info in enumerate(infos) if "terminal_observation" in info}
            stacked, ends = dict[str, np.ndarray](), {i: dict[str, np.ndarray]() for i in lasts}
            for key, part in self.parts.items():
                own = [{"terminal_observation": lasts[i][key]} if i in lasts else {} for i in range(len(infos))]
                stacked[key], own = part.update(observations[key], dones, own)
                for i in lasts:
                    ends[i][key] = own[i]["terminal_observation"]
            for i, end in ends.items():
                infos[i]["terminal_observation"] = end
            return stacked, infos
        width = observations.shape[self.stack_dimension]
        self.stacked_obs = np.roll(self.stacked_obs, -width, axis=self.stack_dimension)
        for i in np.flatnonzero(dones):
            if "terminal_observation" in infos[i]:
                before = np.moveaxis(self.stacked_obs[i], self.repeat_axis, -1)[..., :-width]
                last = np.asarray(infos[i]["terminal_observation"])
                infos[i]["terminal_observation"] = np.concatenate(
                    [np.moveaxis(before, -1, self.repeat_axis), last], axis=self.repeat_axis
                )
            else:
                warnings.warn("VecFrameStack was given no terminal_observation by the environments", stacklevel=2)
            self.stacked_obs[i] = 0
        self.put(observations)
        return self.stacked_obs, infos
