"""Encoders: from an observation, whose space may be a tree, to a vector of features; they mirror the space.

The counterpart of ``clipper.networks.heads.make_head`` and ``clipper.networks.heads`` for what comes in.
"""

from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.tree_type import Key
from clipper.data.trees import Tree
from clipper.errors import ConfigError, UnsupportedSpaceError
from clipper.networks.convolutions import impala_cnn, nature_cnn
from clipper.networks.normalise import ObservationNormaliser
from clipper.networks.policy_options import MASK_KEY, EncoderOptions, PolicyOptions
from clipper.spaces.observations import Leaf
from clipper.spaces.ordered_dict import ordered_dict


@runtime_checkable
class Encoder(Protocol):
    """What ``make_encoder`` returns (an ``nn.Module``)."""

    features: int
    """Numbers per observation that come out."""
    normalises: bool
    """Does it keep running statistics?"""

    @property
    def space(self) -> gymnasium.Space:
        """Of one observation."""
        ...

    def __call__(self, obs: Tree) -> Tensor:
        """Observations, ``[*batch, *shape]`` at each leaf → ``[*batch, features]``, in the policy's own dtype."""
        ...

    def parameters(self) -> Iterable[nn.Parameter]:
        """What is trained; with any, a critic apart from the actor gets an encoder of its own."""
        ...

    def absorb(self, obs: Tree) -> None:
        """Take observations ``[B, …]`` into the running statistics; called only where it ``normalises``."""
        ...


@singledispatch
def make_encoder(space: gymnasium.Space, options: PolicyOptions, generator: Generator) -> Encoder:
    """The encoder for an observation space, first weights from ``generator``; extend with ``make_encoder.register``.

    Raises ``UnsupportedSpaceError`` for spaces that have none.
    """
    raise UnsupportedSpaceError(
        f"no encoder for observations of {space}: Clipper reads Box, Discrete, MultiDiscrete, MultiBinary, and Dict or "
        "Tuple of them; turn yours into one of these, or register an encoder with "
        f"clipper.networks.encoders.make_encoder.register({type(space).__name__})"
    )


@make_encoder.register
def _(space: Box, options: PolicyOptions, generator: Generator) -> Encoder:
    images = options.encoder.cnn != "none" and is_image(space, options.encoder.image_layout)
    return ImageEncoder(space, options.encoder, generator) if images else BoxEncoder(space, options)


@make_encoder.register
def _(space: MultiBinary, options: PolicyOptions, generator: Generator) -> Encoder:
    return BoxEncoder(space, None)


@make_encoder.register
def _(space: Discrete, options: PolicyOptions, generator: Generator) -> Encoder:
    return ChoiceEncoder(space, [int(space.n)], [int(space.start)], options.encoder.embedding, generator)


@make_encoder.register
def _(space: MultiDiscrete, options: PolicyOptions, generator: Generator) -> Encoder:
    start = np.broadcast_to(space.start, space.nvec.shape)
    sizes, starts = space.nvec.reshape(-1).tolist(), start.reshape(-1).tolist()
    return ChoiceEncoder(space, sizes, starts, options.encoder.embedding, generator)


@make_encoder.register
def _(space: Dict, options: PolicyOptions, generator: Generator) -> Encoder:
    return PartsEncoder(space, {key: make_encoder(part, options, generator) for key, part in space.items()})


@make_encoder.register
def _(space: Tuple, options: PolicyOptions, generator: Generator) -> Encoder:
    return PartsEncoder(space, {i: make_encoder(part, options, generator) for i, part in enumerate(space)})


class BoxEncoder(nn.Module):
    """Flattens numbers, in the policy's own dtype, and normalises them where asked; ``None`` for options never does."""

    dtype_of: Tensor

    def __init__(self, space: Box | MultiBinary, options: PolicyOptions | None) -> None:
        super().__init__()
        self.space, self.shape = space, tuple(space.shape)
        self.features = int(np.prod(space.shape))
        self.normalises = options is not None and options.normalise_obs
        bound = 0.0 if options is None else options.clip_obs
        self.normaliser = ObservationNormaliser((self.features,), bound) if self.normalises else None
        # Empty: follows ``policy.double()`` and tells which dtype the layers after this one read.
        self.register_buffer("dtype_of", torch.empty(0), persistent=False)

    def forward(self, obs: Tensor) -> Float[Tensor, "*batch F"]:
        flat = obs.reshape(*obs.shape[: obs.ndim - len(self.shape)], self.features).to(self.dtype_of.dtype)
        return flat if self.normaliser is None else self.normaliser(flat)

    def absorb(self, obs: Tensor) -> None:
        if self.normaliser is not None:
            self.normaliser.absorb(obs.reshape(len(obs), -1))


