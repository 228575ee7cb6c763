"""Many Atari games at once, stepped by ale-py's own vector environment in threads of its own."""

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from clipper.data.tree_type import Tree
from clipper.environments.atari.game import emulator
from clipper.environments.atari.game_options import DEFAULTS, Atari
from clipper.environments.ids import called
from clipper.environments.told_episodes import TELLS, Info, told_where
from clipper.errors import ConfigError, MissingPackageError


class NativeGames(VectorWrapper):
    """ale-py's ``AtariVectorEnv`` with lives, rewards and scores as ``Game`` has them.

    Its own ``episodic_life`` begins a new game where a life is lost, so that later lives would never be played; and it
    presses FIRE where a game begins, not where a life does. Both are done here instead: the row after the loss of a
    life is one action that the agent has no say in, as ``Game.reset`` takes it. It cannot save its state.
    """

    def __init__(self, env: VectorEnv, options: Atari, fire: int | None) -> None:
        super().__init__(env)
        self.options, self.button = options, 0 if fire is None else fire
        self._metadata = {**env.metadata, TELLS: True}
        n = env.num_envs
        self.lives, self.age = np.zeros(n, np.int64), np.full(n, options.stack_num)
        self.over, self.life_lost = np.zeros((2, n), bool)
        self.score, self.length = np.zeros((2, n))

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        """New games in all; an integer seeds game i with ``seed + i``."""
        seeds = seed if seed is None else (np.arange(self.num_envs) + seed % 2**31) % 2**31
        obs, info = called(self.env.reset, seed=seeds)
        self.lives = info["lives"].astype(np.int64)
        for array in (self.over, self.life_lost, self.score, self.length):
            array[:] = 0
        self.age[:] = self.options.stack_num
        return obs, {}

    def step(self, actions: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        played = ~self.over  # where a game is over, this row begins the next
        decided = played & ~self.life_lost
        obs, reward, ended, truncated, info = self.env.step(np.where(self.life_lost, self.button, actions))
        self.score += reward
        self.length += decided
        self.blacken(obs)
        lives = info["lives"].astype(np.int64)
        lost = played & (lives > 0) & (lives < self.lives) & self.options.episodic_life
        self.lives, self.over = lives, ended | truncated
        self.life_lost = lost & ~self.over
        told = told_where(self.over, self.score, self.length)
        gain = np.sign(reward) if self.options.reward_clipping else reward
        return obs, gain.astype(np.float64), ended | lost, truncated, told

    def blacken(self, obs: np.ndarray) -> None:
        """Leave out of a life's first observations what was seen in the life before."""
        self.age = np.where(self.life_lost, 1, self.age + 1)
        for i in np.flatnonzero(self.age < self.options.stack_num):
            obs[i, : -self.age[i]] = 0


def make_native(name: str, options: Atari, num_envs: int, threads: int) -> NativeGames:
    """The games of an id; raises ``ConfigError`` for what ale-py's vector environment does not know."""
    unknown = [key for key in ("mode", "difficulty") if getattr(options, key) is not None]
    unknown += ["obs_type=ram"] if options.obs_type == "ram" else []
    if unknown:
        raise ConfigError(f"ale-py's vector environment knows no {unknown[0]}: use --vector workers, or serial")
    ale_py = emulator()
    if not hasattr(ale_py, "ALEVectorInterface"):
        raise MissingPackageError(
            "this ale-py was built without its vector environment: use --vector workers, or serial"
        )
    spec = gymnasium.spec(name.removeprefix("ale_py:"))
    same = (
        "noop_max", "frameskip", "maxpool", "use_fire_reset", "stack_num", "repeat_action_probability",
        "full_action_space", "max_num_frames_per_episode",
    )  # fmt: skip
    env = ale_py.AtariVectorEnv(
        spec.kwargs["game"], num_envs, img_height=options.screen_size, img_width=options.screen_size,
        grayscale=options.obs_type == DEFAULTS.obs_type, episodic_life=False, reward_clipping=False,
        num_threads=min(threads, num_envs), **{key: getattr(options, key) for key in same},
    )  # fmt: skip
    env.spec = spec
    buttons = [a.value for a in env.ale.get_action_set()]
    return NativeGames(env, options, buttons.index(1) if 1 in buttons and options.use_fire_reset else None)
