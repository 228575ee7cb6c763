"""One Atari game as a Gymnasium environment, on ale-py's emulator: it renders, and its state can be saved."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import SupportsInt

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.data.tree_type import Tree
from clipper.environments.atari.game_options import MOST_NOOPS, Atari, is_atari, read_options
from clipper.environments.atari.pictures import Shrink
from clipper.environments.told_episodes import TELLS, WHOLE, Info, told
from clipper.errors import ConfigError, MissingPackageError, install_command

NEW_GAME, NEW_LIFE = 255, 254
"""Entries of a history that are no action: the first is followed by the number of frames without one."""
LOAD_AGAIN = 20_000  # frames after which the next game loads its ROM anew, so that histories stay short
BYTES = 128  # of the console's memory
SECOND = 60  # frames


class Game(gymnasium.Env):
    """A game by its id, with the preprocessing of ``Atari``.

    Rewards are what is learned from; the last ``info`` of a whole game tells its own score and length. After the loss
    of a life, ``reset`` goes on with the same game: with one action, FIRE or none, that the agent has no say in, and
    without the pictures of the life before. The emulator is deterministic: a game is saved as what was done in it, and
    restored by playing that again, so that nothing of the emulator is ever read from a file.
    """

    metadata = {"render_modes": ["human", "rgb_array"], TELLS: True}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, name: str, options: Atari, render_mode: str | None = None) -> None:
        ale_py = emulator()
        self.spec, self.options, self.render_mode = gymnasium.spec(name.removeprefix("ale_py:")), options, render_mode
        self.metadata = {**self.metadata, "render_fps": SECOND // options.frameskip}
        self.ale = ale_py.ALEInterface()
        self.ale.setFloat("repeat_action_probability", options.repeat_action_probability)
        if render_mode == "human":
            self.ale.setBool("display_screen", True)
            self.ale.setBool("sound", True)
        self.rom = ale_py.roms.get_rom_path(self.spec.kwargs["game"])
        self.actions, (height, width), modes, difficulties = facts(str(self.rom), options.full_action_space)
        for key, known in (("mode", modes), ("difficulty", difficulties)):
            value = getattr(options, key)
            if value is not None and value not in known:
                raise ConfigError(f"{name} has no {key} {value}; there are: {', '.join(map(str, known))}")
        self.action_space = Discrete(len(self.actions))
        self.fire = self.actions.index(FIRE) if options.use_fire_reset and FIRE in self.actions else None
        colours = (3,) if options.obs_type == "rgb" else ()
        size, stack = options.screen_size, options.stack_num
        if options.obs_type == "ram":
            self.observation_space = Box(0.0, 1.0, (stack * BYTES,), np.float32)
            self.stack = np.zeros((stack, BYTES), np.uint8)
        else:
            self.observation_space = Box(0, 255, (stack, size, size, *colours), np.uint8)
            self.stack = np.zeros((stack, size, size, *colours), np.uint8)
        self.frames = np.zeros((2, height, width, *colours), np.uint8)
        """The two latest, of which the first becomes the brighter one of both."""
        self.shrink = Shrink(height, width, size)
        self.rom_seed, self.history, self.since_loading = 0, bytearray(), LOAD_AGAIN + 1
        self.lives = self.frame = self.length = 0
        self.score, self.over, self.life_lost = 0.0, True, False

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        """A new game, or, after the loss of a life, the same one's next; a seed or ``WHOLE`` asks for a new game."""
        super().reset(seed=seed)
        info: Info = {}
        if self.life_lost and not self.over and seed is None and options != WHOLE:
            self.next_life()
            if not self.over:
                return self.observation(), info
            info = told(self.score, self.length)
        if seed is not None or self.since_loading > LOAD_AGAIN:
            self.load(int(self.np_random.integers(2**31)) if seed is None else seed % 2**31)
        self.new_game(int(self.np_random.integers(max(self.options.noop_max, 1))))
        return self.observation(), info

    def step(self, action: SupportsInt) -> tuple[np.ndarray, float, bool, bool, Info]:
        reward = self.act(int(action))
        ended, cut_off = bool(self.ale.game_over()), self.frame >= self.options.max_num_frames_per_episode
        info = told(self.score, self.length) if self.over else {}
        return self.observation(), reward, ended or self.life_lost, cut_off and not ended, info

    def load(self, seed: int) -> None:
        """Load the ROM, from where the emulator's draws depend on ``seed`` alone."""
        self.ale.setInt("random_seed", seed)
        self.ale.loadROM(self.rom)
        if self.options.mode is not None:
            self.ale.setMode(self.options.mode)
        if self.options.difficulty is not None:
            self.ale.setDifficulty(self.options.difficulty)
        self.rom_seed, self.history, self.since_loading = seed, bytearray(), 0

    def new_game(self, frames: int) -> None:
        """Begin a game; the first ``frames`` frames are without an action, but for FIRE, which takes one of them."""
        self.history += bytes((NEW_GAME, frames))
        self.ale.reset_game()
        if self.fire is not None:
            self.ale.act(FIRE)
        for _ in range(frames - (self.fire is not None)):
            self.ale.act(NOOP)
            if self.ale.game_over():
                self.ale.reset_game()
        self.since_loading += frames + SECOND  # about what the emulator's own reset takes
        self.stack[:] = self.frames[1] = 0
        self.look(0)
        self.keep()
        self.lives, self.frame, self.length, self.score = self.ale.lives(), 0, 0, 0.0
        self.over = self.life_lost = False

    def next_life(self) -> None:
        """Begin a life: an action of nobody's, and a past that is black."""
        self.history.append(NEW_LIFE)
        self.play(FIRE if self.fire is not None else NOOP)
        self.stack[:-1] = 0

    def act(self, action: int) -> float:
        """An action of the agent's; returns what is learned from."""
        self.history.append(action)
        self.length += 1
        reward = self.play(self.actions[action])
        return float(np.sign(reward)) if self.options.reward_clipping else float(reward)

    def play(self, button: int) -> float:
        """The frames of one action, and what came of them; returns the game's own reward."""
        reward, most = 0, self.options.max_num_frames_per_episode
        for left in range(self.options.frameskip, 0, -1):
            reward += self.ale.act(button)
            self.frame += 1
            self.since_loading += 1
            if self.ale.game_over() or self.frame >= most:
                break
            if left <= 2:
                self.look(left - 1)
        self.keep()
        lives = self.ale.lives()
        self.over = self.ale.game_over() or self.frame >= most
        self.life_lost = self.options.episodic_life and 0 < lives < self.lives
        self.lives = lives
        self.score += reward
        return reward

    def look(self, at: int) -> None:
        """Keep the picture on the screen."""
        if self.options.obs_type == "grayscale":
            self.ale.getScreenGrayscale(self.frames[at])
        elif self.options.obs_type == "rgb":
            self.ale.getScreenRGB(self.frames[at])

    def keep(self) -> None:
        """Put what is seen now behind what was seen before."""
        self.stack[:-1] = self.stack[1:]
        if self.options.obs_type == "ram":
            self.stack[-1] = self.ale.getRAM()
            return
        if self.options.maxpool:
            np.maximum(self.frames[0], self.frames[1], out=self.frames[0])
        self.stack[-1] = self.shrink(self.frames[0])

    def observation(self) -> np.ndarray:
        """The latest pictures, the last one last."""
        if self.options.obs_type == "ram":
            return self.stack.reshape(-1) / np.float32(255)
        return self.stack.copy()

    def render(self) -> np.ndarray | None:
        """The whole screen in its colours; in a window it is the emulator that draws."""
        return self.ale.getScreenRGB() if self.render_mode == "rgb_array" else None

    def get_state(self) -> dict[str, object]:
        """What was done since the ROM was loaded."""
        return {"seed": self.rom_seed, "history": self.history.hex()}

    def set_state(self, tree: Tree) -> None:
        """Do it again; raises ``ValueError`` where that is no history of this game."""
        self.load(int(tree["seed"]) % 2**31)
        entries = iter(bytes.fromhex(tree["history"]))
        number = -1
        for number, entry in enumerate(entries):
            if entry == NEW_GAME:
                self.new_game(next(entries))
            elif number and entry == NEW_LIFE and self.life_lost and not self.over:
                self.next_life()
            elif number and entry < len(self.actions):
                self.act(entry)
            else:
                raise ValueError(f"entry {number} of a game's history is {entry}, which cannot have been there")
            if self.since_loading > LOAD_AGAIN + SECOND + MOST_NOOPS + self.options.max_num_frames_per_episode:
                raise ValueError("a game's history is longer than its games may be")
        if number < 0:
            raise ValueError("a game's history is empty")


def emulator() -> ModuleType:
    """ale-py, which brings the emulator and the games, and registers their ids."""
    try:
        ale_py = import_module("ale_py")
        import_module("ale_py.roms")
    except ImportError as error:
        raise MissingPackageError(f"Atari games need ale-py: {install_command('atari')}") from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py


NOOP, FIRE = 0, 1  # of ale_py.Action, whose numbers are the emulator's own


@cache
def facts(rom: str, every_action: bool) -> tuple[list[int], tuple[int, int], list[int], list[int]]:
    """Of a game: the actions, the screen's height and width, modes and difficulties. Loading a ROM takes its time."""
    ale = emulator().ALEInterface()
    ale.loadROM(rom)
    actions = ale.getLegalActionSet() if every_action else ale.getMinimalActionSet()
    height, width = ale.getScreenDims()
    return [a.value for a in actions], (height, width), ale.getAvailableModes(), ale.getAvailableDifficulties()


def make_game(name: str, given: dict[str, object], render_mode: str | None = None) -> Game | None:
    """The game that an id names, with the arguments behind it; None where it is no Atari game's."""
    if not is_atari(name):
        return None
    emulator()
    return Game(name, read_options(name, given), render_mode)
