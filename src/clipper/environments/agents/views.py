"""One space for all agents: what each sees, padded where they differ, its own number, and the environment's state."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from clipper.data.tree_type import Tree
from clipper.environments.checks import array_of, fitting, shown
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.spaces.observations import Leaf, observation_leaves, observation_tree, place
from clipper.spaces.ordered_dict import ordered_dict

SEEN, NUMBER, STATE = "observation", "agent", "state"
"""Keys of a Dict observation: what the agent sees, which agent it is, the environment's state."""
SpaceT = TypeVar("SpaceT", bound=gymnasium.Space)


@runtime_checkable
class HasState(Protocol):
    """A parallel environment that shows its whole state, as PettingZoo's may."""

    state_space: gymnasium.Space

    def state(self) -> np.ndarray:
        """What a critic may see of it."""
        ...


class Views:
    """Observations of A agents in E environments as arrays ``[E·A, …]`` of one space.

    ``spaces`` are those of the A agents; ``state`` that of the environment's state, None for none, or "observations"
    for those of all agents one after another. Raises ``ConfigError`` where spaces differ and may not be padded, or
    cannot be.
    """

    def __init__(
        self,
        agents: Sequence[str],
        spaces: Sequence[gymnasium.Space],
        state: Box | Literal["observations"] | None,
        number: bool,
        pad: bool,
    ) -> None:
        self.agents, self.own = list(agents), [observation_leaves(space) for space in spaces]
        base = alike(agents, spaces, "observation") or padded_boxes(agents, spaces, pad)
        self.appends = number and is_vector(base)
        more = {NUMBER: Box(0, 1, (len(agents),))} if number and not self.appends else {}
        if self.appends:
            base = with_numbers(base, len(agents))
        if state == "observations":
            state = Box(-np.inf, np.inf, (len(agents) * sum(map(size_of, observation_leaves(base))),))
        more |= {} if state is None else {STATE: state}
        inner = dict(base.items()) if isinstance(base, Dict) else {SEEN: base}
        if taken := [key for key in more if key in inner]:
            raise ConfigError(
                f"the observations of {agents[0]} have a key {taken[0]!r} of their own, which is what agent_id and "
                "state add: leave these out, or rename it"
            )
        self.space: gymnasium.Space = ordered_dict(inner | more) if more else base
        self.leaves = observation_leaves(self.space)
        self.prefix: tuple[str, ...] = (SEEN,) if more and not isinstance(base, Dict) else ()
        self.index = {leaf.path: i for i, leaf in enumerate(self.leaves)}

    def empty(self, n: int) -> list[np.ndarray]:
        """Rows of zeros, or of the least choice there is: what stands where an agent takes no part."""
        arrays = [np.zeros((n, *leaf.shape), leaf.dtype) for leaf in self.leaves]
        for array, leaf in zip(arrays, self.leaves, strict=True):
            if leaf.least is not None:
                array[:] = leaf.least
        return arrays

    def put(self, arrays: list[np.ndarray], column: int, a: int, obs: Tree) -> None:
        """What agent ``a`` sees into its column; raises ``EnvironmentContractError`` where it is not of its space."""
        for leaf in self.own[a]:
            target = arrays[self.index[self.prefix + leaf.path]]
            x = self.checked(leaf, a, obs)
            if x.ndim == 1:
                target[column, : len(x)] = x
            else:
                target[column] = x
        if self.appends:
            arrays[self.index[self.prefix]][column, a - len(self.agents)] = 1
        elif (NUMBER,) in self.index:
            arrays[self.index[NUMBER,]][column, a] = 1

    def checked(self, leaf: Leaf, a: int, obs: Tree) -> np.ndarray:
        """One array of what agent ``a`` sees."""
        what = f"agent {self.agents[a]} gave observations{place(leaf.path)}"
        try:
            x = array_of(leaf.of(obs))
        except (LookupError, TypeError):
            raise EnvironmentContractError(f"{what} not at all, but {shown(obs)}: fix it, or its space") from None
        if x.shape != leaf.shape:
            raise EnvironmentContractError(f"{what} of shape {x.shape}, but its space says {leaf.shape}: fix one")
        try:
            return fitting(x, leaf)
        except ValueError as error:
            raise EnvironmentContractError(f"{what} {error}: fix one of the two") from None

    def put_state(self, arrays: list[np.ndarray], columns: Sequence[int], state: np.ndarray) -> None:
        """The environment's state into the columns of the agents that take part."""
        target = arrays[self.index[STATE,]]
        x = array_of(state)
        if x.shape != target.shape[1:]:
            raise EnvironmentContractError(
                f"state() gave shape {x.shape}, but state_space says {target.shape[1:]}: fix one of the two"
            )
        target[columns] = x

    def together(self, arrays: list[np.ndarray], columns: slice) -> np.ndarray:
        """The observations in these columns one after another, as one vector."""
        own = [array for array, leaf in zip(arrays, self.leaves, strict=True) if leaf.path not in ((STATE,), (NUMBER,))]
        rows = [array[columns].reshape(len(self.agents), -1) for array in own]
        return np.concatenate(rows, axis=1, dtype=np.float32, casting="unsafe").reshape(-1)

    def tree(self, arrays: list[np.ndarray]) -> Tree:
        """The arrays as observations of ``space``, batched."""
        return observation_tree(self.space, iter(arrays))


