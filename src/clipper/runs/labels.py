"""What differs between runs, in the command line's words: ``clip 0.1``, ``shared``, ``A2C``."""

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clipper.data.values import Elsewhere
from clipper.errors import ConfigError
from clipper.runs.folders import printable
from clipper.settings.config import Config
from clipper.settings.config_json import short_name, to_json
from clipper.settings.option_text import is_sayable, to_text

MOST = 3  # settings in a label
LONGEST = 40  # letters of a value
ALGORITHM = "algorithm"


class Setting(NamedTuple):
    """A setting as files have it, and as people read it."""

    exact: str
    text: str


Settings = dict[str, Setting]
"""Where it stands (``algorithm.clip``) → the setting."""


def settings_of(config: Config) -> Settings:
    """All settings of a run, one by one; ``algorithm`` is the algorithm's name."""
    try:
        return dict(flat(config, ""))
    except RecursionError:
        raise ConfigError("the settings of a run nest deeper than anybody's own values do: name other runs") from None


def flat(value: Any, path: str) -> Iterator[tuple[str, Setting]]:
    """The fields of a value of ours, and of those that it is made of as long as they have no form as text."""
    for f in dataclasses.fields(value):
        inner = getattr(value, f.name)
        if path + f.name == ALGORITHM or (dataclasses.is_dataclass(inner) and not is_sayable(type(inner))):
            yield from named(inner, path + f.name)
        else:
            yield path + f.name, setting_of(inner)


def named(value: object, path: str) -> Iterator[tuple[str, Setting]]:
    """The name of an algorithm, or of a part without a form as text, and its fields; of one's own from its file."""
    data = to_json(value)
    kind = data.get("type") if isinstance(data, dict) else data
    yield path, Setting(json.dumps(without_modules({"type": kind})), printable(short_name(value), LONGEST))
    if isinstance(value, Elsewhere):
        fields = data.items() if isinstance(data, dict) else ()
        yield from ((f"{path}.{name}", of_file(x)) for name, x in fields if name != "type")
    elif dataclasses.is_dataclass(value):
        yield from flat(value, f"{path}.")


def setting_of(value: object) -> Setting:
    """A value with a form as text."""
    if isinstance(value, Elsewhere):
        data = value.data if isinstance(value.data, dict) else {}
        inner = ",".join(f"{name}={of_file(x).text}" for name, x in data.items() if name != "type")
        text = short_name(value) + (f"({inner})" if inner else "")
    elif value is None or value == ():
        text = "none"
    else:
        text = to_text(value)
    return Setting(json.dumps(without_modules(to_json(value)), sort_keys=True), printable(text, LONGEST))


def of_file(data: object) -> Setting:
    """What a file says of a field that only the user's own code knows."""
    text = data if isinstance(data, str) else json.dumps(data)
    return Setting(json.dumps(without_modules(data), sort_keys=True), printable(text, LONGEST))


def without_modules(data: object) -> object:
    """Settings' JSON with ``:Name`` for ``module:Name``: what ran as a script is imported by its name later."""
    if isinstance(data, dict):
        named = isinstance(data.get("type"), str) and ":" in data["type"]
        short = {"type": f":{data['type'].rpartition(':')[2]}"} if named else {}
        return {name: without_modules(x) for name, x in data.items()} | short
    return [without_modules(x) for x in data] if isinstance(data, list) else data


def labels(envs: Sequence[str], groups: Sequence[Settings]) -> list[str]:
    """The shortest texts that tell groups of runs apart, wherever two share an environment.

    The algorithm's name stands where there are several, or where nothing else differs; what else differs among runs of
    one algorithm follows it, of much only as much as tells them apart, and how much more there is. A setting that
    differs on one environment is named on all, so that a label means the same everywhere.
    """
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, settings in enumerate(groups):
        kinds[settings[ALGORITHM].exact].append(i)
    found = [""] * len(groups)
    for members in kinds.values():
        differing = differing_paths(members, envs, groups)
        chosen = telling(differing, members, envs, groups)
        more = f" + {len(differing) - len(chosen)} more" if len(differing) > len(chosen) else ""
        for i in members:
            words = [word(path, groups[i][path]) for path in chosen if path in groups[i]]
            name = [groups[i][ALGORITHM].text] if len(kinds) > 1 or not words else []
            found[i] = ", ".join(name + words) + more
    return distinct(envs, found)


def differing_paths(members: Sequence[int], envs: Sequence[str], groups: Sequence[Settings]) -> list[str]:
    """The settings that differ between two of these groups on one environment, in their order."""
    seen: dict[tuple[str, str], str] = {}
    found = dict[str, None]()
    for i in members:
        for path, setting in groups[i].items():
            if seen.setdefault((envs[i], path), setting.exact) != setting.exact:
                found[path] = None
    order = dict.fromkeys(path for i in members for path in groups[i])
    return [path for path in order if path in found]


def telling(
    differing: Sequence[str], members: Sequence[int], envs: Sequence[str], groups: Sequence[Settings]
) -> list[str]:
    """All that differs where it is little; otherwise those that tell most groups apart, in their order."""
    if len(differing) <= MOST:
        return list(differing)
    chosen: list[str] = []

    def apart(paths: Sequence[str]) -> int:
        return len({(envs[i], *(groups[i][path].text if path in groups[i] else "" for path in paths)) for i in members})

    while len(chosen) < MOST:
        best = max((path for path in differing if path not in chosen), key=lambda path: apart([*chosen, path]))
        chosen.append(best)
    return [path for path in differing if path in chosen]


def flag_of(path: str) -> str:
    """``algorithm.learning_rate`` → ``learning-rate``."""
    return printable(path.rpartition(".")[2], LONGEST).replace("_", "-")


def word(path: str, setting: Setting) -> str:
    """``clip 0.1``; of a switch ``shared`` or ``no-shared``, as its flags are called."""
    flag = flag_of(path)
    switches = {"true": flag, "false": f"no-{flag}"}
    return switches.get(setting.exact, f"{flag} {setting.text}")


def differences(settings: Settings, others: Settings) -> list[str]:
    """``clip 0.3 instead of 0.1`` for each setting that differs from the others'; of two algorithms, what both have."""
    found = list[str]()
    for path, setting in settings.items():
        if path in others and others[path].exact != setting.exact:
            text = setting.text, others[path].text
            ours, theirs = text if text[0] != text[1] else (f"{text[0]} (of longer text)", "this")
            found.append(f"{flag_of(path)} {ours} instead of {theirs}")
    if settings[ALGORITHM].exact == others[ALGORITHM].exact:
        found += [
            f"{flag_of(path)} {settings[path].text} instead of nothing" for path in settings.keys() - others.keys()
        ]
    return found


def distinct(envs: Sequence[str], found: Sequence[str]) -> list[str]:
    """The same, numbered where two on one environment are alike: their difference was too long to be shown."""
    count: Counter[tuple[str, str]] = Counter()
    names = list[str]()
    for env, text in zip(envs, found, strict=True):
        count[env, text] += 1
        names.append(f"{text} ({count[env, text]})" if count[env, text] > 1 else text)
    return names
