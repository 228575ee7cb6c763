"""Numbers for people, with the digits that say something."""

import math


def figure(x: float, spread: float | None = None) -> str:
    """``x`` with three digits or more that count: 1,234.6  495.1  12.3  9.50  0.903.

    Where a ``spread`` is given, digits go as far as its second one, from one after the point to six: 0.9031 beside
    0.0021.
    """
    if not math.isfinite(x):
        return str(x)
    x, size = x + 0.0, abs(x)  # no -0.0
    if spread is not None and math.isfinite(spread) and spread > 0:
        return f"{x:,.{min(max(1 - math.floor(math.log10(spread)), 1), 6)}f}"
    places = 0 if size >= 10_000 else 1 if size >= 10 or size == 0 else 2 if size >= 1 else 3 if size >= 0.01 else 5
    return f"{x:,.{places}f}"
