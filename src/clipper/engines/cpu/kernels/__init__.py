"""The sources of the CPU engine's kernels, which Numba compiles once for all sizes; ``compiled.py`` calls what it made.

Numba is imported by these modules, and so by nothing that trains with kernels that are compiled already; ``tables``
needs it not.
"""
