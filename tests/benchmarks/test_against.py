"""Two checkouts compared: the interval by closed forms, the order of runs, and the refusal of what is no comparison."""

import dataclasses
import importlib
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("numba")  # with which workloads.py measures a processor
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # scripts import the files beside them
against = importlib.import_module("against")
speed = importlib.import_module("speed")

FAKE = '''
"""A Clipper that trains nothing and whose clock shows {base} s an iteration; later seeds meet a slower machine."""

import os
import time
from types import SimpleNamespace

Run = PolicyOptions = PPO = SimpleNamespace
now = 0.0
time.perf_counter = lambda: now


def train(env, algorithm, *, seed, engine, callback, **settings):
    global now
    with open({log!r}, "a") as file:
        file.write("{name}{{}} {{}}\\n".format(seed, os.environ.get("CLIPPER_ENGINE", "")))
    run = SimpleNamespace(engine=SimpleNamespace(name={engine} or engine), history=[{{"steps": 7}}])
    going, iteration = True, 0
    while going:
        iteration += 1
        now += 100.0 if iteration <= 3 else {base} * seed
        going = callback(run)
    return run
'''


def fake(path, name, base, engine=None):
    """A checkout of the fake."""
    package = path / name / "src" / "clipper"
    package.mkdir(parents=True)
    text = FAKE.format(base=base, log=str(path / "runs.log"), name=name, engine=repr(engine))
    (package / "__init__.py").write_text(text)
    return against.find_checkout(name, path / name)


def comparison(own, other, out=None):
    return against.Comparison((own, other), "cpu", Console(file=io.StringIO()), out)


SHORT = against.chosen(["w1"], against.SHORTEST, "cpu")


def test_the_interval_of_two_and_three_pairs_is_the_closed_form():
    # Student's quantiles: tan(π(p − ½)) with one degree of freedom, (2p − 1)/√(2p(1 − p)) with two.
    p = 0.975
    found = against.interval([1.0, math.e])
    half = math.tan(math.pi * (p - 0.5)) * 0.5
    assert [math.log(x) for x in (found.ratio, found.low, found.high)] == pytest.approx([0.5, 0.5 - half, 0.5 + half])
    found = against.interval([math.exp(-0.1), 1.0, math.exp(0.1)])
    half = (2 * p - 1) / math.sqrt(2 * p * (1 - p)) * 0.1 / math.sqrt(3)
    assert [math.log(x) for x in (found.ratio, found.low, found.high)] == pytest.approx([0.0, -half, half], abs=1e-12)


def test_intervals_hold_the_truth_as_often_as_they_say():
    # 4,000 comparisons of six pairs, sides equal: 95 % of 4,000 is 3,800, with a standard deviation of 13.8.
    logs = np.random.default_rng(0).normal(0.0, 0.05, (4000, 6))
    held = sum(x.low <= 1.0 <= x.high for x in map(against.interval, np.exp(logs)))
    assert abs(held - 3800) < 4 * 13.8


def test_an_interval_lies_within_bounds_as_a_whole():
    bounds = 0.97, 1.03
    assert against.Interval(1.0, 0.97, 1.03).lies_within(*bounds)
    assert not against.Interval(1.0, 0.969, 1.01).lies_within(*bounds)
    assert not against.Interval(1.0, 0.99, 1.031).lies_within(*bounds)
    found = {"W1": against.Interval(1.0, 0.99, 1.01), "W3": against.Interval(1.02, 1.0, 1.04)}
    assert against.outside(found, *bounds) == ["W3: 1.000 to 1.040 does not lie within 0.97 to 1.03"]


def test_sides_begin_by_turns():
    assert list(against.orders(5)) == [(0, 1), (1, 0), (0, 1), (1, 0), (0, 1)]


def told(work, side, **changes):
    """What the script prints of a sound run of ``work``."""
    result = {"engine": "cpu", "package": str(side.package), "decisions": 5}
    return json.dumps(result | {"seconds": [1.0] * (work.iterations - 1)} | changes)


def test_a_run_that_is_not_the_one_asked_for_is_refused():
    (work,), side = SHORT, against.Checkout("this", Path("/a"), "abc")
    assert against.read("a log line\n" + told(work, side), side, work, "cpu", 0.5).seconds == 1.0
    for changes, words in (
        ({"engine": "torch", "seconds": []}, "on the torch engine, not on cpu"),
        ({"package": "/b/src/clipper"}, "imported /b/src/clipper, not /a/src/clipper"),
        ({"seconds": [1.0] * (work.iterations - 2)}, f"after {work.iterations - 1} of {work.iterations} iterations"),
    ):
        with pytest.raises(against.SideError, match=words):
            against.read(told(work, side, **changes), side, work, "cpu", 0.5)
    with pytest.raises(against.SideError, match="told no result"):
        against.read("a log line\n", side, work, "cpu", 0.5)


