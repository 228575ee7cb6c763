"""What can be read off syntax trees: who calls, who stores, what is handed on."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator

from torch import nn

from clipper.unroll.source import Function
from clipper.unroll.things import Anything, Items, Of, Thing

Units = dict[str, list[ast.stmt]]
"""Name → the top-level statements that define it."""


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree, in no order; twice as fast as ast's."""
    rest = [node]
    while rest:
        n = rest.pop()
        yield n
        for name in n._fields:
            value = getattr(n, name, None)
            if isinstance(value, ast.AST):
                rest.append(value)
            elif isinstance(value, list):
                rest += [x for x in value if isinstance(x, ast.AST)]


def nodes_in(units: Units) -> Iterator[ast.AST]:
    """All nodes."""
    for nodes in units.values():
        for node in nodes:
            yield from walk(node)


def functions_in(units: Units) -> Iterator[ast.FunctionDef]:
    """All functions, methods and inner functions."""
    for nodes in units.values():
        for node in nodes:
            yield from (n for n in walk(node) if isinstance(n, ast.FunctionDef))


def calls_in(units: Units) -> Iterator[ast.Call]:
    """All calls."""
    for nodes in units.values():
        for node in nodes:
            yield from (n for n in walk(node) if isinstance(n, ast.Call))


def of_class(node: ast.Name | ast.Attribute, owner: type | None) -> bool:
    """May it be an attribute of this class?"""
    kinds = vars(node).get("kinds") or {None}
    return owner is None or any(k is None or issubclass(k, owner) or issubclass(owner, k) for k in kinds)


def may_be_layer(thing: Thing) -> bool:
    """May it be a layer, or a list of some?"""
    if isinstance(thing, Items):
        return any(map(may_be_layer, thing.each))
    return isinstance(thing, Anything) or (isinstance(thing, Of) and issubclass(thing.kind, nn.Module | nn.Parameter))


def is_promised(kind: type, name: str) -> bool:
    """Do those who know a parent class from elsewhere expect such an attribute?"""
    foreign = [
        p for p in kind.__mro__ if not p.__module__.startswith("clipper.") and p not in (object, tuple, nn.Module)
    ]
    return any(name in vars(p) or name in vars(p).get("__annotations__", {}) for p in foreign)


def is_outside(node: ast.Expr) -> bool:
    """Is a function from elsewhere called whose result nobody takes? Then it was called for something else."""
    return isinstance(node.value, ast.Call) and not vars(node.value).get("targets")


def takers(units: Units) -> dict[ast.AST, ast.stmt]:
    """Call → the statement that does nothing but take its result."""
    found = dict[ast.AST, ast.stmt]()
    for nodes in units.values():
        for top in nodes:
            for n in walk(top):
                if isinstance(n, ast.Expr | ast.Assign) and isinstance(n.value, ast.Call):
                    found[n.value] = n
    return found


def returns_of(node: ast.FunctionDef) -> list[ast.Return]:
    """A function's own."""
    found, rest = list[ast.Return](), list[ast.AST](node.body)
    while rest:
        n = rest.pop()
        if isinstance(n, ast.Return):
            found.append(n)
        if not isinstance(n, ast.FunctionDef | ast.Lambda):
            rest += ast.iter_child_nodes(n)
    return found


def is_property(node: ast.FunctionDef) -> bool:
    """Is it read like an attribute?"""
    return any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)


def does_nothing(node: ast.FunctionDef) -> bool:
    """Is nothing in it but what explains it?"""
    return all(
        isinstance(n, ast.Pass) or (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)) for n in node.body
    )


def replace_value(node: ast.FunctionDef, found: ast.Return, pure: Callable[[ast.AST], bool]) -> None:
    """``return x`` → ``return``, after x where evaluating that changes something."""
    value, found.value = found.value, None
    if value is None or pure(value):
        return
    for n in walk(node):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(n, name, None)
            if isinstance(body, list) and found in body:
                body.insert(body.index(found), ast.copy_location(ast.Expr(value), found))
                return


