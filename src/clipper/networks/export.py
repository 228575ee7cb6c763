"""A trained policy as an ONNX file, which runs without Clipper and without torch.

Inputs are named ``obs``, or ``obs.KEY`` where the observation is a Dict (without the mask's key, and without what only
the critic sees), and ``action_mask…`` where masks are asked for; outputs ``action…``, laid out as
``clipper.spaces.actions`` says. All lead with the batch, of any size. Actions are the policy's most likely ones, in the
environment's units: what ``predict`` returns. A policy with a memory also takes ``memory.0``, …, zeros where an episode
begins, and gives ``next_memory.0``, …, which goes in with the next observation. The file's metadata say all this of
each input and output (``clipper.networks.onnx_metadata``).
"""

import importlib.util
import logging
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from gymnasium.vector.utils import batch_space
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from clipper.data.tree_type import Key
from clipper.data.trees import Tree, across, leaves, names
from clipper.errors import ConfigError, install_command
from clipper.networks.actor_critic import ActorCritic, warn_without_masks
from clipper.networks.encoders import ImageEncoder
from clipper.networks.heads import AutoregressiveHead, CategoricalHead, MultiCategoricalHead, OneOfHead, ProductHead
from clipper.networks.heads.autoregressive import allowed
from clipper.networks.heads.beta import BetaHead
from clipper.networks.heads.binned import BinnedHead
from clipper.networks.heads.box import BoxMap
from clipper.networks.heads.deterministic import DeterministicHead
from clipper.networks.heads.gaussian import GaussianHead, SquashedHead
from clipper.networks.heads.latent import LatentHead
from clipper.networks.heads.scores import ScoresHead
from clipper.networks.heads.state_dependent import StateDependentHead
from clipper.networks.of_agents import PolicyOfAgents
from clipper.networks.onnx_masks import give_defaults, may_be_left_out
from clipper.networks.onnx_metadata import describe
from clipper.spaces.action_masks import action_masks
from clipper.storage import files

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NEEDED = ("onnx", "onnxruntime", "onnxscript")
INPUTS, OUTPUTS = ("obs", "memory", "action_mask"), ("action", "next_memory")
BATCH, CHECKED = 2, 64  # rows of the example that is traced, and of the comparison with predict
TOLERANCE = 1e-4  # of actions about 1 large; float32 is summed in another order


def export_onnx(policy: ActorCritic, output: Path, *, masked: bool = False) -> tuple[list[str], list[str]]:
    """Write the policy and compare the file with ``predict``; the names of its inputs and outputs.

    ``masked`` adds inputs for the masks of the action space; a session may leave out those of a Box, and of a single
    choice. Raises ``ConfigError`` where a package is missing, the
    head is one of your own, or the file would not act as the policy does; then nothing is written.
    """
    if isinstance(policy, PolicyOfAgents):
        raise ConfigError(
            f"agents have parameters of their own, and a file holds one policy: export each, "
            f"export_onnx(policy.of({policy.names[0]!r}), …)"
        )
    output = files.for_output(output)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"export to ONNX needs {', '.join(missing)}: {install_command('export')}")
    if not masked:
        warn_without_masks(policy, "the file takes none: export it with masked=True (--masked)")
    given = examples(policy, BATCH, masked)
    inputs = [name for kind, tree in zip(INPUTS, given, strict=True) for name in named(kind, tree)]
    graph = Graph(policy, [pytree.tree_structure(tree) for tree in given]).eval()
    outputs = [name for kind, tree in zip(OUTPUTS, graph.act(*given), strict=True) for name in named(kind, tree)]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells which other packages it would know
    batch, tensors = torch.export.Dim("batch"), tuple(leaves(given))
    with in_float32(policy):
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the exporter about its own parts
            program = torch.onnx.export(
                graph, tensors, dynamo=True, verbose=False, input_names=inputs, output_names=outputs,
                dynamic_shapes=(tuple({0: batch} for _ in tensors),),
            )  # fmt: skip
        model = program.model_proto  # pyright: ignore[reportOptionalMemberAccess]
        optional = left_out(policy) if masked else {}
        give_defaults(model, optional)
        describe(model, policy, masked)
        content = model.SerializeToString()
        compare(content, policy, inputs, masked, without={})
        if optional:
            compare(content, policy, inputs, masked, without=optional)
    files.replace(output, content)
    return inputs, outputs


@contextmanager
def in_float32(policy: nn.Module) -> Iterator[None]:
    """Meanwhile image networks compute in float32 even where the policy trains them in bfloat16."""
    coarse = [module for module in policy.modules() if isinstance(module, ImageEncoder) and module.coarse]
    for module in coarse:
        module.coarse = False
    try:
        yield
    finally:
        for module in coarse:
            module.coarse = True


