"""What calls of what the library does not define give, where that is known without a run."""

import copy
import functools
import inspect
import math
from collections.abc import Callable
from functools import partial
from types import FunctionType

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from clipper.data.trees import each
from clipper.unroll.calls import Arguments, Calls
from clipper.unroll.facts import ANY, NEVER, each_truth, items, iterator, join, known, some, the
from clipper.unroll.literals import literal
from clipper.unroll.source import It, function_of, is_ours
from clipper.unroll.store import owner_of
from clipper.unroll.things import Anything, Cell, Closure, Fact, Items, Known, Method, Of, Outside, Partial, Thing

PURE = {
    int, float, bool, str, len, min, max, abs, sum, any, all, tuple, np.prod, np.dtype, np.isfinite, np.issubdtype,
    np.iinfo, np.finfo, np.broadcast_to, math.exp, math.log, math.sqrt, math.expm1, repr,
}  # fmt: skip
"""What may be called beforehand where the arguments are known."""
TENSOR_MAKERS = {
    "tensor", "zeros", "ones", "cat", "stack", "where", "empty", "arange", "full", "from_numpy", "zeros_like",
    "as_tensor",
    "ones_like", "full_like", "rand", "randn", "randperm", "minimum", "maximum", "einsum",
}  # fmt: skip
TENSOR_METHODS = {
    "to", "detach", "clone", "float", "double", "exp", "mean", "sum", "square", "clamp", "masked_fill", "reshape",
    "where",
    "cumsum", "argmax", "amax", "amin", "log", "abs", "expm1",
    "unsqueeze", "squeeze", "flatten", "cpu", "sqrt", "index_select", "log_softmax", "softmax", "gather", "expand",
}  # fmt: skip
ARRAY_MAKERS = {"zeros", "ones", "zeros_like", "ones_like", "array", "stack", "full", "empty", "concatenate"}
COMMON = {
    name
    for kind in (torch.Tensor, np.ndarray, dict, list, str, set, nn.Module, torch.Generator, torch.optim.Optimizer,
                 gymnasium.Env, gymnasium.vector.VectorEnv)
    for name in dir(kind)
}  # fmt: skip
"""Methods of much that the library does not define: a call of one on who knows what is taken to be that."""
ITSELF = {"to", "double", "float", "eval", "train", "requires_grad_", "cpu"}