MOST_CHOICES = 100_000
"""Of an observation's choices as one-hot vectors: each row of a batch holds as many numbers."""


class ChoiceEncoder(nn.Module):
    """Each choice as a one-hot vector, or as a learned vector of ``width`` numbers where that is not 0."""

    start: Tensor
    dtype_of: Tensor

    def __init__(
        self, space: Discrete | MultiDiscrete, sizes: list[int], starts: list[int], width: int, generator: Generator
    ) -> None:
        super().__init__()
        self.space, self.shape, self.normalises = space, tuple(space.shape or ()), False
        self.features = width * len(sizes) if width else sum(sizes)
        if not width and self.features > MOST_CHOICES:
            raise UnsupportedSpaceError(
                f"no encoder for observations of {space}: one-hot they are {self.features:,} numbers, and the most are "
                f"{MOST_CHOICES:,}; learn a vector for each choice, EncoderOptions(embedding=16) (--embedding 16)"
            )
        ends = np.cumsum(sizes)
        # Where the rows of each choice begin in the table of all, which holds the codes one choice after another.
        self.register_buffer("start", torch.tensor(starts - (ends - sizes)), persistent=False)
        self.register_buffer("dtype_of", torch.empty(0), persistent=False)
        self.table = nn.Parameter(torch.randn(int(ends[-1]), width, generator=generator)) if width else None
        self.size = int(ends[-1])

    def forward(self, obs: Tensor) -> Float[Tensor, "*batch F"]:
        lead = obs.shape[: obs.ndim - len(self.shape)]
        row = obs.reshape(*lead, len(self.start)).long() - self.start
        if self.table is not None:
            return self.table[row].flatten(-2)
        code = torch.zeros(*lead, self.size, dtype=self.dtype_of.dtype, device=obs.device)
        return code.scatter(-1, row, 1.0)

    def absorb(self, obs: Tensor) -> None: ...


AT_ONCE = 256
"""Images that are read together where no gradient is asked for: a segment's at once would take hundreds of MB."""


class ImageEncoder(nn.Module):
    """A convolutional network over pixels, of which the largest that the space allows (255) counts as 1."""

    dtype_of: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, space: Box, options: EncoderOptions, generator: Generator) -> None:
        super().__init__()
        self.space, self.shape, self.normalises = space, space.shape, False
        if 0 in space.shape:
            raise UnsupportedSpaceError(f"an image of shape {space.shape} has no pixel: fix its observation space")
        self.order, self.image = channels_first(space.shape, options.image_layout)
        self.scale = 1 / float(space.high.max()) if np.isfinite(space.high).all() and space.high.max() > 0 else 1.0
        make, features = (nature_cnn, 512) if options.cnn == "nature" else (impala_cnn, 256)
        self.features = options.cnn_features or features
        self.resize = options.image_size is not None
        if options.image_size is not None:
            sizes = zip(self.image[1:], options.image_size, strict=True)
            for name, matrix in zip(("rows", "columns"), (area_means(*pair) for pair in sizes), strict=True):
                self.register_buffer(name, matrix, persistent=False)
            self.sized = (self.image[0], *options.image_size)
        self.net = make(self.sized if self.resize else self.image, self.features, generator)
        self.coarse = options.bfloat16
        self.register_buffer("dtype_of", torch.empty(0), persistent=False)

    def forward(self, obs: Tensor) -> Float[Tensor, "*batch F"]:
        lead = obs.shape[: obs.ndim - len(self.shape)]
        pixels = obs.reshape(-1, *self.shape).permute(0, *(1 + axis for axis in self.order)).reshape(-1, *self.image)
        whole = torch.is_grad_enabled() or torch.compiler.is_compiling()  # a traced graph is of any number
        parts = (pixels,) if whole else pixels.split(AT_ONCE)
        features = torch.cat([self.features_of(part) for part in parts])
        return features.to(self.dtype_of.dtype).reshape(*lead, self.features)

    def features_of(self, pixels: Tensor) -> Tensor:
        """``[B, channels, height, width]`` as the environment gives them → ``[B, features]``."""
        # Channels last in memory: convolutions are a sixth to a third faster so, and IMPALA's act in half the time.
        if not pixels.is_contiguous(memory_format=torch.channels_last):
            pixels = torch.stack(pixels.unbind(1), -1).permute(0, 3, 1, 2)  # what .contiguous does, in half its time
        if self.resize:
            pixels = self.rows @ pixels.to(self.dtype_of.dtype) @ self.columns.T
        dtype = torch.bfloat16 if self.coarse else self.dtype_of.dtype  # autocast would copy once more
        pixels = pixels.to(dtype, copy=True).mul_(self.scale)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.coarse):
            return self.net(pixels)

    def absorb(self, obs: Tensor) -> None: ...


