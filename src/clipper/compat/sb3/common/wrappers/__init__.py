"""``ActionMasker``: an environment that says which actions are legal by a function of it."""

from collections.abc import Callable

import gymnasium
import numpy as np

from clipper.compat.sb3 import public_names


class ActionMasker(gymnasium.Wrapper):
    """Adds ``action_masks()``, which calls ``action_mask_fn(env)``, or the environment's method of that name."""

    def __init__(self, env: gymnasium.Env, action_mask_fn: Callable[[gymnasium.Env], np.ndarray] | str) -> None:
        super().__init__(env)
        self.function = action_mask_fn

    def action_masks(self) -> np.ndarray:
        """What is legal now."""
        if isinstance(self.function, str):
            return self.env.get_wrapper_attr(self.function)()
        return self.function(self.env)


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.wrappers", name)
