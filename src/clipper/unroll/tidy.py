"""Names that only pass a value on: what they stand for is written where they are read."""

import ast

from clipper.unroll.inline import put_in
from clipper.unroll.literals import is_setting
from clipper.unroll.prune import Prune
from clipper.unroll.source import Syntax
from clipper.unroll.syntax import unit, walk


def tidy(node: ast.FunctionDef) -> bool:
    """``x = y`` with a y that stays what it is, ``x = …; return x``, and lists for nobody; has something changed?"""
    if node.name == "main":
        return False
    changed, stores = returned(node), counted(node)
    changed = spelled_out(node, stores) or changed
    for n in walk(node):
        body = getattr(n, "body", None)
        for i, s in enumerate(body if isinstance(body, list) else ()):
            if not isinstance(s, ast.Assign) or len(s.targets) > 1 or not isinstance(s.targets[0], ast.Name):
                continue
            name = s.targets[0].id
            if stores.get(name) == 1 and stays(s.value, stores) and not captured(node, name):
                put(node, {name: s.value}, s)
                body.pop(i)  # pyright: ignore[reportOptionalMemberAccess]
                return True
    return changed


def spelled_out(node: ast.FunctionDef, stores: dict[str, int]) -> bool:
    """``[f(x) for x in …]`` that nobody takes → a loop."""
    changed = False
    for n in list(walk(node)):
        body = getattr(n, "body", None)
        for i, s in enumerate(body if isinstance(body, list) else ()):
            made = s.value if isinstance(s, ast.Expr) else None
            if not isinstance(made, ast.ListComp) or len(made.generators) > 1 or made.generators[0].ifs:
                continue
            loop = made.generators[0]
            if all(stores[m.id] == 1 for m in walk(loop.target) if isinstance(m, ast.Name)):
                inner = ast.copy_location(ast.Expr(made.elt), s)
                body[i] = ast.copy_location(ast.For(loop.target, loop.iter, [inner], []), s)  # pyright: ignore[reportOptionalSubscript]
                changed = True
    return changed


def counted(node: ast.FunctionDef) -> dict[str, int]:
    """How often each name is bound."""
    found = {x.arg: 1 for x in walk(node) if isinstance(x, ast.arg)}
    for n in walk(node):
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store):
            found[n.id] = found.get(n.id, 0) + 1
    return found


def stays(value: ast.expr, stores: dict[str, int]) -> bool:
    """Is it a number, a name that is bound once, or a field of settings?"""
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Name):
        return bool(unit(value)) or stores.get(value.id) == 1
    kinds = vars(value).get("kinds") or {None}
    frozen = all(k is not None and is_setting(k) for k in kinds)
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
        return (frozen and stores.get(value.value.id) == 1) or bool(unit(value.value))
    return isinstance(value, ast.Attribute) and bool(unit_chain(value))


def unit_chain(node: ast.expr) -> bool:
    """torch.optim.Adam"""
    if isinstance(node, ast.Name):
        return bool(unit(node))
    return isinstance(node, ast.Attribute) and unit_chain(node.value)


def captured(node: ast.FunctionDef, name: str) -> bool:
    """Does a function within change it?"""
    return any(isinstance(n, ast.Nonlocal) and name in n.names for n in walk(node))


def put(node: ast.FunctionDef, given: dict[str, ast.expr], apart: ast.stmt) -> None:
    """Write expressions in the place of names."""
    for n in list(walk(node)):
        if n is apart:
            continue
        for field, value in ast.iter_fields(n):
            if is_one(value, given):
                setattr(n, field, put_in(value, given))
            elif isinstance(value, list):
                setattr(n, field, [put_in(x, given) if is_one(x, given) else x for x in value])


def is_one(value: Syntax, given: dict[str, ast.expr]) -> bool:
    """Is it the reading of one of these names?"""
    return isinstance(value, ast.Name) and isinstance(value.ctx, ast.Load) and value.id in given and not unit(value)


def returned(node: ast.FunctionDef) -> bool:
    """``x = …; return x`` → ``return …``"""
    changed = False
    for n in walk(node):
        body = getattr(n, "body", None)
        if not isinstance(body, list) or len(body) < 2:
            continue
        last, before = body[-1], body[-2]
        same = isinstance(last, ast.Return) and isinstance(last.value, ast.Name) and isinstance(before, ast.Assign)
        if not same or ast.unparse(before.targets[0]) != ast.unparse(last.value or before.value):
            continue
        last.value = before.value
        comments = [*vars(before).get("above", ()), *vars(last).get("above", ())]
        vars(last).update(above=comments, beside=vars(before).get("beside") or vars(last).get("beside", ""))
        body.pop(-2)
        changed = True
    return changed


def tidied(prune: Prune) -> bool:
    """All functions; True where something has changed."""
    changed = [tidy(node) for node in list(prune.functions)]  # each once
    return any(changed)
