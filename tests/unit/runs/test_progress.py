"""What a run shows while it trains."""

import pytest

import clipper
from clipper.runs.progress import GAP, IMPORTANT, clock, fitting, speed_of


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


def test_as_many_facts_as_fit_are_shown_and_the_important_ones_stay() -> None:
    facts = {name: max(name, "123.4567", key=len) for name in (*IMPORTANT, "of my own")}
    for width in (20, 40, 80, 120, 400):
        shown = fitting(facts, width)
        assert sum(len(facts[name]) + GAP for name in shown) - GAP <= width
        assert set(shown) >= set(IMPORTANT[: len(shown) - 1])
        assert shown == [name for name in facts if name in shown]
    assert len(fitting(facts, 400)) == len(facts)


@pytest.mark.parametrize("width", ["80", "120"])
def test_a_line_of_progress_and_the_header(
    width: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 steps are spent in segments of 8 · 32; a line is of whole facts."""
    monkeypatch.setenv("COLUMNS", width)
    plan = {"total_steps": 300, "engine": "torch", "progress": True, "eval_every": 256, "eval_episodes": 2}
    clipper.train("CartPole-v1", clipper.PPO(horizon=32, epochs=1), **plan)  # pyright: ignore[reportArgumentType]
    header, *lines = capsys.readouterr().out.splitlines()
    assert ", 300 steps in whole segments of 256, " in header
    assert all(len(line) <= 160 for line in lines)
    assert [
        name for name in ("elapsed", "return", "best", "length", "evaluation", "step size") if name not in lines[-1]
    ] == []


def test_time_is_read_as_a_clock_shows_it() -> None:
    assert [clock(x) for x in (0.9, 75, 3675)] == ["0:00", "1:15", "1:01:15"]
