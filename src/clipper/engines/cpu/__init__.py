"""The engine of compiled kernels: what it can run, and how it calls them."""

from typing import Any

from clipper import former


def __getattr__(name: str) -> Any:
    """Names that were here when this folder was one file."""
    return former.among_parts("engines.cpu", name)
