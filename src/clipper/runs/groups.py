"""Runs grouped by their settings: those that differ in their seed alone are seeds of one curve."""

import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from clipper.errors import ClipperError
from clipper.runs.config_file import read_config
from clipper.runs.folders import printable, some_of
from clipper.runs.labels import Settings, labels, settings_of
from clipper.settings.config import Config

HOW = frozenset({
    "device", "threads", "engine", "vector", "env_timeout", "on_env_error", "max_restarts", "eval_every",
    "eval_episodes", "until_solved", "checkpoint_every", "keep_checkpoints", "log_every", "max_skipped_steps",
    "patience", "rank_mode", "save_replay",
})  # fmt: skip
"""Settings that say how a run is computed, watched and saved, not what is learned. They part two runs only where
nothing else does: where the same seed has run with both."""


class Member(NamedTuple):
    """A run among others."""

    folder: Path
    config: Config
    settings: Settings


class Group(NamedTuple):
    """Runs that differ in their seed alone."""

    label: str
    """The shortest text that tells it from the other groups on its environment."""
    env: str
    settings: Settings
    """What its runs share, of all that may part groups."""
    members: list[Member]
    """One for each seed."""

    @property
    def folders(self) -> list[Path]:
        """Where its runs lie."""
        return [member.folder for member in self.members]


def grouped(folders: Iterable[Path]) -> list[Group]:
    """Runs by all settings but their seed, in the order in which they are named.

    A seed that ran more than once counts once, by its latest run; a run whose settings cannot be read is left out: both
    with a warning. Raises what is wrong with the settings where no run is left.
    """
    return named(partition(read_members(folders)))


def partition(members: Sequence[Member]) -> list[Group]:
    """Members by their settings, seeds that ran twice among them; yet without labels."""
    groups = list[Group]()
    for pool in by(members, learned(members)):
        how = parting(pool)
        for part in by(pool, how):
            wanted, first = {*learned(part), *how}, part[0]
            settings = {path: x for path, x in first.settings.items() if path in wanted}
            groups.append(Group("", first.config.env, settings, part))
    return groups


def named(groups: Sequence[Group]) -> list[Group]:
    """Groups with the labels that tell them apart, and of each seed its latest run."""
    names = labels([group.env for group in groups], [group.settings for group in groups])
    parts = latest([group.members for group in groups])
    return [group._replace(label=name, members=part) for group, name, part in zip(groups, names, parts, strict=True)]


def read_members(folders: Iterable[Path]) -> list[Member]:
    """The runs with their settings; those that cannot be read are left out with a warning."""
    members, failed = list[Member](), list[ClipperError]()
    for folder in folders:
        try:
            config = read_config(folder)
            members.append(Member(folder, config, settings_of(config)))
        except ClipperError as error:
            failed.append(error)
    if failed and not members:
        raise failed[0]
    for error in failed:
        warnings.warn(f"a run was left out: {printable(error, 400)}", stacklevel=2)
    return members


def learned(members: Sequence[Member]) -> list[str]:
    """The settings that say what is learned."""
    known = dict.fromkeys(path for member in members for path in member.settings)
    return [path for path in known if path not in HOW and path != "seed"]


def parting(pool: Sequence[Member]) -> list[str]:
    """The settings of how a run is computed that part these: those in which two runs of one seed differ."""
    seen: dict[tuple[str, str], str] = {}
    found = dict[str, None]()
    for member in pool:
        for path in sorted(HOW & member.settings.keys()):
            exact = member.settings[path].exact
            if seen.setdefault((member.settings["seed"].exact, path), exact) != exact:
                found[path] = None
    return list(found)


def by(members: Sequence[Member], paths: Sequence[str]) -> list[list[Member]]:
    """Members that agree in these settings, together."""
    found: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        key = json.dumps([member.settings[path].exact if path in member.settings else None for path in paths])
        found[key].append(member)
    return list(found.values())


def latest(parts: Sequence[list[Member]]) -> list[list[Member]]:
    """Each seed of a group once, by the run that was written to last; a warning tells which were left out."""
    kept, repeated = list[list[Member]](), list[Path]()
    for part in parts:
        chosen: dict[str, Member] = {}
        for member in sorted(part, key=written):
            chosen[member.settings["seed"].exact] = member
        kept.append([member for member in part if any(member is x for x in chosen.values())])
        repeated += [member.folder for member in part if not any(member is x for x in chosen.values())]
    if repeated:
        runs = "run of the same settings and seed: of each seed the latest is counted, not"
        warnings.warn(f"there is more than one {runs} {some_of(repeated)}", stacklevel=4)
    return kept


def written(member: Member) -> int:
    """When a run last wrote its metrics."""
    return (member.folder / "metrics.jsonl").stat().st_mtime_ns
