"""Groups of runs against a baseline: by hand, by enumerating every draw, and by how often intervals hold."""

import dataclasses
import io
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import run_folders
from rich.console import Console
from scipy.stats import mannwhitneyu

from clipper import A2C, PPO, Config
from clipper.cli.commands import run_command
from clipper.cli.compare import decimals, show
from clipper.errors import ConfigError
from clipper.pictures.aggregate import probability_of_improvement
from clipper.pictures.compare import Comparison, comparison_of, estimate

BASE = Config(env="CartPole-v1", total_steps=1000)


def runs(folder: Path, config: Config, finals: Sequence[float], first: int = 1) -> list[Path]:
    """A run for each final return, of seeds from ``first`` on."""
    return [
        run_folders.write(folder / f"seed{seed}", dataclasses.replace(config, seed=seed), (0.0, final))
        for seed, final in enumerate(finals, first)
    ]


def mean_of(scores: Sequence[np.ndarray]) -> float:
    return float(scores[0].mean())


def difference_of(scores: Sequence[np.ndarray]) -> float:
    return float(scores[0].mean() - scores[1].mean())


def improvement_of(scores: Sequence[np.ndarray]) -> float:
    return probability_of_improvement(scores[:1], scores[1:])


def enumerated(scores: Sequence[np.ndarray], statistic: str) -> tuple[float, float]:
    """The percentile interval over all draws with replacement within each group: n^n of each, every pair of them."""
    groups = [[np.array(draw) for draw in itertools.product(x, repeat=len(x))] for x in scores]
    found = []
    for draws in itertools.product(*groups):
        x, y = draws[0], draws[-1]
        pairs = [(a > b) + 0.5 * (a == b) for a in x for b in y]
        found.append({"mean": np.mean(x), "difference": np.mean(x) - np.mean(y), "better": np.mean(pairs)}[statistic])
    low, high = np.quantile(found, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


@pytest.mark.parametrize(
    "scores",
    [([1.0, 4.0, 6.0], [2.0, 3.0, 5.0]), ([1.0, 2.0], [2.0, 2.0, 9.0, 1.0]), ([5.0, 6.0, 7.0], [1.0, 2.0])],
)
def test_intervals_are_those_of_every_draw_enumerated(scores: tuple[list[float], list[float]]) -> None:
    pair = [np.array(x) for x in scores]
    for name, statistic, groups in [
        ("mean", mean_of, pair[:1]),
        ("difference", difference_of, pair),
        ("better", improvement_of, pair),
    ]:
        found = estimate(groups, statistic)
        assert (found.low, found.high) == pytest.approx(enumerated(groups, name)), name


def test_the_probability_of_improvement_is_mann_and_whitneys() -> None:
    """As rliable defines it: U / (m n) of each task, and the mean over tasks."""
    rng = np.random.default_rng(3)
    ours, theirs = ([rng.integers(0, 5, n).astype(float) for n in sizes] for sizes in ((4, 7), (5, 3)))
    each = [mannwhitneyu(x, y, alternative="greater").statistic / (len(x) * len(y)) for x, y in zip(ours, theirs)]  # noqa: B905
    assert probability_of_improvement(ours, theirs) == pytest.approx(np.mean(each))


def test_intervals_hold_what_they_should_about_as_often_as_they_say() -> None:
    """X ~ N(1, 1), Y ~ N(0, 1), 25 seeds each: the difference is 1, P(X > Y) = Φ(1 / √2) = 0.7602."""
    rng, held = np.random.default_rng(7), np.zeros(2)
    for _ in range(60):
        pair = [rng.normal(1, 1, 25), rng.normal(0, 1, 25)]
        for i, (statistic, truth) in enumerate([(difference_of, 1.0), (improvement_of, 0.7602)]):
            found = estimate(pair, statistic)
            assert found.low is not None
            assert found.high is not None
            held[i] += found.low <= truth <= found.high
    assert (held >= 52).all(), held  # 57 ± 1.7; the percentile interval is a little narrow
    assert (held < 60).any(), held


def test_rows_are_what_a_hand_finds(tmp_path: Path) -> None:
    first = runs(tmp_path / "a", BASE, [10.0, 20.0, 30.0])
    second = runs(tmp_path / "b", dataclasses.replace(BASE, algorithm=PPO(clip=0.3)), [20.0, 40.0])
    ((env, (base, other)),), curves = comparison_of([*first, *second])
    assert env == "CartPole-v1"
    assert (base.label, base.mean.value, base.difference, base.better) == ("clip 0.2", 20.0, None, None)
    assert (other.label, other.mean.value, other.apart) == ("clip 0.3", 30.0, ["clip 0.3 instead of 0.2"])
    assert other.difference is not None
    assert other.better is not None
    assert other.difference.value == 10.0
    assert other.better.value == (1.5 + 3) / 6  # 20 beats 10 and ties 20; 40 beats all
    assert len(curves) == 5


def test_a_folder_of_seeds_is_a_group_and_the_first_is_the_baseline(tmp_path: Path) -> None:
    runs(tmp_path / "a", BASE, [1.0, 2.0])
    runs(tmp_path / "b", dataclasses.replace(BASE, algorithm=A2C()), [3.0, 4.0])
    for names, value in [("ab", 2.0), ("ba", -2.0)]:
        ((_, rows),), _ = comparison_of([tmp_path / name for name in names])
        assert rows[1].difference is not None
        assert rows[1].difference.value == value
    assert [row.label for row in rows] == ["A2C", "PPO"]
    assert "lam 0.95 instead of 1" in rows[1].apart
    assert not any(text.startswith(("clip", "epochs")) for text in rows[1].apart)  # which A2C does not have


def test_folders_of_one_setting_are_groups_of_their_own(tmp_path: Path) -> None:
    """As before and after a change of the code."""
    before, after = runs(tmp_path / "before", BASE, [1.0, 2.0]), runs(tmp_path / "after", BASE, [3.0, 5.0])
    for arguments in ([tmp_path / "before", tmp_path / "after"], [before[0], after[0]]):
        ((_, rows),), _ = comparison_of(arguments)
        assert [len(row.returns) for row in rows] == [len(before) if len(arguments[0].name) > 5 else 1] * 2
        assert rows[1].apart == []
    assert rows[0].label.endswith("before/seed1")  # both are called seed1
    others = runs(tmp_path / "others", BASE, [1.0], first=9)
    ((_, rows),), _ = comparison_of([tmp_path / "before", tmp_path / "others"])
    assert [row.label for row in rows] == ["before", "others"]
    with pytest.raises(ConfigError, match="seeds of one group"):
        comparison_of([*before, *others])


def test_one_seed_has_no_interval_and_the_table_says_so(tmp_path: Path) -> None:
    runs(tmp_path / "a", BASE, [1.0])
    runs(tmp_path / "b", dataclasses.replace(BASE, num_envs=2), [3.0, 4.0])
    comparisons, _ = comparison_of([tmp_path / "a", tmp_path / "b"])
    ((_, (one, two)),) = comparisons
    assert one.mean.low is None
    assert two.mean.low == 3.0
    assert two.difference is not None
    assert two.difference.low is None
    assert "nobody can tell from it" in printed(comparisons, 80)


def printed(comparisons: list[Comparison], width: int) -> str:
    text = io.StringIO()
    show(comparisons, Console(file=text, width=width))
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_says_nothing_raw(width: int, tmp_path: Path) -> None:
    runs(tmp_path / "a", dataclasses.replace(BASE, env="[red]Env-v0,x=[/]\x1b[2J"), [-1234.5, -1000.25])
    long = dataclasses.replace(BASE, env="[red]Env-v0,x=[/]\x1b[2J", algorithm=PPO(clip=(0.123456, 0.654321)))
    runs(tmp_path / "b", dataclasses.replace(long, num_envs=1234, total_steps=998), [1e6, 2e6])
    text = printed(comparison_of([tmp_path / "a", tmp_path / "b"])[0], width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "[red]Env-v0,x=[/]?[2J" in text
    assert "−1117.4" in text
    assert "+1501117.4" in text


@pytest.mark.parametrize(
    ("size", "digits"), [(0.0, 1), (475.3, 1), (31.3, 1), (5.21, 2), (0.521, 3), (0.00521, 5), (1e6, 1), (1e-30, 8)]
)
def test_small_numbers_get_decimals(size: float, digits: int) -> None:
    assert decimals([size]) == digits


def test_unfinished_runs_are_said(tmp_path: Path) -> None:
    first, second = (run_folders.write(tmp_path / str(n), dataclasses.replace(BASE, num_envs=n)) for n in (1, 2))
    rows = (second / "metrics.jsonl").read_text().splitlines()
    (second / "metrics.jsonl").write_text(rows[0] + "\n")
    with pytest.warns(UserWarning, match=r"the run is unfinished \(.*2; after 500 of 1k steps\)"):
        comparison_of([first, second])


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"env": "Acrobot-v1"}, "PPO on CartPole-v1, PPO on Acrobot-v1; returns of different environments"),
        ({"seed": 2}, "seeds of one group"),
    ],
)
def test_nothing_to_compare_is_said(others: dict[str, object], message: str, tmp_path: Path) -> None:
    configs = BASE, dataclasses.replace(BASE, **others)
    folders = [run_folders.write(tmp_path / str(i), config) for i, config in enumerate(configs)]
    with pytest.raises(ConfigError, match=message):
        comparison_of(folders)


