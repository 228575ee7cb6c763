"""What expressions may give."""

import ast
import builtins
import copy
import operator
from collections.abc import Callable

import numpy as np
import torch

from clipper.unroll.calls import Arguments
from clipper.unroll.displays import Displays
from clipper.unroll.facts import ANY, NEVER, each_truth, items, iterator, join, known, some, the
from clipper.unroll.literals import literal
from clipper.unroll.source import Function, It, Syntax, function_of, inner_function, is_ours
from clipper.unroll.things import Anything, Cell, Closure, Fact, Items, Known, Method, Of, Partial, Super, Thing

OPERATORS: dict[type, Callable[[It, It], It]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: pow,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitOr: operator.or_, ast.BitAnd: operator.and_,
    ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt,
    ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


class Expressions(Displays):
    """Evaluates expressions, and notes what each gave."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: dict[ast.Call, ast.expr] = {}
        """Call → what stands for it."""

    def look(self, node: ast.expr) -> Fact:
        """What an expression may be."""
        handler: Callable[[Syntax], Fact] | None = getattr(self, f"of_{type(node).__name__.lower()}", None)
        if handler is None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.look(child)
            fact = ANY
        else:
            fact = handler(node)
        self.found[node] = fact
        return fact

    def test(self, node: ast.expr) -> bool | None:
        """Is a condition that was looked at met? A part of it may settle that, whatever the others are."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.test(node.operand)
            return None if inner is None else not inner
        if isinstance(node, ast.BoolOp):
            stops, parts = isinstance(node.op, ast.Or), [self.test(v) for v in node.values]
            return stops if stops in parts else None if None in parts else not stops
        return self.truth(self.found.get(node, NEVER))

    def truth(self, fact: Fact) -> bool | None:
        """Does it count as true, where that is known?"""
        return each_truth(fact, self.truth_of) if fact else None

    def truth_of(self, thing: Thing) -> bool | None:
        if isinstance(thing, Known):
            it = thing.it
            plain = literal(it) or isinstance(it, list | dict) or is_ours(type(it)) or callable(it)
            return bool(it) if plain else None
        if isinstance(thing, Items):
            return None if thing.items is None else bool(thing.items)
        if isinstance(thing, Cell):
            entries = self.entries(thing)
            return None if entries is None else bool(entries)
        if isinstance(thing, Of):
            plain = is_ours(thing.kind) and not hasattr(thing.kind, "__len__") and not hasattr(thing.kind, "__bool__")
            plain = plain or (is_ours(thing.kind) and hasattr(thing.kind, "_fields"))
            return True if plain else None
        return True if isinstance(thing, Closure | Method | Partial) else None

    # Names and constants.

    def of_constant(self, node: ast.Constant) -> Fact:
        return known(node.value)

    def of_joinedstr(self, node: ast.JoinedStr) -> Fact:
        for child in ast.walk(node):
            if isinstance(child, ast.FormattedValue):
                self.look(child.value)
        return some(str)

    def of_name(self, node: ast.Name) -> Fact:
        if node.id == self.present[0]:
            return self.present[1]
        function: Function | None = self.here
        while function is not None:
            if node.id in function.locals:
                return self.get("variable", function, node.id)
            function = function.parent
        space = self.here.module.space
        if node.id in space:
            return known(space[node.id])
        return known(getattr(builtins, node.id)) if hasattr(builtins, node.id) else ANY

    def of_attribute(self, node: ast.Attribute) -> Fact:
        return self.attribute(self.look(node.value), node.attr)

    def of_lambda(self, node: ast.Lambda) -> Fact:
        return self.closure(node)

    def closure(self, node: ast.Lambda | ast.FunctionDef) -> Fact:
        function = inner_function(node, self.here)
        a = node.args
        for x, default in zip([*a.posonlyargs, *a.args][::-1], a.defaults[::-1], strict=False):
            self.put(self.look(default), "default", function, x.arg)
        for x, default in zip(a.kwonlyargs, a.kw_defaults, strict=True):
            if default is not None:
                self.put(self.look(default), "default", function, x.arg)
        return frozenset({Closure(function)})

    # Operators.

    def of_boolop(self, node: ast.BoolOp) -> Fact:
        stops, found = isinstance(node.op, ast.Or), list[Fact]()
        for i, value in enumerate(node.values):
            fact = self.look(value)
            truth = self.truth(fact)
            if truth is stops or i == len(node.values) - 1:
                return join(*found, fact)
            if truth is None:
                found.append(frozenset(t for t in fact if self.truth_of(t) is not (not stops)))
            if not fact:
                return NEVER
        return join(*found)

    def of_unaryop(self, node: ast.UnaryOp) -> Fact:
        fact = self.look(node.operand)
        if isinstance(node.op, ast.Not):
            truth = self.truth(fact)
            return some(bool) if truth is None else known(not truth)
        thing = the(fact)
        if isinstance(node.op, ast.USub) and thing is not None and isinstance(thing.it, int | float):
            return known(-thing.it)
        return fact if isinstance(node.op, ast.USub) else ANY

    def of_binop(self, node: ast.BinOp) -> Fact:
        left, right = self.look(node.left), self.look(node.right)
        a, b, apply = the(left), the(right), OPERATORS.get(type(node.op))
        if a is not None and b is not None and isinstance(node.op, ast.BitOr) and isinstance(a.it, type):
            key = a.it, id(b.it)
            self.values.setdefault(key, a.it | b.it if isinstance(b.it, type) else None)  # pyright: ignore[reportOperatorIssue]
            return known(self.values[key])
        if a is not None and b is not None and apply is not None and literal(a.it) and literal(b.it):
            try:
                return known(apply(a.it, b.it))
            except (TypeError, ValueError, ArithmeticError):
                return ANY
        kinds = {type(t.it) if isinstance(t, Known) else getattr(t, "kind", None) for t in left | right}
        if left and right and (array := array_of(left, right)) is not None:
            return some(array)
        if kinds and kinds <= {int, float}:
            return some(float if float in kinds or isinstance(node.op, ast.Div) else int)
        return NEVER if not left or not right else ANY

    def of_compare(self, node: ast.Compare) -> Fact:  # noqa: PLR0911 (one for each kind)
        left, rights = self.look(node.left), [self.look(x) for x in node.comparators]
        if len(rights) > 1:
            return ANY
        operation, right = node.ops[0], rights[0]
        if not left or not right:
            return NEVER
        plain = isinstance(operation, ast.Is | ast.IsNot | ast.In | ast.NotIn)
        if not plain and (array := array_of(left, right)) is not None:
            return some(array)
        if isinstance(operation, ast.In | ast.NotIn):
            answer = self.contained(left, right)
            return some(bool) if answer is None else known(answer is isinstance(operation, ast.In))
        if isinstance(operation, ast.Is | ast.IsNot):
            answer = identical(left, right)
            return some(bool) if answer is None else known(answer is isinstance(operation, ast.Is))
        a, b = the(left), the(right)
        if a is not None and b is not None and type(operation) in OPERATORS:
            try:
                answer = OPERATORS[type(operation)](a.it, b.it)
            except TypeError:
                return ANY
            return known(answer) if isinstance(answer, bool) else ANY
        if isinstance(operation, ast.Eq | ast.NotEq) and different(left, right):
            return known(isinstance(operation, ast.NotEq))
        return ANY

    def contained(self, left: Fact, right: Fact) -> bool | None:
        """Is the left in the right?"""
        key, holder = the(left), the(right)
        if (
            key is not None
            and holder is not None
            and isinstance(holder.it, tuple | list | dict | set | frozenset | str)
        ):
            it: It = holder.it
            return key.it in it
        (thing,) = right if len(right) == 1 else (None,)
        entries = self.entries(thing) if isinstance(thing, Cell) and thing.kind is dict else None
        if entries is None:
            return None
        return False if not entries or (key is not None and key.it not in entries) else None

    def of_ifexp(self, node: ast.IfExp) -> Fact:
        test = self.look(node.test)
        truth = self.test(node.test)
        if not test:
            return NEVER
        parts = [n for n, taken in ((node.body, True), (node.orelse, False)) if truth in (None, taken)]
        return join(*(self.look(n) for n in parts))

    def of_call(self, node: ast.Call) -> Fact:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            owner = self.get("variable", self.here, self.here.parameters[0])
            kind = self.here.owner
            assert kind is not None
            return frozenset(Super(kind, thing) for thing in owner)
        callee = self.look(node.func)
        if (instead := self.instead(node, callee)) is not None:
            return self.look(instead)
        places, more = self.spread(node.args)
        named = dict[str, Fact]()
        for keyword in node.keywords:
            fact = self.look(keyword.value)
            if keyword.arg is not None:
                named[keyword.arg] = fact
                continue
            for thing in fact:
                entries = self.entries(thing) if isinstance(thing, Cell) else None
                more = more or entries is None
                named |= {str(k): x for k, x in (entries or {}).items()}
        if not callee or not all(places):
            return NEVER
        thing = the(callee)
        if thing is not None and (thing.it is list or thing.it is dict) and not node.args and not node.keywords:
            return frozenset({Cell(node, list if thing.it is list else dict)})
        if thing is not None and thing.it is zip and len(node.args) == 1 and isinstance(node.args[0], ast.Starred):
            rows = self.iterated(self.found[node.args[0].value])[0]
            columns = self.iterated(rows)[1]
            return NEVER if not rows else ANY if columns is None else items(map(iterator, columns))
        rest = self.rest_of(node.args) if more else ANY
        return self.call(callee, Arguments(places, named, more, rest), node)

    def instead(self, node: ast.Call, callee: Fact) -> ast.expr | None:
        """The body of a function that only asks of which class an argument is, with the arguments in it.

        So each call is folded by its own arguments.
        """
        if node in self.bodies:
            return self.bodies[node]
        thing = the(callee)
        function = function_of(thing.it) if thing is not None else None
        if function is None or node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            return None
        body = [s for s in function.body if not isinstance(s, ast.Expr)]
        if len(body) != 1 or not isinstance(body[0], ast.Return) or not isinstance(body[0].value, ast.IfExp):
            return None
        value, given = body[0].value, dict(zip(function.parameters, node.args, strict=False))
        names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        asks = isinstance(value.test, ast.Call) and ast.unparse(value.test.func) == "isinstance"
        if not asks or not all(name in given or hasattr(builtins, name) for name in names):
            return None
        self.bodies[node] = substituted(value, given)
        return self.bodies[node]


def substituted(node: Syntax, given: dict[str, ast.expr]) -> Syntax:
    """A copy with expressions in the place of names."""
    if isinstance(node, ast.Name) and node.id in given:
        return given[node.id]
    if isinstance(node, list):
        return [substituted(x, given) for x in node]
    if not isinstance(node, ast.AST):
        return node
    new = copy.copy(node)
    for field, value in ast.iter_fields(node):
        setattr(new, field, substituted(value, given))
    return new


def array_of(*operands: Fact) -> type | None:
    """The class of an operator's result, where one of the operands is a tensor, or else an array."""
    for kind in (torch.Tensor, np.ndarray):
        if any(fact == some(kind) for fact in operands):
            return kind
    return None


def identical(left: Fact, right: Fact) -> bool | None:
    """Are both the same object? What is known to be of some class is not None."""
    a, b = the(left), the(right)
    if a is not None and b is not None:
        return a == b
    if Anything() in left | right or any(type(t).__name__ == "Outside" for t in left | right):
        return None
    none = Known(None)
    if right == {none} and none not in left:
        return False
    kinds = [{t.it for t in side if isinstance(t, Known) and isinstance(t.it, type)} for side in (left, right)]
    return False if all(kinds) and not kinds[0] & kinds[1] and len(left) == len(kinds[0]) else None


def different(left: Fact, right: Fact) -> bool:
    """Is it known that they are not equal?"""
    both = [[t.it for t in side if isinstance(t, Known) and literal(t.it)] for side in (left, right)]
    whole = all(len(found) == len(side) for found, side in zip(both, (left, right), strict=True))
    return whole and not any(a == b for a in both[0] for b in both[1])
