"""What recipes that train have in common."""

import clipper


def column(run: clipper.Run, key: str) -> list[float]:
    """One metric over a run's iterations."""
    values: list[float] = []
    for row in run.history:
        value = row[key]
        assert value is not None, f"{key} is missing in iteration {row['iteration']}"
        values.append(float(value))
    return values
