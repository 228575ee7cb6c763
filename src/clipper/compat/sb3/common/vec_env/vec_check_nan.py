"""A wrapper that finds what is not finite."""

import warnings

import numpy as np

from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper
from clipper.data.tree_type import Tree


class VecCheckNan(VecEnvWrapper):
    """Warns of NaN and infinity in actions, observations and rewards, or raises ``ValueError``."""

    def __init__(
        self, venv: VecEnv, raise_exception: bool = False, warn_once: bool = True, check_inf: bool = True
    ) -> None:
        super().__init__(venv)
        self.raise_exception, self.warn_once, self.check_inf, self._user_warned = (
            raise_exception,
            warn_once,
            check_inf,
            False,
        )
        self._actions: Tree = None
        self._observations: Tree = None

    def step_async(self, actions: Tree) -> None:
        self._check_val("actions", actions)
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        self._check_val("observations", obs)
        self._check_val("rewards", rewards)
        self._observations = obs
        return obs, rewards, dones, infos

    def reset(self) -> Tree:
        obs = self.venv.reset()
        self._actions = None
        self._check_val("observations", obs)
        self._observations = obs
        return obs

    def check_array_value(self, name: str, value: np.ndarray) -> list[tuple[str, str]]:
        """(kind, name) of what is wrong in an array."""
        value = np.asarray(value)
        if value.dtype.kind not in "fc":
            return []
        kinds = {"nan": np.isnan, **({"inf": np.isinf} if self.check_inf else {})}
        return [(name, kind) for kind, test in kinds.items() if test(value).any()]

    def _check_val(self, name: str, value: Tree) -> None:
        if self._user_warned and self.warn_once and not self.raise_exception:
            return
        parts = value.items() if isinstance(value, dict) else [("", value)]
        found = [x for key, part in parts for x in self.check_array_value(f"{name}[{key!r}]" if key else name, part)]
        if not found:
            return
        self._user_warned = True
        source = (
            "the environment, of the latest actions" if name != "actions" else "the model, of the latest observations"
        )
        before = self._observations if name == "actions" else self._actions
        message = f"found {', '.join(f'{kind} in {where}' for where, kind in found)}; it came from {source}: {before}"
        if self.raise_exception:
            raise ValueError(message)
        warnings.warn(message, UserWarning, stacklevel=3)
