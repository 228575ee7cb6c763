"""An environment in a process of its own, which does what a pipe asks for. Loads little."""

from multiprocessing.connection import Connection
from typing import Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.spaces import Dict, Tuple

from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info


def stack(space: gymnasium.Space, rows: list[Tree]) -> Tree:
    """Observations of each environment → arrays of the space's dtypes with a leading axis; dicts and tuples by part."""
    if isinstance(space, Dict):
        return {key: stack(part, [row[key] for row in rows]) for key, part in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(stack(part, [row[i] for row in rows]) for i, part in enumerate(space.spaces))
    return np.stack([np.asarray(row, dtype=space.dtype) for row in rows])


@runtime_checkable
class Wrapped(Protocol):
    """A function or class as it crossed the pipe."""

    var: Tree


class Served:
    """What can be asked for."""

    def __init__(self, env: gymnasium.Env) -> None:
        self.env, self.told = env, dict[str, object]()

    def spaces(self) -> tuple[gymnasium.Space, gymnasium.Space]:
        return self.env.observation_space, self.env.action_space

    def step(self, action: Tree) -> tuple[Tree, np.float32, bool, Info, Info]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        done = bool(terminated or truncated)
        info = {**info, "TimeLimit.truncated": bool(truncated and not terminated)}
        if done:
            info["terminal_observation"] = obs
            obs, self.told = self.env.reset()
        return obs, np.float32(reward), done, info, self.told

    def reset(self, seed: int | None, options: Info) -> tuple[Tree, Info]:
        obs, self.told = self.env.reset(seed=seed, **({"options": options} if options else {}))
        return obs, self.told

    def get_attr(self, name: str) -> Tree:
        return self.env.get_wrapper_attr(name)

    def set_attr(self, name: str, value: object) -> None:
        setattr(self.env, name, value)

    def env_method(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Tree:
        return self.env.get_wrapper_attr(name)(*args, **kwargs)

    def is_wrapped(self, wrapper: Wrapped) -> bool:
        env = self.env
        while not isinstance(env, wrapper.var):
            if not isinstance(env, gymnasium.Wrapper):
                return False
            env = env.env
        return True


def serve(pipe: Connection, other_end: Connection, make: Wrapped) -> None:
    """Make the environment and answer until asked to close; an error is sent back as the answer."""
    other_end.close()
    served = None
    while True:
        try:
            command, what = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            break
        if command == "close":
            break
        try:
            served = served or Served(make.var())
            answer = True, getattr(served, command)(*what)
        except Exception as error:
            answer = False, error
        try:
            pipe.send(answer)
        except Exception as error:  # what cannot cross the pipe, as some errors cannot
            pipe.send((False, RuntimeError(f"{answer[1]!r} cannot be sent from the environment's process: {error}")))
    if served is not None:
        served.env.close()
    pipe.close()