def test_an_environment_with_one_group_is_left_out_in_words(tmp_path: Path) -> None:
    configs = [BASE, dataclasses.replace(BASE, num_envs=2), dataclasses.replace(BASE, env="Acrobot-v1")]
    folders = [run_folders.write(tmp_path / str(i), config) for i, config in enumerate(configs)]
    with pytest.warns(UserWarning, match="on Acrobot-v1 there is only num-envs 8: nothing to compare it with"):
        ((env, rows),), _ = comparison_of(folders)
    assert (env, len(rows)) == ("CartPole-v1", 2)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    runs(Path("a"), BASE, [10.0, 20.0, 30.0])
    runs(Path("b"), dataclasses.replace(BASE, algorithm=PPO(clip=0.3)), [110.0, 120.0])
    assert run_command(["compare", "a", "b"]) == 0
    out = capsys.readouterr().out
    assert all(len(line) <= 80 for line in out.splitlines())
    for words in (
        "clip 0.3",
        "115.0",
        "+95.0",
        "1.00 to 1.00",
        "clip 0.3 instead of 0.2",
        "With 2 seeds",
        "compare.png",
    ):
        assert words in out
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")
    assert run_command(["compare", "a", "b", "--output", "two.svg"]) == 0
    assert Path("two.svg").read_bytes().startswith(b"<?xml")
    assert run_command(["compare"]) == 2
    assert "name the folders of two runs" in capsys.readouterr().err
