"""Statements, functions and classes as the file has them: without what cannot run, checks, and the saving of state."""

import ast
import copy
import dataclasses
import inspect
import re
from collections.abc import Sequence
from types import FunctionType

from clipper.data import values
from clipper.unroll.annotations import Annotations
from clipper.unroll.fold import constant, reference
from clipper.unroll.literals import is_setting, literal
from clipper.unroll.source import Definition, Function, Import, It, function_of, inner_function, is_ours, module_of
from clipper.unroll.things import Known

PRAGMA = re.compile(r"\s*#\s*(noqa|pyright|fmt|type):?.*")


class Folded(Annotations):
    """Folds definitions."""

    # Statements.

    def body(self, nodes: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Statements that may run."""
        found, after = list[ast.stmt](), False
        for node in nodes:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if node not in self.program.live or (text and not (after or node is nodes[0])):
                continue
            if self.never_ends(node):
                found.append(ast.Raise())
                break
            new = self.statement(node)
            for made in new:
                ast.copy_location(made, node)
            if new and type(new[-1]) is type(node):
                self.comment(node, new[-1])
            if new or not text:
                after = bool(new) and isinstance(node, ast.Assign | ast.AnnAssign)
            found += new
            if new and isinstance(new[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
                break
        return found

    def never_ends(self, node: ast.stmt) -> bool:
        """Does it call what always fails?"""
        value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.Return) else None
        return isinstance(value, ast.Call) and value in self.program.found and not self.fact(value)

    def comment(self, node: ast.stmt, new: ast.stmt) -> None:
        """Keep what a comment above or beside a statement says."""
        assert self.here is not None
        lines, above = self.here.module.lines, list[str]()
        at = node.lineno - 2
        while at >= 0 and lines[at].lstrip().startswith("#"):
            above.insert(0, lines[at].strip())
            at -= 1
        end = (
            node.body[0].lineno - 1
            if isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.FunctionDef)
            else 0
        )
        beside = self.here.module.comments.get(end or node.end_lineno or node.lineno, "")
        simple = isinstance(node, ast.Assign | ast.Return | ast.Expr)
        choices = [n.test for n in ast.walk(node) if isinstance(n, ast.IfExp)] if simple else []
        if any(self.program.test(test) is not None for test in choices):
            above = []  # it may be about what is not chosen
        vars(new)["above"] = [line for line in above if not PRAGMA.match(line)]
        vars(new)["beside"] = PRAGMA.sub("", beside).strip() if beside.startswith("#") else ""

    def statement(self, node: ast.stmt) -> list[ast.stmt]:  # noqa: PLR0911, PLR0912 (one for each kind)
        match node:
            case ast.If():
                return self.choice(node)
            case ast.Assert() | ast.Pass():
                return []
            case ast.Try():
                return self.attempt(node)
            case ast.For():
                body = self.body(node.body)
                dead = node.body[0] not in self.program.live or not body
                if dead:
                    return [] if self.pure(node.iter) else [ast.Expr(self.expr(node.iter))]
                return [ast.For(self.expr(node.target), self.expr(node.iter), body, self.body(node.orelse))]
            case ast.While():
                if node.body[0] not in self.program.live:
                    return []
                return [
                    ast.While(self.condition(node.test), self.body(node.body) or [ast.Pass()], self.body(node.orelse))
                ]
            case ast.With():
                items = [
                    ast.withitem(self.expr(i.context_expr), i.optional_vars and self.expr(i.optional_vars))
                    for i in node.items
                ]
                body = self.body(node.body)
                return [ast.With(items, body)] if body else []
            case ast.FunctionDef():
                return [self.inner(node)]
            case ast.ImportFrom():
                return []
            case ast.Expr():
                return self.alone(node)
            case _:
                new = self.rest(node)
                if isinstance(new, ast.AnnAssign) and new.value is not None:
                    return [ast.Assign([new.target], new.value)]
                return [new]

    def alone(self, node: ast.Expr) -> list[ast.stmt]:
        """An expression whose value nobody takes."""
        if isinstance(node.value, ast.Constant):
            return [ast.Expr(ast.Constant(short(str(node.value.value))))]
        outside = isinstance(node.value, ast.Call) and not self.program.targets.get(node.value)
        return [] if self.pure(node.value) and not outside else [ast.Expr(self.expr(node.value))]

    def choice(self, node: ast.If) -> list[ast.stmt]:
        truth = self.program.test(node.test)
        if truth is not None:
            found = self.body(node.body if truth else node.orelse)
            return found if self.pure(node.test) else [ast.Expr(self.expr(node.test)), *found]
        body, other = self.body(node.body), self.body(node.orelse)
        fails = bool(body) and isinstance(body[-1], ast.Raise) and self.pure(node.test)
        if fails:
            return other
        if other and isinstance(other[-1], ast.Raise):
            return [] if not body and self.pure(node.test) else body if self.pure(node.test) else [node]
        if not body and not other:
            return [] if self.pure(node.test) else [ast.Expr(self.expr(node.test))]
        test = self.condition(node.test)
        if not body:
            return [ast.If(negated(test), other, [])]
        return [ast.If(test, body, other)]

    def attempt(self, node: ast.Try) -> list[ast.stmt]:
        """Errors end the file's program: what only passes them on, or cleans up behind them, goes."""
        body = [*self.body(node.body), *self.body(node.orelse)]
        handlers = [h for h in node.handlers if not fails(h.body) and not any(map(self.never_ends, h.body))]
        last = self.body(node.finalbody)
        if not handlers:
            return [*body, *last]
        kept = [
            ast.ExceptHandler(h.type and self.expr(h.type), h.name, self.body(h.body) or [ast.Pass()]) for h in handlers
        ]
        return [ast.Try(body, kept, [], last)] if body else last

    def inner(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """A function within a function."""
        assert self.here is not None
        function, outer = inner_function(node, self.here), self.here
        new = self.definition(function, node.name, outer)
        self.here = outer
        return new

    # Functions and classes.

    def definition(self, function: Function, name: str, outer: Function | None = None) -> ast.FunctionDef:
        """A function under a name; a lifted method has no first argument any more."""
        assert isinstance(function.node, ast.FunctionDef)
        self.here = function
        node, lifted = function.node, self.lifts(function)
        args = self.arguments(node.args, outer)
        for x in (*args.posonlyargs, *args.args, *args.kwonlyargs):
            fact = self.program.facts.get(("variable", function, x.arg), frozenset())
            x.annotation = x.annotation and self.annotation(x.annotation, fact)
        for x in (args.vararg, args.kwarg):
            if x is not None and x.annotation is not None:
                x.annotation = self.annotation(x.annotation, frozenset())
        if lifted and args.args:
            args.args = args.args[1:]
        result = self.program.facts.get(("result", function), frozenset())
        returns = node.returns and self.annotation(node.returns, result)
        decorators = [self.expr(d) for d in node.decorator_list if keeps(d, lifted, name)]
        body = self.body(node.body)
        new = ast.FunctionDef(name, args, body or [ast.Pass()], decorators, returns, None)
        vars(new)["type_params"] = []
        vars(new)["function"] = function
        return new

    def class_of(self, kind: It, definition: Definition) -> ast.ClassDef:
        """A class with what of it may run."""
        node = definition.node
        assert isinstance(node, ast.ClassDef)
        if getattr(kind, "_is_protocol", False):
            return self.protocol(kind, definition)
        self.here = Function(ast.Lambda(NOTHING, ast.Constant(None)), definition.module)
        decorators = [d for n in node.decorator_list if (d := self.decorator(n, kind)) is not None]
        bases = [self.expr(b) for b in node.bases if self.keeps_base(b, definition)]
        body = list[ast.stmt]()
        for n in node.body:
            body += self.member(kind, n)
            if (
                not isinstance(n, ast.FunctionDef)
                and body
                and isinstance(body[-1], ast.Assign | ast.AnnAssign | ast.Expr)
            ):
                ast.copy_location(body[-1], n)
        new = ast.ClassDef(self.names.of_definition(definition), bases, [], body or [ast.Pass()], decorators)
        vars(new)["type_params"] = []
        vars(new)["kind"] = kind
        return new

    def protocol(self, kind: It, definition: Definition) -> ast.ClassDef:
        """What ``isinstance`` is asked about: the names of its methods."""
        assert isinstance(definition.node, ast.ClassDef)
        checkable, base = (Import("typing", name, None) for name in ("runtime_checkable", "Protocol"))
        body = list[ast.stmt](definition.node.body[:1])
        for n in definition.node.body:
            if isinstance(n, ast.FunctionDef):
                args = ast.arguments([], [ast.arg(x.arg) for x in n.args.args], None, [], [], None, [])
                body.append(ast.FunctionDef(n.name, args, [ast.Expr(ast.Constant(...))], [], None, None))
                vars(body[-1])["type_params"] = []
        name = self.names.of_definition(definition)
        bases, decorators = [reference(self.names.of_import(base))], [reference(self.names.of_import(checkable))]
        new = ast.ClassDef(name, bases, [], body, decorators)
        vars(new)["type_params"] = []
        vars(new)["kind"] = kind
        return new

    def member(self, kind: It, node: ast.stmt) -> list[ast.stmt]:  # noqa: PLR0911 (one for each kind)
        assert self.here is not None
        if isinstance(node, ast.Expr):
            return self.alone(node)
        if isinstance(node, ast.FunctionDef):
            static = inspect.getattr_static(kind, node.name)
            real = getattr(static, "__func__", None) or getattr(static, "fget", None) or static
            function, here = function_of(real, kind), self.here
            if (
                function is None
                or function not in self.program.reached
                or self.lifts(function)
                or node.name == "__post_init__"
            ):
                return []
            new = self.definition(function, node.name)
            self.here = here
            return [new]
        fields = "_fields" in vars(kind) or "__dataclass_fields__" in vars(kind)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and fields:
            name = node.target.id
            if name == "_":  # KW_ONLY, behind which fields have names alone: here all have
                return []
            fact = self.program.facts.get(("attribute", kind, name), frozenset())
            for thing in self.kept:
                if type(thing) is kind:
                    fact = frozenset({Known(getattr(thing, name))})
            value = node.value and self.default(node.value, kind, name)
            return [ast.AnnAssign(node.target, self.annotation(node.annotation, fact), value, 1)]
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return [ast.Assign([node.target], self.expr(node.value))]
        if isinstance(node, ast.Assign):
            shared = self.shared(kind, node)
            return shared or [ast.Assign(copy.deepcopy(node.targets), self.expr(node.value))]
        return []

    def shared(self, kind: It, node: ast.Assign) -> list[ast.stmt]:
        """A function that becomes a method by its name in the class: its text, with ``self``."""
        name = node.targets[0]
        real = vars(kind).get(name.id) if isinstance(name, ast.Name) else None
        function = function_of(real) if isinstance(real, FunctionType) else None
        if function is None or not isinstance(name, ast.Name) or function not in self.program.reached:
            return []
        here = self.here
        new = self.definition(function, name.id)
        self.here = here
        first = new.args.args[0].arg
        for n in ast.walk(new):
            if isinstance(n, ast.Name) and n.id == first and "unit" not in vars(n):
                n.id = "self"
        new.args.args[0] = ast.arg("self")
        return [new]

    def default(self, node: ast.expr, kind: It, name: str) -> ast.expr | None:
        """A field's default: the one of settings as it is, of others what it was folded to."""
        if not is_setting(kind):
            return self.expr(node)
        value = next((getattr(x, name) for x in self.kept if type(x) is kind), None)
        field = kind.__dataclass_fields__[name]
        default = field.default_factory() if field.default is dataclasses.MISSING else field.default
        if is_setting(type(default)) and value != default:
            return None  # which ``main`` gives
        value = default
        return constant(value) if literal(value) and isinstance(node, ast.Constant) else self.expr(node)

    def decorator(self, node: ast.expr, kind: It) -> ast.expr | None:
        """Of a class."""
        assert self.here is not None
        name = node.func if isinstance(node, ast.Call) else node
        if isinstance(name, ast.Name) and (i := self.here.module.imports.get(name.id)) and i.module == values.__name__:
            dataclass = self.names.of_import(Import("dataclasses", "dataclass", None))
            keywords = "frozen=True, kw_only=True" if isinstance(node, ast.Call) else "frozen=True"
            return reference_call(f"{dataclass}({keywords})")
        idle = isinstance(name, ast.Name) and name.id == "tree_node" and not {kind, object} & self.program.mapped_over
        if ast.unparse(node).startswith("partial(tree_node") and not {kind, object} & self.program.mapped_over:
            return None
        return None if idle or (isinstance(name, ast.Name) and name.id == "runtime_checkable") else self.expr(node)

    def keeps_base(self, node: ast.expr, definition: Definition) -> bool:
        """Does a parent class bring anything?"""
        text = ast.unparse(node).partition("[")[0]
        if text in ("Protocol", "Generic"):
            return False
        real = definition.module.space.get(text)
        if not isinstance(real, type) or not is_ours(real):
            return True
        if getattr(real, "_is_protocol", False):
            return False
        functions = (function_of(m, real) for m in vars(real).values() if isinstance(m, FunctionType))
        constants = {n for n in vars(real) if not n.startswith("__")}
        return any(f in self.program.reached for f in functions) or bool(constants)


NOTHING = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])


def short(doc: str) -> str:
    """The first paragraph, and those that are equations; without errors that are not raised, and files not there."""
    first, *rest = inspect.cleandoc(doc).split("\n\n")
    first = re.sub(r"; raises ``\w+``[^.;]*|\s\(``clipper\.[\w.]+``\)", "", first)
    equations = [p for p in rest if re.match(r"\S+ = ", p) and not p.endswith("::")]
    return "\n\n".join([first, *equations])


def keeps(node: ast.expr, lifted: bool, name: str) -> bool:
    """Does a function keep this decorator?"""
    text = ast.unparse(node)
    if ".register" in text or text == "singledispatch":
        return False
    return not (lifted and text in ("property", "staticmethod"))


def fails(nodes: Sequence[ast.stmt]) -> bool:
    """Does it end in an error?"""
    return bool(nodes) and isinstance(nodes[-1], ast.Raise)


def negated(test: ast.expr) -> ast.expr:
    return (
        test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else ast.UnaryOp(ast.Not(), test)
    )


def reference_call(text: str) -> ast.expr:
    """A call of a global name."""
    node = ast.parse(text, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    node.func = reference(node.func.id)
    return node


__all__ = ["NOTHING", "Folded", "module_of"]