def area_means(before: int, after: int) -> Float[Tensor, "after before"]:
    """Weights that bring a side of ``before`` pixels to ``after``: each is the mean over the area that it covers."""
    edges, pixel = torch.arange(after + 1) * (before / after), torch.arange(before)
    covered = torch.minimum(edges[1:, None], pixel + 1.0) - torch.maximum(edges[:-1, None], pixel * 1.0)
    return covered.clamp(min=0) * (after / before)


class PartsEncoder(nn.Module):
    """The features of all parts of a Dict or Tuple, one after another in the space's own order."""

    def __init__(self, space: Dict | Tuple, parts: Mapping[Key, Encoder]) -> None:
        super().__init__()
        self.space, self.keys = space, list(parts)
        self.parts = nn.ModuleList(parts.values())  # pyright: ignore[reportArgumentType] (an Encoder is one)
        self.features = sum(part.features for part in parts.values())
        self.normalises = any(part.normalises for part in parts.values())

    def forward(self, obs: Tree) -> Float[Tensor, "*batch F"]:
        return torch.cat([self.parts[i](obs[key]) for i, key in enumerate(self.keys)], dim=-1)

    def absorb(self, obs: Tree) -> None:
        for i, key in enumerate(self.keys):
            part = self.parts[i]
            if part.normalises:
                part.absorb(obs[key])  # pyright: ignore[reportCallIssue] (an Encoder)


def is_image(space: Box | Leaf, layout: str) -> bool:
    """Is a Box an image: bytes in two to four dimensions, or, where the layout is named, anything in three?"""
    if layout != "auto" and len(space.shape) == 3:
        return True
    return space.dtype == np.uint8 and 2 <= len(space.shape) <= 4


def channels_first(shape: tuple[int, ...], layout: str) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """The order of axes that brings an image to channels, height, width, and these sizes.

    Of four dimensions the first counts frames, which become channels; an image of two has one channel. The channels are
    the axis, first or last, that is shorter than both sides: at most half as long, or 1, 3 or 4. Raises
    ``UnsupportedSpaceError`` where that fits both or none.
    """
    if len(shape) == 2:
        return (0, 1), (1, *shape)
    *frames, a, b, c = shape
    first, last = (channels < min(sides) and (channels in (1, 3, 4) or 2 * channels <= min(sides))
                   for channels, sides in ((a, (b, c)), (c, (a, b))))  # fmt: skip
    if layout == "auto" and first == last:
        raise UnsupportedSpaceError(
            f"an image of shape {shape} may have its channels first or last: say which with image_layout='hwc' or "
            "'chw' (EncoderOptions), or flatten it with cnn='none'"
        )
    number, axis = int(np.prod(frames)), len(frames)
    if layout == "chw" or (layout == "auto" and first):
        return tuple(range(len(shape))), (number * a, b, c)
    return (*range(axis), axis + 2, axis, axis + 1), (number * c, a, b)


def seen_by(space: gymnasium.Space, options: EncoderOptions, critic: bool = False) -> gymnasium.Space:
    """What of an observation the actor sees, or the critic: all but the mask and, for the actor, ``critic_only``.

    Raises ``ConfigError`` where these name a key that the observation lacks, or leave nothing.
    """
    keys = list(space) if isinstance(space, Dict) else []
    named = [*options.critic_only, *([options.mask_key] if options.mask_key not in ("", MASK_KEY) else [])]
    for key in named:
        if key not in keys:
            there = f"the keys {', '.join(keys)}" if keys else f"no keys: it is {space}"
            raise ConfigError(f"critic_only or mask_key names {key!r}, but the observation has {there}")
    hidden = {options.mask_key, *options.ignore, *(() if critic else options.critic_only)}
    if not isinstance(space, Dict) or not hidden & set(keys):
        return space
    left = {key: part for key, part in space.items() if key not in hidden}
    if not left:
        raise ConfigError(f"of the observation's keys {', '.join(keys)} none is left for the networks to see")
    return ordered_dict(left)
