"""Environments some of whose actions are illegal, of sb3-contrib."""

import numpy as np
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete

from clipper.compat.sb3.common.envs.identity_env import IdentityEnv
from clipper.data.tree_type import Tree


class InvalidActionEnvDiscrete(IdentityEnv[int]):
    """One choice, ``n_invalid_actions`` of which are illegal, drawn anew at each step."""

    def __init__(self, dim: int | None = None, ep_length: int = 100, n_invalid_actions: int = 0) -> None:
        dim = 1 if dim is None else dim
        assert n_invalid_actions < dim, f"Too many invalid actions: {n_invalid_actions} < {dim}"
        self.choices, self.n_invalid_actions = np.arange(dim), n_invalid_actions
        self.possible_actions, self.invalid_actions = self.choices, list[int]()
        super().__init__(space=Discrete(dim), ep_length=ep_length)

    def _choose_next_state(self) -> None:
        self.state = self.action_space.sample()
        potential = [i for i in self.possible_actions if i != self.state]
        self.invalid_actions = [int(x) for x in np.random.choice(potential, self.n_invalid_actions, replace=False)]

    def action_masks(self) -> list[bool]:
        """What is legal now."""
        return [action not in self.invalid_actions for action in self.possible_actions]


class OfBits(IdentityEnv[np.ndarray]):
    """Several parts, each value of each of which may be illegal."""

    sizes: list[int]
    n_invalid_actions: int

    def begin(self, sizes: list[int], n_invalid_actions: int, most: int) -> None:
        """Note how many values there are."""
        assert n_invalid_actions <= most, f"Too many invalid actions: {n_invalid_actions} > {most}"
        self.sizes, self.n_invalid_actions = sizes, n_invalid_actions
        self.possible_actions, self.invalid_actions = np.arange(sum(sizes)), list[int]()

    def _choose_next_state(self) -> None:
        self.state = self.action_space.sample()
        starts = np.cumsum([0, *self.sizes[:-1]])
        right = set((starts + self.state).tolist())
        potential = [int(i) for i in self.possible_actions if int(i) not in right]
        self.invalid_actions = [int(x) for x in np.random.choice(potential, self.n_invalid_actions, replace=False)]

    def action_masks(self) -> list[bool]:
        """What is legal now."""
        return [int(action) not in self.invalid_actions for action in self.possible_actions]


class InvalidActionEnvMultiDiscrete(OfBits):
    """Several choices."""

    def __init__(self, dims: Tree = None, ep_length: int = 100, n_invalid_actions: int = 0) -> None:
        dims = [1, 1] if dims is None else list(dims)
        self.begin(dims, n_invalid_actions, sum(dims) - len(dims))
        super().__init__(space=MultiDiscrete(dims), ep_length=ep_length)


class InvalidActionEnvMultiBinary(OfBits):
    """Several bits."""

    def __init__(self, dims: int | None = None, ep_length: int = 100, n_invalid_actions: int = 0) -> None:
        n = 1 if dims is None else dims
        self.begin([2] * n, n_invalid_actions, n)
        super().__init__(space=MultiBinary(n), ep_length=ep_length)
