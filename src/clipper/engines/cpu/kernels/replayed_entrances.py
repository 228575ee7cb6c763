"""The kernels of those who learn from a replay, which are compiled by the first run that needs them."""

from numba.core.dispatcher import Dispatcher

from clipper.engines.cpu.kernels import act, explore, gather, replayed_update
from clipper.engines.cpu.kernels.tables import Doubles2

ENTRANCES: dict[str, tuple[Dispatcher, dict[str, object]]] = {
    "learn": (replayed_update.learn, {}),
    "settle": (gather.settle, {}),
    "gather": (gather.gather, {}),
    "explore": (explore.explore, {}),
    "keep": (act.keep, {}),
    "keep_f8": (act.keep, {"obs": Doubles2}),
}
"""Name → kernel, and which of its arguments are of another type than its source says."""
