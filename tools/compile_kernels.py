"""Compile the CPU engine's kernels, so that no run has to. Where that fails, runs are computed by torch."""

import sys

from clipper.engines.protocol import UnsuitableError

try:
    from clipper.engines.cpu import kernel_files

    kernel_files.load()
except (UnsuitableError, ImportError, OSError) as error:
    sys.stderr.write(f"{error}: torch computes instead, which is slower.\n")
