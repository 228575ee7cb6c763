"""Names as they were before the package had rooms: they work on, with a DeprecationWarning that says the new one."""

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from operator import attrgetter
from types import ModuleType
from typing import Protocol, runtime_checkable

FRONT = {
    "optimizers": ("Adam", "RMSProp", "RMSPropTF"),
    "importance_weights": ("CausalProduct", "FirstOrder", "WholeTrajectory"),
    "objectives": ("Clip", "DualClip", "Rollback", "SPO", "TrustRegion", "TrustRegionRollback", "Unclipped"),
    "value_losses": ("ClippedMSE", "CrossEntropy", "Huber", "MSE"),
    "memory": ("GRU", "LSTM", "Transformer"),
    "schedules": ("KLAdaptive", "Linear"),
    "critic_targets": ("MonteCarlo", "NStep", "Periodic", "Polyak", "TD0", "TDLambda"),
    "critics": ("PopArt", "Scalar", "TwoHot"),
}
"""Names that were at the front of ``clipper`` themselves, by the module there that has them."""

MOVED = {
    "algorithms.ppo_apart": "algorithms.ppo_separate",
    "convolutions": "networks.convolutions",
    "critic_targets": "learning.critic_targets",
    "critics": "networks.critics",
    "encoders": "networks.encoders",
    "environments.atari.options": "environments.atari.game_options",
    "environments.memory": "environments.recall",
    "heads": "networks.heads",
    "heads.options": "networks.heads.head_options",
    "hybrid": "learning.action_parts",
    "importance_weights": "learning.importance_weights",
    "masks": "spaces.action_masks",
    "memory": "networks.memory",
    "memory.past": "data.history",
    "objectives": "learning.objectives",
    "optimizers": "learning.optimizers",
    "policy_options": "networks.policy_options",
    "presets": "settings.presets",
    "recipes": "settings.recipes",
    "schedules": "learning.schedules",
    "value_losses": "learning.value_losses",
}
"""Modules and folders that the READMEs, the guides or the API page named, and where they lie."""

PARTS = {
    "config": ("settings.config", "settings.defaults", "settings.config_json"),
    "data": ("data.steps", "data.trees", "spaces.mask_table"),
    "engines.cpu": ("engines.cpu.engine",),
    "nets": ("networks.actor_critic", "networks.make_policy", "networks.protocol", "networks.policy_options"),
    "optim": (
        "learning.learner", "learning.minibatches", "learning.gradient_step", "learning.advantages", "learning.metrics",
        "learning.parts",
    ),
    "rollout": ("rollout.state", "rollout.protocol", "rollout.edges", "rollout.episodes"),
    "spaces": ("networks.heads.make_head",),
}  # fmt: skip
"""Modules that became several, or whose name a folder has now."""
FOLDERS = ("data", "engines.cpu", "rollout", "spaces")
"""The latter: the folder itself knows none of the names."""


@runtime_checkable
class Collects(Protocol):
    """Rollouts."""

    def collect(self, policy: object, **quota: int) -> tuple[object, object]:
        """Steps, and what is seen after the last."""
        ...


def start(env: object, seed: int, *arguments: object, **settings: object) -> object:
    """Rollouts of a vector environment, which were called its state."""
    return import_module("clipper.rollout.vector_rollouts").VectorRollouts(env, seed, *arguments, **settings)


def collect(env: object, policy: object, state: Collects, **quota: int) -> tuple[object, object]:
    """Steps, and the rollouts, whose ``obs`` is ``last_obs``."""
    return state.collect(policy, **quota)[0], state


RENAMED = {"PPOApart": "PPOSeparate"}
"""Classes at the front that have another name now."""
FUNCTIONS: dict[str, Callable[..., object]] = {"start": start, "collect": collect}
"""What was at the front of ``clipper``, and in ``clipper.rollout``, and is a method now."""


class Renamed:
    """An attribute that has another name now, or is an attribute of that one."""

    def __init__(self, now: str) -> None:
        self.now, self.old = now, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = f"{owner.__name__.lower()}.{name}"

    def __get__(self, holder: object, kind: type | None = None) -> object:
        if holder is None:
            return self
        warn(f"{self.old} is {self.old.partition('.')[0]}.{self.now} now", frames=3)
        return attrgetter(self.now)(holder)