def say_no_result(node: ast.FunctionDef) -> None:
    """Take what a function returned out of its docstring."""
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        first.value = ast.Constant(re.sub(r"[;,] returns [^.;]*", "", str(first.value.value)))


def idle_names(node: ast.FunctionDef) -> set[str]:
    """Names of lists and dicts that a function adds to, and reads in no other way."""
    adding, scratch = set[int](), computed_names(node)
    for n in walk(node):
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) and changes(n.value):
            adding.add(id(n.value.func.value))  # pyright: ignore
        if isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store):
            adding.add(id(n.value))
        if isinstance(n, ast.Expr) and (name := changed_in_place(n.value)) in scratch:
            adding |= {id(m) for m in walk(n) if isinstance(m, ast.Name) and m.id == name}
    found = {n.id for n in walk(node) if isinstance(n, ast.Name) and id(n) in adding and not unit(n)}
    used = {n.id for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in adding}
    from_calls = {
        m.id
        for n in walk(node)
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call | ast.Dict | ast.List | ast.ListComp | ast.Tuple)
        for t in n.targets
        for m in walk(t)
        if isinstance(m, ast.Name) and isinstance(m.ctx, ast.Store)
    }
    return (found & (from_calls | scratch)) - used


def changed_in_place(node: ast.AST) -> str | None:
    """The name of the tensor that ``x.add_(…).mul_(…)`` changes."""
    call = node if isinstance(node, ast.Call) else None
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.endswith("_"):
        node = node.func.value
    return node.id if call is not None and isinstance(node, ast.Name) else None


def computed_names(node: ast.FunctionDef) -> set[str]:
    """Names that a function gives only to results of operators, which nothing else holds."""
    found, others = set[str](), {x.arg for x in walk(node) if isinstance(x, ast.arg)}
    for n in walk(node):
        pairs = list[tuple[ast.expr, ast.expr | None]]()
        if isinstance(n, ast.Assign):
            for t in n.targets:
                whole = isinstance(t, ast.Tuple) and isinstance(n.value, ast.Tuple)
                pairs += zip(t.elts, n.value.elts, strict=False) if whole else [(t, n.value)]  # pyright: ignore
        elif isinstance(n, ast.For | ast.comprehension):
            pairs = [(n.target, None)]
        for target, value in pairs:
            names = {m.id for m in walk(target) if isinstance(m, ast.Name)}
            found |= names if isinstance(value, ast.BinOp) and isinstance(target, ast.Name) else set()
            others |= set() if isinstance(value, ast.BinOp) and isinstance(target, ast.Name) else names
    return found - others


def fresh_names(node: ast.FunctionDef) -> set[str]:
    """Names that a function gives only to lists and dicts of its own making."""
    found, others = set[str](), {x.arg for x in walk(node) if isinstance(x, ast.arg)}
    for n in walk(node):
        if isinstance(n, ast.Assign | ast.For | ast.comprehension):
            targets = n.targets if isinstance(n, ast.Assign) else [n.target]
            makes = isinstance(n, ast.Assign) and is_new(n.value)
            names = {m.id for t in targets for m in walk(t) if isinstance(m, ast.Name) and isinstance(m.ctx, ast.Store)}
            found |= names if makes else set()
            others |= set() if makes else names
    return found - others


def is_new(node: ast.expr) -> bool:
    """Does it make a list or a dict?"""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr) and isinstance(node.right, ast.Dict)
    made = isinstance(node, ast.Dict | ast.List | ast.ListComp | ast.DictComp)
    return made or (isinstance(node, ast.Call) and is_list(node))


def is_list(node: ast.Call) -> bool:
    """``list[int]()``, ``dict(...)``"""
    func = node.func.value if isinstance(node.func, ast.Subscript) else node.func
    return isinstance(func, ast.Name) and func.id in ("list", "dict")


