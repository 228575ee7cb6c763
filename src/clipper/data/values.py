"""Values: frozen dataclasses whose fields hold to their types and ranges from the moment they are made.

Settings are values: an algorithm, an objective, a memory, a whole configuration. ``@value`` makes a dataclass of a
class and checks every field, whoever gives it: code, the command line or a file.
"""

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, SupportsFloat, TypeVar, cast

import numpy as np

from clipper.data.field_names import check_names
from clipper.errors import ConfigError, repr_of

T = TypeVar("T")


@dataclass(frozen=True)
class Range:
    """Numbers from ``least`` to ``most``; without the bounds themselves where they are ``open``."""

    least: float = -math.inf
    most: float = math.inf
    open_below: bool = False
    open_above: bool = False
    infinite: bool = False
    """Whether infinity itself is a number here, as in a bound that is switched off."""

    def holds(self, number: float) -> bool:
        """Does the number lie in the range? NaN lies in none."""
        if math.isinf(number) and not self.infinite:
            return False
        above = number > self.least if self.open_below else number >= self.least
        below = number < self.most if self.open_above else number <= self.most
        return above and below

    def __str__(self) -> str:
        least, most = (f"{x:g}" if isinstance(x, float) else f"{x:,}" for x in (self.least, self.most))
        below = "" if self.most == math.inf else f"{'below' if self.open_above else 'at most'} {most}"
        above = "" if self.least == -math.inf else f"{'above' if self.open_below else 'at least'} {least}"
        if above and below and not (self.open_below or self.open_above):
            return f"from {least} to {most}"
        return " and ".join(filter(None, (above, below))) or "finite"


Count = Annotated[int, Range(1)]
"""A whole number, at least 1."""
Natural = Annotated[int, Range(0)]
"""A whole number, at least 0."""
Passes = Annotated[int, Range(1, 10_000)]
"""How often the same data are gone through."""
Fraction = Annotated[float, Range(0, 1)]
"""A number from 0 to 1."""
Positive = Annotated[float, Range(0, open_below=True)]
"""A finite number above 0."""
NonNegative = Annotated[float, Range(0)]
"""A finite number, at least 0."""
Bound = Annotated[float, Range(0, open_below=True, infinite=True)]
"""A number above 0; infinity bounds nothing."""


@dataclass(frozen=True)
class Elsewhere:
    """A value that a file names and that is not here, until it is handed over again.

    Its class is code of the user's own, or what the file says of it does not fit, and nobody has needed it yet.
    """

    name: str
    """``module:Name``, or ``Name`` of one of Clipper's own; nothing is imported because a file says so."""
    data: object
    """All that the file says of it."""
    misfit: str = ""
    """What does not fit, in a value of Clipper's own."""


class MisfitError(Exception):
    """What was given does not fit; the message says what does, as in "a whole number"."""


class OutOfRangeError(MisfitError):
    """It is of the right type; the message says the range, as in "at least 1"."""


