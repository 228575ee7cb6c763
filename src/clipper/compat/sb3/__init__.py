"""Stable-Baselines3's interface: most programs written for it run with only the import changed.

``from clipper.compat.sb3 import PPO`` for ``from stable_baselines3 import PPO``, and likewise for its ``common``
modules and sb3-contrib's ``TRPO``, ``MaskablePPO`` and ``RecurrentPPO``. Environments, callbacks, policies and logs are
as theirs; what is learned is Clipper's. ``make sb3-tests`` runs their own tests over it. What differs:

- Minibatches differ in size by one at most, instead of a last one that is short.
- ``save`` writes no pickle. ``load`` reads such files, and of an archive of Stable-Baselines3 the weights and the
  settings that are plain JSON (``env=`` is needed then); nothing is ever unpickled. What has no name that a file could
  keep, as a lambda, is to be given again: ``load(…, custom_objects=…)``.
- A name that is not there is refused by an error that says what to take instead (``public_names.py``).
"""

from typing import TYPE_CHECKING

from clipper.compat.sb3 import public_names

if TYPE_CHECKING:
    from clipper.compat.sb3.deep_q import DQN
    from clipper.compat.sb3.masked import MaskablePPO
    from clipper.compat.sb3.models import A2C, PPO, TRPO
    from clipper.compat.sb3.off_policy import DDPG, SAC, TD3
    from clipper.compat.sb3.recurrent import RecurrentPPO

__all__ = ["A2C", "DDPG", "DQN", "PPO", "SAC", "TD3", "TRPO", "MaskablePPO", "RecurrentPPO"]
__version__ = "2.9.2"
"""Of Stable-Baselines3, whose interface this is."""

public_names.MODULES[""] = public_names.MODELS
public_names.install()


def __getattr__(name: str) -> object:
    """Models, which are loaded when they are asked for: worker processes need none."""
    if name in public_names.MODELS or name in public_names.REFUSED:
        return public_names.resolve("", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_system_info(print_info: bool = True) -> tuple[dict[str, str], str]:
    """Versions of what matters, as a dict and as text."""
    from clipper.compat.sb3.common import utils  # noqa: PLC0415 (which loads torch)

    return utils.get_system_info(print_info)
