"""Options that are values, as text: ``linear(3e-4, 0)``, ``huber(0.5)``, ``0.2``, ``0.2,0.28``."""

import ast
import dataclasses
import importlib
import re
import types
import typing

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from clipper.data.values import is_protocol, plain
from clipper.settings.config_json import name_of

OWN = re.compile(r"([\w.]+:\w+)(?:\((.*)\))?")
CALL = re.compile(r"([a-z_0-9]+)(?:\((.*)\))?")


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
    """Is it a union that has one of our values (a dataclass without subfields of its own) among its members?"""
    members = options_of(annotation)
    return len(members) > 1 and any(dataclasses.is_dataclass(m) and is_flat(m) for m in members)


def is_flat(kind: object) -> bool:
    """Has the dataclass only numbers as fields?"""
    return all(hint in (int, float) for hint in typing.get_type_hints(kind).values())


def to_text(value: object) -> str:
    """A value as the command line takes it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        numbers = ",".join(f"{getattr(value, f.name):g}" for f in dataclasses.fields(value))
        name = name_of(value)
        return (name if ":" in name else snake(name)) + (f"({numbers})" if numbers else "")
    if callable(value):
        return name_of(value)
    return ",".join(map(to_text, value)) if isinstance(value, tuple) else f"{value}"


def from_text(text: str, annotation: object) -> object:
    """The inverse; raises ``ValueError`` that names what could have stood there."""
    members = options_of(annotation)
    if type(None) in members and text.strip().lower() == "none":
        return None
    numbers = literal_numbers(text)
    if numbers is not None:
        if len(numbers) == 1 and float in members:
            return numbers[0]
        if any(typing.get_origin(m) is tuple and len(typing.get_args(m)) == len(numbers) for m in members):
            return tuple(numbers)
    if any(map(is_protocol, members)) and (own := OWN.fullmatch(text.strip())):
        return named_value(own[1], own[2] or "")
    match = CALL.fullmatch(text.strip())
    for member in members:
        if (
            match
            and isinstance(member, type)
            and dataclasses.is_dataclass(member)
            and snake(member.__name__) == match[1]
        ):
            arguments = literal_numbers(match[2] or "")
            kinds = typing.get_type_hints(member).values()
            if arguments is not None and len(arguments) <= len(kinds) and all(map(is_a, arguments, kinds)):
                return member(*(kind(x) for kind, x in zip(kinds, arguments, strict=False)))
    raise ValueError(f"{text!r} is none of {describe(annotation)}")


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
    except (ImportError, AttributeError, TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"{name} cannot be made: {error}") from error


def is_a(number: float, kind: type) -> bool:
    """May it stand where an int or a float is expected?"""
    return kind is float or number.is_integer()


def literal_numbers(text: str) -> list[float] | None:
    """``"1, 2e-3"`` → [1.0, 0.002]; None where it is anything else."""
    try:
        parsed = ast.literal_eval(f"({text},)") if text.strip() else ()
    except (SyntaxError, ValueError):
        return None
    return [float(x) for x in parsed] if all(isinstance(x, (int, float)) for x in parsed) else None


def describe(annotation: object) -> str:
    """The forms that an option may take: ``NUMBER|linear(start,end)``."""
    forms = []
    for member in options_of(annotation):
        if isinstance(member, type) and dataclasses.is_dataclass(member):
            names = ",".join(f.name for f in dataclasses.fields(member))
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
    """Teach tyro to read our values from text."""
    registry = ConstructorRegistry()

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
