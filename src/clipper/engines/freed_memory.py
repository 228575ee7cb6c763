"""How this process takes memory from the system and gives it back."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
LARGEST = 32 << 20  # bytes: the most that glibc takes from its heap
KEPT = 256 << 20  # bytes


def keep_freed_memory() -> bool:
    """Have glibc keep up to ``KEPT`` bytes that are freed, for the next tensors; says whether it does.

    By default tensors of several MB come from the system page by page each time that they are made, and each page is
    cleared: with images that is 6 % (bfloat16) to 16 % (float32) of an update. Elsewhere nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, KEPT))
