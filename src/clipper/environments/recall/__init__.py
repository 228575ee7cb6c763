"""Tasks that need a memory: what decides the reward is not in the observation.

>>> import clipper, gymnasium
>>> env = gymnasium.make("clipper/RepeatPrevious-v0")
"""

import gymnasium

from clipper.environments.recall.tasks import RepeatPrevious, Visible, cart_pole

MEMORY_TASKS: dict[str, tuple[str, float, dict[str, bool]]] = {
    "clipper/CartPoleHidden-v0": ("cart_pole", 475.0, {}),
    "clipper/RepeatPrevious-v0": ("RepeatPrevious", 0.95, {}),
    "clipper/RepeatPreviousMasked-v0": ("RepeatPrevious", 0.95, {"masked": True}),
}
"""By id: name of what makes one; the mean return from which the task counts as solved; settings."""

for _id, (_maker, _threshold, _settings) in MEMORY_TASKS.items():
    gymnasium.register(_id, f"{__name__}.tasks:{_maker}", reward_threshold=_threshold, kwargs=_settings)

__all__ = ["MEMORY_TASKS", "RepeatPrevious", "Visible", "cart_pole"]
