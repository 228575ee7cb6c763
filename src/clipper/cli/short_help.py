"""What help says of options, read from the dataclasses that they are fields of."""

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import tyro

from clipper.algorithms import held_by
from clipper.cli.help_lines import CommandHelp, Default, Fields, settings_help
from clipper.cli.quick_help import bold, width
from clipper.settings.option_text import to_text

NO_FLAGS = {"language", "algorithm", "policy", "encoder", "head", "config"}
POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
"""How tyro marks a field that is no flag."""


def help_for(command: str, options: object, algorithms: str) -> str:
    """The help of ``train`` or ``unroll``, with the defaults that a run would begin with."""
    algorithm = type(options.config.algorithm).__name__  # pyright: ignore[reportAttributeAccessIssue]
    return settings_help(command, list(parts(options)), (algorithm, algorithms), width(), bold)


def parts(options: object) -> Iterator[Fields]:
    """The fields of the command, the run, the algorithm, the network, its encoder and its head."""
    config = options.config  # pyright: ignore[reportAttributeAccessIssue]
    policy = config.policy
    for part in (options, config, config.algorithm, policy, policy.encoder, policy.head):
        inner = held_by(config.algorithm)
        owners = [part, inner] if part is config.algorithm and inner is not part else [part]
        yield {name: x for own in owners if dataclasses.is_dataclass(own) for name, x in fields_of(own).items()}


def fields_of(part: object) -> Fields:
    """Default and meaning by field."""
    about = docstrings(type(part))
    names = [field.name for field in dataclasses.fields(part) if field.name not in NO_FLAGS]  # pyright: ignore[reportArgumentType]
    return {name: (plain(getattr(part, name)), about.get(name, "")) for name in names}


def command_of(kind: type) -> CommandHelp:
    """A command whose options are the fields of a class."""
    about, arguments, options = docstrings(kind), dict[str, tuple[Default, str]](), dict[str, tuple[Default, str]]()
    for field in dataclasses.fields(kind):
        if field.name in NO_FLAGS:
            continue
        text = about.get(field.name, "")
        if POSITIONAL in typing.get_args(field.type)[1:]:
            arguments[field.name.upper()] = (None, text)
        else:
            default = None if field.default is dataclasses.MISSING else plain(field.default)
            options[field.name] = (default, text)
    return {"about": kind.__doc__ or "", "arguments": arguments, "options": options}


@cache
def docstrings(kind: type) -> dict[str, str]:
    """The docstring of each field of a class and its bases, on one line."""
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


def plain(value: object) -> Default:
    """A default for help: None where none is shown."""
    if isinstance(value, bool) or value is None:
        return value
    return said(value) if value not in ((), "") else None


def said(value: object) -> str:
    """A value as the command line takes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return " ".join(said(x) for x in value)
    return to_text(value)
