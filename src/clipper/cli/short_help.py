"""``clipper train --help``: every option on a line, in groups; ``--help-all`` prints each one's whole text."""

import ast
import dataclasses
import inspect
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise

from rich.markup import escape

from clipper.runs.terminal import Terminal
from clipper.settings.option_text import to_text

WIDEST = 100
EXAMPLES = (
    ("clipper train CartPole-v1", "with the defaults for it"),
    ("clipper train cartpole --until-solved", "a recipe, until it is solved"),
    ("clipper train my_package:MyEnv-v0 sac --seeds 4", "your environment, SAC, four seeds"),
    ("clipper train CartPole-v1 --run-dir runs/a --resume auto", "go on if it was interrupted"),
)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Run": (
        "env", "preset", "total_steps", "num_envs", "seed", "seeds", "run_dir", "resume", "device", "engine", "vector",
        "threads",
    ),
    "Saving and evaluating": (
        "eval_every", "eval_episodes", "until_solved", "checkpoint_every", "keep_checkpoints", "save_replay",
        "log_every", "profile",
    ),
    "Failures, and several processes": (
        "on_env_error", "env_timeout", "max_restarts", "max_skipped_steps", "patience", "rank_mode",
    ),
    "Algorithm": ("target_kl", "scale_rewards", "ratio"),
    "Network": (),
    "Observations": ("normalise_obs", "clip_obs"),
    "Actions": (),
}  # fmt: skip
"""Fields by group; those of the algorithm, the network, its encoder and its head follow in the last four."""
NO_FLAGS = {"language", "algorithm", "policy", "encoder", "head", "config"}


def show_short_help(options: object, algorithms: str, more: str = "") -> None:
    """Print usage, examples and options with the defaults that a run would begin with, and ``more``."""
    console = Terminal()
    width = min(shutil.get_terminal_size().columns, WIDEST)
    lines = ["[bold]clipper train[/] ENVIRONMENT-OR-RECIPE \\[ALGORITHM] \\[OPTIONS]", ""]
    lines += [f"  {example:<58}{note}"[:width].rstrip() for example, note in EXAMPLES]
    lines += ["", *textwrap.wrap(f"Algorithms: {algorithms}", width, subsequent_indent="  ")]
    for group, fields in grouped(options).items():
        lines += ["", f"[bold]{group}[/]"]
        lines += [line(name, default, about, width) for name, default, about in fields]
    lines += ["", *textwrap.wrap(more, width)] if more else []
    lines += ["", "--help-all prints what each option takes and means, in full."]
    console.print("\n".join(lines), markup=True, soft_wrap=True)


def grouped(options: object) -> dict[str, list[tuple[str, object, str]]]:
    """Name, default and first words of each option, by group."""
    found = {name: x for part in parts(options) for name, x in part.items()}
    places = {name: group for group, names in GROUPS.items() for name in names}
    names: dict[str, list[str]] = {group: [n for n in GROUPS[group] if n in found] for group in GROUPS}
    homes = ("Run", "Run", "Algorithm", "Network", "Observations", "Actions")
    for group, part in zip(homes, parts(options), strict=True):
        own = [name for name in part if name not in places]
        names[group] = [*names[group], *own] if group == "Run" else [*own, *names[group]]
    algorithm = type(options.config.algorithm).__name__  # pyright: ignore[reportAttributeAccessIssue]
    titles = {"Algorithm": f"Algorithm: {algorithm}"}
    return {titles.get(g, g): [(n, *found[n]) for n in all_of] for g, all_of in names.items() if all_of}


def parts(options: object) -> Iterator[dict[str, tuple[object, str]]]:
    """The fields of the command, the run, the algorithm, the network, its encoder and its head."""
    config = options.config  # pyright: ignore[reportAttributeAccessIssue]
    policy = config.policy
    for part in (options, config, config.algorithm, policy, policy.encoder, policy.head):
        held = getattr(part, "algorithm", None) if part is config.algorithm else None  # as Exploring holds one
        yield {name: x for own in (part, held) if dataclasses.is_dataclass(own) for name, x in fields_of(own).items()}


def fields_of(part: object) -> dict[str, tuple[object, str]]:
    """Default and first words by field."""
    about = docstrings(type(part))
    names = [field.name for field in dataclasses.fields(part) if field.name not in NO_FLAGS]  # pyright: ignore[reportArgumentType]
    return {name: (getattr(part, name), about.get(name, "")) for name in names}


@cache
def docstrings(kind: type) -> dict[str, str]:
    """What stands below each field of a class and its bases, on one line."""
    found = dict[str, str]()
    for base in reversed(kind.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError):  # a class that was made, as by a program
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def line(name: str, default: object, about: str, width: int) -> str:
    """One option."""
    flag = f"--{'no-' if default is True else ''}{name.replace('_', '-')}"
    given = "" if default in (None, (), "") else f" [{said(default)}]"
    room = width - 3 - max(21, len(flag)) - len(given)
    return escape(f"  {flag:<21} {shortened(about, room)}{given}")


def shortened(text: str, room: int) -> str:
    """The first sentence; what of it fits, up to a semicolon where there is one."""
    end = text.find(". ")
    sentence = text[:end] if end > 0 else text.rstrip(".")
    if len(sentence) <= room:
        return sentence
    whole = sentence[:room].rpartition("; ")[0]
    if len(whole) > room / 2 and whole.count("(") == whole.count(")") and ": " not in whole:
        return whole
    return f"{sentence[: room - 1].rsplit(' ', 1)[0].rstrip(',;:')}…"


def said(value: object) -> str:
    """A default as the command line takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float) and not isinstance(value, bool):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return " ".join(said(x) for x in value)
    return to_text(value)