def alike(agents: Sequence[str], spaces: Sequence[SpaceT], kind: str, pad: bool = True) -> SpaceT | None:
    """The space of all agents, or None where they differ; ``ConfigError`` where they differ and may not be padded."""
    other = next((i for i, space in enumerate(spaces) if space != spaces[0]), None)
    if other is None:
        return spaces[0]
    if not pad:
        raise ConfigError(
            f"agents share a policy, but {kind}s of {agents[0]} are {spaces[0]}, and those of {agents[other]} "
            f"{spaces[other]}: set pad=True, which fills the smaller ones up, or give agents spaces that agree"
        )
    return None


def padded_boxes(agents: Sequence[str], spaces: Sequence[gymnasium.Space], pad: bool) -> Box:
    """The largest of vectors of numbers; zeros fill the smaller ones up."""
    alike(agents, spaces, "observation", pad)
    boxes = [space for space in spaces if isinstance(space, Box) and len(space.shape) == 1]
    if len(boxes) < len(spaces) or len({box.dtype for box in boxes}) > 1:
        raise ConfigError(
            f"pad=True fills up vectors of numbers of one dtype, and observations are {spaces[0]} and others: flatten "
            "them first"
        )
    size = max(box.shape[0] for box in boxes)
    low = np.min([np.pad(box.low, (0, size - len(box.low))) for box in boxes], axis=0)
    high = np.max([np.pad(box.high, (0, size - len(box.high))) for box in boxes], axis=0)
    return Box(low, high, dtype=boxes[0].dtype.type)


def padded_choices(spaces: Sequence[gymnasium.Space]) -> Discrete:
    """The largest of choices; masks forbid what the others lack."""
    choices = [space for space in spaces if isinstance(space, Discrete)]
    if len(choices) < len(spaces) or len({int(space.start) for space in choices}) > 1:
        raise ConfigError(
            f"pad=True fills up choices (Discrete) that begin at one number, and actions are {spaces[0]} and others: "
            "give the agents actions that agree"
        )
    return max(choices, key=lambda space: int(space.n))


def size_of(leaf: Leaf) -> int:
    """How many numbers a part of an observation holds."""
    return int(np.prod(leaf.shape))


def legal_choices(spaces: Sequence[gymnasium.Space], widest: Discrete) -> np.ndarray:
    """Which of the ``widest`` choices each of A agents has, ``[A, K]``."""
    sizes = [int(space.n) for space in spaces if isinstance(space, Discrete)]
    return np.arange(int(widest.n)) < np.array(sizes)[:, None]


def is_vector(space: gymnasium.Space) -> bool:
    """Is it a vector of floating-point numbers, to which others can be appended?"""
    return isinstance(space, Box) and len(space.shape) == 1 and space.dtype.kind == "f"


def with_numbers(space: gymnasium.Space, count: int) -> Box:
    """A vector with as many numbers from 0 to 1 after it."""
    assert isinstance(space, Box)
    low, high = (np.append(x, np.full(count, end)) for x, end in ((space.low, 0), (space.high, 1)))
    return Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)
