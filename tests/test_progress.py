"""What a run shows while it trains."""

import pytest

from clipper.runs.progress import speed_of


def test_speed_is_decisions_by_seconds_where_rows_differ_in_length() -> None:
    # 1,000 decisions in 1 s, then 10 in 1 s: 1,010 in 2 s, not the mean of 1,000 and 10
    rows = [
        {"steps": 100, "time/seconds": 1.0, "time/steps_per_second": 100.0},
        {"steps": 1100, "time/seconds": 2.0, "time/steps_per_second": 1000.0},
        {"steps": 1110, "time/seconds": 3.0, "time/steps_per_second": 10.0},
    ]
    assert speed_of(rows) == pytest.approx(505.0)
    assert speed_of(rows[:1]) == 100.0
    assert speed_of([]) == 0.0
