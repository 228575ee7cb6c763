"""The libraries that speed.py measures: where each is installed, what script runs it, and what work it can be given."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workloads import Workload

HERE = Path(__file__).resolve().parent
ENVIRONMENTS, CLIPPER, EAGER = "environments alone", "Clipper", "Clipper, torch engine"
BFLOAT16, VECTOR = "Clipper, bfloat16", "Clipper, bfloat16, ale-py's vector"
PEERS = ("sb3", "cleanrl", "leanrl", "tianshou", "skrl", "torchrl", "pufferlib", "purejaxrl")
CHECKOUTS = ("cleanrl", "leanrl", "purejaxrl")  # on no package index


@dataclass(frozen=True, slots=True)
class Side:
    """One library: the interpreter of its virtual environment, and the script that runs it."""

    name: str
    python: Path
    script: str
    arguments: tuple[str, ...] = ()
    refuses: Callable[[Workload], str] = lambda _: ""
    """Why it cannot be given a workload; empty where it can."""


def no_native(work: Workload) -> str:
    """Of a library that is run on environments stepped one by one only."""
    return "its script here steps environments one by one" if work.native else ""


def only_mlps(work: Workload) -> str:
    """Of a library that is run without convolutions and memories only."""
    return "its script here has neither convolutions nor a memory" if work.game or work.memory else ""


def numbers(refuses: Callable[[Workload], str]) -> Callable[[Workload], str]:
    """The same of a library that is run on observations of numbers only."""
    return lambda work: "its script here takes observations of numbers" if work.choices else refuses(work)


def neither(work: Workload) -> str:
    """Of a library for which both hold."""
    return no_native(work) or only_mlps(work)


def no_memory(work: Workload) -> str:
    """CleanRL, whose script with a memory is for Atari."""
    return "its script with a memory is for Atari" if work.memory else ""


def game_only(work: Workload) -> str:
    """Of what concerns convolutions, or the emulator."""
    return "" if work.game else "it concerns games from pixels"


def chosen_already(work: Workload) -> str:
    """The torch engine on pixels, where no other is to be had."""
    return "here it is Clipper's only engine" if work.game else ""


def continuous_only(work: Workload) -> str:
    """LeanRL, whose other PPO script is for a GPU."""
    fits = work.continuous and not work.native
    return "" if fits else "its script here is the one for continuous actions"


def own_environments(work: Workload) -> str:
    """PureJaxRL, whose environments are compiled with the training."""
    if work.native and work.env == "CartPole-v1" and work.hidden == (64, 64):
        return ""
    return "its environments are its own, natively vectorised, and the networks of its script are 64-64"


def whole_segments(work: Workload) -> str:
    """PufferLib, whose minibatches consist of segments as long as the horizon."""
    if work.game or work.memory:
        return only_mlps(work)
    rows = work.num_envs * work.horizon // work.minibatches
    return "" if rows % work.horizon == 0 else f"its minibatches are whole segments, and {rows} rows are none"


# Name in the table, folder in .peers/, further arguments of its script, what it refuses.
SIDES = (
    ("Stable-Baselines3", "sb3", (), no_native),
    ("CleanRL", "cleanrl", (), numbers(no_memory)),
    ("LeanRL", "leanrl", ("eager",), continuous_only),
    ("LeanRL, compiled", "leanrl", ("compiled",), continuous_only),
    ("Tianshou", "tianshou", (), numbers(neither)),
    ("skrl", "skrl", (), numbers(neither)),
    ("TorchRL", "torchrl", (), numbers(neither)),
    ("PufferLib", "pufferlib", (), numbers(whole_segments)),
    ("PureJaxRL, on gymnax", "purejaxrl", (), own_environments),
)


def find_sides(
    names: tuple[str, ...], checkouts: Mapping[str, Path | None], peers: Path = HERE / ".peers"
) -> tuple[list[Side], dict[str, str]]:
    """Clipper's sides and all of ``names`` that can run here, in the order of each round; and why others cannot.

    ``checkouts`` has the path of each library that is on no package index.
    """
    if unknown := [name for name in names if name not in PEERS]:
        raise SystemExit(f"no peer {', '.join(unknown)}: choose from {', '.join(PEERS)}")
    here = Path(sys.executable)
    sides = [
        Side(ENVIRONMENTS, here, "run_environments.py"),
        Side(CLIPPER, here, "run_clipper.py", ("cpu",)),
        Side(EAGER, here, "run_clipper.py", ("torch",), chosen_already),
        Side(BFLOAT16, here, "run_clipper.py", ("bfloat16",), game_only),
        Side(VECTOR, here, "run_clipper.py", ("bfloat16", "native"), game_only),
    ]
    left_out = {}
    for name, folder, arguments, refuses in SIDES:
        python, checkout = peers / folder / "bin" / "python", checkouts.get(folder)
        if folder not in names:
            continue
        if not python.exists():
            left_out[name] = f"sh benchmarks/make_peers.sh {folder} makes its virtual environment"
        elif folder in CHECKOUTS and checkout is None:
            left_out[name] = f"give a checkout with --{folder} PATH"
        elif checkout is not None and not checkout.is_dir():
            left_out[name] = f"--{folder} {checkout} is no folder"
        else:
            path = () if checkout is None else (str(checkout.resolve()),)
            sides.append(Side(name, python, f"run_{folder}.py", (*path, *arguments), refuses))
    return sides, left_out