def changes(node: ast.Call) -> str | None:
    """The name whose list or dict a call adds to."""
    adds = isinstance(node.func, ast.Attribute) and node.func.attr in ("append", "extend", "setdefault", "update")
    return node.func.value.id if adds and isinstance(node.func.value, ast.Name) else None  # pyright: ignore


def is_append(node: ast.AST) -> bool:
    """Does a statement only add to a list, or change a tensor, that is an attribute?"""
    return added_to(node) is not None


def added_to(node: ast.AST) -> ast.Attribute | None:
    """That attribute."""
    call = node.value if isinstance(node, ast.Expr) else None
    while isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        name = call.func.attr
        if name != "append" and not (name.endswith("_") and not name.startswith("_")):
            return None
        call = call.func.value
    if not isinstance(call, ast.Attribute) or call is getattr(node, "value", None):
        return None
    kinds = vars(call).get("kinds") or {None}
    return call if all(k is not None and keeps_own(k, call.attr) for k in kinds) else None


def keeps_own(kind: type, name: str) -> bool:
    """Does a class of the library, no network, keep something of its own under this name?"""
    computed = isinstance(inspect.getattr_static(kind, name, None), property)
    return kind.__module__.startswith("clipper.") and not issubclass(kind, nn.Module) and not computed


def unit(node: ast.Name) -> str | None:
    """The global name that this is."""
    return vars(node).get("unit")


def mentions(node: ast.AST) -> list[str]:
    """Global names in it, in order."""
    found = list[str]()

    def walk(n: ast.AST) -> None:
        if isinstance(n, ast.Name) and unit(n):
            found.append(n.id)
        for child in ast.iter_child_nodes(n):
            walk(child)

    walk(node)
    return found


def is_override(function: Function) -> bool:
    """May a parent class from elsewhere call it?"""
    name = getattr(function.node, "name", "")
    parents = function.owner.__mro__ if function.owner is not None else ()
    foreign = (p for p in parents if p.__module__.partition(".")[0] != "clipper" and p is not object)
    return name not in ("__init__", "forward") and any(name in vars(p) for p in foreign)


def place_of(call: ast.Call, node: ast.FunctionDef, name: str, method: bool) -> int | ast.keyword | None:
    """Where a call gives a parameter: the argument's number, or its keyword; None where it does not."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword
    names = [x.arg for x in node.args.args]
    if name not in names:
        return None
    by_class = (
        isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and vars(call).get("whole")
    )
    at = names.index(name) - (method and not by_class)
    return at if at < len(call.args) else None


def given_at(call: ast.Call, place: int | ast.keyword | None) -> ast.expr | None:
    """The argument that a call gives there."""
    return call.args[place] if isinstance(place, int) else None if place is None else place.value


def may_reach(call: ast.Call, at: int) -> bool:
    """May ``*x`` in a call give the argument at this place?"""
    counts = [vars(a).get("count") if isinstance(a, ast.Starred) else 1 for a in call.args]
    spread = any(isinstance(a, ast.Starred) for a in call.args[: at + 1])
    return spread and (None in counts or sum(n or 0 for n in counts) > at)


def without_argument(call: ast.Call, node: ast.FunctionDef, name: str, method: bool) -> None:
    """Take an argument out of a call."""
    place = place_of(call, node, name, method)
    if isinstance(place, int):
        del call.args[place]
    elif place is not None:
        call.keywords.remove(place)


def without_parameter(node: ast.FunctionDef, name: str) -> None:
    """Take a parameter out of a function."""
    a = node.args
    for i, x in enumerate(a.args):
        if x.arg == name:
            at = i - (len(a.args) - len(a.defaults))
            if at >= 0:
                del a.defaults[at]
            del a.args[i]
            return
    for i, x in enumerate(a.kwonlyargs):
        if x.arg == name:
            del a.kwonlyargs[i], a.kw_defaults[i]
            return
