"""How kernels are compiled: by Numba where it is there; where not, they run as the plain Python they are, slower."""

from collections.abc import Callable

try:
    from numba import njit
except ImportError:  # the same function then runs as it is written

    def compiled(function: Callable) -> Callable:
        """The function itself."""
        return function

    compiled_here = compiled

else:

    def compiled(function: Callable) -> Callable:
        """The function, compiled at its first call and cached on the disk.

        Exact arithmetic (no fused or reordered operations), so that it repeats plain Python. Numba's cache sees changes
        in the function's own file only; what it calls must stand there.
        """
        return njit(cache=True, nogil=True, error_model="numpy")(function)

    def compiled_here(function: Callable) -> Callable:
        """The function, compiled in this process and not cached: of the user's own, or around such a one."""
        return function if hasattr(function, "py_func") else njit(nogil=True, error_model="numpy")(function)
