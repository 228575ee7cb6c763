"""CleanRL's script on one workload, its file unmodified, from a checkout: ``run_cleanrl.py WORKLOAD PATH``.

The end of an iteration is the moment when the script prints its "SPS:" line. Under Gymnasium 1.x the script sees no
finished episodes, so a vector environment that counts them stands in for Gymnasium's (a few microseconds a step). For
continuous actions its script wraps each environment in observation and reward normalisation; these wrappers are taken
out, since the other sides run without. Other widths than its own 64 are put in as the script builds its layers, and for
native environments the vector environment that Gymnasium brings takes the place of the one made of single ones. Its
script for games names two of Gymnasium's wrappers as they were called before.
"""

import importlib
import io
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import torch
import tyro  # noqa: F401  # the script imports these two: they belong to the memory before it begins
from counting import CountingEnv, CountingNativeEnv, linear_of_width, made, script_flags, without
from measure import begin, report
from torch.utils.tensorboard import SummaryWriter  # noqa: F401

FORMER_NAMES = {"GrayScaleObservation": "GrayscaleObservation", "FrameStack": "FrameStackObservation"}


class IterationClock(io.TextIOBase):
    """Standard output that notes time and decisions at each "SPS:" and drops the text."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, int]] = []

    def write(self, text: str, /) -> int:
        """Print writes its arguments one by one."""
        if text == "SPS:":
            self.marks.append((time.perf_counter(), made[-1].decisions))
        return len(text)


def script_for(work: dict[str, Any]) -> str:
    """Which of its scripts; a game's id in ``work`` becomes the older one, whose frames the script itself skips."""
    if work["game"]:
        importlib.import_module("ale_py")  # registers the games
        work["env"] = work["env"].partition("/")[2].partition("-")[0] + "NoFrameskip-v4"
        return "ppo_atari.py"
    discrete = isinstance(gymnasium.make(work["env"]).action_space, gymnasium.spaces.Discrete)
    return "ppo.py" if discrete else "ppo_continuous_action.py"


def main() -> None:
    """Run the script, and report the iterations after the warm-up."""
    work = begin()
    checkout = Path(sys.argv[2]).resolve()
    script = checkout / "cleanrl" / script_for(work)
    if work["game"]:
        sys.path.insert(0, str(checkout))  # it imports cleanrl_utils
        for former, present in FORMER_NAMES.items():
            setattr(gymnasium.wrappers, former, getattr(gymnasium.wrappers, present))
    CountingNativeEnv.work = work
    gymnasium.vector.SyncVectorEnv = CountingNativeEnv if work["native"] else CountingEnv
    width, *others = work["hidden"]
    if not work["game"] and width != 64:
        assert [width] == others
        torch.nn.Linear = linear_of_width(width)
    for name in ("NormalizeObservation", "NormalizeReward", "TransformObservation", "TransformReward"):
        setattr(gymnasium.wrappers, name, without)
    clock, stdout = IterationClock(), sys.stdout
    sys.argv = [str(script), *script_flags(work), "--no-track"]
    sys.stdout = clock
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.stdout = stdout
    (began, before), (ended, after) = clock.marks[work["warmup"] - 1], clock.marks[-1]
    report(after - before, ended - began, made[-1].returns, "tensorboard", "tyro")


if __name__ == "__main__":
    main()
