"""The arithmetic of the speed table, on samples made by hand, and its refusal of unequal work."""

import dataclasses
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

import clipper
from clipper.settings.defaults import config_for

pytest.importorskip("numba")  # with which the computed limit is measured
PATH = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(PATH))  # speed.py imports the file beside it, as a script does
spec = importlib.util.spec_from_file_location("clipper_benchmarks_speed", PATH / "speed.py")
assert spec is not None
assert spec.loader is not None
speed = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = speed  # dataclasses look their module up
spec.loader.exec_module(speed)
workloads = importlib.import_module("workloads")
sides = importlib.import_module("sides")
PEAK = 100e9


def sample(library, number, steps, seconds, mean_return=None):
    return speed.Sample("W1", library, number, steps, seconds, mean_return, 16, 1, 40.0, 0.5, "torch 2")


def test_ratios_are_taken_within_a_round():
    # The machine is twice as slow in round 1 and three times in round 2; one library is always half as fast.
    samples = [
        s
        for number, slow in enumerate((1, 2, 3))
        for s in (sample("Clipper", number, 6000, slow, 10.0 + number), sample("Peer", number, 6000, 2 * slow))
    ]
    clipper, peer = speed.summarise(samples, PEAK)
    assert clipper["steps/s"] == "3,000"
    assert clipper["range"] == "2,000 to 6,000"
    assert clipper["training return"] == "11.0"
    assert clipper["Clipper is"] == ""
    assert peer["steps/s"] == "1,500"
    assert peer["Clipper is"] == "2.00× (2.00 to 2.00)"
    assert peer["training return"] == ""


def test_a_round_without_clipper_gives_no_ratio():
    rows = speed.summarise(
        [sample("Peer", 0, 100, 1.0), sample("Peer", 1, 100, 1.0), sample("Clipper", 1, 300, 1.0)], PEAK
    )
    assert rows[0]["Clipper is"] == "3.00× (3.00 to 3.00)"
    assert speed.summarise([sample("Peer", 0, 100, 1.0)], PEAK)[0]["Clipper is"] == ""


def test_page_holds_every_row_with_as_many_cells_as_the_header():
    samples = [sample("Clipper", 0, 100, 1.0, 20.0), sample("Peer", 0, 100, 2.0)]
    where = speed.Machine("a processor", 2, "a system", "abc", "today")
    page = speed.markdown(speed.summarise(samples, PEAK), samples, [speed.WORKLOADS["W1"]], where)
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2
    assert {line.count("|") for line in table} == {9}


def test_a_workload_with_more_rounds_than_the_others_says_so():
    usual = [sample("Clipper", number, 6000, 1.0) for number in range(2)]
    others = [dataclasses.replace(s, workload=name) for s in usual for name in ("W2", "W3")]
    longer = [dataclasses.replace(s, workload="W2", round=number) for s in usual for number in (2, 3)]
    assert speed.round_words(usual + others) == "2 rounds"
    assert speed.round_words(usual + others + longer) == "2 rounds (W2: 4)"


@pytest.mark.parametrize("difference", [0, 1])
def test_a_side_that_does_other_work_is_refused(tmp_path, difference):
    work = speed.WORKLOADS["W1"]
    assert work.optimizer_steps == 100 * 4 * 4
    result = {"steps": 50, "seconds": 2.0, "return": 9.0, "threads": 1, "memory": 5.0, "versions": {"torch": "2"}}
    result["optimizer_steps"] = 1600 + difference
    script = tmp_path / "peer.py"
    script.write_text(f"import json\nprint('a log line')\nprint(json.dumps({result!r}))\n")
    side = speed.Side("Peer", Path(sys.executable), str(script))
    if difference:
        with pytest.raises(speed.PeerError, match="not the same work"):
            speed.measure(side, work, 0)
    else:
        assert speed.measure(side, work, 0).speed == 25.0


def test_a_peer_that_fails_is_reported_with_its_own_words(tmp_path):
    script = tmp_path / "peer.py"
    script.write_text("raise SystemExit('no such simulator')\n")
    with pytest.raises(speed.PeerError, match="no such simulator"):
        speed.measure(speed.Side("Peer", Path(sys.executable), str(script)), speed.WORKLOADS["W1"], 0)


