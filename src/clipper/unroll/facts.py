"""What can be known of a value before a program runs: which one it is, of which class, or nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from clipper.unroll.source import Function

LITERALS = (type(None), bool, int, float, str, bytes)
MOST, DEEPEST = 12, 6
"""Things that a value may be before nothing is said of it any more."""


def literal(x: object) -> bool:
    """Can it be written as code: a number, a text, None, or a tuple of such?"""
    return isinstance(x, LITERALS) or (type(x) is tuple and all(map(literal, x)))


def is_setting(kind: type) -> bool:
    """Is it a class of settings, made by ``@value``?"""
    return "__new__" in vars(kind) and "__dataclass_fields__" in vars(kind)


@dataclass(frozen=True, eq=False)
class Known:
    """Exactly this object."""

    it: object

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Known):
            return False
        a, b = self.it, other.it
        if a is b or type(a) is not type(b):
            return a is b
        return repr(a) == repr(b) if literal(a) and literal(b) else is_setting(type(a)) and a == b

    def __hash__(self) -> int:
        return hash(repr(self.it)) if literal(self.it) else hash(type(self.it))


@dataclass(frozen=True)
class Of:
    """Some instance of a class, of which the attributes are told apart by class only."""

    kind: type


@dataclass(frozen=True)
class Items:
    """A tuple of these, or with ``items`` None something that can be iterated over, each like ``each``."""

    items: "tuple[Fact, ...] | None"
    each: "Fact"


@dataclass(frozen=True)
class Cell:
    """The list or dict that a place in the source makes."""

    place: object
    kind: type


@dataclass(frozen=True)
class Method:
    """A function bound to its first argument."""

    function: Function
    owner: "Thing"


@dataclass(frozen=True)
class Closure:
    """A function made within another."""

    function: Function


@dataclass(frozen=True)
class Partial:
    """``functools.partial``."""

    callee: "Fact"
    arguments: "tuple[Fact, ...]"
    named: "tuple[tuple[str, Fact], ...]"


@dataclass(frozen=True)
class Outside:
    """An attribute of something that this library does not define."""

    owner: "Thing"
    name: str


@dataclass(frozen=True)
class Super:
    """``super()`` in a method of ``kind``."""

    kind: type
    owner: "Thing"


@dataclass(frozen=True)
class Anything:
    """Nothing is known."""


Thing: TypeAlias = Known | Of | Items | Cell | Method | Closure | Partial | Outside | Super | Anything
Fact: TypeAlias = frozenset[Thing]
"""What a value may be; empty where nothing gives it one."""
NEVER: Fact = frozenset()
ANY: Fact = frozenset({Anything()})


def known(x: object) -> Fact:
    """Exactly ``x``."""
    return frozenset({Known(x)})


def some(kind: type) -> Fact:
    """Some instance of a class."""
    return frozenset({Of(kind)})


def depth(fact: Fact) -> int:
    """How deeply tuples are nested in it."""
    found = 0
    for thing in fact:
        if isinstance(thing, Items):
            found = max(found, 1 + max([depth(thing.each), *map(depth, thing.items or ())]))
        elif isinstance(thing, Partial):
            found = max(found, 1 + max([0, *map(depth, thing.arguments)]))
    return found


def join(*facts: Fact) -> Fact:
    """What is known of a value that is one of these."""
    merged = frozenset[Thing]().union(*facts)
    if Anything() in merged or any(depth(fact) > DEEPEST for fact in facts):
        return ANY
    kinds = {thing.kind for thing in merged if isinstance(thing, Of)}
    for kind in (bool, int, float):
        same = [t for t in merged if isinstance(t, Known) and type(t.it) is kind]
        if len(same) > 1 or (same and kind in kinds):  # numbers that differ are some number
            merged = merged.difference(same) | {Of(kind)}
    if any(isinstance(t, Items) for t in merged):
        plain = [t for t in merged if isinstance(t, Known) and type(t.it) is tuple and t.it]
        merged = merged.difference(plain) | {t for p in plain for t in items(map(known, p.it))}  # pyright: ignore
    tuples = [t for t in merged if isinstance(t, Items)]
    if len(tuples) > 1:
        merged = merged.difference(tuples) | {merged_tuples(tuples)}
    return merged if len(merged) <= MOST else ANY


def merged_tuples(tuples: list[Items]) -> Items:
    """One for several, item by item where they are as long as each other."""
    lengths = {None if t.items is None else len(t.items) for t in tuples}
    each = join(*(t.each for t in tuples))
    if len(lengths) > 1 or None in lengths:
        return Items(None, each)
    return Items(tuple(join(*parts) for parts in zip(*(t.items or () for t in tuples), strict=True)), each)


def items(parts: Iterable[Fact]) -> Fact:
    """A tuple of these."""
    parts = tuple(parts)
    return frozenset({Items(parts, join(*parts))})


def iterator(each: Fact) -> Fact:
    """Something that gives any number of these."""
    return frozenset({Items(None, each)})


def the(fact: Fact) -> Known | None:
    """The one object that it is, where that is known."""
    (thing,) = fact if len(fact) == 1 else (None,)
    return thing if isinstance(thing, Known) else None


def each_truth(fact: Fact, of: Callable[[Thing], bool | None]) -> bool | None:
    """Whether ``of`` says the same of all that it may be; None where it does not."""
    found = {of(thing) for thing in fact}
    return found.pop() if len(found) == 1 else None
