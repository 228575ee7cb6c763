"""Annotated shapes in the package are checked in every test; each has a time limit, far above what it takes.

No test depends on how fast the machine is otherwise.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import shape_checker
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# Installed before the package is first imported, so that its modules are instrumented.
# Compiled kernels are left out: Numba cannot compile what checks their arguments. So is what unrolls: it reads syntax
# trees and has no array, and a million of its calls would be looked at for each file.
SOURCE = Path(__file__).parents[1] / "src" / "clipper"
CHECKED = {".".join(p.relative_to(SOURCE.parent).with_suffix("").parts) for p in SOURCE.rglob("*.py")}
install_import_hook(
    sorted(name for name in CHECKED if ".kernels" not in name and ".unroll" not in name), "shape_checker.check"
)

settings.register_profile("clipper", deadline=None, max_examples=50)
settings.load_profile("clipper")
torch.set_num_threads(1)
os.environ["CLIPPER_ENGINE"] = "torch"  # the definition is tested, however long a run; tests/unit/engines asks for more

LIMIT, LONG_LIMIT = 180, 3600  # seconds


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """End a test that hangs; ``@pytest.mark.limit(seconds)`` gives it a limit of its own."""
    shape_checker.begin()
    own, long = item.get_closest_marker("limit"), item.get_closest_marker("long")
    seconds = own.args[0] if own else LONG_LIMIT if long else LIMIT

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{item.nodeid} has not ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