@typing.overload
@typing.dataclass_transform(frozen_default=True)
def value(cls: type[T], /) -> type[T]: ...
@typing.overload
@typing.dataclass_transform(frozen_default=True)
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
def value(cls: type[T] | None = None, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """A frozen dataclass with slots, whose fields are checked whenever one is made.

    An argument that is no field is an error that names the nearest one.
    """
    return make(cls, kw_only) if cls is not None else functools.partial(make, kw_only=kw_only)


def make(cls: type[T], kw_only: bool) -> type[T]:
    """``value``, with its arguments."""
    after: Callable[[object], None] | None = getattr(cls, "__post_init__", None)  # a parent's, too

    def __post_init__(self: object) -> None:  # noqa: N807 (it becomes a method)
        check_fields(self)
        if after is not None:
            after(self)

    cls.__post_init__ = __post_init__  # pyright: ignore[reportAttributeAccessIssue]
    made = dataclass(frozen=True, slots=True, kw_only=kw_only)(cls)
    typing.no_type_check(made.__init__)  # ``check_fields`` does that, and its errors are ours

    @functools.wraps(made.__init__, assigned=())
    def __new__(kind: type, *_: object, **given: object) -> object:  # noqa: N807 (here, so that subclasses have it, too)
        if not given.keys() <= kind.__dataclass_fields__.keys():
            check_arguments(kind, given)
        return object.__new__(kind)

    made.__new__ = staticmethod(__new__)  # pyright: ignore[reportAttributeAccessIssue]
    return made


def check_arguments(kind: type, given: Mapping[str, object]) -> None:
    """Raise ``UnknownFieldError`` for a keyword that the class is not made with."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    if all(p.kind is not p.VAR_KEYWORD for p in parameters):
        check_names(kind.__name__, given, [p.name for p in parameters])


def check_fields(made: object) -> None:
    """Hold each field to its annotation; a number of numpy's becomes Python's, a list a tuple.

    Raises ``ConfigError`` that names class and field, what fits, and what was given.
    """
    for name, hint in hints_of(type(made)).items():
        given = getattr(made, name)
        try:
            fitted = fit(given, hint)
        except MisfitError as misfit:
            raise ConfigError(f"{type(made).__name__}: {name} must be {misfit}, not {shown(given)}") from None
        if fitted is not given:
            object.__setattr__(made, name, fitted)


@functools.cache
def hints_of(kind: type) -> dict[str, object]:
    """The annotations of a dataclass's fields, with what ``Annotated`` adds to them."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def fit(given: object, hint: object) -> object:
    """``given`` as the annotation ``hint`` has it; raises ``MisfitError`` where it cannot be that."""
    if isinstance(given, Elsewhere):
        return given
    if isinstance(given, np.generic):
        given = given.item()
    origin = typing.get_origin(hint)
    if origin is Annotated:
        kind, *notes = typing.get_args(hint)
        fitted = fit_plain(given, kind) if kind is float else fit(given, kind)
        for note in notes:
            if isinstance(note, Range):
                check_range(fitted, note)
        return fitted
    if origin in (typing.Union, types.UnionType):
        return fit_one(given, typing.get_args(hint))
    if origin is Literal:
        words = typing.get_args(hint)
        if not any(type(given) is type(word) and given == word for word in words):
            raise MisfitError(listed([shown(word) for word in words]))
        return given
    if origin is tuple:
        return fit_tuple(given, typing.get_args(hint))
    fitted = fit_plain(given, hint)
    if hint is float:
        check_range(fitted, Range())
    return fitted


def fit_one(given: object, members: tuple[object, ...]) -> object:
    """The first member of a union that ``given`` fits; where it is only out of range, that is what is wrong."""
    misfits: list[MisfitError] = []
    for member in members:
        try:
            return fit(given, member)
        except OutOfRangeError:
            raise
        except MisfitError as misfit:
            misfits.append(misfit)
    raise MisfitError(listed(list(dict.fromkeys(map(str, misfits)))))


def fit_tuple(given: object, inner: tuple[object, ...]) -> tuple[object, ...]:
    """A tuple of the lengths and types that its annotation has; a list will do."""
    if not isinstance(given, tuple | list):
        raise MisfitError("a tuple" if inner[-1] is Ellipsis else f"a tuple of {len(inner)}")
    kinds = (inner[0],) * len(given) if inner[-1] is Ellipsis else inner
    if len(kinds) != len(given):
        raise MisfitError(f"a tuple of {len(kinds)}")
    try:
        fitted = tuple(fit(x, kind) for x, kind in zip(given, kinds, strict=True))
    except MisfitError as misfit:
        raise type(misfit)(f"a tuple of which each is {misfit}") from None
    unchanged = isinstance(given, tuple) and all(a is b for a, b in zip(fitted, given, strict=True))
    return given if unchanged and isinstance(given, tuple) else fitted


PLAIN: dict[object, tuple[tuple[type, ...], str]] = {
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    bool: ((bool,), "True or False"),
    str: ((str,), "a text"),
    None: ((type(None),), "None"),
    type(None): ((type(None),), "None"),
}
"""Annotation → what may be given, and what it is called. A truth value is no number."""


def fit_plain(given: object, hint: object) -> object:
    """Numbers, texts, None, and values."""
    if hint in PLAIN:
        kinds, name = PLAIN[hint]
        if not isinstance(given, kinds) or (isinstance(given, bool) and hint is not bool):
            raise MisfitError(name)
        try:
            return float(given) if hint is float and isinstance(given, (int, float)) else given
        except OverflowError:
            raise MisfitError("a number that a float can hold") from None
    if is_protocol(hint):
        fit_protocol(given, hint)
    elif hint is not Any and isinstance(hint, type) and not isinstance(given, hint):
        raise MisfitError(hint.__name__)
    return given


def is_protocol(hint: object) -> bool:
    """Is the annotation a protocol, which classes of the user's own follow?"""
    return getattr(hint, "_is_protocol", False)


def fit_protocol(given: object, hint: object) -> None:
    """Hold a value of the user's own to what is asked of it: its methods, and how many arguments a call has."""
    asked = [name for name in vars(hint) if name == "__call__" or not name.startswith("_")]
    own = f"one of your own that {'can be called' if '__call__' in asked else 'has ' + ' and '.join(asked)}"
    kind = type(given)
    ours = hasattr(kind, "__dataclass_fields__") and kind.__module__.startswith("clipper.")  # and so of another kind
    if isinstance(given, type | str | int | float) or given is None or ours:
        raise MisfitError(own)
    if not all(hasattr(given, name) for name in asked):
        raise MisfitError(own)
    for name in asked:
        if callable(getattr(hint, name)):
            check_call(given, name, list(inspect.signature(getattr(hint, name)).parameters.values())[1:])


def check_call(given: object, name: str, asked: list[inspect.Parameter]) -> None:
    """Hold a method of a user's own value to the arguments that it will get, those with a name by their name."""
    places = [p.name for p in asked if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    names = [p.name for p in asked if p.name not in places]
    places += ["kl"] if name == "__call__" and getattr(given, "needs_kl", False) else []
    static = isinstance(inspect.getattr_static(type(given), name, None), staticmethod)
    called: object = given if name == "__call__" and not static else getattr(given, name)
    try:
        if not callable(called):
            raise TypeError(f"{called} cannot be called")
        inspect.signature(called).bind(*places, **dict.fromkeys(names))
    except TypeError:
        what = "is called" if name == "__call__" else f"has {name}, called"
        words = ", ".join([*places, *(f"{word}=…" for word in names)])
        raise MisfitError(f"one of your own that {what} with ({words})") from None
    except ValueError:  # of something compiled nobody can tell
        pass


def check_range(given: object, allowed: Range) -> None:
    """Hold a number to its range; a schedule, by what it is at the run's beginning and end; each of a tuple."""
    if isinstance(given, tuple):
        for x in given:
            check_range(x, allowed)
    elif isinstance(given, (int, float)):
        if not allowed.holds(given):
            raise OutOfRangeError(f"{allowed}")
    elif callable(given):
        for progress in (0.0, 1.0):
            try:
                number = float(cast(SupportsFloat, given(progress)))
            except Exception as error:  # whatever a function of the user's raises
                raise OutOfRangeError(
                    f"a schedule that gives a number, which for {progress:g} fails ({error})"
                ) from None
            if not allowed.holds(number):
                raise OutOfRangeError(f"{allowed} at the run's beginning and at its end")


@typing.overload
def plain(hint: type[T]) -> type[T]: ...
@typing.overload
def plain(hint: object) -> object: ...
def plain(hint: object) -> object:
    """An annotation without what ``Annotated`` adds to it or to its parts."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return plain(parts[0])
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(plain(part) for part in parts)]  # noqa: UP007 (of a tuple)
    return tuple[tuple(plain(part) for part in parts)] if origin is tuple else hint


def listed(words: list[str]) -> str:
    """a, b or c."""
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def shown(given: object) -> str:
    """A value in an error, cut where it is long."""
    text = f"the class {given.__name__}: write {given.__name__}()" if isinstance(given, type) else repr_of(given)
    text = " ".join(text.split())
    return text if len(text) <= 80 else text[:77] + "..."
