"""Parameters and results that nothing reads."""

import ast
from abc import ABC, abstractmethod

from clipper.unroll.follow import Follow
from clipper.unroll.source import Function
from clipper.unroll.syntax import (
    Units,
    given_at,
    is_override,
    is_property,
    nodes_in,
    of_class,
    place_of,
    replace_value,
    returns_of,
    say_no_result,
    takers,
    unit,
    walk,
    without_argument,
    without_parameter,
)


class Signatures(ABC):
    """Drops them, with the arguments and what takes the results."""

    def __init__(self, units: Units, program: Follow) -> None:
        self.units, self.program, self.changed = units, program, True
        self.calls, self.functions = list[ast.Call](), list[ast.FunctionDef]()
        self.escaped = set[Function]()

    @abstractmethod
    def pure(self, node: ast.AST) -> bool:
        """Does evaluating it change nothing?"""

    @abstractmethod
    def is_change(self, node: ast.expr) -> bool:
        """May it be a function that changes something?"""

    def parameters(self) -> None:
        """Drop parameters that nothing reads, with their arguments."""
        sites = dict[Function, list[ast.Call]]()
        fixed = set(self.escaped)
        for node in self.calls:
            targets = [t for t in vars(node).get("targets", ()) if isinstance(t, Function)]
            for target in targets:
                sites.setdefault(target, []).append(node)
            kinds = [t for t in vars(node).get("targets", ()) if not isinstance(t, Function)]
            if len(targets) > 1 or len(kinds) > 1:
                fixed |= set(targets)
        for node in self.functions:
            function = vars(node).get("function")
            if function is None or function in fixed or is_override(function):
                continue
            loads = {
                n.id for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and not unit(n)
            }
            method = function.owner is not None and len(node.args.args) and node.args.args[0].arg == "self"
            for x in [*node.args.args[method:], *node.args.kwonlyargs]:
                if x.arg not in loads and all(
                    self.removable(c, node, x.arg, bool(method)) for c in sites.get(function, [])
                ):
                    for call in sites.get(function, []):
                        without_argument(call, node, x.arg, bool(method))
                    without_parameter(node, x.arg)
                    self.changed = True
            self.defaults(node, sites.get(function, []), bool(method))
            self.variadic(node, loads, sites.get(function, []))

    def defaults(self, node: ast.FunctionDef, sites: list[ast.Call], method: bool) -> None:
        """Drop defaults that every call outweighs."""
        a = node.args

        def given(name: str) -> bool:
            return bool(sites) and all(place_of(c, node, name, method) is not None for c in sites)

        while a.defaults and all(given(x.arg) for x in a.args[len(a.args) - len(a.defaults) :]):
            a.defaults = []
        a.kw_defaults = [None if given(x.arg) else d for x, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)]

    def variadic(self, node: ast.FunctionDef, loads: set[str], sites: list[ast.Call]) -> None:
        """``**named`` that nobody gives or reads."""
        if node.args.kwarg is not None and node.args.kwarg.arg not in loads:
            known = {x.arg for x in (*node.args.args, *node.args.kwonlyargs)}
            if all(k.arg in known for call in sites for k in call.keywords):
                node.args.kwarg, self.changed = None, True
        if node.args.vararg is not None and node.args.vararg.arg not in loads:
            most = len(node.args.args)
            if all(len(c.args) <= most and not any(isinstance(a, ast.Starred) for a in c.args) for c in sites):
                node.args.vararg, self.changed = None, True
        if not node.args.kwonlyargs and node.args.vararg is None:
            node.args.kw_defaults = []

    def results(self) -> None:
        """Drop results that nobody takes, and the parts of tuples that nobody does."""
        fixed, escaped = set(self.escaped), dict[Function, list[ast.Call]]()
        for node in self.calls:
            for target in vars(node).get("targets", ()):
                escaped.setdefault(target, []).append(node)
                if len([t for t in vars(node)["targets"] if isinstance(t, Function)]) > 1:
                    fixed.add(target)
        taken = takers(self.units)
        for node in self.functions:
            function, returns = vars(node).get("function"), returns_of(node)
            calls = escaped.get(function, []) if function is not None else []
            if (
                function is None
                or function in fixed
                or not calls
                or not returns
                or (node.decorator_list and is_property(node))
            ):
                continue
            if is_override(function) or function.generates:
                continue
            if self.runs_what_changes(node, returns, calls):
                continue
            if all(isinstance(taken.get(c), ast.Expr) for c in calls) and any(r.value is not None for r in returns):
                for r in returns:
                    replace_value(node, r, self.pure)
                node.returns, self.changed = ast.Constant(None), True
                say_no_result(node)
                continue
            self.tuple_parts(node, returns, [taken.get(c) for c in calls])

    def runs_what_changes(self, node: ast.FunctionDef, returns: list[ast.Return], calls: list[ast.Call]) -> bool:
        """May a result come of running what was handed over, by a call that does it for what this changes?"""
        read = {n.id for r in returns for n in walk(r) if isinstance(n, ast.Name)} - {"self"}
        method = bool(node.args.args) and node.args.args[0].arg == "self"
        given = (given_at(c, place_of(c, node, name, method)) for c in calls for name in read)
        return any(x is not None and self.is_change(x) for x in given)

    def tuple_parts(self, node: ast.FunctionDef, returns: list[ast.Return], takers: list[ast.stmt | None]) -> None:
        """Drop what is ``_`` wherever the function is called."""
        values, targets = [r.value for r in returns], list[ast.Tuple]()
        for taker in takers:
            if not isinstance(taker, ast.Assign) or not isinstance(taker.targets[0], ast.Tuple):
                return
            targets.append(taker.targets[0])
        sizes = {len(v.elts) if isinstance(v, ast.Tuple) else 0 for v in values} | {len(t.elts) for t in targets}
        if len(sizes) != 1 or 0 in sizes or any(isinstance(e, ast.Starred) for t in targets for e in t.elts):
            return
        tuples = [v for v in values if isinstance(v, ast.Tuple)]
        for i in reversed(range(sizes.pop())):
            idle = all(isinstance(t.elts[i], ast.Name) and getattr(t.elts[i], "id", "") == "_" for t in targets)
            if not idle or not all(self.pure(v.elts[i]) for v in tuples):
                continue
            for v in (*tuples, *targets):
                del v.elts[i]
            self.changed = True
            inner = node.returns.slice if isinstance(node.returns, ast.Subscript) else None
            if isinstance(inner, ast.Tuple) and i < len(inner.elts):
                del inner.elts[i]
        if len(tuples[0].elts) == 1:
            for r, v in zip(returns, tuples, strict=True):
                r.value = v.elts[0]
            for taker, t in zip(takers, targets, strict=True):
                assert isinstance(taker, ast.Assign)
                taker.targets[0] = t.elts[0]
            if isinstance(node.returns, ast.Subscript) and isinstance(node.returns.slice, ast.Tuple):
                node.returns = node.returns.slice.elts[0]

    def passed_on(self) -> set[Function]:
        """Functions that are handed to somebody, and not called where they are named."""
        found, called = set[Function](), set[int]()
        for node in self.calls:
            called.add(id(node.func))
        by_name = dict[str, list[Function]]()
        for n in self.functions:
            if (function := vars(n).get("function")) is not None:
                by_name.setdefault(n.name, []).append(function)
        for n in nodes_in(self.units):
            if not isinstance(n, ast.Name | ast.Attribute) or id(n) in called or isinstance(n.ctx, ast.Store):
                continue
            for function in by_name.get(n.id if isinstance(n, ast.Name) else n.attr, ()):
                if isinstance(n, ast.Name) == (function.owner is None) and of_class(n, function.owner):
                    found.add(function)
        return found

    def removable(self, call: ast.Call, node: ast.FunctionDef, name: str, method: bool) -> bool:
        place = place_of(call, node, name, method)
        if place is None:
            return not any(isinstance(a, ast.Starred) for a in call.args) and all(k.arg for k in call.keywords)
        if isinstance(place, int) and any(isinstance(a, ast.Starred) for a in call.args[: place + 1]):
            return False
        return self.pure(given_at(call, place) or node)
