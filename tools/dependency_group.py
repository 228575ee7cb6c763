"""Print the requirements of one dependency group of pyproject.toml (older pip has no --group)."""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    groups = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["dependency-groups"]
    sys.stdout.write(" ".join(requirement.replace(" ", "") for requirement in groups[sys.argv[1]]) + "\n")
