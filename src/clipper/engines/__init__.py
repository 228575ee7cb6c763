"""Engines: faster twins of acting and of ``update``, chosen once per run. Eager torch is the definition."""

from clipper.engines.choose import choose
from clipper.engines.protocol import Engine

__all__ = ["Engine", "choose"]
