"""The learning study's arithmetic, on results made by hand, and what it does with runs that stop or fail."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from clipper.settings.config_json import to_json

PATH = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(PATH))  # learning.py imports the file beside it, as a script does
spec = importlib.util.spec_from_file_location("clipper_benchmarks_learning", PATH / "learning.py")
assert spec is not None
assert spec.loader is not None
learning = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = learning  # dataclasses look their module up
spec.loader.exec_module(learning)
runs = importlib.import_module("learning_runs")
suites = importlib.import_module("suites")
comparisons = importlib.import_module("comparisons")

SESSION = {"commit": "abc", "machine": "a processor, 2 cores", "clipper": "1", "torch": "2", "gymnasium": "1"}
SESSION |= {"numpy": "2", "mujoco": ""}


def metrics_row(steps, count, recent):
    return {
        "iteration": steps // 1000 + 1,
        "steps": steps,
        "episode/count": count,
        "episode/recent_return": recent,
        "time/seconds": steps / 1000,
    }


def make_run(folder, entry="cartpole", seed=1, evaluation=None, config=None, sessions=(SESSION,), total_steps=None):
    """A run's folder as a study leaves it; finished where it has an evaluation."""
    job = runs.Job("recipes", entry, seed, folder / entry / f"seed{seed}", total_steps)
    job.folder.mkdir(parents=True)
    (job.folder / "config.json").write_text(json.dumps(to_json(config or job.config)))
    rows = [metrics_row(1000, 60, 480.0), metrics_row(2000, 30, 490.0), metrics_row(3000, 10, 476.0)]
    (job.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    noted = {"sessions": list(sessions)}
    if evaluation is not None:
        noted |= {"evaluation": {"mean": evaluation, "std": 1.5}, "exact": True, "date": "2000-01-01"}
    (job.folder / "study.json").write_text(json.dumps(noted))
    return job


@pytest.mark.parametrize("suite", suites.SUITES)
def test_every_entry_is_a_run_that_can_be_configured(suite):
    for name, entry in suites.SUITES[suite].items():
        config = suites.with_seed(suite, name, 3, 4096)
        assert (config.seed, config.total_steps) == (3, 4096)
        assert entry.seeds >= 3
        assert entry.target is None or entry.target.protocol == entry.protocol
        assert entry.protocol != "best" or config.eval_every > 0


def test_a_target_counts_once_a_hundred_episodes_are_in_the_mean():
    early = [metrics_row(10, 99, 500.0), metrics_row(20, 0, 500.0), metrics_row(30, 1, 474.9)]
    assert learning.steps_to(475, early) is None
    assert learning.steps_to(475, [*early, metrics_row(40, 0, 475.0), metrics_row(50, 1, 499.0)]) == 40
    assert learning.steps_to(-10, [metrics_row(10, 0, None)]) is None


@pytest.mark.parametrize(
    ("values", "high", "planned", "words"),
    [
        ([480.0, 470.0], 480.0, 2, "yes (1 of 2 seeds do)"),
        ([480.0, 460.0], 480.0, 2, "no, but the interval does (1 of 2 seeds do)"),
        ([470.0, 460.0], 470.0, 2, "no (0 of 2 seeds do)"),
        ([480.0, 490.0], 490.0, 5, "so far yes (2 of 2 seeds do, 5 planned)"),
    ],
)
def test_the_verdict_is_the_mean_over_seeds(values, high, planned, words):
    assert learning.verdict(values, high, 475.0, planned) == words


def finished(folder, entry, seed, evaluation, training, evaluations=()):
    """A finished run with these results, in a suite of its own."""
    job = runs.Job("trial", entry, seed, folder / entry / f"seed{seed}")
    job.folder.mkdir(parents=True)
    (job.folder / "config.json").write_text(json.dumps(to_json(suites.RECIPES["cartpole"].config())))
    rows = [metrics_row(1000 * i, 60, training) | {"eval/return": e} for i, e in enumerate(evaluations or [None], 1)]
    (job.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    noted = {"sessions": [SESSION], "evaluation": {"mean": evaluation, "std": 1.0}, "exact": True, "date": "2000-01-01"}
    (job.folder / "study.json").write_text(json.dumps(noted))
    return job


def test_each_protocol_takes_its_own_number(tmp_path, monkeypatch):
    config = suites.RECIPES["cartpole"].config
    entries = {p: suites.entry(config, 3, suites.Target(475.0, p, "ours")) for p in ("evaluation", "training", "best")}
    monkeypatch.setitem(suites.SUITES, "trial", entries)
    curves = [(1.0, 10.0, 900.0), (2.0, 800.0, 3.0), (6.0, 30.0, 3.0)]  # means over seeds: 3, 280, 302
    numbers = [(500.0, 3000.0), (400.0, 2000.0), (450.0, 2500.0)]
    line = {}
    for p in entries:
        results = zip(numbers, curves, strict=True)
        jobs = [finished(tmp_path, p, seed, *n, c) for seed, (n, c) in enumerate(results)]
        line[p] = learning.summarise("trial", p, jobs, 3)
    assert (line["evaluation"]["mean"], line["evaluation"]["each seed"]) == ("450.0", "500.0, 400.0, 450.0")
    assert (line["training"]["mean"], line["training"]["each seed"]) == ("2500.0", "3000.0, 2000.0, 2500.0")
    # The moment counts at which the mean over seeds is best, not each seed's own best moment.
    assert (line["best"]["mean"], line["best"]["each seed"]) == ("302.0", "900.0, 3.000, 3.000")
    # Of three values, all resampled thrice to the least has probability 1/27 > 2.5 %: the interval is their range.
    assert line["training"]["95 % interval"] == "2000.0 to 3000.0"
    assert line["training"]["reached"] == "yes (3 of 3 seeds do)"


def test_a_finished_run_becomes_a_row(tmp_path):
    later = SESSION | {"commit": "def+"}
    row = learning.result(make_run(tmp_path, evaluation=487.25, sessions=(SESSION, later, later)))
    assert row["steps"] == 3000
    assert (row["evaluation_mean"], row["training_mean"]) == (487.25, 476.0)
    assert row["steps_to_target"] == 3000, "the hundredth episode came with the third iteration"
    assert (row["seconds"], row["steps_per_second"]) == (3.0, 1000.0)
    assert (row["commit"], row["sessions"]) == ("abc then def+", 3)
    assert (row["env"], row["algorithm"], row["seed"]) == ("CartPole-v1", "PPO", 1)


def test_a_line_that_is_being_written_does_not_count(tmp_path):
    job = make_run(tmp_path)
    with (job.folder / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 4')
    assert [row["steps"] for row in runs.metrics(job)] == [1000, 2000, 3000]
    assert learning.progress(job) == "cartpole seed 1 3%, return 476.0"


def test_how_far_a_run_is(tmp_path):
    assert runs.stage(runs.Job("recipes", "cartpole", 9, tmp_path / "nowhere")) == "new"
    assert runs.stage(make_run(tmp_path, seed=1, evaluation=500.0)) == "finished"
    half = make_run(tmp_path, seed=2)
    assert runs.stage(half) == "unsaved"
    (half.folder / "checkpoint.safetensors").touch()
    assert runs.stage(half) == "saved"
    engine = dataclasses.replace(half.config, seed=4, engine="cpu", vector="serial")  # what "auto" came to
    assert runs.stage(make_run(tmp_path, seed=4, evaluation=500.0, config=engine)) == "finished"
    other = make_run(tmp_path, seed=3, evaluation=500.0, config=dataclasses.replace(half.config, seed=3, num_envs=2))
    assert runs.stage(other) == "other settings"
    (other.folder / "config.json").write_text('{"type": "Config", "no_such_field": 1}')
    assert runs.stage(other) == "other settings"


def test_way_is_made_without_losing_a_run_that_could_still_be_used(tmp_path):
    unsaved, saved = make_run(tmp_path, seed=1), make_run(tmp_path, seed=2)
    (saved.folder / "checkpoint.safetensors").touch()
    other = make_run(tmp_path, seed=3, evaluation=1.0, config=dataclasses.replace(saved.config, num_envs=2))
    for job in (unsaved, saved, other):
        runs.make_way(job)
    assert not unsaved.folder.exists()
    assert saved.folder.exists()
    assert not other.folder.exists()
    assert (tmp_path / "cartpole" / "seed3.aside1" / "study.json").exists()


def test_only_the_whole_study_goes_to_the_results():
    options = learning.Options
    assert options().output_folder == PATH / "results"
    for part in ({"total_steps": 4096}, {"entries": ("cartpole",)}, {"seeds": (1,)}):
        own = options(**part)
        assert own.output_folder == own.cache_folder
        assert options(output=Path("here"), **part).output_folder == Path("here")
    assert options(total_steps=4096).cache_folder != options().cache_folder


def test_the_report_lists_what_is_missing_and_calls_a_trial_a_trial(tmp_path, capsys):
    for total_steps, title in ((None, "# Learning: recipes\n"), (4096, "# A trial with 4,096 steps")):
        cache = tmp_path / str(total_steps)
        make_run(cache, seed=1, evaluation=500.0, total_steps=total_steps)
        learning.report(learning.Options(entries=("cartpole",), seeds=(1, 2), cache=cache, total_steps=total_steps))
        page = (cache / "recipes.md").read_text()
        assert page.startswith(title)
        assert "still missing: cartpole seed 2" in page
        table = [line for line in page.splitlines() if line.startswith("|")]
        assert len(table) == 3
        assert len({line.count("|") for line in table}) == 1
        assert (cache / "recipes.csv").read_text().count("\n") == 2
        assert (cache / "recipes.png").stat().st_size > 0
    assert "written" in capsys.readouterr().out


def child(code):
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_failure_holds_up_no_other_run(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_LOOKS", 0.01)
    jobs = [runs.Job("recipes", "cartpole", seed, tmp_path / str(seed)) for seed in range(4)]
    processes, most, ended = [], 0, {}

    def start(job):
        nonlocal most
        processes.append(child("raise SystemExit(3)" if job.seed == 1 else ""))
        most = max(most, len(processes) - len(ended))
        return processes[-1]

    runs.run_all(jobs, 2, start, lambda job, status: ended.update({job.seed: status}), lambda _: None)
    assert ended == {0: 0, 1: 3, 2: 0, 3: 0}
    assert most == 2


def test_an_interrupt_leaves_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(runs, "SECONDS_BETWEEN_STATUS_LINES", 0.0)
    processes = []

    def start(job):
        processes.append(child("import time; time.sleep(600)"))
        return processes[-1]

    def interrupt(running):
        raise KeyboardInterrupt

    jobs = [runs.Job("recipes", "cartpole", seed, tmp_path / str(seed)) for seed in range(3)]
    with pytest.raises(KeyboardInterrupt):
        runs.run_all(jobs, 2, start, lambda *_: None, interrupt)
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)


def test_a_second_study_in_the_same_cache_is_refused(tmp_path):
    pytest.importorskip("fcntl")
    with runs.alone(tmp_path), pytest.raises(SystemExit, match="another study"), runs.alone(tmp_path):
        pass
    with runs.alone(tmp_path):  # free again
        pass


def test_scores_are_normalised_per_task_between_chance_and_the_best_run():
    scores = {"A": {"x": [10.0, 20.0], "y": [0.0]}, "B": {"x": [-1.0, 1.0], "y": []}}
    averages = comparisons.normalised(scores, floor={"A": 0.0, "B": -3.0}.__getitem__)
    # x on A: 0.5 and 1, on B: (−1 + 3) / 4 = 0.5 and 1.
    assert averages["x"].mean == pytest.approx(0.75)
    assert (averages["x"].low, averages["x"].high) == (0.5, 1.0)
    assert (averages["x"].runs, averages["y"].mean, averages["y"].runs) == (4, 0.0, 1)


@pytest.mark.parametrize(("suite", "without"), [("surrogates", "no clipping"), ("tricks", "ReLU")])
def test_a_comparison_shows_each_variant_and_leaves_out_what_was_not_run(suite, without, tmp_path, monkeypatch):
    monkeypatch.setattr(comparisons, "random_return", lambda task: 0.0)
    monkeypatch.setattr(comparisons.normalised, "__defaults__", (lambda task: 0.0,))
    jobs = []
    for i, name in enumerate(suites.SUITES[suite]):
        if not name.startswith(without):
            job = finished(tmp_path, str(i), 1, 1.0, 100.0 + i)
            jobs.append(dataclasses.replace(job, suite=suite, entry=name))
    lines = comparisons.COMPARISONS[suite](jobs, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 0
    assert not any(line.startswith(f"| {without} |") and "1" in line.partition(without)[2] for line in lines)
