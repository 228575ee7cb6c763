"""From what a user names to a vector environment."""

import difflib
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial

import gymnasium
from gymnasium.vector import VectorActionWrapper, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.ids import called, split_id
from clipper.environments.ignored_keys import check_keys, without
from clipper.environments.vector.serial import Serial
from clipper.errors import ConfigError, MissingPackageError, UnknownEnvironmentError, install_command
from clipper.spaces.actions import batch, listed

EnvSource = str | Callable[[], gymnasium.Env] | VectorEnv
MAKERS: list[Callable[..., gymnasium.Env | None]] = []
"""Asked before Gymnasium is, with an id and a dict of the arguments behind it: the environment, or None."""


def make_single(source: str | Callable[[], gymnasium.Env], **kwargs: object) -> gymnasium.Env:
    """One environment, by id (``CartPole-v1``, ``my_package:MyEnv-v0``) or from a factory (``my_package:MyEnv`` too).

    Arguments may stand behind an id: ``LunarLander-v3,continuous=true``. Raises ``UnknownEnvironmentError`` with the
    nearest id, or ``MissingPackageError`` with the command that installs what the environment needs.
    """
    if not isinstance(source, str):
        if not callable(source):
            again = "a ready environment: " if isinstance(source, gymnasium.Env) else ""
            raise ConfigError(
                f"{shown(source)} is {again}neither an id nor a factory, of which several can be made: write "
                "lambda: MyEnv(…), or hand over a gymnasium.vector.VectorEnv"
            )
        return source(**kwargs)
    source, given = split_id(source)
    with named_errors(source, given):
        for maker in MAKERS:
            if (env := maker(source, given, **kwargs)) is not None:
                return env
        try:
            return called(gymnasium.make, source, disable_env_checker=True, **(given | kwargs))
        except gymnasium.error.UnregisteredEnv:
            module, _, name = source.partition(":")
            known = sys.modules.get(module)  # Gymnasium has imported it
            factory: Callable[..., gymnasium.Env] | None = getattr(known, name, None) if name else None
            if not callable(factory):
                raise
            return factory(**(given | kwargs))


@contextmanager
def named_errors(source: str, given: Collection[str] = ()) -> Iterator[None]:
    """Gymnasium's errors about an id, and about arguments ``given`` behind it, as ``make_single`` tells them."""
    module, *rest = source.split(":")
    if len(rest) > 1:
        raise UnknownEnvironmentError(f"{source!r} is no environment: write ID, MODULE:ID or MODULE:FACTORY")
    try:
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
    except TypeError as error:
        if given and "argument" in str(error):
            raise ConfigError(f"{source} was not made with {', '.join(given)}: {error}") from error
        raise
    except gymnasium.error.Error as error:
        near = difflib.get_close_matches(source, gymnasium.registry, n=3, cutoff=0.5)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownEnvironmentError(f"there is no environment {source!r}.{meant} Gymnasium says: {error}") from error


def install_hint(source: str, error: Exception) -> str:
    """The command that brings an environment's own dependencies."""
    for word, extra in (("box2d", "box2d"), ("mujoco", "mujoco"), ("pygame", "play")):
        if word in str(error).lower():
            return install_command(extra)
    return str(error)


def make(source: EnvSource, num_envs: int, *, ignore: tuple[str, ...] = (), **kwargs: object) -> VectorEnv:
    """``num_envs`` copies as one vector environment; a ready ``VectorEnv`` is taken as it is, but for its actions.

    Of Clipper's own environments, the natively vectorised form. ``ignore`` are keys of Dict observations that copies
    are made without.
    """
    if isinstance(source, VectorEnv):
        check_keys(source.single_observation_space, ignore)
        return Listed(source) if wants_lists(source) else source
    if num_envs < 1:
        raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
    name, given = split_id(source) if isinstance(source, str) else ("", {})
    spec = gymnasium.registry.get(name) if name.startswith("clipper/") else None
    if spec is not None and spec.vector_entry_point is not None:
        with named_errors(name, given):
            mode = "vector_entry_point"
            return called(gymnasium.make_vec, spec.id, num_envs, vectorization_mode=mode, **(given | kwargs))
    return Serial([without(partial(make_single, source, **kwargs), ignore)] * num_envs)


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
