"""What gives Steps: environments, prompts, what was recorded before."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
from gymnasium.vector import VectorEnv
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree
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

    def state_dict(self, episodes: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next ``collect`` depends on, as named tensors and JSON; ``steps`` is in it.

        Without ``episodes`` those under way are left out, and what makes them is left alone, which may hang.
        """
        ...

    def load_state_dict(self, tensors: dict[str, Tensor], values: dict[str, Any], actor: Actor) -> bool:
        """Go back to such a state, of which ``actor`` goes on; False where that cannot be, and new episodes begin."""
        ...

    def close(self) -> None:
        """Close what was made for these rollouts; no more is collected."""
        ...


class Abilities(NamedTuple):
    """What rollouts may have beside what all have."""

    env: VectorEnv | None
    """The vector environment that is stepped, where there is one. It has ``call``, ``get_attr`` and ``set_attr``."""
    masked: bool
    """Some actions are illegal at times, and the Steps say which."""
    threshold: float | None
    """The mean return at which the task counts as solved."""


def abilities(rollouts: Rollouts) -> Abilities:
    """What these rollouts have besides; what they lack counts as off."""
    env = getattr(rollouts, "env", None)
    spec = getattr(env, "spec", None)
    return Abilities(env, bool(getattr(rollouts, "masked", False)), spec.reward_threshold if spec is not None else None)
