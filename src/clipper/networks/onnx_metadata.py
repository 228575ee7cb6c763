"""The metadata of an exported ONNX file: what each input and output is, in which units, and what masks it takes.

A session tells them as ``session.get_modelmeta().custom_metadata_map``: a sentence under the name of each input and
output, ``masks``, and the spaces, ``observation_space`` and ``action_space``, as JSON.
"""

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf, Tuple

from clipper.data.trees import Tree, leaves
from clipper.networks.actor_critic import ActorCritic
from clipper.spaces.actions import per_leaf
from clipper.spaces.space_json import space_to_json

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

LONGEST = 200  # letters of a space
OPTIONAL = "; may be left out"
OBSERVED, UNITS = ", as the environment gives it", ", in the environment's units"
ABOUT = (
    "A policy's most likely action for each row of a batch of observations; the metadata say what each input and "
    "output is."
)


def describe(model: "ModelProto", policy: ActorCritic, masked: bool) -> None:
    """Write the metadata into a policy's model."""
    from onnx import helper  # noqa: PLC0415 (optional)

    spaces = {"observation_space": policy.encoder.space}
    if policy.action_space is not None:
        spaces["action_space"] = policy.action_space
    facts = {"masks": about_masks(masked, policy.masked)}
    facts |= {name: json.dumps(space_to_json(space)) for name, space in spaces.items()}
    texts = sentences(policy, masked)
    for values in (model.graph.input, model.graph.output):
        for value in values:
            kind = value.name.partition(".")[0]
            value.doc_string = facts[value.name] = f"{form(value)}, {next(texts[kind])}"
    model.doc_string = ABOUT
    helper.set_model_props(model, facts)


def sentences(policy: ActorCritic, masked: bool) -> dict[str, Iterator[str]]:
    """Per kind of input and output, what its leaves are, in their order."""
    actions = policy.action_space
    return {
        "obs": iter(leaves(spaces_of(policy.encoder.space, OBSERVED))),
        "action_mask": iter(leaves(masks_of(actions)) if masked and actions is not None else ()),
        "memory": itertools.repeat("zeros where an episode begins, otherwise the next_memory of the step before"),
        "action": itertools.repeat("in the environment's units")
        if actions is None
        else iter(leaves(spaces_of(actions, UNITS))),
        "next_memory": itertools.repeat("the memory to give with the next observation"),
    }


def spaces_of(space: Space, more: str = "") -> Tree:
    """Per leaf of observations or actions: its space as Gymnasium writes it, and what more there is to say."""
    if isinstance(space, Dict):
        return {key: spaces_of(part, more) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(spaces_of(part, more) for part in space)
    if isinstance(space, OneOf):
        branches = enumerate(space.spaces)
        return (
            f"the branch that is chosen, 0 to {len(space.spaces) - 1}{more}",
            tuple(spaces_of(branch, f"{more}; counts where branch {k} is chosen") for k, branch in branches),
        )
    text = " ".join(str(space).split())
    return (text if len(text) <= LONGEST else f"{text[:LONGEST]}…") + more


def masks_of(space: Space) -> Tree:
    """Per leaf of an action's masks: what it means."""
    return per_leaf(space, mask_of, lambda one_of: allowed("branch k", len(one_of.spaces) == 1))


def mask_of(space: Space) -> str:
    """The same of a space without parts."""
    if isinstance(space, Box):
        return f"the lowest and the highest values allowed in this state, in the environment's units{OPTIONAL}"
    return mask_of_choices(space)


def mask_of_choices(space: Space) -> str:
    """What the mask of a node means whose actions are whole numbers."""
    if isinstance(space, Discrete):
        return allowed(f"action {int(space.start)} + k" if space.start else "action k", bool(space.n == 1))
    if isinstance(space, MultiDiscrete):
        return allowed("a component's choice k", bool((space.nvec == 1).all())) + "; False beyond its choices"
    return allowed("a bit's value k")


def allowed(what: str, one: bool = False) -> str:
    """What True means; where there is ``one`` choice only, nobody need say that it is allowed."""
    return f"True where {what} is allowed{OPTIONAL if one else '; at least one'}"


def about_masks(masked: bool, learned_with: bool) -> str:
    """What the file takes, and what the policy had when it learned."""
    if masked:
        return "taken, as action_mask inputs"
    return "none taken: the policy learned with some, and may choose what is illegal" if learned_with else "none taken"


def form(value: "ValueInfoProto") -> str:
    """Its dtype and shape: ``float32 [batch, 4]``."""
    from onnx import helper  # noqa: PLC0415 (optional)

    tensor = value.type.tensor_type
    sizes = ", ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
    return f"{helper.tensor_dtype_to_np_dtype(tensor.elem_type)} [{sizes}]"
