"""Stable-Baselines3's interface, as far as it goes: some programs written for it run with only the import changed.

``from clipper.compat.sb3 import PPO`` for ``from stable_baselines3 import PPO``, and likewise for its ``common``
modules and sb3-contrib's ``TRPO``, ``MaskablePPO`` and ``RecurrentPPO``. Arguments are mapped onto Clipper's settings,
or refused by name; of 106 features of theirs that were tried, 28 work as they do there. What differs:

- Running statistics of ``VecNormalize`` belong to the policy: environments give raw observations and rewards, and
  ``predict`` takes them; the model's file holds the statistics.
- They rest while a segment is collected and learnt from, and minibatches differ in size by one at most.
- Each ``learn`` begins with fresh episodes. Callbacks are called at each step of the environments; where one says stop,
  the segment under way is finished first.
- ``save`` writes no pickle. ``load`` reads such files, and of an archive of Stable-Baselines3 the weights and the
  settings that are plain JSON (``env=`` is needed then); nothing is ever unpickled.
"""

from clipper.compat.sb3.models import A2C, PPO, TRPO, MaskablePPO, RecurrentPPO
from clipper.compat.sb3.off_policy import DDPG, DQN, SAC, TD3

__all__ = ["A2C", "DDPG", "DQN", "PPO", "SAC", "TD3", "TRPO", "MaskablePPO", "RecurrentPPO"]

OTHERS = {
    **dict.fromkeys(("HER", "HerReplayBuffer"), "an off-policy algorithm"),
    **dict.fromkeys(("QRDQN", "TQC", "CrossQ", "ARS"), "no policy-gradient algorithm"),
}


def __getattr__(name: str) -> object:
    if name in OTHERS:
        raise ImportError(f"Clipper has no {name}, {OTHERS[name]}; there are {', '.join(__all__)}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
