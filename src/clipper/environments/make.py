"""From what a user names to a vector environment."""

import difflib
import importlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import ModuleType

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import SyncVectorEnv, VectorActionWrapper, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.environments.checks import check_apart
from clipper.environments.ids import called, split_id
from clipper.environments.ignored_keys import check_keys, without
from clipper.environments.numba_task import NumbaTask
from clipper.environments.sources import (
    EnvSource,
    SingleSource,
    check_factory,
    check_vector,
    checked_env,
    each_source,
    source_name,
)
from clipper.environments.vector.serial import Serial
from clipper.errors import (
    ClipperError,
    ConfigError,
    EnvWorkerError,
    MissingPackageError,
    UnknownEnvironmentError,
    UnknownFieldError,
    install_command,
)
from clipper.spaces.actions import batch, listed

MANY: list[Callable[[str, int], VectorEnv | None]] = []
"""Asked first, with what names an environment of several agents, and a number: the vector environment, or None."""
LONGEST = 300  # letters of an error of somebody else's
MAKERS: list[Callable[..., gymnasium.Env | None]] = []
"""Asked before Gymnasium is, with an id and a dict of the arguments behind it: the environment, or None."""


def make_single(source: SingleSource, **kwargs: object) -> gymnasium.Env:
    """One environment, by id (``CartPole-v1``, ``my_package:MyEnv-v0``) or from a factory (``my_package:MyEnv`` too).

    Arguments may follow an id: ``LunarLander-v3,continuous=true``. Raises ``UnknownEnvironmentError`` with the
    nearest id, ``MissingPackageError`` with the command that installs what the environment needs, or
    ``EnvWorkerError`` with the cause where the environment itself cannot be made.
    """
    if not isinstance(source, str):
        check_factory(source)
        name = source_name(source)
        with errors_of_making(name, kwargs):
            made: object = source(**kwargs)
        return checked_env(made, name)
    source, given = split_id(source)
    arguments = given | kwargs
    if is_made_together(source):
        raise ConfigError(
            f"{source} is stepped many at a time, as an environment of several agents is, and one alone is wanted "
            f"here: train and evaluate with its id, or make many, clipper.make_env({source!r}, 8)"
        )
    with named_errors(source, arguments):
        for maker in MAKERS:
            if (env := maker(source, given, **kwargs)) is not None:
                return env
        factory = own_factory(source)
        if factory is None:
            return checked_env(called(gymnasium.make, source, disable_env_checker=True, **arguments), source)
        return checked_env(factory(**arguments), source)


def is_made_together(source: str) -> bool:
    """Is it stepped many at a time only, so that nothing plays or shows one alone?"""
    spec = gymnasium.registry.get(split_id(source)[0])
    return source.startswith("pettingzoo:") or (spec is not None and spec.entry_point is None)


def own_factory(source: str) -> Callable[..., object] | None:
    """What ``module:name`` names, if the module has it: a class is not an id that resembles its name.

    None of an id, also where the class itself is registered under this very name, with a time limit perhaps.
    """
    module, colon, name = source.partition(":")
    if not colon:
        return None
    found: Callable[..., object] | None = getattr(imported(module, source), name, None)
    spec = gymnasium.registry.get(name)
    registered = spec is not None and spec.entry_point in (found, source)
    return found if callable(found) and not registered else None


