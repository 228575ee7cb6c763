"""Compile the CPU engine's kernels, so that no run has to, but for those of replays, which few runs need.

Where that fails, runs are computed by torch.
"""

import sys

try:
    from clipper.engines.cpu import kernel_files

    kernel_files.found_or_compiled([part for part in kernel_files.PARTS if part != kernel_files.REPLAYED])
except Exception as error:
    sys.stderr.write(f"{type(error).__name__}: {error}: torch computes instead, which is slower.\n")
