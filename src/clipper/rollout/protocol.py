"""What gives Steps: environments, prompts, what was recorded before."""

from typing import NamedTuple, Protocol, runtime_checkable

import gymnasium
from gymnasium.vector import VectorEnv
from torch import Tensor
from torch.nn import Module

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.errors import ConfigError
from clipper.networks.protocol import Actor


class Episode(NamedTuple):
    """A finished episode, in the environment's own rewards."""

    env: int
    total: float
    length: int


@runtime_checkable
class Rollouts(Protocol):
    """A source of decisions ``[T, N]``; a run knows nothing else of where its Steps come from.

    What else one may have, ``abilities`` reads.
    """

    @property
    def num_envs(self) -> int:
        """N, the columns of the Steps."""
        ...

    @property
    def single_observation_space(self) -> gymnasium.Space:
        """Of one column."""
        ...

    @property
    def single_action_space(self) -> gymnasium.Space:
        """Of one column."""
        ...

    @property
    def steps(self) -> int:
        """Decisions collected since the start."""
        ...

    @property
    def episodes(self) -> list[Episode]:
        """Those that finished in the last ``collect``."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """What else to note with each row of a run's metrics."""
        ...

    def collect(self, actor: Actor, *, horizon: int | None = None, episodes: int | None = None) -> tuple[Steps, Tree]:
        """Steps ``[T, N]`` of ``actor``'s decisions, and ``last_obs`` ``[N, ...]``, from which V is bootstrapped.

        An algorithm asks for ``horizon`` rows, or for whole ``episodes``.
        """
        ...

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Everything that the next ``collect`` depends on, as named tensors and JSON; ``steps`` is in it.

        Without ``episodes`` those under way are left out, and what makes them is left alone, which may hang.
        """
        ...

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, object], actor: Actor) -> bool:
        """Go back to such a state, of which ``actor`` goes on; False where that cannot be, and new episodes begin."""
        ...

    def close(self) -> None:
        """Close what was made for these rollouts; no more is collected."""
        ...


MEMBERS = (
    "num_envs", "single_observation_space", "single_action_space", "steps", "episodes", "metrics", "collect",
    "state_dict", "load_state_dict", "close",
)  # fmt: skip
"""What ``Rollouts`` asks for."""


class Abilities(NamedTuple):
    """What rollouts may have beside what all have."""

    env: VectorEnv | None
    """The vector environment that is stepped, where there is one. It has ``call``, ``get_attr`` and ``set_attr``."""
    masked: bool
    """Some actions are illegal at times, and the Steps say which."""
    threshold: float | None
    """The mean return at which the task counts as solved."""
    unlike: str
    """Why, after ``load_state_dict``, they are not as they were when they were saved, in words; "" where they are."""


def abilities(rollouts: Rollouts) -> Abilities:
    """What these rollouts have besides; what they lack counts as off, and so does an ``env`` of some other kind."""
    env = getattr(rollouts, "env", None)
    env = env if isinstance(env, VectorEnv) else None
    threshold = getattr(None if env is None else env.spec, "reward_threshold", None)
    return Abilities(env, bool(getattr(rollouts, "masked", False)), threshold, str(getattr(rollouts, "unlike", "")))


def spaces_of(rollouts: Rollouts) -> dict[str, gymnasium.Space]:
    """The spaces of one of the environments."""
    return {"observation": rollouts.single_observation_space, "action": rollouts.single_action_space}


def check_source(source: object) -> None:
    """Raise ``ConfigError`` for what was meant as rollouts and is none: their class, or one that lacks a member.

    Else it would be taken for a factory of environments.
    """
    kind = source if isinstance(source, type) else type(source)
    meant = callable(getattr(kind, "collect", None)) or callable(getattr(kind, "load_state_dict", None))
    if not meant or issubclass(kind, gymnasium.Env | VectorEnv | Module):
        return
    if source is kind:
        raise ConfigError(f"{kind.__name__} is a class of rollouts: make them first, train({kind.__name__}(…), …)")
    lacking = [name for name in MEMBERS if not has(source, name)]
    if lacking:
        raise ConfigError(
            f"{kind.__name__} is no clipper.Rollouts, since it lacks {', '.join(lacking)}: add "
            f"{'it' if len(lacking) == 1 else 'them'}"
        )


def has(source: object, name: str) -> bool:
    """Is there such a member? An error in a property is the property's own, and passes unchanged."""
    try:
        getattr(source, name)
    except AttributeError:
        if hasattr(type(source), name):
            raise
        return False
    return True
