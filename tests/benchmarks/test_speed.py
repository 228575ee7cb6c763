"""The arithmetic of the speed table, on samples made by hand, and its refusal of unequal work."""

import importlib.util
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "speed.py"
spec = importlib.util.spec_from_file_location("clipper_benchmarks_speed", PATH)
assert spec is not None
assert spec.loader is not None
speed = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = speed  # dataclasses look their module up
spec.loader.exec_module(speed)


def sample(library, number, steps, seconds, mean_return=None):
    return speed.Sample("W1", library, number, steps, seconds, mean_return, 16, 1, 0.5, "torch 2")


def test_ratios_are_taken_within_a_round():
    # The machine is twice as slow in round 1 and three times in round 2; one library is always half as fast.
    samples = [
        s
        for number, slow in enumerate((1, 2, 3))
        for s in (sample("Clipper", number, 6000, slow, 10.0 + number), sample("Peer", number, 6000, 2 * slow))
    ]
    clipper, peer = speed.summarise(samples)
    assert clipper["steps/s"] == "3,000"
    assert clipper["range"] == "2,000 to 6,000"
    assert clipper["training return"] == "11.0"
    assert clipper["Clipper is"] == ""
    assert peer["steps/s"] == "1,500"
    assert peer["Clipper is"] == "2.00× (2.00 to 2.00)"
    assert peer["training return"] == ""


def test_a_round_without_clipper_gives_no_ratio():
    rows = speed.summarise([sample("Peer", 0, 100, 1.0), sample("Peer", 1, 100, 1.0), sample("Clipper", 1, 300, 1.0)])
    assert rows[0]["Clipper is"] == "3.00× (3.00 to 3.00)"
    assert speed.summarise([sample("Peer", 0, 100, 1.0)])[0]["Clipper is"] == ""


def test_page_holds_every_row_with_as_many_cells_as_the_header():
    samples = [sample("Clipper", 0, 100, 1.0, 20.0), sample("Peer", 0, 100, 2.0)]
    where = speed.Machine("a processor", 2, "a system", "abc", "today")
    page = speed.markdown(speed.summarise(samples), samples, [speed.WORKLOADS["W1"]], where)
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2
    assert {line.count("|") for line in table} == {8}


@pytest.mark.parametrize("difference", [0, 1])
def test_a_side_that_does_other_work_is_refused(tmp_path, difference):
    work = speed.WORKLOADS["W1"]
    assert work.optimizer_steps == 100 * 4 * 4
    result = {"steps": 50, "seconds": 2.0, "return": 9.0, "threads": 1, "versions": {"torch": "2"}}
    result["optimizer_steps"] = 1600 + difference
    script = tmp_path / "peer.py"
    script.write_text(f"import json\nprint('a log line')\nprint(json.dumps({result!r}))\n")
    side = speed.Side("Peer", Path(sys.executable), str(script))
    if difference:
        with pytest.raises(SystemExit, match="not the same work"):
            speed.measure(side, work, 0)
    else:
        assert speed.measure(side, work, 0).speed == 25.0


def test_a_peer_that_fails_is_reported_with_its_own_words(tmp_path):
    script = tmp_path / "peer.py"
    script.write_text("raise SystemExit('no such simulator')\n")
    with pytest.raises(SystemExit, match="no such simulator"):
        speed.measure(speed.Side("Peer", Path(sys.executable), str(script)), speed.WORKLOADS["W1"], 0)
