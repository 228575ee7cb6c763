"""All exercises, found in the order of the walk."""

import importlib
import pkgutil

from clipper.exercises import pages
from clipper.exercises.exercise import Exercise

PAGES = (
    "bandits", "policy-gradient", "causality", "return-normalisation", "importance-sampling", "trust-regions",
    "clipping", "kl-penalties", "gae", "full-loss", "continuous-actions", "masks", "hybrid-actions", "action-values",
    "details", "losses", "objective", "kl-estimators",
)  # fmt: skip
"""The walk's pages in their order, as their files are named, and those on language models."""


def exercises() -> dict[str, tuple[Exercise, ...]]:
    """Page → its exercises, for the pages that have some, in the walk's order."""
    there = {info.name for info in pkgutil.iter_modules(pages.__path__)}
    modules = {page: page.replace("-", "_") for page in PAGES}
    return {
        page: importlib.import_module(f"{pages.__name__}.{name}").EXERCISES
        for page, name in modules.items()
        if name in there
    }
