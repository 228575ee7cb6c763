"""Groups of runs against the first of them: final returns, differences, and how likely one is the better."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipper.errors import ConfigError
from clipper.pictures.aggregate import Scores, probability_of_improvement, stratified_interval
from clipper.runs.curve import Curve, curves_of, thousands
from clipper.runs.folders import is_run, printable, runs_in, seeds_below, some_of
from clipper.runs.groups import Group, Member, latest, named, partition, read_members
from clipper.runs.labels import differences


class Estimate(NamedTuple):
    """A number over seeds, and its 95 % interval where there is more than one seed on each side."""

    value: float
    low: float | None = None
    high: float | None = None


class Row(NamedTuple):
    """A group of runs beside the baseline of its environment, which is the first group on it."""

    label: str
    returns: np.ndarray
    """Mean over the latest 100 training episodes at the end of each run, ``[seeds]``."""
    mean: Estimate
    difference: Estimate | None
    """Mean minus the baseline's; None for the baseline itself."""
    better: Estimate | None
    """P(X > Y) + ½ P(X = Y), X a run of this group and Y one of the baseline's."""
    apart: list[str]
    """Settings that are not the baseline's."""


class Comparison(NamedTuple):
    """All groups on one environment."""

    env: str
    rows: list[Row]


def groups_of(arguments: Sequence[Path]) -> list[Group]:
    """The groups that arguments mean: their runs by all settings but the seed.

    Where all have the same settings, as before and after a change of the code, each argument is a group: nothing else
    tells them apart. So it is only if one is a folder of seeds, or two have run the same seed.
    """
    members = read_members(runs_in(arguments))
    groups = partition(members)
    sets = {path.resolve(): path for path in arguments if is_run(path) or seeds_below(path)}
    if len(groups) > 1 or len(sets) < 2:
        return named(groups)
    seeds = [member.settings["seed"].exact for member in members]
    if len(set(seeds)) == len(seeds) and all(map(is_run, sets.values())):
        return named(groups)
    return by_argument(list(sets.values()), groups[0])


def by_argument(paths: Sequence[Path], group: Group) -> list[Group]:
    """A group's runs by the argument that names them first, labelled by its folder."""
    names = [printable(path.resolve().name, 40) for path in paths]
    names = names if len(set(names)) == len(names) else [printable(path) for path in paths]
    left = {member.folder.resolve(): member for member in group.members}
    parts = list[list[Member]]()
    for path in paths:
        inside = [folder.resolve() for folder in ([path] if is_run(path) else seeds_below(path))]
        parts.append([left.pop(folder) for folder in inside if folder in left])
    kept = latest([part for part in parts if part])
    labels = [name for name, part in zip(names, parts, strict=True) if part]
    return [group._replace(label=label, members=part) for label, part in zip(labels, kept, strict=True)]


def compare(groups: Sequence[Group], curves: Sequence[Curve]) -> list[Comparison]:
    """Each environment's groups against the first of them.

    Raises ``ConfigError`` where no environment has two groups with finished episodes.
    """
    warn_of_unfinished(groups, curves)
    found, alone = list[Comparison](), dict[str, str]()
    for env in dict.fromkeys(group.env for group in groups):
        finals = [
            (
                group,
                np.array([c.returns[-1] for c in curves if (c.env, c.label) == (env, group.label) and len(c.steps)]),
            )
            for group in groups
            if group.env == env
        ]
        finals = [(group, returns) for group, returns in finals if len(returns)]
        if len(finals) > 1:
            found.append(Comparison(env, [row_of(group, returns, *finals[0]) for group, returns in finals]))
        elif finals:
            alone[printable(env, 60)] = finals[0][0].label
    if not found:
        raise ConfigError(f"there is nothing to compare: {why_nothing(alone)}")
    if alone:
        told = " and ".join(f"on {env} there is only {label}" for env, label in alone.items())
        warnings.warn(f"{told}: nothing to compare it with", stacklevel=2)
    return found


def why_nothing(alone: dict[str, str]) -> str:
    """What is missing, where each environment has one group, or none."""
    if not alone:
        return "no run has finished an episode; train them longer"
    if len(alone) == 1:
        ((env, label),) = alone.items()
        return (
            f"all runs with finished episodes are {label} on {env}, seeds of one group; name others that differ in a "
            "setting, or two folders of seeds"
        )
    told = ", ".join(f"{label} on {env}" for env, label in alone.items())
    return f"{told}; returns of different environments cannot be, so name two settings on one of them"


def row_of(group: Group, returns: np.ndarray, base: Group, theirs: np.ndarray) -> Row:
    """One group's numbers."""
    mean = estimate([returns], lambda scores: float(np.mean(scores[0])))
    if group is base:
        return Row(group.label, returns, mean, None, None, [])
    difference = estimate([returns, theirs], lambda scores: float(np.mean(scores[0]) - np.mean(scores[1])))
    better = estimate([returns, theirs], lambda scores: probability_of_improvement(scores[:1], scores[1:]))
    return Row(group.label, returns, mean, difference, better, differences(group.settings, base.settings))


def estimate(scores: Scores, statistic: Callable[[Scores], float]) -> Estimate:
    """A statistic with its interval: seeds are drawn with replacement within each group (see ``aggregate``).

    One seed has no interval: drawn again, it is always the same, and would look certain.
    """
    if min(map(len, scores)) < 2:
        return Estimate(statistic(scores))
    return Estimate(statistic(scores), *stratified_interval(scores, statistic))


def warn_of_unfinished(groups: Sequence[Group], curves: Sequence[Curve]) -> None:
    """Say which runs have not come to their end: their latest return is taken for the final one."""
    members = [member for group in groups for member in group.members]
    short = [
        (member, c.steps[-1])
        for member, c in zip(members, curves, strict=True)
        if len(c.steps) and c.steps[-1] < member.config.total_steps and not member.config.until_solved
    ]
    if short:
        member, steps = short[0]
        far = f"{thousands(steps)} of {thousands(member.config.total_steps)} steps"
        runs = "the run is" if len(short) == 1 else f"{len(short)} runs are"
        first = "" if len(short) == 1 else "the first "
        warnings.warn(
            f"{runs} unfinished ({some_of([member.folder for member, _ in short])}; {first}after {far}): the latest "
            "return is taken for the final one",
            stacklevel=2,
        )


def comparison_of(arguments: Sequence[Path]) -> tuple[list[Comparison], list[Curve]]:
    """What ``clipper compare`` shows: the numbers, and the curves of its picture."""
    groups = groups_of(arguments)
    curves = curves_of(groups)
    return compare(groups, curves), curves