def named(kind: str, tree: Tree) -> list[str]:
    """Leaves' names in the file: ``action``, or ``action.choice``, …"""
    return [f"{kind}.{name}" if name else kind for name in names(tree)] if leaves(tree) else []


class Graph(nn.Module):
    """Leaves of observations, memory, masks → those of the likeliest action in the environment's units, and memory."""

    def __init__(self, policy: ActorCritic, trees: list[pytree.TreeSpec]) -> None:
        super().__init__()
        self.policy, self.trees = policy, trees

    def act(self, obs: Tree, memory: tuple[Tensor, ...], mask: Tree) -> tuple[Tree, tuple[Tensor, ...]]:
        features = self.policy.actor(self.policy.encoder(obs))
        if memory and self.policy.memory is not None:
            features, memory = self.policy.memory.actor.step(features, memory)
        dist = self.policy.head(features, action_mask=mask)
        return in_units(self.policy.head, dist.mode, mask), memory

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        rest, trees = list(given), []
        for tree in self.trees:
            mine, rest = rest[: tree.num_leaves], rest[tree.num_leaves :]
            trees.append(pytree.tree_unflatten(mine, tree))
        return tuple(leaves(self.act(*trees)))


@singledispatch
def in_units(head: nn.Module, action: Tree, mask: Tree) -> Tree:
    """What ``head.to_env`` does, in torch."""
    raise ConfigError(
        f"no export for a head of your own, {type(head).__name__}: clipper.networks.export.in_units.register it"
    )


@in_units.register
def _(head: CategoricalHead, action: Tensor, mask: Tree) -> Tensor:
    return action + head.start


@in_units.register
def _(head: MultiCategoricalHead, action: Tensor, mask: Tree) -> Tensor:
    return action.reshape(*action.shape[:-1], *head.start.shape) + torch.as_tensor(head.start.astype(np.int64))


@in_units.register
def _(head: BinnedHead, action: Tensor, mask: Tree) -> Tensor:
    found = head.values.to(torch.float32).expand(*action.shape, -1).gather(-1, action.unsqueeze(-1)).squeeze(-1)
    if not isinstance(mask, tuple):
        low, high = (mask[..., i, :].to(found.dtype) for i in (0, 1))
        found = torch.minimum(torch.maximum(found, low), high)
    kind = torch.float32 if np.issubdtype(head.dtype, np.floating) else torch.int64
    return found.reshape(*action.shape[:-1], *head.start.shape).to(kind)


@in_units.register(GaussianHead)
@in_units.register(StateDependentHead)
@in_units.register(DeterministicHead)
def _(head: GaussianHead | StateDependentHead | DeterministicHead, action: Tensor, mask: Tree) -> Tensor:
    return boxed(head.box, action, mask)


@in_units.register
def _(head: ScoresHead, action: Tensor, mask: Tree) -> Tree:
    choice, arguments = head.box.split(action, mask)
    numbers = zip(head.box.boxes, arguments, head.box.starts, strict=True)
    parts = [torch.full_like(choice, start) if box is None else boxed(box, x, ()) for box, x, start in numbers]
    return choice, tuple(parts)


@in_units.register
def _(head: LatentHead, action: tuple[Tensor, Tensor, Tensor], mask: Tree) -> Tree:
    _, choice, x = action
    numbers = zip(head.map.boxes, head.map.sizes, head.map.starts, strict=True)
    parts = [
        torch.full_like(choice, start) if box is None else boxed(box, x[..., :size], ()) for box, size, start in numbers
    ]
    return choice, tuple(parts)


@in_units.register
def _(head: SquashedHead, action: Tensor, mask: Tree) -> Tensor:
    return boxed(head.box, action.tanh(), mask)


@in_units.register
def _(head: BetaHead, action: Tensor, mask: Tree) -> Tensor:
    return boxed(head.box, (action / 2).tanh(), mask)


@in_units.register
def _(head: ProductHead, action: Tree, mask: Tree) -> Tree:
    masks = mask or across(lambda _: (), head.parts)
    return across(in_units, head.parts, action, masks)


@in_units.register
def _(head: AutoregressiveHead, action: Tree, mask: Tree) -> Tree:
    masks = mask or across(lambda _: (), head.parts)
    before: dict[Key, Tree] = dict(action) if isinstance(action, dict) else dict(enumerate(action))
    return across(in_units, head.parts, action, across(lambda m: allowed(m, before), masks))


