"""The environments of one process, of all that are collected from: columns of the Steps that all learn from."""

from collections.abc import Callable

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.environments.checks import PART
from clipper.environments.told_episodes import Info
from clipper.networks.policy_options import MASK_KEY
from clipper.networks.protocol import Actor
from clipper.rollout.state import Columns
from clipper.rollout.vector_rollouts import VectorRollouts, quota


class OwnColumns(VectorRollouts):
    """As ``VectorRollouts``, but environment i is the one that would be ``columns.first + i`` in one process.

    ``longest`` tells of a number of rows the largest over all processes.
    """

    def __init__(
        self, env: VectorEnv, columns: Columns, longest: Callable[[int], int], seed: int = 0,
        device: torch.device | str = "cpu", mask_key: str = MASK_KEY,
    ) -> None:  # fmt: skip
        self.columns = self.mine = columns
        self.longest, self.rows = longest, 0
        """How many rows a segment of whole episodes has, once it is known; 0 before."""
        super().__init__(env, seed, device, mask_key)

    def name_part(self, where: str) -> None:
        """Let errors say the number that an environment has among all, and ``where`` it is."""
        self.env.metadata = {**self.env.metadata, PART: (self.mine.first, where)}

    def reset(self, seed: int | None = None, **options: object) -> tuple[Tree, Info]:
        return super().reset(None if seed is None else seed + self.mine.first, **options)

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tree]:
        self.rows = 0
        return super().collect(actor, horizon=horizon, episodes=episodes)

    def quota_of(self, episodes: int) -> np.ndarray:
        return share(episodes, self.mine, self.num_envs)

    def others_need(self, t: int) -> bool:
        """All go on until the last has its episodes, as in one process, where environments are stepped together.

        Where rows are inserted for last observations they differ in number in any case.
        """
        self.rows = self.rows or self.longest(t)
        return t < self.rows


def share(episodes: int, columns: Columns, n: int) -> np.ndarray:
    """Episodes for each of the ``n`` environments that begin at these columns, ``[n]``, dealt among those of all."""
    return quota(episodes, columns.total)[columns.first : columns.first + n]