def side_of(path, name, *, fails=False, refuses=lambda _: ""):
    """A library whose script notes each start, and takes the steps of W1 unless it fails."""
    result = {"steps": 50, "seconds": 2.0, "return": None, "threads": 1, "memory": 5.0, "versions": {"torch": "2"}}
    result["optimizer_steps"] = 1600
    script = path / f"{name}.py"
    script.write_text(
        f"open({str(path / (name + '.starts'))!r}, 'a').write('x')\n"
        + ("raise SystemExit('the library is broken')\n" if fails else f"print({json.dumps(result)!r})\n")
    )
    return speed.Side(name, Path(sys.executable), str(script), refuses=refuses)


def session(out, *, resume=False):
    quiet = Console(file=io.StringIO())
    return speed.Session([speed.WORKLOADS["W1"]], out, PEAK, quiet, resume=resume)


def starts(path, name):
    counted = path / f"{name}.starts"
    return len(counted.read_text()) if counted.exists() else 0


def test_a_peer_that_fails_spoils_nothing_and_is_named_on_the_page(tmp_path):
    both = [side_of(tmp_path, "broken", fails=True), side_of(tmp_path, "sound")]
    both.append(side_of(tmp_path, "misfit", refuses=lambda work: f"not for {work.env}"))
    measured = session(tmp_path / "speed")
    measured.run(both, 2)
    assert [(s.library, s.round) for s in measured.samples] == [("sound", 0), ("sound", 1)]
    assert measured.failed
    assert [starts(tmp_path, name) for name in ("broken", "sound", "misfit")] == [1, 2, 0]
    page = (tmp_path / "speed.md").read_text()
    assert "not measured: broken on W1 (failed: the library is broken)" in page
    assert "not measured: misfit on W1 (not for CartPole-v1)" in page


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    sound = side_of(tmp_path, "sound")
    first = session(tmp_path / "speed")
    first.run([sound], 1)
    again = session(tmp_path / "speed", resume=True)
    assert again.samples == first.samples
    again.run([sound], 3)
    assert [s.round for s in again.samples] == [0, 1, 2]
    assert starts(tmp_path, "sound") == 3
    table = tmp_path / "speed.csv"
    table.write_text(table.read_text().replace(first.where.commit, "another"))
    with pytest.raises(SystemExit, match="cannot be resumed: its commit is another"):
        session(tmp_path / "speed", resume=True)


def test_who_can_run_is_found_and_the_others_are_told_why(tmp_path):
    for name in ("skrl", "leanrl", "purejaxrl", "cleanrl"):
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
    checkouts = {"leanrl": tmp_path, "purejaxrl": None, "cleanrl": tmp_path / "nowhere"}
    found, missing = sides.find_sides(("skrl", "sb3", *checkouts), checkouts, tmp_path)
    assert [side.name for side in found[5:]] == ["LeanRL", "LeanRL, compiled", "skrl"]
    assert found[6].arguments == (str(tmp_path), "compiled")
    assert missing["Stable-Baselines3"] == "sh benchmarks/make_peers.sh sb3 makes its virtual environment"
    assert missing["PureJaxRL, on gymnax"] == "give a checkout with --purejaxrl PATH"
    assert "is no folder" in missing["CleanRL"]
    with pytest.raises(SystemExit, match="no peer rllib"):
        sides.find_sides(("rllib",), {}, tmp_path)


def test_a_library_is_given_only_the_work_that_it_can_do():
    takes = {
        name: [work.name for work in speed.WORKLOADS.values() if not refuses(work)]
        for name, _, _, refuses in sides.SIDES
    }
    single = ["W1", "W1-256", "W1-gauss"]
    assert takes["TorchRL"] == [*single, "W3"]
    assert takes["Stable-Baselines3"] == [*single, "W3", "W1-LSTM", "Taxi", "FrozenLake", "Blackjack", "W4"]
    assert takes["LeanRL"] == takes["LeanRL, compiled"] == ["W1-gauss", "W3"]
    assert takes["PureJaxRL, on gymnax"] == ["W2-512", "W2-2048"]
    assert takes["PufferLib"] == [*single, "W2-512", "W2-2048"]
    assert takes["CleanRL"] == [*single, "W2-512", "W2-2048", "W3", "W4"]