def imported(module: str, source: str) -> ModuleType:
    """The module in which an environment lies; ``UnknownEnvironmentError`` where its own code fails."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise UnknownEnvironmentError(f"{source!r} is no environment: {module!r} cannot be a module's name")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise
    except (Exception, SystemExit) as error:
        raise UnknownEnvironmentError(
            f"{source}: the module {module!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


@contextmanager
def named_errors(source: str, given: Collection[str] = ()) -> Iterator[None]:
    """Gymnasium's errors about an id, and about arguments ``given`` to its maker, as ``make_single`` tells them."""
    module, *rest = source.split(":")
    if len(rest) > 1:
        raise UnknownEnvironmentError(f"{source!r} is no environment: write ID, MODULE:ID or MODULE:FACTORY")
    try:
        with errors_of_making(source, given):
            yield
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingPackageError(
            f"{source} needs a package that is not installed: {install_hint(source, error)}"
        ) from error
    except ModuleNotFoundError as error:
        missing = error.name or getattr(error.__cause__, "name", None)  # Gymnasium wraps it, without its name
        if missing is not None and module.split(".")[0] == missing.split(".")[0]:
            raise UnknownEnvironmentError(
                f"{source}: there is no module {missing!r} to import; is its package installed in this environment?"
            ) from error
        raise MissingPackageError(
            f"{source} needs the module {missing!r}, whose package is not installed: {install_hint(source, error)}"
        ) from error
    except gymnasium.error.Error as error:
        near = difflib.get_close_matches(source, gymnasium.registry, n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownEnvironmentError(f"there is no environment {source!r}.{meant} Gymnasium says: {error}") from error


@contextmanager
def errors_of_making(name: str, given: Collection[str]) -> Iterator[None]:
    """What an environment's own code raises while it is made, as one of ours that names it and the cause."""
    try:
        yield
    except (ClipperError, ModuleNotFoundError, gymnasium.error.Error):
        raise
    except TypeError as error:
        if given and "argument" in str(error):
            raise UnknownFieldError(f"{name} was not made with {', '.join(given)}: {on_a_line(error)}") from error
        hint = f"; give its arguments, lambda: {name}(…)" if "required" in str(error) else ""
        raise EnvWorkerError(f"{name} cannot be made: {on_a_line(error)}{hint}") from error
    except (Exception, SystemExit) as error:  # some code exits where it lacks a display or a licence
        raise EnvWorkerError(f"{name} cannot be made: {type(error).__name__}: {on_a_line(error)}") from error


def on_a_line(error: BaseException) -> str:
    """What an error of somebody else's says, which may fill pages."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def install_hint(source: str, error: Exception) -> str:
    """The command that brings an environment's own dependencies."""
    for word, extra in (("box2d", "box2d"), ("mujoco", "mujoco"), ("pygame", "play")):
        if word in str(error).lower():
            return install_command(extra)
    return str(error)


def make(source: EnvSource, num_envs: int, *, ignore: tuple[str, ...] = (), **kwargs: object) -> VectorEnv:
    """``num_envs`` copies as one vector environment; a ready ``VectorEnv`` is taken as it is, but for its actions.

    Of a list of factories each makes an environment, in turn. Of Clipper's own environments, the natively vectorised
    form. ``ignore`` are keys of Dict observations that copies are made without.
    """
    if isinstance(source, VectorEnv):
        check_vector(source)
        check_keys(source.single_observation_space, ignore)
        if isinstance(source.unwrapped, SyncVectorEnv):
            check_apart(source.unwrapped.envs)
        return Listed(source) if wants_lists(source) else source
    if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
        raise ConfigError(f"num_envs must be at least 1, a whole number, not {num_envs!r}")
    several = [maker(source, int(num_envs)) for maker in MANY] if isinstance(source, str) else []
    for env in several:
        if env is not None:
            check_keys(env.single_observation_space, ignore)
            return env
    name, given = split_id(source) if isinstance(source, str) else ("", {})
    spec = spec_of_tasks(name)
    if spec is not None and spec.vector_entry_point is not None:
        with named_errors(name, given | kwargs):
            mode = "vector_entry_point"
            return called(gymnasium.make_vec, spec.id, num_envs, vectorization_mode=mode, **(given | kwargs))
    return Serial([without(partial(make_single, one, **kwargs), ignore) for one in each_source(source, int(num_envs))])


def spec_of_tasks(name: str) -> EnvSpec | None:
    """Of one of Clipper's own tasks, or of a ``NumbaTask``, whose copies step together as they do alone; or None."""
    if name.startswith("clipper/"):
        return gymnasium.registry.get(name)
    module, _, registered = name.rpartition(":")
    if module and registered not in gymnasium.registry:  # errors of importing are told where one is made
        with suppress(Exception):
            importlib.import_module(module)
    spec = gymnasium.registry.get(registered)
    return spec if spec is not None and isinstance(spec.entry_point, NumbaTask) else None


class Listed(VectorActionWrapper):
    """Gives a vector environment its ``OneOf`` actions in Gymnasium's layout: a ``(k, arguments)`` per environment."""

    def actions(self, actions: Tree) -> Tree:
        return listed(self.single_action_space, actions, self.num_envs)


def wants_lists(env: VectorEnv) -> bool:
    """Is there a ``OneOf`` in its actions, batched as Gymnasium batches it, and nothing yet that lays them out so?"""
    inner = env
    while isinstance(inner, VectorWrapper):
        if isinstance(inner, Listed):
            return False
        inner = inner.env
    space, n = env.single_action_space, env.num_envs
    gymnasiums = batch_space(space, n)
    return gymnasiums != batch(space, n) and env.action_space == gymnasiums
