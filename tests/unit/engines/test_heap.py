"""Memory that is freed stays with the process, told by the page faults that the kernel counts."""

import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, torch
from clipper.engines.freed_memory import M_MMAP_THRESHOLD, keep_freed_memory
kept = keep_freed_memory()
if {give_back} and kept:
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 17)  # with which glibc begins
torch.set_num_threads(1)
def work():
    for _ in range(20):
        [torch.ones(4 << 20) for _ in range(4)]  # of 16 MB each
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(give_back: bool) -> int:
    code = FAULTS.format(give_back=give_back)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, number = done.stdout.split()
    if kept == "False":
        pytest.skip("this system's malloc takes no such advice")
    return int(number)


def test_large_tensors_take_no_new_pages_once_there_were_some() -> None:
    assert faults(give_back=False) < 2000  # the four have 16,384 pages, and are made 20 times
    assert faults(give_back=True) > 20_000  # else they would not show
