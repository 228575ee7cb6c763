"""Options that are values, as text: ``linear(3e-4, 0)``, ``huber(0.5)``, ``0.2``, ``0.2,0.28``."""

import ast
import dataclasses
import importlib
import keyword
import re
import types
import typing
from pathlib import Path
from typing import TypeGuard

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from clipper.data.values import MisfitError, fit, hints_of, is_protocol, plain
from clipper.settings.config_json import name_of
from clipper.storage.files import from_user

NAMED = {"inf": float("inf"), "none": None, "true": True, "false": False}
"""Words that are no texts."""
OWN = re.compile(r"([\w.]+:\w+)(?:\((.*)\))?")


def snake(name: str) -> str:
    """ClippedMSE → clipped_mse."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def options_of(annotation: object) -> tuple[object, ...]:
    """The members of a union, tuples and dataclasses among them."""
    annotation = plain(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def is_option(annotation: object) -> bool:
    """Is it a union that has one of our values among its members, which text can say?"""
    members = options_of(annotation)
    return len(members) > 1 and any(map(is_sayable, members))


def is_sayable(kind: object) -> TypeGuard[type]:
    """Is it a value's class whose fields have an order? Those of an algorithm or the network have names alone."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        return False
    return not any(f.kw_only for f in dataclasses.fields(kind))


def to_text(value: object) -> str:
    """A value as the command line takes it: its leading numbers, and what else is not at its default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.default, getattr(value, f.name)) for f in dataclasses.fields(value)]
        leading = next((i for i, (_, x) in enumerate(fields) if not isinstance(x, int | float)), len(fields))
        while len(fields) > leading and fields[-1][0] == fields[-1][1]:
            fields.pop()
        name, arguments = name_of(value), ",".join(argument_text(x) for _, x in fields)
        return (name if ":" in name else snake(name)) + (f"({arguments})" if arguments else "")
    if callable(value):
        return name_of(value)
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else f"{value}"
    return ",".join(map(to_text, value)) if isinstance(value, tuple) else f"{value}"


def argument_text(value: object) -> str:
    """An argument within a call; a text that would be read as something else is quoted."""
    if isinstance(value, str):
        plain_word = value.isidentifier() and not keyword.iskeyword(value) and value.lower() not in NAMED
        return value if plain_word else repr(value)
    if isinstance(value, tuple):
        return f"({','.join(map(argument_text, value))}{',' * (len(value) == 1)})"
    return to_text(value)


def from_text(text: str, annotation: object) -> object:
    """The inverse; raises ``ValueError`` that names what could have stood there."""
    members = options_of(annotation)
    if any(map(is_protocol, members)) and (own := OWN.fullmatch(text.strip())):
        return named_value(own[1], own[2] or "")
    try:
        return from_node(ast.parse(text.strip(), mode="eval").body, annotation)
    except (SyntaxError, MisfitError) as error:
        raise ValueError(f"{text!r} is none of {describe(annotation)}") from error


def from_node(node: ast.expr, annotation: object) -> object:
    """What an expression of literals, words and calls of our values means for an annotation."""
    members = options_of(annotation)
    words = not any(map(is_sayable, members))  # else they are names of the same values
    for member in members:
        if typing.get_origin(member) is typing.Literal and not words:
            continue
        try:
            return from_node_as(node, member)
        except MisfitError:
            continue
    raise MisfitError


def from_node_as(node: ast.expr, kind: object) -> object:
    """The same for one member of a union."""
    if is_sayable(kind):
        return called(node, kind)
    if typing.get_origin(kind) is tuple:
        inner, nodes = typing.get_args(kind), elements(node)
        inner = (inner[0],) * len(nodes) if inner[-1] is Ellipsis else inner
        if len(nodes) != len(inner):
            raise MisfitError
        return tuple(map(from_node, nodes, inner))
    given = literal(node)
    if is_protocol(kind) or (kind is float and (isinstance(given, bool) or not isinstance(given, int | float))):
        raise MisfitError
    if kind is float:  # its range is the whole value's matter
        return float(given) if isinstance(given, int | float) else given
    return fit(given, kind)


def elements(node: ast.expr) -> list[ast.expr]:
    """What stands in ``(a, b)`` or ``[a, b]``; of ``{a: b}`` the pairs."""
    if isinstance(node, ast.Tuple | ast.List):
        return node.elts
    if isinstance(node, ast.Dict) and None not in node.keys:
        return [ast.Tuple([key, value]) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
    raise MisfitError


def called(node: ast.expr, kind: type) -> object:
    """One of our values, from ``name`` or ``name(arguments)``."""
    function, arguments, named = node, list[ast.expr](), list[ast.keyword]()
    if isinstance(node, ast.Call):
        function, arguments, named = node.func, node.args, node.keywords
    hints = hints_of(kind)
    if not isinstance(function, ast.Name) or function.id.lower() != snake(kind.__name__) or len(arguments) > len(hints):
        raise MisfitError
    given = dict(zip(hints, arguments, strict=False)) | {word.arg or "": word.value for word in named}
    if not given.keys() <= hints.keys():
        raise MisfitError
    return kind(**{name: from_node(x, hints[name]) for name, x in given.items()})


def literal(node: ast.expr) -> object:
    """A number, a text, which needs no quotation marks, a truth value or None; ``inf`` is a number."""
    if isinstance(node, ast.Name):
        return NAMED.get(node.id.lower(), node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, SyntaxError) as error:
        raise MisfitError from error


def named_value(name: str, arguments: str = "") -> object:
    """A value of the user's own: of a class, made of ``arguments``, or a function. The user has named it, so it runs.

    The arguments are literals, in order or by their names. Raises ``ValueError`` with what could not be found or made.
    """
    module, _, member = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), member)
        if not isinstance(found, type):
            return found
        call = ast.parse(f"_({arguments})", mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError(f"{arguments!r} are no arguments")
        named = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
        return found(*map(ast.literal_eval, call.args), **named)
    except (Exception, SystemExit) as error:  # of the user's own code, whatever it is
        raise ValueError(f"{name} cannot be made: {type(error).__name__}: {error}") from error


def describe(annotation: object) -> str:
    """The forms that an option may take: ``NUMBER|linear(start,end)``."""
    forms = []
    for member in options_of(annotation):
        if is_sayable(member):
            names = ",".join(hints_of(member))
            forms.append(snake(member.__name__) + (f"({names})" if names else ""))
        elif is_protocol(member):
            forms.append("MODULE:NAME")
        elif member is type(None):
            forms.append("none")
        elif typing.get_origin(member) is typing.Literal:
            continue  # names of the same values
        else:
            forms.append("LOW,HIGH" if typing.get_origin(member) is tuple else "NUMBER")
    return "|".join(forms)


def register_option_types() -> ConstructorRegistry:
    """Teach tyro to read our values from text, and ``~`` in paths, which a shell leaves behind ``--run-dir=``."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def _(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if info.type is not Path:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=lambda words: from_user(words[0]),
            is_instance=lambda x: isinstance(x, Path),
            str_from_instance=lambda x: [str(x)],
        )

    @registry.primitive_rule
    def _(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        if not is_option(info.type):
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=describe(info.type),
            instance_from_str=lambda words: from_text(words[0], info.type),
            is_instance=lambda _: True,
            str_from_instance=lambda x: [to_text(x)],
        )

    return registry
