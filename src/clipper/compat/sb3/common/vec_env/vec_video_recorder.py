"""Videos of what the environments show."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError
from clipper.storage.files import from_user


class VecVideoRecorder(VecEnvWrapper):
    """A film of ``video_length`` steps from each step on of which ``record_video_trigger`` says so, as MP4."""

    def __init__(
        self, venv: VecEnv, video_folder: str | Path, record_video_trigger: Callable[[int], bool],
        video_length: int = 200, name_prefix: str = "rl-video",
    ) -> None:  # fmt: skip
        super().__init__(venv)
        if self.render_mode != "rgb_array":
            raise ConfigError(
                f"VecVideoRecorder needs environments of render_mode='rgb_array', not {self.render_mode!r}"
            )
        self.record_video_trigger, self.video_length, self.name_prefix = record_video_trigger, video_length, name_prefix
        self.video_folder = from_user(video_folder)
        self.video_folder.mkdir(parents=True, exist_ok=True)
        self.step_id, self.recording, self.recorded_frames = 0, False, list[np.ndarray]()
        self.video_path = str(self.video_folder)
        self.frames_per_sec = int(venv.unwrapped.metadata.get("render_fps", 30))

    def reset(self) -> Tree:
        obs = self.venv.reset()
        if self.record_video_trigger(self.step_id):
            self._start_video_recorder()
        return obs

    def _start_video_recorder(self) -> None:
        self._start_recording()
        self._capture_frame()

    def _start_recording(self) -> None:
        if self.recording:
            self._stop_recording()
        name = f"{self.name_prefix}-step-{self.step_id}-to-step-{self.step_id + self.video_length}.mp4"
        self.recording, self.recorded_frames, self.video_path = True, [], str(self.video_folder / name)

    def _capture_frame(self) -> None:
        picture = self.venv.render()
        if isinstance(picture, np.ndarray):
            self.recorded_frames.append(picture)

    def step_wait(self) -> VecEnvStepReturn:
        found = self.venv.step_wait()
        self.step_id += 1
        if self.recording:
            self._capture_frame()
            if len(self.recorded_frames) > self.video_length:
                self._stop_recording()
        elif self.record_video_trigger(self.step_id):
            self._start_video_recorder()
        return found

    def _stop_recording(self) -> None:
        if self.recorded_frames:
            try:
                from moviepy.video.io.ImageSequenceClip import ImageSequenceClip  # noqa: PLC0415 (only films need it)
            except ImportError as error:
                raise ConfigError("to write films moviepy is needed: pip install moviepy") from error
            clip = ImageSequenceClip(self.recorded_frames, fps=self.frames_per_sec)
            clip.write_videofile(self.video_path, logger=None)
        self.recording, self.recorded_frames = False, []

    def close(self) -> None:
        if self.recording:
            self._stop_recording()
        self.venv.close()
