"""What nothing reads goes: variables, attributes, fields, parameters, until all that is left is read."""

import ast
from collections.abc import Sequence

import torch
from torch import nn

from clipper.unroll.follow import Follow
from clipper.unroll.literals import is_setting
from clipper.unroll.signatures import Signatures
from clipper.unroll.source import Function, It, function_of
from clipper.unroll.syntax import (
    Units,
    added_to,
    calls_in,
    changed_in_place,
    changes,
    does_nothing,
    fresh_names,
    functions_in,
    idle_names,
    is_append,
    is_outside,
    is_override,
    is_promised,
    may_be_layer,
    may_reach,
    mentions,
    nodes_in,
    unit,
    walk,
)


class Prune(Signatures):
    """Prunes units, in place."""

    def __init__(self, units: Units, program: Follow) -> None:
        super().__init__(units, program)
        self.pure_functions: set[Function] = set()
        self.idle_functions: set[Function] = set()

    def run(self) -> None:
        while self.changed:
            self.changed = False
            self.calls, self.functions = list(calls_in(self.units)), list(functions_in(self.units))
            self.escaped = self.program.escaped | self.passed_on()
            self.look_for_pure()
            self.reads = self.attributes()
            for node in self.functions:
                self.clean(node)
            self.parameters()
            self.results()
            self.fields()
            self.unmentioned()

    # What changes nothing.

    def look_for_pure(self) -> None:
        """Functions that change nothing but names of their own."""
        found = {vars(n).get("function"): n for n in self.functions}
        self.pure_functions = {f for f in found if f is not None}
        self.idle_functions = {f for f in self.pure_functions if does_nothing(found[f])} - self.escaped
        while effects := {f for f in self.pure_functions if not self.pure_body(found[f])}:
            self.pure_functions -= effects

    def pure_body(self, node: ast.FunctionDef) -> bool:
        kind = vars(node)["function"].owner
        begins = node.name == "__init__" and kind is not None and not issubclass(kind, nn.Module)
        fresh = fresh_names(node)
        for n in walk(node):
            stores = isinstance(n, ast.Attribute | ast.Subscript) and isinstance(n.ctx, ast.Store)
            if isinstance(n, ast.Subscript) and stores and isinstance(n.value, ast.Name) and n.value.id in fresh:
                continue
            if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name) and n.target.id in fresh:
                continue
            if isinstance(n, ast.Call) and changes(n) in fresh:
                continue
            if isinstance(n, ast.Expr) and is_outside(n) and changes(n.value) not in fresh:  # pyright: ignore
                return False
            if begins and isinstance(n, ast.Attribute) and stores and ast.unparse(n.value) == "self":
                continue
            if stores or isinstance(n, ast.AugAssign | ast.Yield | ast.YieldFrom):
                return False
            if isinstance(n, ast.Call) and not self.pure_call(n):
                return False
        return True

    def pure_call(self, node: ast.Call) -> bool:
        facts = vars(node)
        targets = facts.get("targets", ())
        harmless = facts.get("pure", False) or (bool(targets) and all(map(self.harmless, targets)))
        return harmless and not self.gives_change(node)

    def gives_change(self, node: ast.Call) -> bool:
        """Is a function among its arguments that changes something?"""
        return any(map(self.is_change, (*node.args, *(k.value for k in node.keywords))))

    def is_change(self, node: ast.expr) -> bool:
        """May it be a function that changes something?"""
        return not self.pure(node.body) if isinstance(node, ast.Lambda) else vars(node).get("changes", False)

    def harmless(self, target: Function | type) -> bool:
        """Does a call of it change nothing?"""
        if isinstance(target, Function):
            return target in self.pure_functions
        own = function_of(getattr(target, "__init__", None), target)
        return not issubclass(target, nn.Module | torch.optim.Optimizer) and (own is None or own in self.pure_functions)

    def pure(self, node: ast.AST) -> bool:
        """Does evaluating it change nothing?"""
        if isinstance(node, ast.Lambda):
            return True
        if isinstance(node, ast.Call) and not self.pure_call(node):
            return False
        return not isinstance(node, ast.NamedExpr | ast.Yield) and all(map(self.pure, ast.iter_child_nodes(node)))

    # Statements.

    def attributes(self) -> dict[str, set[type | None]]:
        """Attributes that anything reads, with the classes, None for who knows what; at "" whose are all read."""
        found = dict[str, set[type | None]]()
        added = {id(added_to(n)) for n in nodes_in(self.units) if is_append(n)}
        for n in nodes_in(self.units):
            if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load) and id(n) not in added:
                found.setdefault(n.attr, set()).update(vars(n).get("kinds") or {None})
            elif isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in ("getattr", "hasattr"):
                name = n.args[1].value if isinstance(n.args[1], ast.Constant) else ""
                found.setdefault(str(name), set()).update({None} if name else vars(n).get("kinds", ()))
            elif isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Attribute):
                found.setdefault(n.target.attr, set()).update(vars(n.target).get("kinds") or {None})
        return found

    def is_read(self, kind: type | None, name: str) -> bool:
        """Does anything read this attribute of a class, or of one above or below it?"""
        kinds = self.reads.get(name, set()) | self.reads.get("", set())
        if kind is None or kind in kinds:
            return bool(kinds)
        if is_setting(kind):  # who reads those is known
            return any(k is not None and issubclass(k, kind) for k in kinds)
        return any(k is None or issubclass(k, kind) or issubclass(kind, k) for k in kinds)

    def clean(self, node: ast.FunctionDef) -> None:
        """Drop what a function does for nothing."""
        self.loads = {
            n.id for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and not unit(n)
        }
        self.loads |= {
            n.target.id for n in walk(node) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
        }
        self.idle = idle_names(node) - {x.arg for x in node.args.args}
        self.loads -= self.idle
        before = ast.dump(node)
        node.body = self.block(node.body) or [ast.Pass()]
        if len(node.body) > 1 and isinstance(node.body[-1], ast.Return) and node.body[-1].value is None:
            node.body.pop()
        self.changed = self.changed or ast.dump(node) != before

    def block(self, nodes: Sequence[ast.stmt]) -> list[ast.stmt]:
        found = list[ast.stmt]()
        for i, node in enumerate(nodes):
            text = (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            )
            if text and i and not (found and found[-1] is nodes[i - 1]):
                continue  # what it is about is gone
            found += self.statement(node)
        return found if len(found) == 1 else [n for n in found if not isinstance(n, ast.Pass)]

    def statement(self, node: ast.stmt) -> list[ast.stmt]:  # noqa: PLR0911 (one for each kind)
        if isinstance(node, ast.Assign) and len(node.targets) > 1:
            wanted = [t for t in node.targets if self.wanted(t)]
            node.targets = wanted or node.targets[:1]
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            return self.assignment(node, node.targets[0])
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield | ast.YieldFrom):
            place = added_to(node)
            arguments = [a for n in walk(node.value) if isinstance(n, ast.Call) for a in n.args]
            if place is not None and not self.wanted(place) and all(map(self.pure, arguments)):
                return []
            adds = isinstance(node.value, ast.Call) and changes(node.value) in self.idle
            if changed_in_place(node.value) in self.idle or (adds and all(map(self.pure, arguments))):
                return []
            targets = {*vars(node.value).get("targets", ())}
            if isinstance(node.value, ast.Call) and targets and targets <= self.idle_functions:
                given = [*node.value.args, *(k.value for k in node.value.keywords)]
                return [ast.copy_location(ast.Expr(x), node) for x in given if not self.pure(x)]
            return [] if self.pure(node.value) and not is_outside(node) else [node]
        if isinstance(node, ast.FunctionDef) and node.name not in self.loads and not node.decorator_list:
            return []
        if isinstance(node, ast.If | ast.For | ast.While):
            node.body, node.orelse = self.block(node.body), self.block(node.orelse)
            test = node.iter if isinstance(node, ast.For) else node.test
            if not node.body and not node.orelse:
                if not isinstance(node, ast.While) and self.pure(test):
                    return []
                node.body = [ast.Pass()]
            if not node.body and isinstance(node, ast.If):
                node.test, node.body, node.orelse = ast.UnaryOp(ast.Not(), node.test), node.orelse, []
        if isinstance(node, ast.With):
            node.body = self.block(node.body)
            return [node] if node.body else []
        return [node]

    def assignment(self, node: ast.Assign, target: ast.expr) -> list[ast.stmt]:
        value = node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = [(t, v) for t, v in zip(target.elts, value.elts, strict=True) if self.wanted(t) or not self.pure(v)]
            if (len(pairs) == len(target.elts) and len(pairs) > 1) or any(
                isinstance(v, ast.Starred) for v in value.elts
            ):
                return [node]
            if len(pairs) == 1:
                ((node.targets[0], node.value),) = pairs
            else:
                target.elts, value.elts = [t for t, _ in pairs], [v for _, v in pairs]
            return [node] if pairs else []
        if isinstance(target, ast.Tuple) and self.wanted(target):
            for i, part in enumerate(target.elts):
                if isinstance(part, ast.Name | ast.Attribute) and not self.wanted(part):
                    target.elts[i] = ast.Name("_", ast.Store())
        if not self.wanted(target):
            return [] if self.pure(value) else [ast.copy_location(ast.Expr(value), node)]
        return [] if ast.unparse(target) == ast.unparse(value) else [node]

    def wanted(self, target: ast.expr) -> bool:
        """Is it read?"""
        if isinstance(target, ast.Name):
            return target.id in self.loads
        if isinstance(target, ast.Attribute):
            kinds = vars(target).get("kinds", {None}) or {None}
            if any(k is not None and is_promised(k, target.attr) for k in kinds):
                return True
            return any(self.is_read(kind, target.attr) for kind in kinds) or self.holds_parameters(target)
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            return target.value.id not in self.idle
        return not isinstance(target, ast.Tuple) or any(map(self.wanted, target.elts))

    def holds_parameters(self, target: ast.Attribute) -> bool:
        """May a network keep a layer there, which is trained even where nothing reads it by name?"""
        for place, fact in self.program.facts.items():
            of_network = place[0] == "attribute" and place[2] == target.attr and issubclass(place[1], nn.Module)
            if of_network and any(map(may_be_layer, fact)):
                return True
        return False

    # Fields.

    def fields(self) -> None:
        """Drop attributes of classes, and fields of values, that nothing reads."""
        for nodes in self.units.values():
            for node in nodes:
                if isinstance(node, ast.ClassDef):
                    self.members(node)

    def members(self, node: ast.ClassDef) -> None:
        kind: It = vars(node)["kind"]
        if getattr(kind, "_is_protocol", False):
            return
        body = list[ast.stmt]()
        members = list(node.body)
        for i, n in enumerate(members):
            if isinstance(n, ast.Expr) and i and (not body or body[-1] is not members[i - 1]):
                continue
            if isinstance(n, ast.Assign) and not self.shared_by_class(kind, n):
                continue
            if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name):
                name = n.target.id
                if not self.is_read(kind, name) and self.drop_field(kind, name, node):
                    node.body[i] = ast.Pass()
                    continue
            if isinstance(n, ast.FunctionDef) and self.dead_method(kind, n):
                continue
            body.append(n)
        if len(body) != len(members):
            node.body, self.changed = body or [ast.Pass()], True

    def shared_by_class(self, kind: It, node: ast.Assign) -> bool:
        """Does anything read what a class assigns? Of ``a, b = x, y`` only that stays."""

        def wanted(target: ast.expr) -> bool:
            name = ast.unparse(target)
            foreign = any(name in vars(p) for p in kind.__mro__[1:] if p.__module__.partition(".")[0] != "clipper")
            return self.is_read(kind, name) or foreign or name.startswith("__")

        target, value = node.targets[0], node.value
        if not isinstance(target, ast.Tuple) or not isinstance(value, ast.Tuple):
            return wanted(target)
        pairs = [(t, v) for t, v in zip(target.elts, value.elts, strict=True) if wanted(t)]
        self.changed = self.changed or len(pairs) < len(target.elts)
        target.elts, value.elts = [t for t, _ in pairs], [v for _, v in pairs]
        if len(pairs) == 1:
            ((node.targets[0], node.value),) = pairs
        return bool(pairs)

    def dead_method(self, kind: It, node: ast.FunctionDef) -> bool:
        """A method that nothing calls any more."""
        if node.name.startswith("__") or self.is_read(kind, node.name):
            return False
        if node.name == "forward" and issubclass(kind, nn.Module):
            return False
        return not is_override(vars(node)["function"])

    def drop_field(self, kind: It, name: str, node: ast.ClassDef) -> bool:
        """Take a field out of all calls that give it; False where one gives it in an unknown way."""
        present = [vars(n).get("function") for n in self.functions]
        if any(kind in self.program.unpacked.get(function, ()) for function in [None, *present]):
            return False
        names = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        at, calls, made = names.index(name), list[ast.Call](), self.names_below(kind)
        for call in self.calls:
            setting = isinstance(call.func, ast.Name) and call.func.id in made and unit(call.func)
            below = any(isinstance(t, type) and issubclass(t, kind) for t in vars(call).get("targets", ()))
            if below or setting:
                calls.append(call)
                named = [k.value for k in call.keywords if k.arg == name]
                if not named and may_reach(call, at):
                    return False
                given = [*call.args[at : at + 1], *named]
                if not all(map(self.pure, given)):
                    return False
        for call in calls:
            del call.args[at : at + 1]
            call.keywords = [k for k in call.keywords if k.arg != name]
        for call in self.calls:
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr == "_replace"
                and kind in vars(call).get("kinds", ())
            ):
                call.keywords = [k for k in call.keywords if k.arg != name]
        return True

    def names_below(self, kind: It) -> set[str]:
        """What a class, and those that inherit its fields, are called in the file."""
        classes = (n for nodes in self.units.values() for n in nodes if isinstance(n, ast.ClassDef))
        return {n.name for n in classes if issubclass(vars(n)["kind"], kind)}

    # Units.

    def unmentioned(self) -> None:
        """Drop definitions that ``main`` does not reach."""
        found, rest = set[str](), ["main"]
        while rest:
            name = rest.pop()
            if name in found or name not in self.units:
                continue
            found.add(name)
            for node in self.units[name]:
                rest += mentions(node)
        for name in set(self.units) - found:
            del self.units[name]
            self.changed = True
