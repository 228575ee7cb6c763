"""Distributions over choices of which some are illegal, of sb3-contrib."""

from abc import abstractmethod

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete
from torch import Tensor
from torch.distributions import Categorical

from clipper.compat.sb3.common.distributions import CategoricalDistribution, Distribution, MultiCategoricalDistribution
from clipper.compat.sb3.common.preprocessing import UnsupportedError, check_multi_binary
from clipper.data.tree_type import Tree

IMPOSSIBLE = -1e8
MaybeMasks = np.ndarray | Tensor | list | None


class MaskableCategorical(Categorical):
    """A categorical distribution whose illegal choices have no probability, and count for nothing in the entropy."""

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None,
        masks: MaybeMasks = None,
    ) -> None:  # fmt: skip
        self.masks: Tensor | None = None
        super().__init__(probs, logits, validate_args)
        self._original_logits = self.logits
        self.apply_masking(masks)

    def apply_masking(self, masks: MaybeMasks) -> None:
        """What is legal from now on, ``[B, K]``; None for all."""
        logits = self._original_logits
        self.masks = None
        if masks is not None:
            self.masks = torch.as_tensor(
                np.asarray(masks) if not isinstance(masks, Tensor) else masks, dtype=torch.bool
            )
            self.masks = self.masks.to(logits.device).reshape(logits.shape)
            logits = torch.where(self.masks, logits, torch.tensor(IMPOSSIBLE, dtype=logits.dtype, device=logits.device))
        self.__dict__.pop("probs", None)
        super().__init__(logits=logits)

    def entropy(self) -> Tensor:
        if self.masks is None:
            return super().entropy()
        each = self.logits * self.probs
        return -torch.where(self.masks, each, torch.zeros_like(each)).sum(-1)


class MaskableDistribution(Distribution):
    """One that ``apply_masking`` tells what is legal."""

    @abstractmethod
    def apply_masking(self, masks: MaybeMasks) -> None:
        """Give the rest no probability; None makes all legal again."""


class MaskableCategoricalDistribution(CategoricalDistribution, MaskableDistribution):  # pyright: ignore[reportIncompatibleMethodOverride]
    """One choice."""

    def proba_distribution(self, action_logits: Tensor) -> "MaskableCategoricalDistribution":  # pyright: ignore[reportIncompatibleMethodOverride]
        self.distribution = MaskableCategorical(logits=action_logits.reshape(-1, self.action_dim))
        return self

    def apply_masking(self, masks: MaybeMasks) -> None:
        self.distribution.apply_masking(masks)


class MaskableMultiCategoricalDistribution(MultiCategoricalDistribution, MaskableDistribution):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Several choices; masks of all stand in a row."""

    def __init__(self, action_dims: list[int]) -> None:
        super().__init__(action_dims)
        self.distributions = list[MaskableCategorical]()

    def proba_distribution(self, action_logits: Tensor) -> "MaskableMultiCategoricalDistribution":  # pyright: ignore[reportIncompatibleMethodOverride]
        parts = torch.split(action_logits.reshape(-1, sum(self.action_dims)), self.action_dims, dim=1)
        self.distribution = self.distributions = [MaskableCategorical(logits=part) for part in parts]
        return self

    def apply_masking(self, masks: MaybeMasks) -> None:
        assert self.distributions, "Must set distribution parameters"
        own: list[Tree] = [None] * len(self.distributions)
        if masks is not None:
            rows = torch.as_tensor(masks if isinstance(masks, Tensor) else np.asarray(masks))
            own = list(torch.split(rows.reshape(-1, sum(self.action_dims)), self.action_dims, dim=1))
        for distribution, mask in zip(self.distributions, own, strict=True):
            distribution.apply_masking(mask)

    def log_prob(self, actions: Tensor) -> Tensor:
        assert self.distributions, "Must set distribution parameters"
        return super().log_prob(actions.reshape(-1, len(self.action_dims)))

    def entropy(self) -> Tensor | None:
        assert self.distributions, "Must set distribution parameters"
        return super().entropy()

    def sample(self) -> Tensor:
        assert self.distributions, "Must set distribution parameters"
        return super().sample()

    def mode(self) -> Tensor:
        assert self.distributions, "Must set distribution parameters"
        return super().mode()


class MaskableBernoulliDistribution(MaskableMultiCategoricalDistribution):
    """Bits, each a choice of two."""

    def __init__(self, action_dims: int) -> None:
        super().__init__([2] * action_dims)


def make_masked_proba_distribution(action_space: gymnasium.Space) -> MaskableDistribution:
    """The distribution for an action space."""
    if isinstance(action_space, Discrete):
        return MaskableCategoricalDistribution(int(action_space.n))
    if isinstance(action_space, MultiDiscrete):
        return MaskableMultiCategoricalDistribution(list(action_space.nvec))
    if isinstance(action_space, MultiBinary):
        check_multi_binary(action_space)
        return MaskableBernoulliDistribution(int(np.prod(action_space.n)))
    raise UnsupportedError(
        f"no masks for actions of {action_space}: there are those of Discrete, MultiDiscrete and MultiBinary; "
        "clipper.train masks Dict, Tuple and OneOf, too"
    )