def test_the_first_iterations_and_a_burst_do_not_count_but_what_every_part_has_does():
    (work,), side = against.chosen(["w1"], 100, "cpu"), against.Checkout("this", Path("/a"), "abc")
    size = against.part_of(100)
    assert (size, work.warmup) == (10, 10)
    seconds = np.ones(99)
    seconds[:9] = 50.0  # of iterations 2 to 10
    seconds[9::10] = 3.0  # one of each part
    assert against.read(told(work, side, seconds=seconds.tolist()), side, work, "cpu", 0.5).parts == (12.0,) * 9
    seconds[25:45] = 7.0  # three parts meet it
    assert against.read(told(work, side, seconds=seconds.tolist()), side, work, "cpu", 0.5).seconds == 12.0


@pytest.mark.parametrize("iterations", [12, 13, 29, 60, 500])
def test_parts_are_equal_and_leave_a_warm_up(iterations):
    (work,) = against.chosen(["W3"], iterations, "cpu")
    assert work.warmup + against.PARTS * against.part_of(iterations) == iterations
    assert work.warmup >= max(3, iterations // 10)


def test_what_cannot_be_compared_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="has no src/clipper"):
        against.find_checkout("the other", tmp_path)
    with pytest.raises(SystemExit, match="no workload w4 for the cpu engine: choose from w1"):
        against.chosen(["w4"], None, "cpu")
    with pytest.raises(SystemExit, match="--iterations 11 is too few: 12"):
        against.chosen(["w1"], 11, "cpu")


def test_every_run_is_a_process_of_its_own_package_in_the_order_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPPER_ENGINE", "torch")
    own, other = fake(tmp_path, "a", 0.25), fake(tmp_path, "b", 0.5)
    measured = comparison(own, other, tmp_path / "out.json")
    measured.run(SHORT, 3)
    # First a run of each that is not timed; then pairs that share a seed.
    runs = (tmp_path / "runs.log").read_text().splitlines()
    assert [run.strip() for run in runs] == ["a1", "b1", "a1", "b1", "b2", "a2", "a3", "b3"]
    assert all(run.endswith(" ") for run in runs), "CLIPPER_ENGINE outweighs the engine that is insisted on"
    # The machine gets slower from pair to pair, for both: the ratio is 2 in each, and nothing of it is in the interval.
    assert measured.intervals()["W1"] == against.Interval(*[pytest.approx(2.0)] * 3)
    written = json.loads((tmp_path / "out.json").read_text())
    assert [[sum(run["parts"]) for run in pair] for pair in written["works"]["W1"]["pairs"]] == [
        [2.25 * seed, 4.5 * seed] for seed in (1, 2, 3)
    ]
    assert str(tmp_path) not in (tmp_path / "out.json").read_text()


def test_a_side_with_another_engine_ends_it(tmp_path):
    measured = comparison(fake(tmp_path, "a", 0.25), fake(tmp_path, "b", 0.25, engine="torch"))
    with pytest.raises(against.SideError, match=r"b .* ran W1 on the torch engine, not on cpu"):
        measured.run(SHORT, 2)
    assert not measured.intervals()


def test_a_side_that_fails_is_reported_with_its_own_words(tmp_path):
    own, other = fake(tmp_path, "a", 0.25), fake(tmp_path, "b", 0.25)
    (other.package / "__init__.py").write_text("raise ImportError('no such simulator')\n")
    with pytest.raises(against.SideError, match=r"b .* failed on W1:[\s\S]*no such simulator"):
        comparison(own, other).run(SHORT, 2)


@pytest.mark.parametrize(
    ("base", "more", "status"),
    [(0.25, [], 0), (0.5, [], 0), (0.25, ["--within", "0.97", "1.03"], 0), (0.5, ["--within", "0.97", "1.03"], 1)],
)
def test_the_status_only_tells_where_bounds_are_given(tmp_path, monkeypatch, base, more, status):
    own, other = fake(tmp_path, "a", 0.25), fake(tmp_path, "b", base)
    monkeypatch.setattr(speed, "HERE", own.path / "benchmarks")
    arguments = ["--against", str(other.path), "--only", "w1", "--pairs", "2", "--iterations", "12"]
    monkeypatch.setattr(sys, "argv", ["speed.py", *arguments, *more])
    with pytest.raises(SystemExit) as ended:
        speed.main()
    assert ended.value.code == status


def test_options_of_the_other_kind_of_comparison_are_refused():
    speed.check_together(speed.Options())
    speed.check_together(speed.Options(against=Path("x"), pairs=4, within=(0.9, 1.1), works=("w1",)))
    with pytest.raises(SystemExit, match="--pairs needs --against"):
        speed.check_together(speed.Options(pairs=4))
    with pytest.raises(SystemExit, match="--rounds does not go with --against"):
        speed.check_together(speed.Options(against=Path("x"), rounds=2))
    with pytest.raises(SystemExit, match="--pairs 1 gives no interval"):
        speed.check_together(speed.Options(against=Path("x"), pairs=1))


def test_this_package_is_measured_with_the_engine_that_is_insisted_on():
    """The script on the real thing, at the least length."""
    this = against.find_checkout("this checkout", Path(__file__).resolve().parents[2])
    (work,) = SHORT
    small = dataclasses.replace(work, horizon=16, num_envs=2)
    timing = against.measure(this, small, "torch")
    assert len(timing.parts) == against.PARTS
    assert all(seconds > 0 for seconds in timing.parts)
    assert 0 < timing.decisions <= 16 * 2 * against.SHORTEST
