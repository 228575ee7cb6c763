"""Memory that is freed stays with the process, told by the page faults that the kernel counts."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from clipper.engines.heap import keep_freed_memory
kept = keep_freed_memory() if {keep} else True
torch.set_num_threads(1)
def work():
    for _ in range(20):
        [torch.ones(4 << 20) for _ in range(4)]  # of 16 MB each
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    kept, number = done.stdout.split()
    if kept == "False":
        pytest.skip("this system's malloc takes no such advice")
    return int(number)


def test_large_tensors_take_no_new_pages_once_there_were_some() -> None:
    assert faults(keep=True) < 2000  # the four have 16,384 pages, and are made 20 times
    assert faults(keep=False) > 100_000  # else there was nothing to keep
