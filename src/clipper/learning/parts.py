"""Parts of a learner: parameters that one optimizer moves, lying in as few vectors as their kinds allow."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clipper.errors import ConfigError
from clipper.learning.optimizers import Optimizer

SQUARES = ("exp_avg_sq", "square_avg")  # what optimizers call means of squares


class Part:
    """Parameters, the optimizer that moves them, and the gradient that losses add up for them.

    Two parts may share a vector. A loss is one part's; where it moves that part alone, the other's gradient is 0 and
    counts for nothing in the length of the whole vector's.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        leaves: list[nn.Parameter] | None = None,
        vectors: list[nn.Parameter] | None = None,
    ) -> None:
        self.parameters = parameters
        """What the optimizer moves: one flat vector, or several where dtypes or devices differ."""
        self.optimizer = optimizer
        self.leaves = leaves or parameters
        """The modules' own parameters, views of these."""
        self.vectors = vectors or parameters
        """Where they lie: the memory whose gradient is cleared and bounded."""
        self.gradients = [gradient_of(x) for x in self.vectors]
        """That memory, vector by vector."""
        moved = {id(x): x for x in (*self.leaves, *self.parameters, *self.vectors)}.values()
        self.views = [(x, x.grad, x.data_ptr()) for x in moved if type(x.data) is Tensor]
        """Whatever lies in that memory, with its gradient there and its place; sharded tensors know their own."""
        self.loss: Tensor | None = None
        """Sum of the losses whose gradient has been added since the last step; None where there is none."""
        self.skipped_in_a_row = torch.zeros((), device=self.vectors[0].device)
        """Steps that were not taken, since loss or gradient was not finite, since the last one that was."""
        self.summed = False
        """They and the gradient are over all processes that share a batch, not over this one's rows."""

    def looks_sound(self, skipped: int) -> bool:
        """Are all weights finite, and were fewer than so many steps in a row not taken, as far as a short look tells?

        A sum of large weights may overflow; and of other devices nothing is asked, where each answer is waited for.
        """
        if self.skipped_in_a_row.device.type != "cpu" or float(self.skipped_in_a_row) >= skipped:
            return False
        return all(x.device.type == "cpu" and math.isfinite(float(x.detach().sum())) for x in self.vectors)

    def attach(self) -> None:
        """Give parameters back the gradients in the vector that ``policy.zero_grad()`` has taken away.

        Raises ``ConfigError`` where the parameters themselves lie elsewhere: nothing would move them.
        """
        for x, gradient, place in self.views:
            if x.data_ptr() != place:
                raise ConfigError(
                    "parameters have left the vector in which the learner moves them, and would never be moved again: "
                    "make a new learner after policy.double() or .to(…), and after copying one load its state into a "
                    "new learner; no parameter may be of two parts"
                )
            x.grad = gradient

    def state_dict(self) -> dict[str, Tensor]:
        """What the optimizer remembers, by name; where there are several vectors, by a vector's number and name."""
        several = len(self.parameters) > 1
        return {
            f"{i}.{name}" if several else name: x
            for i, p in enumerate(self.parameters)
            for name, x in self.optimizer.state.get(p, {}).items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take such a memory over; ``TypeError`` where it is not of these parameters and this optimizer.

        A ``step`` stays where the optimizer counts, on the CPU for most; all else comes to the parameters.
        """
        self.loss = None
        usual, group = moments_of(self.optimizer), self.optimizer.param_groups[0]
        counts_there = bool(group.get("fused") or group.get("capturable"))
        for i, p in enumerate(self.parameters):
            own = part(state, f"{i}.") if len(self.parameters) > 1 else state
            check_moments(own, p, usual)
            places = {name: p.device if name != "step" or counts_there else "cpu" for name in own}
            self.optimizer.state[p] = {name: x.clone().to(places[name]) for name, x in own.items()}


def gradient_of(vector: nn.Parameter) -> Tensor:
    """Where a vector's gradient is added up, from now on."""
    if vector.grad is None:
        vector.grad = torch.zeros_like(vector)
    return vector.grad


def joint_norm(gradients: list[Tensor]) -> Float[Tensor, ""]:
    """‖g‖₂ of the vector that tensors of several dtypes or devices make together, in float32 or wider."""
    lengths = [torch.linalg.vector_norm(x, dtype=torch.promote_types(x.dtype, torch.float32)) for x in gradients]
    return torch.linalg.vector_norm(torch.stack([x.to(lengths[0]) for x in lengths]))


def make_part(parameters: Iterable[nn.Parameter], optimizer: Optimizer) -> Part:
    """A part of those of the parameters that are trained."""
    leaves = [p for p in parameters if p.requires_grad]
    vectors = flat_vectors(leaves)
    return Part(vectors, optimizer.make(vectors[0] if len(vectors) == 1 else vectors), leaves)


def whole_part(policy: nn.Module, optimizer: Optimizer) -> dict[str, Part]:
    """All of a policy as one part, by its name."""
    return {"": make_part(policy.parameters(), optimizer)}


def actor_and_critic_parts(policy: Any, optimizer: Optimizer) -> dict[str, Part]:
    """Parts by name, which share one vector, the actor's parameters first and the critic's second, if of one kind.

    Raises ``ConfigError`` where actor and critic share parameters.
    """
    actor, critic = actor_and_critic(policy)
    if not alike([*actor, *critic]):
        return {"": make_part(actor, optimizer), "critic": make_part(critic, optimizer)}
    whole = flatten([*actor, *critic])
    first, second = halves(whole, sum(p.numel() for p in actor))
    return {
        "": Part([first], optimizer.make(first), actor, [whole]),
        "critic": Part([second], optimizer.make(second), critic, [whole]),
    }


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries whose name begins with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def check_moments(moments: dict[str, Tensor], parameters: Tensor, usual: dict[str, Tensor] | None) -> None:
    """Raise ``TypeError`` unless an optimizer of ``parameters`` can hold them: its kernels look at no shape.

    ``usual`` are those of an optimizer like it: all are there, or none before its first step. Single numbers stay such.
    """
    if moments and usual is not None and moments.keys() != usual.keys():
        raise TypeError(f"an optimizer keeps {', '.join(sorted(usual))}, and there is {', '.join(sorted(moments))}")
    for name, x in moments.items():
        shape = () if (x if usual is None else usual[name]).ndim == 0 else parameters.shape
        if x.shape != shape or (shape and x.dtype != parameters.dtype):
            raise TypeError(f"{name} is {x.dtype} of shape {list(x.shape)}, not of the parameters' {list(shape)}")
        if usual is not None and shape and not x.isfinite().all():
            raise TypeError(f"{name} holds numbers that are not finite")
        if usual is not None and name in SQUARES and (x < 0).any():
            raise TypeError(f"{name} holds squares below 0")
        if name == "step" and not 0 <= float(x) < float("inf"):
            raise TypeError(f"step is {float(x)}, which counts no steps")
        if name == "step" and usual is not None and x.dtype != usual[name].dtype:
            raise TypeError(f"step is {x.dtype}, not {usual[name].dtype}")


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor] | None:
    """What one like it keeps for a parameter, as it is after a step; None where that is not known."""
    probe = nn.Parameter(torch.zeros(1))
    probe.grad = torch.zeros(1)
    try:
        other: Any = type(optimizer)([probe], **optimizer.defaults)
        other.step()
    except Exception:  # one of the user's own may be made in another way
        return None
    return dict(other.state[probe])


