"""Compile the CPU engine's kernels, so that no run has to: python tools/compile_kernels.py [replayed].

Two processes share the work: those that most runs call take about as long as all others. Those of replays, which few
runs need, wait for their first run, or for ``replayed``. Where that fails, runs are computed by torch.
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
            others = [part for part in PARTS if part not in (MOST, REPLAYED)]
            list(pool.map(compile_parts, [[REPLAYED]] if sys.argv[1:] == [REPLAYED] else [[MOST], others]))
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {error}: torch computes instead, which is slower.\n")
