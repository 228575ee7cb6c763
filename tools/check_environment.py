"""Exit with 0 where the virtual environment whose Python runs this can be used in the place where it lies.

One that was moved, or copied along with its folder, still holds the paths of the place that it was made in: its
commands start the Python there, and `import clipper` finds the code there.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path


def home() -> str:
    """The folder of the environment that its command ``pip`` belongs to: the first line, or the first two, name it."""
    script = Path(sys.prefix, "bin", "pip").read_text(encoding="utf-8")
    found = re.search(r"(/[^\n\"]*)/bin/python", script)
    return found[1] if found else ""


if __name__ == "__main__":
    right = sys.version_info >= (3, 11) and find_spec("pip") is not None and home() == sys.prefix
    sys.exit(not right)
