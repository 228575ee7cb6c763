"""Options that may follow an Atari game's id: the standard preprocessing, each part of it a field."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_type_hints

from clipper.environments.ids import called
from clipper.errors import ConfigError

IDS = re.compile(r"(ale_py:)?(ALE/\w+-v\d+|\w+NoFrameskip-v4)")
FEWEST_COLUMNS = 160
"""Of the emulator's picture, which is 160 wide and at least as high; an area's mean cannot enlarge it."""
MOST_NOOPS = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Atari:
    """The preprocessing of a game, as arguments behind its id: ``ALE/Pong-v5,repeat_action_probability=0.25``.

    Names are ale-py's and Gymnasium's own. Defaults are OpenAI Baselines' (``make_atari`` and ``wrap_deepmind``), which
    the PPO paper and "The 37 implementation details of PPO" report: hence no sticky actions, also under an id that ends
    in -v5, whose own default is 0.25.
    """

    noop_max: int = 30
    """A game begins after a random number of frames without an action, fewer than this (Atari detail 1)."""
    frameskip: int = 4
    """Frames that an action lasts (Atari detail 2)."""
    maxpool: bool = True
    """Each pixel is the brighter one of the last two frames, since sprites flicker (Atari detail 2)."""
    episodic_life: bool = True
    """The loss of a life ends an episode of learning, and the next one goes on with the same game (Atari detail 3)."""
    use_fire_reset: bool = True
    """Press FIRE where a game or a life begins, in games that have that button (Atari detail 4)."""
    screen_size: int = 84
    """Side of the square picture, in pixels (Atari detail 5)."""
    obs_type: Literal["grayscale", "rgb", "ram"] = "grayscale"
    """What is seen: brightness (Atari detail 5), colours, or the console's 128 bytes, as numbers from 0 to 1."""
    reward_clipping: bool = True
    """Learn from the sign of rewards; reported scores are the game's own (Atari detail 6)."""
    stack_num: int = 4
    """How many of the latest pictures are one observation (Atari detail 7)."""
    repeat_action_probability: float = 0.0
    """Sticky actions: how likely a frame repeats the action before (Machado et al. 2018, arXiv:1709.06009: 0.25)."""
    full_action_space: bool = False
    """All 18 actions of the joystick, instead of those that the game reads."""
    max_num_frames_per_episode: int = 108_000
    """A game is cut off after this many frames, 30 minutes of play."""
    mode: int | None = None
    """The game's variant, as a switch of the console selects it; none for the first."""
    difficulty: int | None = None
    """The console's other switch; none for the first."""

    def __post_init__(self) -> None:
        for name in ("frameskip", "screen_size", "stack_num", "max_num_frames_per_episode"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.noop_max <= MOST_NOOPS:
            raise ConfigError(f"noop_max must lie within 0 and {MOST_NOOPS}, not {self.noop_max}")
        if self.screen_size > FEWEST_COLUMNS:
            raise ConfigError(f"screen_size must be at most {FEWEST_COLUMNS}, the emulator's width")
        if not 0 <= self.repeat_action_probability < 1:
            raise ConfigError(
                f"repeat_action_probability must lie within 0 and 1, not {self.repeat_action_probability:g}"
            )


DEFAULTS = Atari()


def is_atari(name: str) -> bool:
    """Is it the id of an Atari game, ``ALE/Pong-v5``, or the older ``PongNoFrameskip-v4`` of wrapped environments?"""
    return IDS.fullmatch(name) is not None


def read_options(name: str, given: Mapping[str, object]) -> Atari:
    """What is given behind an id → the preprocessing; raises ``ConfigError`` that names what does not fit."""
    hints = get_type_hints(Atari)
    for key, value in given.items():
        if key not in hints:
            raise ConfigError(f"{name} takes no {key}; behind an Atari game's id may stand: {described()}")
        kinds = hints[key].__args__ if hasattr(hints[key], "__args__") else (hints[key],)
        number = float in kinds and type(value) is int
        if not number and value not in kinds and type(value) not in kinds:
            raise ConfigError(f"{name} takes {described(key)}, not {key}={value!r}")
    return called(Atari, **given)


def described(only: str | None = None) -> str:
    """The arguments with their defaults, as they are written: ``noop_max=30, …``."""
    shown = {f.name: getattr(DEFAULTS, f.name) for f in dataclasses.fields(Atari)}
    if only is not None:
        choices = getattr(get_type_hints(Atari)[only], "__args__", ())
        words = [str(c) for c in choices if isinstance(c, str)]
        return f"{only}={'|'.join(words)}" if words else f"{only}={text(shown[only])} or the like"
    return ", ".join(f"{name}={text(value)}" for name, value in shown.items())


def text(value: object) -> str:
    """As it follows an id."""
    return value if isinstance(value, str) else json.dumps(value)
