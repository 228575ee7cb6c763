"""How all kernels are compiled."""

import os
from typing import Any

BOUNDS_CHECKED = bool(os.environ.get("CLIPPER_BOUNDS_CHECK"))
"""Does a kernel fail where an index lies outside of its array? For tests: such kernels take several times as long."""

# Sums may be reordered and products fused, so that loops vectorise; NaN and infinity keep their meaning, since a run
# that broke is recognised by them. Python's error model would test every division for 0, which stops vectorisation.
COMPILED: dict[str, Any] = {
    "fastmath": {"reassoc", "nsz", "arcp", "contract"},
    "error_model": "numpy",
    "nogil": True,
    "boundscheck": BOUNDS_CHECKED,
}
