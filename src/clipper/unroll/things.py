"""What a value may be before a program runs: one object, an instance of some class, a tuple of such, or anything."""

from dataclasses import dataclass
from typing import TypeAlias

from clipper.unroll.literals import is_setting, literal
from clipper.unroll.source import Function


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
    """Some instance of a class, of which the attributes are distinguished by class only."""

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
