"""LeanRL's script on one workload, its file unmodified, from a checkout: ``run_leanrl.py WORKLOAD PATH MODE``.

MODE is eager, for ppo_continuous_action.py, or compiled, for ppo_continuous_action_torchcompile.py with ``--compile``,
which needs a C++ compiler; it has PPO for continuous actions only (and for Atari). An iteration begins when the script
takes the next number from its progress bar, which an iterator that notes the time stands in for. The environments are
those of run_cleanrl.py, from which its scripts descend: counted, and without normalisation. Weights & Biases is left
out. The first iterations, which compile, are the warm-up. Its policy for acting shares detached parameters with the one
that learns, which TensorDict of today makes parameters with gradients again: acting and advantages get no_grad.
"""

import runpy
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import tensordict  # noqa: F401  # pyright: ignore[reportMissingImports]
import torch
import tqdm
import tyro  # noqa: F401  # these the script imports: they belong to the memory before it begins
from counting import CountingEnv, made, script_flags, without
from measure import begin, report

SCRIPTS = {"eager": "ppo_continuous_action.py", "compiled": "ppo_continuous_action_torchcompile.py"}
COMPILE = {"eager": [], "compiled": ["--compile", "--no-cudagraphs"]}


class IterationClock:
    """In place of tqdm: notes time and decisions whenever an iteration begins, and at the end."""

    marks: "list[tuple[float, int]]" = []  # noqa: RUF012

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = numbers

    def __iter__(self) -> Iterator[int]:
        for number in self.numbers:
            self.mark()
            yield number
        self.mark()

    def mark(self) -> None:
        """Now."""
        self.marks.append((time.perf_counter(), made[-1].decisions))

    def set_description(self, *_: Any) -> None:
        """Nothing is shown."""


def nothing(*_: Any, **__: Any) -> None:
    """Take the place of a call that is left out."""


def compile_acting(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """torch.compile, without gradients for all but the update."""
    compiled = compile_any(function, **options)
    acting = getattr(function, "__name__", "") in ("get_action_and_value", "gae")
    return torch.no_grad()(compiled) if acting else compiled


compile_any = torch.compile


def main() -> None:
    """Run the script, and report the iterations after the warm-up."""
    work = begin()
    assert work["hidden"] == [64, 64], "the script's networks are 64-64"
    mode = sys.argv[3]
    script = Path(sys.argv[2]).resolve() / "leanrl" / SCRIPTS[mode]
    gymnasium.vector.SyncVectorEnv = CountingEnv
    for name in ("NormalizeObservation", "NormalizeReward", "TransformObservation", "TransformReward"):
        setattr(gymnasium.wrappers, name, without)
    tqdm.tqdm = IterationClock
    torch.compiler.cudagraph_mark_step_begin = nothing  # means nothing on a CPU
    torch.compile = compile_acting
    wandb = ModuleType("wandb")
    wandb.__dict__.update(init=nothing, log=nothing)
    sys.modules["wandb"] = wandb
    sys.argv = [str(script), *script_flags(work), *COMPILE[mode]]
    optimizer = runpy.run_path(str(script), run_name="__main__")["optimizer"]
    (began, before), (ended, after) = IterationClock.marks[work["warmup"]], IterationClock.marks[-1]
    # Adam's own count: compiled steps pass by the hooks of torch's optimizers.
    steps = int(next(iter(optimizer.state.values()))["step"])
    report(after - before, ended - began, made[-1].returns, "tensordict", "tyro", optimizer_steps=steps)


if __name__ == "__main__":
    main()