def test_every_peer_has_a_script_and_a_virtual_environment_that_can_be_made():
    assert {folder for _, folder, _, _ in sides.SIDES} == set(sides.PEERS)
    for name in sides.PEERS:
        assert (PATH / "peers" / f"run_{name}.py").exists()
    done = subprocess.run(["sh", PATH / "make_peers.sh", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    known = " ".join(sides.PEERS)  # language models' peers have a benchmark of their own
    assert done.stderr.strip() == f"no peer nothing: choose from {known} trl trl-ppo"


@pytest.mark.parametrize("name", ["W1", "W2-512"])
def test_the_environments_alone_are_measured_by_their_own_script(name):
    work = speed.dataclasses.replace(speed.WORKLOADS[name], iterations=4, horizon=50)
    alone = speed.measure(speed.Side(speed.ENVIRONMENTS, Path(sys.executable), "run_environments.py"), work, 0)
    rows = 4 * 50 * work.num_envs
    # One by one every row is a decision; natively, the row after an episode is none, and random ones last 22 steps.
    assert alone.steps == rows if not work.native else 0.9 * rows < alone.steps < rows
    assert 15 < alone.mean_return < 35
    assert alone.threads == work.threads
    assert "torch 2" in alone.versions


def test_operations_are_counted_layer_by_layer():
    # Actor 4·64 + 64·64 + 64·2 and critic 4·64 + 64·64 + 64·1 multiplications and as many additions; one forward pass
    # to act, then four epochs of a forward pass and of two products as large on the way back.
    actor, critic = 4 * 64 + 64 * 64 + 64 * 2, 4 * 64 + 64 * 64 + 64
    assert workloads.flops_per_decision(speed.WORKLOADS["W1"]) == 2 * (actor + critic) * 13
    linear = dataclasses.replace(speed.WORKLOADS["W1-gauss"], hidden=(), epochs=1)
    assert workloads.flops_per_decision(linear) == 2 * (3 + 3) * 4


def test_operations_of_natures_network_are_those_that_torch_counts():
    work = speed.WORKLOADS["W4"]
    options = config_for(work.env).policy
    spaces = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8), gymnasium.spaces.Discrete(work.sizes[1])
    policy = clipper.make_policy(*spaces, options, torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        policy(torch.zeros(1, 4, 84, 84, dtype=torch.uint8))
    assert workloads.flops_per_decision(work) == counter.get_total_flops() * (1 + 3 * work.epochs)


def test_the_limit_is_the_time_of_environments_and_products_shared_among_cores():
    # 10 µs in the environment and 10 µs of products per decision: 50,000 a second on one core.
    assert workloads.speed_limit(100e3, 1e6, 100e9, 1) == pytest.approx(50e3)
    assert workloads.speed_limit(100e3, 1e6, 100e9, 2) == pytest.approx(100e3)


def test_the_limit_stands_after_the_environments_and_clipper_is_compared_with_it():
    work = speed.WORKLOADS["W1"]
    flops = workloads.flops_per_decision(work)
    # At this peak the products of a decision take 10 µs, as its environment does.
    rows = speed.summarise(
        [sample(speed.ENVIRONMENTS, 0, 100_000, 1.0), sample("Clipper", 0, 100_000, 4.0)], flops / 1e-5
    )
    assert [row["library"] for row in rows] == [speed.ENVIRONMENTS, speed.LIMIT, "Clipper"]
    assert rows[0]["Clipper is"].startswith("0.25×")
    assert rows[1]["steps/s"] == "50,000"
    assert rows[1]["Clipper is"].startswith("0.50×")
    assert rows[2]["memory, MB"] == "40"


def test_workloads_are_chosen_by_name():
    assert [work.name for work in speed.chosen(("w3", "W1-256"))] == ["W3", "W1-256"]
    with pytest.raises(SystemExit, match="no workload w9"):
        speed.chosen(("w1", "w9"))