class Foreign(Calls):
    """Knows some of Python, torch and numpy."""

    def builtin(self, it: It, given: Arguments) -> Fact | None:  # noqa: PLR0911, PLR0912 (one for each kind)
        """Of what Python itself brings, where something is known of the result; otherwise None."""
        if it in (tuple, list) and given.places:
            each, exact = self.iterated(given.places[0])
            if it is tuple:
                return iterator(each) if exact is None else items(exact)
            return iterator(each)
        if it in (list, dict, set, tuple) and not given.all:
            return items(()) if it is tuple else None
        if it is partial:
            return frozenset({Partial(given.places[0], tuple(given.places[1:]), tuple(given.named.items()))})
        if it is zip:
            if given.more:
                return iterator(ANY)
            return iterator(items(self.iterated(fact)[0] for fact in given.places))
        if it is enumerate:
            return iterator(items([some(int), self.iterated(given.places[0])[0]]))
        if it is map:
            return iterator(self.call(given.places[0], Arguments([self.iterated(f)[0] for f in given.places[1:]], {})))
        if it is range:
            return iterator(some(int))
        if it is type and len(given.places) == 1:
            kinds = [type(t.it) if isinstance(t, Known) else t.kind if isinstance(t, Of) else None
                     for t in given.places[0]]  # fmt: skip
            return ANY if None in kinds else frozenset(map(Known, kinds))
        if it in (nn.ModuleList, reversed) and given.places:
            return iterator(self.iterated(given.places[0])[0])
        if it in (int, float, bool, str) and not all(map(the, given.all)):
            return some(it)
        if it is super:
            return ANY
        return None

    def outside(self, it: It, given: Arguments) -> Fact:
        """A call of a function from elsewhere."""
        handled = SPECIAL.get(it) if it.__hash__ is not None else None
        if handled is not None:
            return handled(self, given)
        arguments = [the(fact) for fact in given.all]
        owner = getattr(it, "__self__", None)
        plain = owner is not None and (
            literal(owner) or isinstance(owner, gymnasium.Space | dict | np.ndarray | np.dtype | np.generic)
        )
        if (plain or it in PURE) and None not in arguments and not given.more:
            return self.called(it, given)
        name = getattr(it, "__name__", "")
        self.escape(given)
        if name in TENSOR_MAKERS and getattr(torch, name, None) is it:
            return some(torch.Tensor)
        return some(np.ndarray) if name in ARRAY_MAKERS and getattr(np, name, None) is it else ANY

    def called(self, it: It, given: Arguments) -> Fact:
        """Call it now; what fails now, would."""
        key = id(it) if not hasattr(it, "__self__") else (id(it.__self__), it.__name__)
        key = key, tuple(given.places), tuple(given.named.items())
        if key not in self.values:
            named = {name: self.real(fact) for name, fact in given.named.items()}
            try:
                self.values[key] = it(*map(self.real, given.places), **named)
            except Exception:
                return ANY
        return known(self.values[key])

    def call_outside(self, thing: Outside, given: Arguments) -> Fact:  # noqa: PLR0911 (one for each kind)
        """A method of something from elsewhere, or of a list, a dict or a NamedTuple."""
        owner, name = thing.owner, thing.name
        if isinstance(owner, Cell) and (found := self.of_cell(owner, name, given)) is not None:
            return found
        self.escape(given)
        if isinstance(owner, Of) and is_ours(owner.kind):
            if name in ("parameters", "modules", "named_buffers") and self.is_bare(owner.kind, name):
                return items(())
            if name == "_replace":
                for field, fact in given.named.items():
                    self.put(fact, "attribute", owner.kind, field)
                return frozenset({owner})
            first = the(given.places[0]) if given.places else None
            if name == "register_buffer" and first is not None:
                self.put(some(torch.Tensor), "attribute", owner.kind, first.it)
            return frozenset({owner}) if name in ITSELF else ANY
        if isinstance(owner, Of) and issubclass(owner.kind, torch.Tensor) and name in TENSOR_METHODS:
            return some(torch.Tensor)
        if isinstance(owner, Anything | Outside) and name not in COMMON and not name.startswith("super."):
            self.wild |= {self.now} if self.now is not None else set()
            return join(ANY, *(self.by_name(kind, name, given) for kind in list(self.made)))
        return ANY

    def is_bare(self, kind: type, name: str, within: frozenset[type] = frozenset()) -> bool:
        """Is it a network without a parameter, or a buffer? Of those that it lies ``within`` others say so."""
        own = {place[2]: fact for place, fact in self.facts.items() if place[0] == "attribute" and place[1] is kind}
        for attribute in own:
            self.get("attribute", kind, attribute)
        if kind.__mro__[1] is not nn.Module or (name == "named_buffers" and own):
            return False
        around = within | {kind}
        for thing in (t for fact in own.values() for t in fact):
            layer = thing.kind if isinstance(thing, Of) and issubclass(thing.kind, nn.Module | nn.Parameter) else None
            if isinstance(thing, Anything | Outside):
                return False
            if layer is None or layer in around:
                continue
            if name != "parameters" or not is_ours(layer) or not self.is_bare(layer, name, around):
                return False
        return True

    def by_name(self, kind: It, name: str, given: Arguments) -> Fact:
        """A call of a method on who knows what."""
        function = function_of(inspect.getattr_static(kind, name, None), owner_of(kind, name))
        return NEVER if function is None else self.invoke(function, Arguments([some(kind)], {}, more=True))

    def of_cell(self, cell: Cell, name: str, given: Arguments) -> Fact | None:
        entries = self.entries(cell)
        if name in ("append", "extend", "insert", "update", "setdefault", "add"):
            added = self.iterated(given.places[-1])[0] if name == "extend" else given.places[-1]
            self.blur(cell, added)
            return self.contents(cell) if name == "setdefault" else known(None)
        if name == "get" and entries is not None and (key := the(given.places[0])) is not None:
            default = given.places[1] if len(given.places) > 1 else known(None)
            return join(entries.get(key.it, NEVER), default)
        if name in ("values", "items", "keys"):
            if entries == {} and not self.contents(cell):
                return items(())
            keys = ANY if entries is None else join(*map(known, entries))
            each = {"values": self.contents(cell), "keys": keys, "items": items([keys, self.contents(cell)])}[name]
            if entries is not None and name == "values":
                return items(entries.values())
            return iterator(each)
        return join(self.contents(cell), ANY) if name in ("pop", "get") else None

    def mapped(self, given: Arguments) -> Fact:
        """``tree_map``: a tree of the same form."""
        if given.more:
            given = Arguments([*given.places, given.rest], {})
        if len(given.places) < 2:
            return ANY
        (function, tree, *others), found = given.places, list[Fact]()
        for thing in tree:
            if isinstance(thing, Items) and thing.items is not None:
                parts = [self.mapped(Arguments([function, part, *[ANY] * len(others)], {})) for part in thing.items]
                found.append(items(parts))
            elif thing == Known(()) or (isinstance(thing, Of) and is_ours(thing.kind) and is_tree(thing.kind)):
                if isinstance(thing, Of):
                    self.mapped_over.add(thing.kind)
                    self.call(function, Arguments([some(torch.Tensor)] * len(given.places[1:]), {}))
                found.append(frozenset({thing}))
            else:
                inside = self.now is not None and self.now.real is each  # where all its calls meet
                if isinstance(thing, Anything | Outside | Cell) and not inside:
                    self.mapped_over.add(object)  # it may be a tree of any kind
                leaf = ANY if isinstance(thing, Cell) else frozenset({thing})
                result = self.call(function, Arguments([leaf, *[ANY] * len(others)], {}))
                found.append(frozenset({thing}) if isinstance(thing, Cell) else result)
        return join(*found)

    def mapped_once(self, given: Arguments) -> Fact:
        """``across``: what the function makes of each part of a tuple."""
        (function, *trees), found = given.places, list[Fact]()
        known = ([t.items if isinstance(t, Items) else () if t == Known(()) else None for t in tree] for tree in trees)
        first, *others = (parts[0] if len(parts) == 1 else None for parts in known)
        if given.more or first is None:
            self.escape(given)
            return ANY
        for i, part in enumerate(first):
            beside = [ANY if other is None else other[i] if i < len(other) else NEVER for other in others]
            found.append(self.call(function, Arguments([part, *beside], {})))
        return items(found)