def actor_and_critic(policy: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters of each; raises ``ConfigError`` where the two share some."""
    if not hasattr(policy, "actor_parameters") or not hasattr(policy, "critic_parameters"):
        raise ConfigError(f"this algorithm needs {type(policy).__name__}.actor_parameters() and critic_parameters()")
    actor, critic = (
        [p for p in group if p.requires_grad] for group in (policy.actor_parameters(), policy.critic_parameters())
    )
    if {id(p) for p in actor} & {id(p) for p in critic}:
        raise ConfigError(
            "this algorithm moves actor and critic apart, but they share parameters: use separate trunks "
            "(shared=False), or an algorithm with one loss for both (PPO, A2C)"
        )
    known = {id(p) for p in [*actor, *critic]}
    left = [name for name, p in policy.named_parameters() if p.requires_grad and id(p) not in known]
    if left or not actor or not critic:
        raise ConfigError(
            "actor_parameters() and critic_parameters() must each give some parameters, and together all that are "
            f"trainable; they leave out: {', '.join(left) or 'none'}"
        )
    return actor, critic


def halves(flat: nn.Parameter, size: int) -> tuple[nn.Parameter, nn.Parameter]:
    """The first ``size`` numbers of a flat parameter and the rest: parameters that are views, like their gradients."""
    assert flat.grad is not None
    first, second = nn.Parameter(flat.data[:size]), nn.Parameter(flat.data[size:])
    first.grad, second.grad = flat.grad[:size], flat.grad[size:]
    return first, second


def kind(parameter: nn.Parameter) -> Any:
    """What parameters of one vector have in common; what is no plain tensor, as a sharded one, shares it with none."""
    plain = type(parameter.data) is Tensor
    return (parameter.dtype, parameter.device) if plain else id(parameter)


def alike(parameters: list[nn.Parameter]) -> bool:
    """Can they lie in one vector?"""
    return len({kind(p) for p in parameters}) == 1 and type(parameters[0].data) is Tensor


def flat_vectors(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Make parameters views of a flat one for each dtype and device; what is no plain tensor stays as it is."""
    if not parameters:
        raise ConfigError("there is nothing to train: no parameter has requires_grad")
    if alike(parameters):
        return [flatten(parameters)]
    groups: dict[Any, list[nn.Parameter]] = {}
    for p in parameters:
        groups.setdefault(kind(p), []).append(p)
    return [flatten(group) if type(group[0].data) is Tensor else group[0] for group in groups.values()]


def flatten(parameters: Iterable[nn.Parameter]) -> nn.Parameter:
    """Make parameters, and their gradients, views of one flat parameter; return it."""
    parameters = list(parameters)
    if len({(p.dtype, p.device) for p in parameters}) != 1:
        raise ConfigError("parameters of one vector must exist, with one dtype and on one device")
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        stop = start + p.numel()
        p.data, p.grad = flat.data[start:stop].view_as(p), flat.grad[start:stop].view_as(p)
        start = stop
    return flat
