"""The walk's recipes and the numbers of its committed figures."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[1] / "docs"
RECIPES = sorted(
    path.stem for path in (DOCS / "recipes").glob("*.py") if "\ndef numbers(" in path.read_text(encoding="utf-8")
)


def recipe(name: str) -> ModuleType:
    """The recipe's module. What recipes share they import as scripts do, from their folder."""
    shared = str(DOCS / "recipes")
    sys.path.insert(0, shared)
    try:
        spec = importlib.util.spec_from_file_location(f"recipe_{name}", DOCS / "recipes" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(shared)
    return module


def committed(name: str) -> dict[str, list[float]]:
    """The numbers behind the committed figure."""
    return json.loads((DOCS / "figures" / f"{name}.json").read_text(encoding="utf-8"))
