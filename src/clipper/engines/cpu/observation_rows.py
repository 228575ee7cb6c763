"""Observations as the kernels read them: one row of float32 numbers for each, whatever tree they are."""

import gymnasium
import numpy as np
import torch
from torch import Tensor

from clipper.data.tree_type import Key
from clipper.data.trees import Tree
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.spaces.observations import Leaf, observation_leaves, observation_tree, place

EXACT = 2**24
"""Integers up to this are float32 numbers."""


class ObservationRows:
    """Where the leaves of an observation space stand in a row, one after another."""

    def __init__(self, space: gymnasium.Space) -> None:
        self.space, self.leaves = space, observation_leaves(space)
        self.sizes = [int(np.prod(leaf.shape)) for leaf in self.leaves]
        ends = np.cumsum(self.sizes).tolist()
        self.firsts, self.width = [0, *ends[:-1]], ends[-1]
        self.dtypes = [np.dtype(np.float32) if leaf.dtype.kind == "f" else leaf.dtype for leaf in self.leaves]
        """As a learner reads them."""
        self.lone = not self.leaves[0].path and self.dtypes[0] == np.float32
        """Is an observation one array of numbers?"""
        self.long = [k for k, leaf in enumerate(self.leaves) if leaf.dtype.kind in "iu" and leaf.dtype.itemsize > 2]
        """Integers that may lie beyond what float32 holds exactly."""

    def place(self, path: tuple[Key, ...]) -> tuple[int, int]:
        """Where a leaf begins, and how many numbers it has."""
        k = [leaf.path for leaf in self.leaves].index(path)
        return self.firsts[k], self.sizes[k]

    def pack(self, obs: Tree, out: np.ndarray) -> np.ndarray:
        """Observations into rows ``[*batch, F]``."""
        for leaf, first, size in zip(self.leaves, self.firsts, self.sizes, strict=True):
            out[..., first : first + size] = np.asarray(leaf.of(obs)).reshape(*out.shape[:-1], size)
        return out

    def of(self, obs: Tree, lead: tuple[int, ...]) -> np.ndarray:
        """The same in rows of their own; they may be the observation's own memory."""
        if self.lone:
            return np.ascontiguousarray(obs.reshape(*lead, self.width).numpy())
        return self.pack(obs, np.empty((*lead, self.width), np.float32))

    def tree(self, rows: np.ndarray) -> Tree:
        """The observations in rows ``[*batch, F]``, as tensors with memory of their own."""
        if self.lone:
            return torch.from_numpy(rows.astype(np.float32).reshape(*rows.shape[:-1], *self.leaves[0].shape))
        found = [
            torch.from_numpy(rows[..., first : first + size].astype(dtype).reshape(*rows.shape[:-1], *leaf.shape))
            for leaf, first, size, dtype in zip(self.leaves, self.firsts, self.sizes, self.dtypes, strict=True)
        ]
        return observation_tree(self.space, iter(found))  # pyright: ignore[reportArgumentType] (tensors do as well)

    def check_exact(self, rows: np.ndarray, env: str) -> None:
        """Raise ``EnvironmentContractError`` for integers that a row does not hold exactly."""
        for k in self.long:
            part = rows[..., self.firsts[k] : self.firsts[k] + self.sizes[k]]
            if (np.abs(part) >= EXACT).any():
                raise EnvironmentContractError(
                    f"{env} gave {part.flat[np.abs(part).argmax()]:.0f} in observations{place(self.leaves[k].path)}, "
                    f"beyond its space, and the cpu engine holds integers up to {EXACT} only: fix the environment, or "
                    "use engine 'torch'"
                )

    def check(self, name: str, obs: Tree, lead: tuple[int, ...]) -> None:
        """Raise ``ConfigError`` unless observations are as a policy of this space reads them."""
        for leaf, size, numpy_dtype in zip(self.leaves, self.sizes, self.dtypes, strict=True):
            path, dtype = f"{name}{place(leaf.path)}", torch_dtype(numpy_dtype)
            try:
                x = leaf.of(obs)
            except (LookupError, TypeError):
                raise ConfigError(f"{path} is missing, which the policy reads") from None
            fits = isinstance(x, Tensor) and x.shape[: len(lead)] == lead and x.numel() == int(np.prod((*lead, size)))
            if not fits or x.dtype != dtype:
                given = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
                raise ConfigError(
                    f"{path} is {given}, but this policy's update reads {dtype} of shape {(*lead, *leaf.shape)}: give "
                    "what its engine, or rollouts.collect, gave"
                )
            self.check_numbers(path, leaf, x.numpy())

    def check_numbers(self, path: str, leaf: Leaf, x: np.ndarray) -> None:
        """Raise ``ConfigError`` for choices that are none, and for integers that a row does not hold exactly."""
        if leaf.least is not None and ((x < leaf.least).any() or (x > leaf.most).any()):
            raise ConfigError(
                f"{path} holds choices from {x.min()} to {x.max()}, but the policy reads {leaf.least} to {leaf.most}"
            )
        if x.dtype.kind in "iu" and x.dtype.itemsize > 2 and x.size and max(-int(x.min()), int(x.max())) > EXACT:
            raise ConfigError(f"{path} holds integers beyond {EXACT}, which float32 does not hold exactly")


def torch_dtype(dtype: np.dtype) -> torch.dtype:
    """Torch's name for it."""
    return torch.from_numpy(np.empty(0, dtype)).dtype


def inexact(space: gymnasium.Space) -> str:
    """Why rows cannot hold observations of a space exactly; "" where they can."""
    for leaf in observation_leaves(space):
        part = space
        for key in leaf.path:
            part = part[key]  # pyright: ignore[reportIndexIssue] (a Dict or a Tuple)
        bounds = getattr(part, "low", 0), getattr(part, "high", 0)
        bounds = bounds if leaf.least is None else (leaf.least, leaf.most)
        if leaf.dtype.kind in "iu" and max(np.abs(np.asarray(x, np.float64)).max(initial=0) for x in bounds) > EXACT:
            return f"observations{place(leaf.path)} may be integers beyond {EXACT}, which float32 does not hold exactly"
        if leaf.dtype.kind not in "biuf":
            return f"observations{place(leaf.path)} are {leaf.dtype}"
    return ""
