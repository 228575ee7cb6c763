"""What calls give: of the library's own functions by following them, of others where that is known without a run."""

import inspect
from abc import ABC, abstractmethod
from functools import partial
from types import FunctionType
from typing import NamedTuple

import torch
from torch import nn

from clipper.data.trees import across, each
from clipper.environments.make import wants_lists
from clipper.learning.optimizers import light
from clipper.networks.encoders import channels_first, is_image, seen_by
from clipper.rollout.state import autoreset_mode
from clipper.spaces.observations import observation_leaves
from clipper.unroll.facts import ANY, NEVER, items, iterator, join, known, some, the
from clipper.unroll.literals import is_setting
from clipper.unroll.source import Function, It, function_of, is_ours
from clipper.unroll.store import MISSING, Store, fields_of, owner_of
from clipper.unroll.things import Anything, Cell, Closure, Fact, Items, Known, Method, Of, Outside, Partial, Thing

LAYERS = (nn.Linear, nn.Sequential, nn.Conv2d, nn.Flatten, nn.Tanh, nn.ReLU)
"""Layers from elsewhere that give one tensor."""
UNASKED = {"state_dict", "load_state_dict", "__getstate__", "__setstate__", "render", "forward", "__init__", "__new__"}
"""What parent classes from elsewhere call for saving and pictures only, and what is followed where it is called."""


class Arguments(NamedTuple):
    """Of a call."""

    places: list[Fact]
    named: dict[str, Fact]
    more: bool = False
    """There may be others."""
    rest: Fact = ANY
    """What these may be."""

    @property
    def all(self) -> list[Fact]:
        return [*self.places, *self.named.values()]


UNKNOWN = Arguments([], {}, more=True)


