"""How all kernels are compiled."""

from typing import Any

# Sums may be reordered and products fused, so that loops vectorise; NaN and infinity keep their meaning, since a run
# that broke is recognised by them. Python's error model would test every division for 0, which stops vectorisation.
COMPILED: dict[str, Any] = {
    "fastmath": {"reassoc", "nsz", "arcp", "contract"},
    "error_model": "numpy",
    "nogil": True,
}
