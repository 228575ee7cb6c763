"""The environment of a saved run: made because the file names it, or only where the user names it again."""

from typing import TypeVar

from clipper.environments.atari import is_atari
from clipper.environments.envpool_ids import is_envpools
from clipper.environments.ids import split_id
from clipper.errors import ConfigError

Named = TypeVar("Named")


def why_asked(env: str) -> str:
    """Why the user is asked to name it again; "" for an installed id whose arguments can do nothing but set a task.

    Numbers and truth values cannot; a text may be a file to read (``xml_file=…``) or a window (``render_mode=human``).
    An Atari game's are checked words of its preprocessing.
    """
    module = ":" in env.partition(",")[0] and not is_envpools(env)
    if module or env.startswith("<"):
        return "which is code of your own"
    name, given = split_id(env)
    texts = [key for key, value in given.items() if isinstance(value, str)]
    return f"whose {texts[0]} is a text, which may be a file or a window" if texts and not is_atari(name) else ""


def env_of_file(env: str, named: Named | None) -> str | Named:
    """The run's environment, or the one that the user has ``named``; ``ConfigError`` where he has to and has not."""
    if named is not None:
        return named
    if why := why_asked(env):
        raise ConfigError(
            f"this run's environment is {env}, {why}: name it again with env= (--env), so that nothing is imported, "
            "read or opened because a file says so"
        )
    return env
