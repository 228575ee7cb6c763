"""Which runs are seeds of one curve, what curves are called, and what a folder is taken for."""

import dataclasses
import json
import warnings
from pathlib import Path

import pytest
import run_folders
from matplotlib.figure import Figure

from clipper import A2C, PPO, Config, PolicyOptions
from clipper.errors import ClipperError, ConfigError
from clipper.learning.kl import KLStop
from clipper.learning.objectives import Rollback
from clipper.learning.schedules import Linear
from clipper.runs.curve import curves_of, draw_label, drawable, plot_runs
from clipper.runs.folders import printable, runs_in
from clipper.runs.groups import HOW, Group, grouped

BASE = Config(env="CartPole-v1", total_steps=1000)


def groups_of(tmp_path: Path, *configs: Config) -> list[Group]:
    return grouped([run_folders.write(tmp_path / str(i), config) for i, config in enumerate(configs)])


def with_(algorithm: object = None, **changes: object) -> Config:
    return dataclasses.replace(BASE, **({} if algorithm is None else {"algorithm": algorithm}), **changes)


def test_every_setting_is_decided_upon() -> None:
    """A new field of Config belongs to what is learned or to how: whoever adds one decides here."""
    fields = {f.name for f in dataclasses.fields(Config)}
    assert fields - HOW == {"env", "algorithm", "policy", "total_steps", "num_envs", "seed", "language"}
    assert fields >= HOW


@pytest.mark.parametrize(
    ("configs", "labels"),
    [
        ([with_(), with_(seed=2)], ["PPO"]),
        ([with_(PPO(clip=0.1)), with_(PPO(clip=0.3)), with_(PPO(clip=0.1), seed=2)], ["clip 0.1", "clip 0.3"]),
        ([with_(), with_(A2C())], ["PPO", "A2C"]),
        ([with_(PPO(clip=0.1)), with_(PPO(clip=(0.1, 0.3))), with_(A2C())],
         ["PPO, clip 0.1", "PPO, clip 0.1,0.3", "A2C"]),
        ([with_(), with_(policy=PolicyOptions(shared=True))], ["no-shared", "shared"]),
        ([with_(), with_(policy=PolicyOptions(hidden=(8,)))], ["hidden 64,64", "hidden 8"]),
        ([with_(PPO(learning_rate=Linear(1e-3))), with_(PPO(learning_rate=3e-4))],
         ["learning-rate linear(0.001,0)", "learning-rate 0.0003"]),
        ([with_(), with_(PPO(stop=KLStop(0.02)))], ["stop none", "stop klstop(0.02)"]),
        ([with_(), with_(PPO(objective=Rollback(0.1)))], ["objective clip", "objective rollback(0.1)"]),
        ([with_(), with_(total_steps=2000, seed=2)], ["total-steps 1000", "total-steps 2000"]),
        ([with_(num_envs=4), with_(PPO(gamma=0.9))], ["gamma 0.99, num-envs 4", "gamma 0.9, num-envs 8"]),
        ([with_(), dataclasses.replace(BASE, env="Acrobot-v1")], ["PPO", "PPO"]),
    ],
)  # fmt: skip
def test_labels_say_what_differs(configs: list[Config], labels: list[str], tmp_path: Path) -> None:
    assert [group.label for group in groups_of(tmp_path, *configs)] == labels


def test_a_label_means_the_same_on_every_environment(tmp_path: Path) -> None:
    configs = [with_(PPO(clip=c), env=e) for e in ("CartPole-v1", "Acrobot-v1") for c in (0.1, 0.2)]
    configs += [with_(PPO(clip=0.1, gamma=0.9), env="MountainCar-v0")]  # differs from none on its environment
    assert [g.label for g in groups_of(tmp_path, *configs)] == [*["clip 0.1", "clip 0.2"] * 2, "clip 0.1"]


def test_of_many_differences_as_many_are_named_as_tell_apart(tmp_path: Path) -> None:
    many = {"gamma": 0.9, "lam": 0.8, "horizon": 64, "epochs": 3}
    groups = groups_of(tmp_path, with_(), with_(PPO(**many)), with_(PPO(**many, clip=0.1)))
    labels = [group.label for group in groups]
    assert len(set(labels)) == 3
    assert all(label.endswith(" + 2 more") and label.count(",") == 2 for label in labels)
    assert labels[1].replace("0.2", "0.1") == labels[2]


@pytest.mark.parametrize("change", [{"engine": "torch"}, {"log_every": 500}, {"eval_every": 100}, {"threads": 2}])
def test_how_a_run_was_computed_parts_only_runs_of_one_seed(change: dict[str, object], tmp_path: Path) -> None:
    (one,) = groups_of(tmp_path / "seeds", with_(), with_(seed=2, **change))
    assert one.label == "PPO"
    assert len(one.members) == 2
    first, second = groups_of(tmp_path / "same", with_(), with_(**change), with_(seed=2), with_(seed=2, **change))
    ((field, value),) = change.items()
    assert second.label == f"{field.replace('_', '-')} {value}"
    assert len(first.members) == len(second.members) == 2


def test_a_seed_that_ran_twice_counts_once_and_is_said(tmp_path: Path) -> None:
    old = run_folders.write(tmp_path / "old", with_(), (1.0, 2.0), age=60)
    new = run_folders.write(tmp_path / "new", with_(), (3.0, 4.0))
    other = run_folders.write(tmp_path / "other", with_(seed=2), (5.0, 6.0), age=99)
    for order in ([old, new, other], [new, other, old]):
        with pytest.warns(UserWarning, match="latest is counted, not .*old$") as said:
            (group,) = grouped(order)
        assert len(said) == 1
        assert sorted(curve.returns[-1] for curve in curves_of([group])) == [4.0, 6.0]


