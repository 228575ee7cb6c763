"""What the scripts beside this one share: the threads, a count of optimizer steps, and one JSON line as their result.

Each script trains one library on one workload, in a process of its own that ``benchmarks/speed.py`` starts in an empty
folder with the workload as JSON. Seconds run from the end of the last warm-up iteration to the end of the last
iteration: imports, construction and first calls are left out. Memory is the process's peak less its peak when the
script's imports were done.
"""

import json
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

try:
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook as call_after_step
except ImportError:  # a peer that does without it sets its threads and counts its optimizer steps itself
    torch = call_after_step = None

RECENT = 100  # episodes in the mean training return
SHARED = ("torch", "numpy", "gymnasium", "mujoco")  # packages that most sides have

counted = 0
imported = 0.0


def count_optimizer_step(*_: object) -> None:
    """Global hook of torch's optimizers: the same count for every library."""
    global counted  # noqa: PLW0603
    counted += 1


def begin() -> dict[str, Any]:
    """The workload from the command line; its threads set, optimizer steps counted, memory so far noted."""
    global imported  # noqa: PLW0603
    imported = peak_memory()
    work = json.loads(sys.argv[1])
    if torch is not None and call_after_step is not None:
        torch.set_num_threads(work["threads"])
        call_after_step(count_optimizer_step)
    return work


def peak_memory() -> float:
    """Megabytes (10⁶ bytes) that this process has held at most.

    Linux counts into ``ru_maxrss`` what the process that started this one held then; ``VmHWM`` is this one's alone.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def report(
    steps: int,
    seconds: float,
    returns: list[float],
    *packages: str,
    optimizer_steps: int | None = None,
    threads: int | None = None,
    peak: float | None = None,
) -> None:
    """Print the result as the last line: decisions, seconds, mean return of the last episodes, memory, versions.

    Optimizer steps are those that torch's hook counted, threads those that torch has, and the peak of memory that of
    now, unless they are given.
    """
    if torch is not None and threads is None:
        threads = torch.get_num_threads()
    recent = returns[-RECENT:]
    result = {
        "steps": steps,
        "seconds": seconds,
        "return": sum(recent) / len(recent) if recent else None,
        "episodes": len(recent),
        "optimizer_steps": counted if optimizer_steps is None else optimizer_steps,
        "threads": threads,
        "memory": (peak_memory() if peak is None else peak) - imported,
        "versions": {name: found for name in (*SHARED, *packages) if (found := installed(name))},
    }
    print(json.dumps(result), flush=True)


def installed(name: str) -> str:
    """A distribution's version, or an empty string."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
