"""Compile the CPU engine's kernels, so that no run has to, but for those of replays, which few runs need.

Two processes share the work: those that most runs call take about as long as all others. Where that fails, runs are
computed by torch.
"""

import sys
from concurrent.futures import ProcessPoolExecutor


def compile_parts(parts: list[str]) -> None:
    """Leave the kernels of these parts on the disk."""
    from clipper.engines.cpu import kernel_files  # noqa: PLC0415 (where it cannot be imported, that is said below)

    kernel_files.found_or_compiled(parts)


if __name__ == "__main__":
    try:
        from clipper.engines.cpu.kernel_files import MOST, PARTS, REPLAYED

        with ProcessPoolExecutor(2) as pool:
            list(pool.map(compile_parts, [[MOST], [part for part in PARTS if part not in (MOST, REPLAYED)]]))
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}: torch computes instead, which is slower.\n")
