"""The process in which some of a ``Workers``' environments run: a ``Serial`` that writes to shared memory."""

import importlib.util
import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import gymnasium
import numpy as np

from clipper.data.tree_type import Tree
from clipper.environments.processes import die_with
from clipper.environments.state_trees import EnvironmentState
from clipper.environments.told_episodes import Info
from clipper.environments.vector.channel import DONE, GONE, Channel, Layout, Task, packed, view
from clipper.environments.vector.serial import Serial
from clipper.errors import ConfigError


def main() -> None:
    """Called by ``workers.BOOT``; the arguments are descriptors: of the channel, the memory, and the lifeline."""
    sys.modules["clipper"].__getattr__ = whole_package  # pyright: ignore[reportAttributeAccessIssue]
    sys.meta_path.insert(0, WholeFirst())
    channel, memory, lifeline = (int(x) for x in sys.argv[1:4])
    die_with(lifeline)
    with suppress(BrokenPipeError):  # the trainer went away while we were at work
        serve(Channel(channel), memory)


def whole_package(name: str) -> object:
    """A name of ``clipper`` itself, where an environment asks for one: the rest, torch too, is imported only then."""
    package: ModuleType = sys.modules["clipper"]
    del package.__dict__["__getattr__"]
    path = Path(package.__path__[0])
    spec = importlib.util.spec_from_file_location(
        "clipper", path / "__init__.py", submodule_search_locations=[str(path)]
    )
    assert spec is not None
    assert spec.loader is not None
    package.__spec__, package.__file__ = spec, spec.origin
    spec.loader.exec_module(package)
    return getattr(package, name)


class WholeFirst(MetaPathFinder, Loader):
    """Lets ``from clipper.… import …`` in an environment's code begin with the whole package, as it does elsewhere.

    All that a worker needs by itself is loaded before this finder is asked. Loaded alone, a module of a higher floor
    would import the package while it is half-way itself.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("clipper."):
            return None
        sys.meta_path.remove(self)
        if sys.modules["clipper"].__spec__ is None:
            whole_package("__version__")
        return ModuleSpec(fullname, self) if fullname in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, which the package has loaded."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Done already."""


def serve(channel: Channel, memory: int) -> None:
    """Make the environments, then do what the channel says until it is closed."""
    task = channel.receive()
    assert isinstance(task, Task)
    for spec in task.specs:
        gymnasium.registry.setdefault(spec.id, spec)
    try:
        env = Serial(task.factories(), max_restarts=task.max_restarts, first_index=task.first_index)
    except Exception as error:
        channel.send(error)
        return
    channel.send((env.single_observation_space, env.single_action_space, env.spec, env.metadata))
    layout = channel.receive()
    if not isinstance(layout, Layout):
        return  # other environments could not be made
    first, last = task.first_index, task.first_index + env.num_envs
    *obs, reward, terminated, truncated, actions = (
        array[first:last] for array in layout.arrays(mmap.mmap(memory, layout.size))
    )
    env.write_to(obs, reward, terminated, truncated)
    desk = Desk(env, actions)
    try:
        while (message := channel.receive()) != GONE:
            try:
                answer = getattr(desk, message[0])(*message[1:]) if isinstance(message, tuple) else desk.step()
            except Exception as error:
                answer = error
            channel.pass_on(sendable(answer)) if answer else channel.say(DONE)
    finally:
        env.close()


def sendable(answer: object) -> memoryview:
    """An answer as it is sent, or the error that it cannot be: whoever asked waits for one or the other."""
    try:
        return packed(answer)
    except Exception as error:
        kind = type(answer[0] if isinstance(answer, tuple) else answer).__name__
        return packed(ConfigError(f"a {kind} cannot be sent from an environment's process: {error!r}"))


class Desk:
    """What may be asked of the environments, a method each; an answer that is empty is sent as ``DONE``."""

    def __init__(self, env: Serial, room: np.ndarray) -> None:
        self.env, self.room, self.actions = env, room, room

    def reset(self, seeds: list[int | None], options: dict[str, object] | None) -> Info:
        return self.env.reset(seed=seeds, options=options)[1]

    def expect(self, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """Actions will lie in the memory as arrays of this kind, one per environment."""
        self.actions = view(self.room, dtype, shape)

    def step(self, actions: Tree = None) -> Info:
        """Step with the actions in the memory, or with those that are sent since they are no arrays."""
        return self.env.step(self.actions.copy() if actions is None else actions)[-1]  # one may be kept by its env

    def get_states(self) -> list[EnvironmentState] | None:
        return self.env.get_states()

    def set_states(self, states: list[EnvironmentState]) -> None:
        self.env.set_states(states)

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[object, ...]:
        return self.env.call(name, *args, **kwargs)

    def get_attr(self, name: str) -> tuple[object, ...]:
        return self.env.get_attr(name)

    def set_attr(self, name: str, values: list[object]) -> None:
        self.env.set_attr(name, values)

    def pass_infos(self, wanted: bool) -> None:
        self.env.pass_infos(wanted)
