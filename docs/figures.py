"""Make every figure of the walk anew, with the numbers behind it: python docs/figures.py"""

import importlib
import json
import sys
from pathlib import Path

import matplotlib as mpl

HERE = Path(__file__).parent
RECIPES = ("policy_gradient", "causality", "clipping")

if __name__ == "__main__":
    sys.path.insert(0, str(HERE / "recipes"))
    mpl.rcParams["svg.hashsalt"] = "clipper"  # the same file every time
    for name in RECIPES:
        recipe = importlib.import_module(name)
        found = recipe.numbers()
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (HERE / "figures" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        recipe.draw(found, HERE / "figures" / f"{name}.svg")
