"""Watch a policy: in a window, or as a video file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import SupportsFloat

import gymnasium
import numpy as np

from clipper.data.tree_type import Tree
from clipper.environments import make_single
from clipper.environments.ids import called
from clipper.environments.sources import EnvSource
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, MissingPackageError, install_command
from clipper.networks.protocol import Actor
from clipper.rollout.evaluation import EVALUATION_SEED, Evaluation, evaluate_policy
from clipper.storage.files import for_output

VIDEOS = (".gif", ".mp4", ".mkv", ".mov", ".webm", ".avi")


class Filmed(gymnasium.Wrapper):
    """Keeps the picture after each reset and step."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.frames: list[np.ndarray] = []

    def reset(self, **options: object) -> tuple[Tree, Info]:
        result = called(self.env.reset, **options)
        self.frames.append(np.asarray(self.env.render()))
        return result

    def step(self, action: Tree) -> tuple[Tree, SupportsFloat, bool, bool, Info]:
        result = self.env.step(action)
        self.frames.append(np.asarray(self.env.render()))
        return result


def play(
    policy: Actor,
    env: EnvSource,
    *,
    episodes: int = 1,
    video: Path | None = None,
    seed: int = EVALUATION_SEED,
    deterministic: bool = True,
) -> Evaluation:
    """Play episodes one after another, in a window, or into ``video`` (``.mp4`` or ``.gif``)."""
    if isinstance(env, gymnasium.vector.VectorEnv | Sequence) and not isinstance(env, str):
        raise ConfigError("play needs an environment's id or a factory, to make one that renders")
    if video is not None and video.suffix.lower() not in VIDEOS:
        raise ConfigError(f"{video}: no video of that kind is written: let it end in {', '.join(VIDEOS)}")
    video = None if video is None else for_output(video)
    single = rendering(env, "human" if video is None else "rgb_array")
    shown = single if video is None else Filmed(single)
    result = evaluate_policy(
        policy, lambda: shown, episodes=episodes, seed=seed, deterministic=deterministic, num_envs=1
    )
    if isinstance(shown, Filmed) and video is not None:
        write_video(shown.frames, video, single.metadata.get("render_fps", 30))
    return result


def rendering(env: str | Callable[[], gymnasium.Env], mode: str) -> gymnasium.Env:
    """The environment, made to render in that mode; ``ConfigError`` where it cannot, since it would show nothing."""
    try:
        single = make_single(env, render_mode=mode)
    except TypeError as error:
        raise ConfigError(f"{env} cannot be made with render_mode={mode!r}, which pictures need: {error}") from error
    modes = single.metadata.get("render_modes", [])
    if mode not in modes:
        single.close()
        instead = "; --video FILE.gif (video=) does without a window" if "rgb_array" in modes else ""
        raise ConfigError(f"{env} does not render as {mode!r}: its metadata['render_modes'] is {list(modes)}{instead}")
    return single


def write_video(frames: list[np.ndarray], path: Path, fps: int) -> None:
    """Frames ``[height, width, 3]`` of bytes → a video file, in the format that the suffix names."""
    try:
        from moviepy import ImageSequenceClip  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise MissingPackageError(f"videos need moviepy: {install_command('play')}") from error
    clip = ImageSequenceClip(frames, fps=fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".gif":
        clip.write_gif(str(path), logger=None)
    else:
        clip.write_videofile(str(path), logger=None, audio=False)