def test_values_of_ones_own_are_told_apart_without_importing_them(tmp_path: Path) -> None:
    folders = [run_folders.write(tmp_path / str(i), with_()) for i in range(4)]
    own = [{"type": "no.such:Mine", "a": 1}, {"type": "__main__:Mine", "a": 1}, {"type": "no.such:Mine", "a": 2}]
    for i, (folder, algorithm) in enumerate(zip(folders, own, strict=False)):
        written = json.loads((folder / "config.json").read_text()) | {"algorithm": algorithm, "seed": i}
        (folder / "config.json").write_text(json.dumps(written))
    assert [(g.label, len(g.members)) for g in grouped(folders)] == [("Mine, a 1", 2), ("Mine, a 2", 1), ("PPO", 1)]


def test_what_files_say_reaches_neither_terminal_nor_formulas(tmp_path: Path) -> None:
    folders = [run_folders.write(tmp_path / str(i), with_()) for i in range(2)]
    hostile = "_[red]$\\frac$ \x1b[2J\u202e\n" + "x" * 10_000
    written = json.loads((folders[0] / "config.json").read_text())
    written |= {"algorithm": {"type": f"m:{hostile}", hostile: hostile}, "env": hostile}
    for seed, folder in enumerate(folders):
        written["algorithm"][hostile] += str(seed)
        (folder / "config.json").write_text(json.dumps(written))
    groups = grouped(folders)
    assert len({group.label for group in groups}) == 2  # though what differs is cut off
    assert all(group.label.isprintable() and len(group.label) < 200 for group in groups)
    picture = plot_runs(folders, tmp_path / "picture.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    axes = Figure().subplots()
    draw_label(axes, curves_of(groups), "_$x$", "k")
    (name,) = axes.get_legend_handles_labels()[1]
    assert name == r" _\$x\$: training, 2 seeds, 95 % interval"
    assert drawable("a\nb") == "a?b"


def test_a_nesting_without_end_is_refused(tmp_path: Path) -> None:
    folder = run_folders.write(tmp_path / "deep", with_())
    text = (folder / "config.json").read_text()
    deep = '{"type": "m:Mine", "a": ' + "[" * 900 + "]" * 900 + "}"
    written = json.loads(text)
    start = text.index(json.dumps(written["algorithm"]))
    (folder / "config.json").write_text(text.replace(text[start : start + len(json.dumps(written["algorithm"]))], deep))
    with pytest.raises(ClipperError, match=r"nest|JSON"):
        grouped([folder])


def test_a_folder_of_seeds_stands_for_its_runs_and_a_pattern_meets_anything(tmp_path: Path) -> None:
    many = tmp_path / "many"
    seeds = [run_folders.write(many / f"seed{i}", with_(seed=i)) for i in (2, 10, 1)]
    (many / "seed3").mkdir()
    (many / "seed1.log").write_text("log")
    with pytest.warns(UserWarning, match=r"seed3 is no run and was left out"):
        assert runs_in([many]) == [seeds[2], seeds[0], seeds[1]]
    with pytest.warns(UserWarning, match=r"seed1\.log and .*seed3 are no runs and were left out") as said:
        assert runs_in(sorted(many.iterdir())) == [seeds[2], seeds[1], seeds[0]]
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runs_in([seeds[0], tmp_path / "many" / ".." / "many" / "seed2"]) == [seeds[0]]


def test_only_if_nothing_is_left_it_is_an_error(tmp_path: Path) -> None:
    run_folders.write(tmp_path / "runs" / "one", with_())
    for path, message in [
        (tmp_path / "nowhere", "there is no such folder"),
        (tmp_path / "runs", r"those below it are named by .*runs/\*"),
        (tmp_path / "runs" / "one" / "config.json", "it is a file"),
    ]:
        with pytest.raises(ConfigError, match=message):
            runs_in([path])
    with pytest.raises(ConfigError, match="none of these is a run"):
        runs_in([tmp_path / "runs", tmp_path])
    with pytest.raises(ConfigError, match="no such folder"):  # which a pattern does not name
        runs_in([tmp_path / "runs" / "one", tmp_path / "nowhere"])


def test_settings_that_cannot_be_read_leave_one_run_out(tmp_path: Path) -> None:
    good, bad = (run_folders.write(tmp_path / name, with_()) for name in ("good", "bad"))
    (bad / "config.json").write_text('{"type": "Config", "env": 3}')
    with pytest.warns(UserWarning, match="a run was left out: .*env"):
        assert [group.folders for group in grouped([bad, good])] == [[good]]
    with pytest.raises(ClipperError, match="env"):
        grouped([bad])


def test_runs_without_an_episode_are_said(tmp_path: Path) -> None:
    folder = run_folders.write(tmp_path / "new", with_(), ())
    with pytest.warns(UserWarning, match="PPO on CartPole-v1 has no curve"):
        plot_runs([folder], tmp_path / "curves.png")


def test_what_is_shown_is_cut_and_on_one_line() -> None:
    assert printable("a\tb\x07é中") == "a?b?é中"
    assert printable("x" * 99, 10) == "x" * 9 + "…"