def leaves_of(tree: Fact) -> Fact:
    """Of a tree; one that is a tensor is its own."""
    tensors = all(isinstance(t, Of) and issubclass(t.kind, torch.Tensor | np.ndarray) for t in tree)
    return items([tree]) if tree and tensors else iterator(ANY)


def is_tree(kind: It) -> bool:
    """Are instances trees of their fields?"""
    return hasattr(kind, "_fields") or kind in pytree.SUPPORTED_NODES


def isinstance_of(calls: Foreign, given: Arguments) -> Fact:
    """Where that is the same for all that the first argument may be."""
    kinds = the(given.places[1])
    if kinds is None:
        return some(bool)
    accepted: It = kinds.it

    def fits(thing: Thing) -> bool | None:
        if isinstance(thing, Known):
            return isinstance(thing.it, accepted)
        if isinstance(thing, Of):
            return subclass(calls, thing.kind, accepted)
        if isinstance(thing, Items):
            return issubclass(tuple, accepted) if thing.items is not None else None
        if isinstance(thing, Cell):
            return issubclass(thing.kind, accepted)
        return issubclass(FunctionType, accepted) if isinstance(thing, Closure | Method) else None

    found = each_truth(given.places[0], fits)
    return some(bool) if found is None else known(found)


def subclass(calls: Foreign, kind: type, accepted: It) -> bool | None:
    """Is an instance of ``kind`` one of ``accepted``, where that shows in the class?"""
    parts = accepted if isinstance(accepted, tuple) else getattr(accepted, "__args__", None) or (accepted,)
    answers = [follows(calls, kind, p) if getattr(p, "_is_protocol", False) else issubclass(kind, p) for p in parts]
    return True if True in answers else None if None in answers else False


