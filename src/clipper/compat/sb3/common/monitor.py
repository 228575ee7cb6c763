"""``Monitor``: an environment that tells what an episode gave when it ends, and writes it down where asked."""

from clipper.compat.monitor import Monitor

__all__ = ["Monitor"]
