"""Functions that are one expression, written where they are called."""

import ast

from torch import nn

from clipper.unroll.prune import Prune
from clipper.unroll.source import Function, Syntax
from clipper.unroll.syntax import Units, calls_in, functions_in, unit, walk

TRIVIAL, SMALL = 7, 40
"""Nodes of an expression that is written out wherever it is called, and of one that is where it is called once."""


class Inline(ast.NodeTransformer):
    """Replaces calls."""

    def __init__(self, units: Units, prune: Prune) -> None:
        self.units, self.prune, self.changed = units, prune, False
        self.bodies = dict[Function, tuple[ast.FunctionDef, ast.expr]]()
        sites = dict[Function, int]()
        for call in calls_in(units):
            for target in vars(call).get("targets", ()):
                sites[target] = sites.get(target, 0) + 1
        escaped = prune.escaped
        for node in functions_in(units):
            function, value = vars(node).get("function"), expression(node)
            if function is None or value is None or function in escaped or keeps_name(function):
                continue
            size = sum(1 for _ in walk(value)) - sum(isinstance(n, ast.expr_context) for n in walk(value))
            if size <= TRIVIAL or (size <= SMALL and sites.get(function) == 1):
                self.bodies[function] = node, value
        self.locals: list[set[str]] = []

    def run(self) -> bool:
        for nodes in self.units.values():
            for i, node in enumerate(nodes):
                nodes[i] = self.visit(node)
        return self.changed

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Syntax:
        bound = {n.id for n in walk(node) if isinstance(n, ast.Name) and not unit(n)}
        self.locals.append(bound | {x.arg for x in walk(node) if isinstance(x, ast.arg)})
        self.generic_visit(node)
        self.locals.pop()
        return node

    def visit_Call(self, node: ast.Call) -> Syntax:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and replaces_nothing(node, node.func):
            self.changed = True
            return node.func.value
        targets = vars(node).get("targets", ())
        target = next(iter(targets)) if len(targets) == 1 else None
        if target not in self.bodies or not self.locals or any(isinstance(a, ast.Starred) for a in node.args):
            return node
        header, value = self.bodies[target]
        given = self.arguments(node, header)
        if given is None or not self.fits(value, given):
            return node
        self.changed = True
        return put_in(value, given)

    def arguments(self, node: ast.Call, header: ast.FunctionDef) -> dict[str, ast.expr] | None:
        """Parameter → argument."""
        a, places = header.args, list(node.args)
        function = vars(header)["function"]
        if a.vararg or a.kwarg or any(k.arg is None for k in node.keywords):
            return None
        if function.owner is not None and a.args and a.args[0].arg == "self":
            if not isinstance(node.func, ast.Attribute):
                return None
            called = node.func.attr == getattr(function.node, "name", "")
            if not called and function.node.name not in ("forward", "__call__"):
                return None
            places.insert(0, node.func.value if called else node.func)
        elif not isinstance(node.func, ast.Name):
            return None
        defaults = dict(zip([x.arg for x in a.args][::-1], a.defaults[::-1], strict=False))
        defaults |= {x.arg: d for x, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None}
        given = defaults | dict(zip([x.arg for x in a.args], places, strict=False))
        given |= {str(k.arg): k.value for k in node.keywords}
        names = {x.arg for x in (*a.args, *a.kwonlyargs)}
        return given if names == given.keys() else None

    def fits(self, value: ast.expr, given: dict[str, ast.expr]) -> bool:
        """Does it mean the same there? What is complicated stands once, and what changes something stays alone."""
        uses = [n.id for n in walk(value) if isinstance(n, ast.Name) and not unit(n)]
        inside = {
            n.id
            for scope in walk(value)
            if isinstance(scope, ast.Lambda | ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.SetComp)
            for n in walk(scope)
            if isinstance(n, ast.Name)
        }
        if any(unit(n) in self.locals[-1] for n in walk(value) if isinstance(n, ast.Name)):
            return False
        if inside - given.keys() & {n.id for x in given.values() for n in walk(x) if isinstance(n, ast.Name)}:
            return False
        busy = [name for name, x in given.items() if not self.prune.pure(x)]
        if len(busy) > 1 or (busy and not self.prune.pure(value) and uses.count(busy[0]) != 1):
            return False
        for name, x in given.items():
            simple = isinstance(x, ast.Name | ast.Constant) or is_chain(x)
            if not simple and (uses.count(name) > 1 or name in inside):
                return False
            if name in busy and uses.count(name) != 1:
                return False
        return True


KEPT = ("clipper.functional",)
"""Where equations are: they stay functions with a name."""


def keeps_name(function: Function) -> bool:
    """Is it an equation, or what a layer computes?"""
    layer = function.owner is not None and issubclass(function.owner, nn.Module)
    return function.module.name.startswith(KEPT) or (layer and getattr(function.node, "name", "") == "forward")


def replaces_nothing(node: ast.Call, func: ast.Attribute) -> bool:
    """``x._replace()``, or ``x._replace(a=x.a)``"""
    same = all(ast.unparse(k.value) == f"{ast.unparse(func.value)}.{k.arg}" for k in node.keywords)
    return func.attr == "_replace" and not node.args and same and is_chain(func.value)


def is_chain(node: ast.expr) -> bool:
    """x.y.z"""
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and is_chain(node.value))


def expression(node: ast.FunctionDef) -> ast.expr | None:
    """What a function returns, if it does nothing else."""
    body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    if node.decorator_list or len(body) != 1 or not isinstance(body[0], ast.Return):
        return None
    value = body[0].value
    return None if value is None or any(isinstance(n, ast.Yield) for n in walk(value)) else value


def put_in(node: Syntax, given: dict[str, ast.expr]) -> Syntax:
    """A copy with arguments in the place of parameters, and all that is noted about its nodes."""
    if isinstance(node, ast.Name) and not unit(node) and node.id in given:
        return put_in(given[node.id], {})
    if isinstance(node, list):
        return [put_in(x, given) for x in node]
    if not isinstance(node, ast.AST):
        return node
    new = type(node)(**{field: put_in(value, given) for field, value in ast.iter_fields(node)})
    vars(new).update({k: v for k, v in vars(node).items() if k not in node._fields})
    return new