def follows(calls: Foreign, kind: It, protocol: It) -> bool | None:
    """Has the class all that a protocol asks for?"""
    if not is_ours(kind):
        return None
    asked = {
        n
        for p in protocol.__mro__
        if getattr(p, "_is_protocol", False) and p.__name__ not in ("Protocol", "Generic")
        for n in (*vars(p), *vars(p).get("__annotations__", {}))
        if not n.startswith("_") or n == "__call__"
    }
    return all(hasattr(kind, n) or calls.get("attribute", kind, n) for n in asked)


def getattr_of(calls: Foreign, given: Arguments) -> Fact:
    """The attribute, or the default where there is none."""
    name = the(given.places[1])
    if name is None:
        return ANY
    default = given.places[2] if len(given.places) > 2 else NEVER
    found = []
    for thing in given.places[0]:
        own = calls.attribute_of(thing, str(name.it))
        sure = isinstance(thing, Known) or (isinstance(thing, Of) and is_ours(thing.kind))
        sure = sure or (isinstance(thing, Of) and thing.kind in calls.samples)
        found.append(own if own and sure else default if sure else join(own, default))
    return join(*found)


def hasattr_of(calls: Foreign, given: Arguments) -> Fact:
    """Is there such an attribute?"""
    name = the(given.places[1])

    def has(thing: Thing) -> bool | None:
        if isinstance(thing, Known) and name is not None:
            return hasattr(thing.it, str(name.it))
        if isinstance(thing, Of) and name is not None and is_ours(thing.kind):
            return hasattr(thing.kind, str(name.it)) or bool(calls.get("attribute", thing.kind, name.it))
        return None

    found = each_truth(given.places[0], has)
    return some(bool) if found is None else known(found)


def len_of(calls: Foreign, given: Arguments) -> Fact:
    """How many there are, where that is known."""
    fact = the(given.places[0])
    if fact is not None and hasattr(fact.it, "__len__"):
        it: It = fact.it
        return known(len(it))
    exact = calls.iterated(given.places[0])[1]
    return some(int) if exact is None else known(len(exact))


def any_of(calls: Foreign, given: Arguments) -> Fact:
    """Of things that are all known."""
    exact = calls.iterated(given.places[0])[1]
    truths = None if exact is None else [isinstance(t := the(fact), Known) and bool(t.it) for fact in exact]
    settled = exact is not None and all(the(fact) is not None for fact in exact)
    return known(any(truths)) if settled and truths is not None else some(bool)


def next_of(calls: Foreign, given: Arguments) -> Fact:
    """One of them, or the default where there may be none."""
    each, exact = calls.iterated(given.places[0])
    return each if exact else join(each, *given.places[1:])


def iter_of(calls: Foreign, given: Arguments) -> Fact:
    """All of them."""
    each, exact = calls.iterated(given.places[0])
    return iterator(each) if exact is None else items(exact)


def sorted_of(calls: Foreign, given: Arguments) -> Fact:
    """As many of them, in an order that nobody knows."""
    calls.escape(given)
    return iterator(calls.iterated(given.places[0])[0])


def reduce_of(calls: Foreign, given: Arguments) -> Fact:
    """What the function makes of two."""
    each = calls.iterated(given.places[1])[0]
    return calls.call(given.places[0], Arguments([join(each, *given.places[2:])] * 2, {}))


SPECIAL: dict[object, Callable[[Foreign, Arguments], Fact]] = {
    isinstance: isinstance_of, getattr: getattr_of, hasattr: hasattr_of, len: len_of, next: next_of, any: any_of,
    iter: iter_of, sorted: sorted_of,
    functools.reduce: reduce_of, pytree.tree_map: Foreign.mapped, copy.deepcopy: lambda _, given: given.places[0],
    pytree.tree_leaves: lambda _, given: leaves_of(given.places[0]),
}  # fmt: skip