class Calls(Store, ABC):
    """Follows calls."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: dict[object, set[Function | type]] = {}
        """Call → what of the library it may reach."""
        self.escaped: set[Function] = set()
        """Functions that something else calls, too."""
        self.mapped_over: set[type] = set()
        """Classes whose instances are mapped over as trees."""
        self.values: dict[object, object] = {}
        self.answers: dict[object, Fact] = {}
        """What functions give that are not followed."""

    def call(self, fact: Fact, given: Arguments, place: object = None) -> Fact:
        return join(*(self.call_thing(thing, given, place) for thing in fact))

    def call_thing(self, thing: Thing, given: Arguments, place: object) -> Fact:  # noqa: PLR0911 (one for each kind)
        if isinstance(thing, Known):
            return self.call_known(thing, given, place)
        if isinstance(thing, Method):
            return self.invoke(thing.function, given._replace(places=[frozenset({thing.owner}), *given.places]), place)
        if isinstance(thing, Closure):
            return self.invoke(thing.function, given, place)
        if isinstance(thing, Partial):
            more = Arguments([*thing.arguments, *given.places], dict(thing.named) | given.named, given.more)
            return self.call(thing.callee, more)
        if isinstance(thing, Of) and is_ours(thing.kind):
            name = "forward" if issubclass(thing.kind, nn.Module) else "__call__"
            found = inspect.getattr_static(thing.kind, name, None)
            function = function_of(found, owner_of(thing.kind, name))
            if function is not None:
                return self.invoke(function, given._replace(places=[frozenset({thing}), *given.places]), place)
        if isinstance(thing, Outside):
            return self.call_outside(thing, given)
        self.escape(given)
        if isinstance(thing, Of) and issubclass(thing.kind, LAYERS):
            return some(torch.Tensor)
        return join(ANY, *self.networks(given, place)) if isinstance(thing, Anything) else ANY

    def networks(self, given: Arguments, place: object) -> list[Fact]:
        """A call of who knows what: of any network, it may be."""
        self.wild |= {self.now} if self.now is not None else set()
        found = [kind for kind in self.made if issubclass(kind, nn.Module) and given.named.keys() & {"action_mask"}]
        return [self.call_thing(Of(kind), given, place) for kind in found]

    def call_known(self, thing: Known, given: Arguments, place: object) -> Fact:  # noqa: PLR0911 (one for each kind)
        it: It = thing.it
        if it.__hash__ is not None and it in self.answers:
            self.escape(given)
            return self.answers[it]
        if hasattr(it, "registry") and hasattr(it, "dispatch") and is_ours(it):
            rest = given.places[1:]
            cases = self.cases(it, given).items()
            return join(*(self.invoke(f, given._replace(places=[first, *rest]), place) for f, first in cases))
        if isinstance(it, partial):
            places, named = map(known, it.args), {name: known(x) for name, x in it.keywords.items()}
            return self.call(known(it.func), given._replace(places=[*places, *given.places], named=named | given.named))
        if isinstance(it, type):
            return self.make(it, given, place)
        if is_ours(type(it)) and (static := inspect.getattr_static(type(it), "__call__", None)) is not None:
            own = isinstance(static, staticmethod)
            function = function_of(static.__func__ if own else static, type(it))
            assert function is not None
            places = given.places if own else [frozenset({thing}), *given.places]
            return self.invoke(function, given._replace(places=places), place)
        function = function_of(it)
        if it is each or it is across:
            assert function is not None
            self.invoke(function, given._replace(places=[ANY, *given.places[1:]]), place)
            return self.mapped(given) if it is each else self.mapped_once(given)
        if function is not None:
            found = self.invoke(function, given, place)
            told = it in TOLD and not given.more
            return self.called(it, given) if told and MISSING not in map(self.real, given.all) else found
        return self.outside(it, given)

    def real(self, fact: Fact) -> object:
        """The object itself, or one just like it."""
        (thing,) = fact if len(fact) == 1 else (None,)
        if isinstance(thing, Known):
            return thing.it
        return self.samples.get(thing.kind, MISSING) if isinstance(thing, Of) else MISSING

    def cases(self, dispatched: It, given: Arguments) -> dict[Function, Fact]:
        """The cases of a dispatched function that its first argument may enter, each with what of it enters there."""
        found = dict[Function, Fact]()
        for thing in given.places[0] if given.places else ():
            kind = type(thing.it) if isinstance(thing, Known) else thing.kind if isinstance(thing, Of) else None
            for real in dispatched.registry.values() if kind is None else [dispatched.dispatch(kind)]:
                if (function := function_of(real)) is not None:
                    found[function] = found.get(function, NEVER) | {thing}
        return found

    def invoke(self, function: Function, given: Arguments, place: object = None) -> Fact:
        """Follow a call of one of the library's functions."""
        if place is None:
            self.escaped.add(function)
        else:
            self.targets.setdefault(place, set()).add(function)
        a = function.node.args
        names = [x.arg for x in (*a.posonlyargs, *a.args)]
        named = dict(given.named)
        for i, name in enumerate(names):
            fact = given.places[i] if i < len(given.places) else named.pop(name, None)
            self.bind(function, name, fact, given.more)
        for x in a.kwonlyargs:
            self.bind(function, x.arg, named.pop(x.arg, None), given.more)
        if a.vararg:
            rest = iterator(ANY) if given.more else items(given.places[len(names) :])
            self.put(rest, "variable", function, a.vararg.arg)
        if a.kwarg:
            cell = Cell((function, "named"), dict)
            self.put(frozenset({cell}), "variable", function, a.kwarg.arg)
            self.fill(cell, named)
            if given.more:
                self.blur(cell, ANY)
        self.reach(function)
        if function.generates:
            return iterator(self.get("yield", function))
        return self.get("result", function)

    def fill(self, cell: Cell, entries: dict[It, Fact]) -> None:
        for key, fact in entries.items():
            self.sequence.setdefault((cell.place, (key,)), len(self.sequence))
            self.put(known((key,)), "keys", cell.place)  # in a tuple: keys that differ stay apart
            self.put(fact, "entry", cell.place, key)
        if self.entries(cell) is None:  # an unknown key was added before, by which these may be read, too
            self.put(join(*entries.values()), "rest", cell.place)

    def bind(self, function: Function, name: str, fact: Fact | None, more: bool) -> None:
        if fact is None:
            fact = join(self.default(function, name), ANY if more else NEVER)
        self.put(fact, "variable", function, name)

    def default(self, function: Function, name: str) -> Fact:
        if function.real is None:
            return self.get("default", function, name)
        found = inspect.signature(function.real).parameters[name].default
        return NEVER if found is inspect.Parameter.empty else known(found)

    def escape(self, given: Arguments) -> None:
        """Whoever gets a function may call it."""
        for fact in given.all:
            for thing in fact:
                self.let_go(thing)

    def let_go(self, thing: Thing) -> None:
        if isinstance(thing, Items):
            for part in thing.items or ():
                self.escape(Arguments([part], {}))
        elif isinstance(thing, Known) and isinstance(thing.it, type | FunctionType) and is_ours(thing.it):
            if not isinstance(thing.it, type):
                self.call_thing(thing, UNKNOWN, None)
            else:
                self.unpack(thing.it)
        elif isinstance(thing, Method | Closure | Partial):
            self.call_thing(thing, UNKNOWN, None)

    # Instances.

    def make(self, kind: type, given: Arguments, place: object) -> Fact:
        """What a class gives."""
        if (found := self.builtin(kind, given)) is not None:
            return found
        if not is_ours(kind):
            self.escape(given)
            return some(kind)
        if (value := self.value_of(kind, given)) is not None:
            return known(value)
        if place is not None:
            self.targets.setdefault(place, set()).add(kind)
        if place is None:
            self.unpack(kind)
        if kind not in self.made:
            self.made.add(kind)
            for function in self.wild:
                self.again(function)
        own: It = kind
        fields = fields_of(kind) or list(getattr(kind, "__dataclass_fields__", ()))
        if fields:
            defaults = getattr(kind, "_field_defaults", None) or {
                f.name: f.default for f in getattr(kind, "__dataclass_fields__", {}).values()
            }
            for i, name in enumerate(fields):
                fact = given.places[i] if i < len(given.places) else given.named.get(name)
                fact = known(defaults[name]) if fact is None and name in defaults and not given.more else fact
                self.put(ANY if fact is None else fact, "attribute", kind, name)
        init = function_of(inspect.getattr_static(own, "__init__"), owner_of(kind, "__init__"))
        if init is not None and not fields:
            self.invoke(init, given._replace(places=[some(kind), *given.places]), place)
        elif not fields:
            self.escape(given)
        self.overrides(kind)
        return some(kind)

    def overrides(self, kind: type) -> None:
        """What a parent class from elsewhere may call."""
        foreign = [p for p in kind.__mro__ if not is_ours(p) and p not in (object, tuple)]
        for parent in filter(is_ours, kind.__mro__):
            for name, member in vars(parent).items():
                function = function_of(member, parent) if isinstance(member, FunctionType) else None
                if function and name not in UNASKED and any(name in vars(p) for p in foreign):
                    self.invoke(function, Arguments([some(kind)], {}, more=True))

    def value_of(self, kind: It, given: Arguments) -> object | None:
        """A frozen value of settings, made of what is known."""
        parameters = getattr(kind, "__dataclass_params__", None)
        facts = [the(fact) for fact in given.all]
        if parameters is None or not parameters.frozen or given.more or None in facts or not is_setting(kind):
            return None
        key = kind, tuple(given.places), tuple(given.named.items())
        if key not in self.values:
            arguments = [fact.it for fact in facts if fact is not None]
            places = arguments[: len(given.places)]
            self.values[key] = kind(*places, **dict(zip(given.named, arguments[len(places) :], strict=True)))
        return self.values[key]

    # What is not the library's, in ``foreign``.

    @abstractmethod
    def builtin(self, it: object, given: Arguments) -> Fact | None:
        """What a class of Python's own gives; None for others."""

    @abstractmethod
    def outside(self, it: object, given: Arguments) -> Fact:
        """What a function from elsewhere gives."""

    @abstractmethod
    def call_outside(self, thing: Outside, given: Arguments) -> Fact:
        """What a method from elsewhere gives."""

    @abstractmethod
    def mapped(self, given: Arguments) -> Fact:
        """What ``each`` gives."""

    @abstractmethod
    def mapped_once(self, given: Arguments) -> Fact:
        """What ``across`` gives."""

    @abstractmethod
    def called(self, it: object, given: Arguments) -> Fact:
        """What a call gives now."""


TOLD = {wants_lists, is_image, channels_first, seen_by, observation_leaves, autoreset_mode, light}
"""Functions of the library that read spaces, settings and the environment alone, and change nothing."""
