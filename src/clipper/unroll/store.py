"""What is known of variables, attributes and results, and who has to look again when more becomes possible."""

import ast
import inspect
from collections import deque
from collections.abc import Iterator
from types import FunctionType
from typing import Generic, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from torch import nn

from clipper.unroll.facts import ANY, NEVER, join, known
from clipper.unroll.literals import literal
from clipper.unroll.source import Function, It, function_of, is_ours
from clipper.unroll.things import Anything, Cell, Fact, Items, Known, Method, Of, Outside, Super, Thing

MISSING = object()


class Store:
    """Facts by place. A place that is read is noted, so that its reader runs again when the fact grows."""

    def __init__(self) -> None:
        self.facts: dict[tuple, Fact] = {}
        self.readers: dict[tuple, set[Function]] = {}
        self.queue: deque[Function] = deque()
        self.reached: set[Function] = set()
        self.now: Function | None = None
        """The function that is looked at."""
        self.wild: set[Function] = set()
        """Functions that read an attribute of who knows what."""
        self.made: set[type] = set()
        """Classes of the library of which there are instances."""
        self.sequence: dict[object, int] = {}
        """Entries in the order in which they were first made."""
        self.device: Fact = ANY
        """The type of the device that tensors are on."""
        self.unpacked: dict[Function | None, set[type]] = {}
        """Function → NamedTuples whose fields it reads or gives by their place."""
        self.samples: dict[type, It] = {}
        """One instance of a class, whose unchanging attributes are those of all: the environment's."""

    def get(self, *place: object) -> Fact:
        if self.now is not None:
            self.readers.setdefault(place, set()).add(self.now)
        return self.facts.get(place, NEVER)

    def put(self, fact: Fact, *place: object) -> None:
        before = self.facts.get(place, NEVER)
        after = join(before, fact)
        if after != before:
            self.facts[place] = after
            for reader in self.readers.get(place, ()):
                self.again(reader)

    def again(self, function: Function) -> None:
        if function not in self.queue:
            self.queue.append(function)

    def reach(self, function: Function) -> None:
        if function not in self.reached:
            self.reached.add(function)
            self.again(function)

    def unpack(self, kind: type) -> None:
        self.unpacked.setdefault(self.now, set()).add(kind)

    # Attributes.

    def attribute(self, fact: Fact, name: str) -> Fact:
        """What ``x.name`` is."""
        return join(*(self.attribute_of(thing, name) for thing in fact))

    def attribute_of(self, thing: Thing, name: str) -> Fact:
        if isinstance(thing, Known):
            return self.of_known(thing, name)
        if isinstance(thing, Of) and thing.kind in self.samples:
            found = self.of_sample(thing, name)
            if found is not None:
                return found
        if isinstance(thing, Of) and is_ours(thing.kind):
            return self.of_instance(thing, name)
        if isinstance(thing, Super):
            return self.of_super(thing, name)
        if name == "type" and isinstance(thing, Outside) and thing.name == "device":
            return self.device
        if isinstance(thing, Anything | Outside):
            self.wild |= {self.now} if self.now is not None else set()
            for kind in list(self.made):  # of any of them it may be the property
                static = inspect.getattr_static(kind, name, None)
                function = function_of(static.fget, owner_of(kind, name)) if isinstance(static, property) else None
                if function is not None:
                    self.use(function, Of(kind))
        return frozenset({Outside(thing, name)})

    def of_known(self, thing: Known, name: str) -> Fact:  # noqa: PLR0911 (one for each kind)
        it = thing.it
        if isinstance(it, type):
            static = inspect.getattr_static(it, name, MISSING)
            if static is MISSING:
                return NEVER
            if isinstance(static, classmethod) and (function := function_of(static.__func__)):
                return frozenset({Method(function, thing)})
            return known(getattr(it, name))
        if is_ours(type(it)):
            static = inspect.getattr_static(type(it), name, None)
            if isinstance(static, FunctionType) and (function := function_of(static, type(it))):
                return frozenset({Method(function, thing)})
            if isinstance(static, property) and (function := function_of(static.fget, type(it))):
                self.use(function, thing)
        if isinstance(it, gymnasium.vector.VectorEnv | np.ndarray) and not hasattr(it, name):
            return ANY
        found = getattr(it, name, MISSING)
        if found is MISSING:
            return NEVER
        return known(found)

    def use(self, function: Function, owner: Thing) -> None:
        """A property is read."""
        self.put(frozenset({owner}), "variable", function, function.parameters[0])
        self.reach(function)

    def of_sample(self, thing: Of, name: str) -> Fact | None:
        """An attribute of the environment that is what it is in every one like it."""
        sample = self.samples[thing.kind]
        if not hasattr(sample, name):
            return NEVER
        static = inspect.getattr_static(thing.kind, name, MISSING)
        if is_ours(thing.kind) and static is not MISSING and (callable(static) or hasattr(type(static), "__get__")):
            return None
        value = getattr(sample, name)
        constant = literal(value) or isinstance(value, gymnasium.Space | dict | EnvSpec)
        if name == "unwrapped" and value is sample:
            return frozenset({thing})
        changes = is_ours(thing.kind) and name in changed(thing.kind)
        return known(value) if constant and not changes else None

    def of_instance(self, thing: Of, name: str) -> Fact:  # noqa: PLR0911 (one for each kind)
        kind = thing.kind
        static = inspect.getattr_static(kind, name, MISSING)
        own = self.get("attribute", kind, name)
        if name in ("_replace", "_asdict") and fields_of(kind):
            return frozenset({Outside(thing, name)})
        if isinstance(static, FunctionType) and (function := function_of(static, owner_of(kind, name))):
            return join(own, frozenset({Method(function, thing)}))
        if isinstance(static, staticmethod):
            return join(own, known(static.__func__))
        if isinstance(static, classmethod) and (function := function_of(static.__func__)):
            return frozenset({Method(function, Known(kind))})
        if isinstance(static, property):
            function = function_of(static.fget, owner_of(kind, name))
            if function is None:
                return ANY
            self.use(function, thing)
            return self.get("result", function)
        if inspect.isdatadescriptor(static) or type(static).__name__ == "_tuplegetter":
            return own
        if static is not MISSING and is_ours(owner_of(kind, name)):
            return join(own, known(static))
        if static is not MISSING or (own == NEVER and issubclass(kind, nn.Module) and name in ("training",)):
            return frozenset({Outside(thing, name)})
        foreign = (p for p in kind.__mro__ if not is_ours(p) and p not in PLAIN_PARENTS)
        return frozenset({Outside(thing, name)}) if own == NEVER and any(True for _ in foreign) else own

    def of_super(self, thing: Super, name: str) -> Fact:
        """An attribute of a parent class."""
        kind = thing.owner.kind if isinstance(thing.owner, Of) else thing.kind
        after = kind.__mro__[kind.__mro__.index(thing.kind) + 1 :]
        for parent in after:
            if name in vars(parent):
                function = function_of(vars(parent)[name], parent) if is_ours(parent) else None
                found = Method(function, thing.owner) if function else Outside(Anything(), f"super.{name}")
                return frozenset({found})
        return NEVER

    # Lists and dicts.

    def entries(self, cell: Cell) -> dict[object, Fact] | None:
        """A cell's content by key, or by place in a list; None where that is not known."""
        keys = self.get("keys", cell.place)
        if Anything() in keys:
            return None
        found: list[It] = [k.it for k in keys if isinstance(k, Known)]
        ordered = sorted(found, key=lambda key: self.sequence[cell.place, key])
        return {key: self.get("entry", cell.place, key) for (key,) in ordered}

    def contents(self, cell: Cell) -> Fact:
        """What any entry of a cell may be."""
        entries = self.entries(cell)
        return join(self.get("rest", cell.place), *(entries or {}).values())

    def blur(self, cell: Cell, added: Fact) -> None:
        """Something is added, at no place that is known."""
        found = self.contents(cell)
        self.put(ANY, "keys", cell.place)
        self.put(join(found, added), "rest", cell.place)

    def elements(self, thing: Thing) -> tuple[Fact, ...] | None:
        """What iterating gives, one by one, where that is known."""
        if isinstance(thing, Items):
            return thing.items
        if isinstance(thing, Cell) and (entries := self.entries(thing)) is not None:
            return tuple(entries.values()) if thing.kind is list else tuple(map(known, entries))
        if isinstance(thing, Known) and isinstance(thing.it, tuple | list | dict | gymnasium.spaces.Tuple):
            return tuple(map(known, thing.it))
        if isinstance(thing, Of) and issubclass(thing.kind, tuple) and hasattr(thing.kind, "_fields"):
            self.unpack(thing.kind)
            return tuple(self.get("attribute", thing.kind, name) for name in fields_of(thing.kind))
        return None

    def iterated(self, fact: Fact) -> tuple[Fact, tuple[Fact, ...] | None]:
        """What a loop's variable may be, and the elements one by one where they are known."""
        found, exact = [], None
        for thing in fact:
            exact = self.elements(thing)
            if exact is not None:
                found += exact
            elif isinstance(thing, Items):
                found.append(thing.each)
            elif isinstance(thing, Cell):
                found.append(self.contents(thing))
            else:
                found.append(ANY)
        return join(*found), exact if len(fact) == 1 else None


PLAIN_PARENTS = (object, tuple, nn.Module, gymnasium.Env, gymnasium.vector.VectorEnv, Generic, Protocol)
"""Parents whose own attributes show in the class."""


class HasFields(Protocol):
    """A NamedTuple."""

    _fields: tuple[str, ...]


def fields_of(kind: type) -> tuple[str, ...]:
    """Of a NamedTuple."""
    return getattr(kind, "_fields", ())


def owner_of(kind: type, name: str) -> type:
    """The class that defines an attribute."""
    return next((parent for parent in kind.__mro__ if name in vars(parent)), kind)


def changed(kind: type) -> set[str]:
    """Attributes that methods other than the constructor set."""
    found = set[str]()
    for parent in kind.__mro__:
        for name, member in vars(parent).items():
            function = function_of(member, parent) if isinstance(member, FunctionType) and is_ours(parent) else None
            if function is not None and name not in ("__init__", "__setstate__"):
                found |= set(stores(function))
    return found


def stores(function: Function) -> Iterator[str]:
    """Attributes that a function sets on its first argument."""
    for node in ast.walk(function.node):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
            yield node.attr