def new_name(old: str) -> str | None:
    """Where a module lies that was ``clipper.OLD``; None where it has not moved."""
    folder, _, rest = old.rpartition(".")
    if old in MOVED:
        return f"clipper.{MOVED[old]}"
    above = new_name(folder) if folder else None
    return f"{above}.{rest}" if above else None


def at_front(name: str) -> object:
    """What ``clipper.NAME`` was."""
    for module, names in FRONT.items():
        if name in names:
            warn(f"clipper.{name} is clipper.{module}.{name} now")
            return getattr(import_module(f"clipper.{MOVED[module]}"), name)
    if name in RENAMED:
        warn(f"clipper.{name} is clipper.{RENAMED[name]} now")
        return getattr(import_module("clipper"), RENAMED[name])
    if name in FUNCTIONS:
        warn(f"clipper.{name} is clipper.VectorRollouts now")
        return FUNCTIONS[name]
    if name in PARTS:
        return import_module(f"clipper.{name}")
    if name not in MOVED:
        raise AttributeError(f"module 'clipper' has no attribute {name!r}{where_it_is(name)}")
    warn(f"clipper.{name} is clipper.{MOVED[name]} now")
    return import_module(f"clipper.{MOVED[name]}")


def where_it_is(name: str) -> str:
    """Which of the modules at the front has a name, for who looks for it there itself."""
    front: ModuleType = import_module("clipper")
    rooms = {room: vars(front).get(room) for room in front.__all__}
    places = [
        f"clipper.{room}.{name}" for room, module in rooms.items()
        if isinstance(module, ModuleType) and home_of(module, name).startswith(f"{module.__name__}.")
    ]  # fmt: skip
    return f": it is {' or '.join(places)}" if places else ""


def home_of(module: ModuleType, name: str) -> str:
    """The module that a name in another one comes from, with a point behind it."""
    return f"{getattr(vars(module).get(name), '__module__', '')}."


def among_parts(old: str, name: str) -> object:
    """What ``clipper.OLD.NAME`` was."""
    if old == "rollout" and name in FUNCTIONS:
        warn(f"clipper.rollout.{name} is clipper.VectorRollouts now")
        return FUNCTIONS[name]
    for place in () if name.startswith("__") else PARTS[old]:
        module = import_module(f"clipper.{place}")
        if hasattr(module, name) and not isinstance(getattr(module, name), ModuleType):  # Python asks for files, too
            warn(f"clipper.{old}.{name} is clipper.{place}.{name} now")
            return getattr(module, name)
    raise AttributeError(f"module 'clipper.{old}' has no attribute {name!r}")


def warn(text: str, frames: int = 4) -> None:
    """Warn where the old name is used, so many ``frames`` above."""
    warnings.warn(text, DeprecationWarning, stacklevel=frames)


class Former(MetaPathFinder, Loader):
    """Finds modules that have moved; it is asked last, when nothing else knows them."""

    def __init__(self) -> None:
        self.specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("clipper."):
            return None
        old = fullname.removeprefix("clipper.")
        new = new_name(old)
        if new is not None:
            warn(f"{fullname} is {new} now", frames=3)
        became_several = old in PARTS and old not in FOLDERS
        return ModuleSpec(fullname, self) if new is not None or became_several else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that has moved; of one that became several, an empty one that looks its names up in these."""
        old = spec.name.removeprefix("clipper.")
        new = new_name(old)
        if new is None:
            module = ModuleType(spec.name)
            module.__getattr__ = lambda name: among_parts(old, name)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            module = import_module(new)
        self.specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It was run where it lies: Python's note of that is put back, and what is in a folder has its old name, too.

        Else Python, which finds the folder's files, would load them once more.
        """
        assert module.__spec__ is not None
        old = module.__spec__.name
        module.__spec__ = self.specs[old] or module.__spec__
        for name, inner in list(sys.modules.items()):
            if name.startswith(f"{module.__name__}.") and module.__name__ != old:
                sys.modules.setdefault(old + name.removeprefix(module.__name__), inner)


def install() -> None:
    """Let old names of modules be found."""
    if not any(isinstance(finder, Former) for finder in sys.meta_path):
        sys.meta_path.append(Former())
    for folder in (name for name in FOLDERS if f"clipper.{name}" in sys.modules):
        look = lambda name, folder=folder: among_parts(folder, name)  # noqa: E731
        sys.modules[f"clipper.{folder}"].__getattr__ = look  # pyright: ignore[reportAttributeAccessIssue]
