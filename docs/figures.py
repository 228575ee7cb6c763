"""Make the figures of the walk anew, with the numbers behind them: python docs/figures.py [NAME …]

Without names all of them: a recipe is a file in recipes/ that has numbers and draw.
"""

import importlib
import json
import sys
from pathlib import Path

import matplotlib as mpl

HERE = Path(__file__).parent
RECIPES = tuple(
    path.stem
    for path in sorted((HERE / "recipes").glob("*.py"))
    if "\ndef numbers(" in path.read_text(encoding="utf-8")
)

if __name__ == "__main__":
    sys.path.insert(0, str(HERE / "recipes"))
    mpl.rcParams["svg.hashsalt"] = "clipper"  # the same file every time
    for name in sys.argv[1:] or RECIPES:
        recipe = importlib.import_module(name)
        found = recipe.numbers()
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (HERE / "figures" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        recipe.draw(found, HERE / "figures" / f"{name}.svg")