@in_units.register
def _(head: OneOfHead, action: tuple[Tensor, tuple[Tree, ...]], mask: Tree) -> Tree:
    _, masks = mask or ((), ())
    return in_units(head.choice, action[0], ()), in_units(head.arguments, action[1], masks)


def boxed(box: BoxMap, action: Tensor, bounds: Tree) -> Tensor:
    """``BoxMap`` in torch; bounds of the state are ``[*batch, 2, A]``."""
    shape = (*action.shape[:-1], *box.shape)
    raw = action.reshape(shape)
    centre, half_width = (torch.as_tensor(np.asarray(x), dtype=action.dtype) for x in (box.centre, box.half_width))
    low, high = (torch.as_tensor(x, dtype=action.dtype) for x in (box.low, box.high))
    if not isinstance(bounds, tuple):
        low, high = (bounds[..., i, :].reshape(shape).to(action.dtype) for i in (0, 1))
        if box.rescale:
            finite = low.isfinite() & high.isfinite()
            centre = torch.where(finite, low / 2 + high / 2, torch.zeros_like(low))
            half_width = torch.where(finite, high / 2 - low / 2, torch.ones_like(low))
    return torch.minimum(torch.maximum(centre + half_width * raw, low), high)


def examples(policy: ActorCritic, rows: int, masked: bool) -> tuple[Tree, tuple[Tensor, ...], Tree]:
    """Observations drawn from their space, an empty memory, and masks that allow everything."""
    space = batch_space(policy.encoder.space, rows)
    space.seed(0)
    obs = pytree.tree_map(read, plain(space.sample()))
    memory = () if policy.memory is None else policy.memory.actor.empty(rows)
    whole = np.ones(rows, dtype=bool)
    mask = action_masks(policy.action_space, [None] * rows, rows, whole) if masked else ()  # pyright: ignore[reportArgumentType]
    return obs, memory, mask


def read(x: np.ndarray) -> Tensor:
    """As collecting reads it: floating observations as float32."""
    return torch.as_tensor(x.astype(np.float32) if x.dtype.kind == "f" else x)


def plain(sample: Tree) -> Tree:
    """A space's sample as dicts, tuples and arrays."""
    if isinstance(sample, dict):
        return {key: plain(part) for key, part in sample.items()}
    return tuple(map(plain, sample)) if isinstance(sample, tuple) else np.asarray(sample)


def left_out(policy: ActorCritic) -> dict[str, np.ndarray]:
    """Masks that a session may leave out, by name, and the row that stands for each: it allows everything."""
    _, _, mask = examples(policy, 1, masked=True)
    optional = leaves(may_be_left_out(policy.action_space))  # pyright: ignore[reportArgumentType]
    rows = zip(named("action_mask", mask), leaves(mask), optional, strict=True)
    return {name: row.numpy() for name, row, may in rows if may}


def compare(content: bytes, policy: ActorCritic, inputs: list[str], masked: bool, without: Collection[str]) -> None:
    """Raise ``ConfigError`` where the file's actions are not ``predict``'s, in the first step or in the one after.

    Inputs ``without`` which it is to do are not given.
    """
    session = session_of(content)
    obs, memory, mask = examples(policy, CHECKED, masked)
    arrays, theirs = pytree.tree_map(lambda x: x.numpy(), obs), ()
    for _ in range(2):
        fed = [x.numpy() if isinstance(x, Tensor) else x for x in leaves((obs, memory, mask))]
        given = {name: x for name, x in zip(inputs, fed, strict=True) if name not in without}
        found = session.run(None, given)
        action, theirs = policy.predict(arrays, memory=theirs, action_mask=[None] * CHECKED if masked else None)
        wanted = leaves(action)
        memory = tuple(found[len(wanted) :])
        for mine, its in zip(wanted, found, strict=False):
            worst = float(np.abs(np.asarray(its, float) - np.asarray(mine, float)).max())
            if not worst <= room(np.asarray(mine)):
                raise ConfigError(
                    f"the ONNX file would act otherwise than the policy, by up to {worst:g}: it is not kept"
                )


def room(actions: np.ndarray) -> float:
    """The difference that rounding explains: in units as large as the actions', and in their dtype."""
    if actions.dtype.kind != "f":
        return TOLERANCE
    return max(TOLERANCE, float(np.finfo(actions.dtype).eps)) * max(1.0, float(np.abs(actions).max()))


def session_of(model: bytes | str) -> "InferenceSession":
    """What runs a model, or a file; it does not warn of inputs that may be left out."""
    import onnxruntime  # noqa: PLC0415 (optional)

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
