"""Expressions as the file has them: what is settled is written out, and calls name what they reach."""

import ast
import copy
from collections.abc import Callable
from typing import TypeVar

from clipper.environments.checks import checked_reset, checked_step
from clipper.environments.ids import called
from clipper.learning.optimizers import light
from clipper.unroll.effects import Effects
from clipper.unroll.facts import the
from clipper.unroll.follow import Follow
from clipper.unroll.literals import is_setting, literal
from clipper.unroll.names import Names, snake
from clipper.unroll.source import Function, It, Syntax, function_of, inner_function, is_ours
from clipper.unroll.things import Fact, Known, Method, Of

N = TypeVar("N", bound=ast.AST)
ALWAYS = (type(None), bool)
"""What is written out wherever it is known; numbers and texts stay what settings call them."""


class Fold(Effects):
    """Folds one function after another."""

    def __init__(self, program: Follow, names: Names, kept: list[object]) -> None:
        super().__init__(program)
        self.names, self.kept = names, kept
        self.here: Function | None = None

    def is_kept(self, thing: object) -> bool:
        """Does this value of settings stand in the file?"""
        return any(type(thing) is type(x) and thing == x for x in self.kept)

    def gone(self, fact: Fact) -> Known | None:
        """A value of settings that does not."""
        thing = the(fact)
        return thing if thing is not None and is_setting(type(thing.it)) and not self.is_kept(thing.it) else None

    # Expressions.

    def expr(self, node: ast.expr) -> ast.expr:
        """An expression as the file has it."""
        thing = the(self.fact(node))
        stored = isinstance(getattr(node, "ctx", None), ast.Store)
        free = thing is not None and not stored and not isinstance(node, ast.Constant) and self.pure(node)
        if free and thing is not None and (written := self.written(node, thing)) is not None:
            return written
        handler: Callable[[Syntax], ast.expr] | None = getattr(self, f"fold_{type(node).__name__.lower()}", None)
        return self.rest(node) if handler is None else handler(node)

    def written(self, node: ast.expr, thing: Known) -> ast.expr | None:
        """Code for what is known, where that is better than what stands there."""
        it = thing.it
        if isinstance(it, ALWAYS) or (type(it) is tuple and not it):
            return constant(it)
        if literal(it):
            own = isinstance(node, ast.Call) and (node in self.program.bodies or node in self.program.targets)
            equation = (
                isinstance(it, float) and isinstance(node, ast.Call) and ast.unparse(node.func).startswith("math.")
            )
            computed = isinstance(node, ast.Compare | ast.Call | ast.Subscript) and not own and not equation
            lost = isinstance(node, ast.Attribute) and self.gone(self.fact(node.value)) is not None
            word = isinstance(node, ast.Name) and isinstance(it, str) and self.is_local(node.id)
            return constant(it) if computed or lost or word else None
        local = isinstance(node, ast.Name) and self.is_local(node.id)
        if (local or isinstance(node, ast.Attribute | ast.Subscript | ast.Call)) and (
            name := self.names.of_object(it)
        ) is not None:
            return reference(name)
        return None

    def rest(self, node: N) -> N:
        """The same with its parts folded."""
        new = copy.copy(node)
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(new, field, self.expr(value))
            elif isinstance(value, list):
                setattr(new, field, [self.part(x) for x in value])
        return new

    def part(self, x: Syntax) -> Syntax:
        if isinstance(x, ast.expr):
            return self.expr(x)
        if isinstance(x, ast.comprehension):
            tests = [self.expr(t) for t in x.ifs if self.program.truth(self.fact(t)) is not True]
            return ast.comprehension(self.expr(x.target), self.expr(x.iter), tests, 0)
        if isinstance(x, ast.keyword):
            return ast.keyword(x.arg, self.expr(x.value))
        return x

    def is_local(self, name: str) -> bool:
        """Is it a name of the function, or of one around it?"""
        function = self.here
        while function is not None and name not in function.locals:
            function = function.parent
        return function is not None

    def fold_name(self, node: ast.Name) -> ast.expr:
        if self.is_local(node.id):
            return ast.Name(node.id, node.ctx)
        assert self.here is not None
        return reference(self.names.of_global(self.here.module, node.id))

    def fold_ifexp(self, node: ast.IfExp) -> ast.expr:
        truth = self.program.test(node.test)
        if truth is None:
            return ast.IfExp(self.condition(node.test), self.expr(node.body), self.expr(node.orelse))
        return self.expr(node.body if truth else node.orelse)

    def fold_boolop(self, node: ast.BoolOp) -> ast.expr:
        stops, values = isinstance(node.op, ast.Or), list[ast.expr]()
        for i, value in enumerate(node.values):
            truth = self.program.truth(self.fact(value)) if self.pure(value) else None
            if truth is (not stops) and i < len(node.values) - 1:
                continue
            values.append(self.expr(value))
            if truth is stops:
                break
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)

    def condition(self, node: ast.expr) -> ast.expr:
        """As a test: what is settled drops out of it, at its end, too."""
        if isinstance(node, ast.BoolOp):
            stops = isinstance(node.op, ast.Or)
            values = [self.condition(v) for v in node.values if self.program.test(v) is not (not stops)]
            return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)
        return self.expr(node)

    def fold_lambda(self, node: ast.Lambda) -> ast.expr:
        assert self.here is not None
        outer, self.here = self.here, inner_function(node, self.here)
        args = self.arguments(node.args, outer)
        new = ast.Lambda(args, self.expr(node.body))
        self.here = outer
        return new

    def arguments(self, node: ast.arguments, outer: Function | None) -> ast.arguments:
        """Parameters, their defaults folded where they are evaluated."""
        inner, self.here = self.here, outer or self.here
        new = copy.deepcopy(node)
        new.defaults = [self.expr(d) for d in node.defaults]
        new.kw_defaults = [None if d is None else self.expr(d) for d in node.kw_defaults]
        self.here = inner
        return new

    def fold_joinedstr(self, node: ast.JoinedStr) -> ast.expr:
        values = list[ast.expr]()
        for v in node.values:
            value = self.expr(v.value) if isinstance(v, ast.FormattedValue) else v
            if isinstance(v, ast.FormattedValue):
                plain = v.conversion == -1 and v.format_spec is None and is_text(value)
                value = value if plain else ast.FormattedValue(value, v.conversion, v.format_spec)
            values.append(value)
        if not all(map(is_text, values)):
            return ast.JoinedStr(values)
        return constant("".join(ast.literal_eval(v) for v in values))

    def fold_subscript(self, node: ast.Subscript) -> ast.expr:
        return ast.Subscript(self.expr(node.value), self.expr(node.slice), node.ctx)

    def fold_attribute(self, node: ast.Attribute) -> ast.expr:
        new = ast.Attribute(self.expr(node.value), node.attr, node.ctx)
        kinds = (type(t.it) if isinstance(t, Known) else getattr(t, "kind", None) for t in self.fact(node.value))
        vars(new)["kinds"] = frozenset(kinds)
        return new

    def fold_list(self, node: ast.List) -> ast.expr:
        return ast.List([x for n in node.elts for x in self.argument(n)], node.ctx)

    # Calls.

    def fold_call(self, node: ast.Call) -> ast.expr:
        if node in self.program.bodies:
            return self.expr(self.program.bodies[node])
        args = [x for a in node.args for x in self.argument(a)]
        keywords = [k for keyword in node.keywords for k in self.keyword(keyword)]
        callee = self.fact(node.func)
        thing = next(iter(callee)) if len(callee) == 1 else None
        stand_in = STAND_INS.get(thing.it) if isinstance(thing, Known) and thing.it.__hash__ is not None else None
        if stand_in is not None:
            return stand_in(args, keywords)
        func, first = self.callee(node, thing)
        args = [*([self.expr(first)] if first is not None else []), *args]
        if thing is not None and args and self.drops_self(node, thing):
            args = args[1:]
        new = ast.Call(func, args, keywords)
        self.note(node, new, thing)
        return new

    def argument(self, node: ast.expr) -> list[ast.expr]:
        """An argument, or those that ``*x`` stands for."""
        if isinstance(node, ast.Starred) and self.program.iterated(self.fact(node.value))[1] == ():
            return []
        if isinstance(node, ast.Starred):
            if named := self.attributes_by_name(node.value):
                return named
            new = self.expr(node.value)
            whole = isinstance(new, ast.List | ast.Tuple) and not any(isinstance(x, ast.Starred) for x in new.elts)
            if whole and isinstance(new, ast.List | ast.Tuple):
                return new.elts
            spread, exact = ast.Starred(new, ast.Load()), self.program.iterated(self.fact(node.value))[1]
            vars(spread)["count"] = None if exact is None else len(exact)
            return [spread]
        return [self.given(node)]

    def attributes_by_name(self, node: ast.expr) -> list[ast.expr]:
        """``x.a, x.b`` for ``getattr(x, name) for name in ("a", "b")``; empty for anything else."""
        match node:
            case ast.GeneratorExp(
                elt=ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Name(id=name)]),
                generators=[ast.comprehension(target=ast.Name(id=bound), iter=names, ifs=[])],
            ) if name == bound and (known := the(self.fact(names))) is not None:
                it: It = known.it
                return [self.fold_attribute(ast.Attribute(owner, n, ast.Load())) for n in it]
        return []

    def given(self, node: ast.expr) -> ast.expr:
        """An argument, marked where it is a function that changes something."""
        new = self.expr(node)
        if any(map(self.effects, self.functions(node))):
            vars(new)["changes"] = True
        return new

    def keyword(self, node: ast.keyword) -> list[ast.keyword]:
        value = self.given(node.value)
        if node.arg is None and isinstance(value, ast.Dict) and all(isinstance(k, ast.Constant) for k in value.keys):
            pairs = zip(value.keys, value.values, strict=True)
            return [ast.keyword(str(k.value), v) for k, v in pairs if isinstance(k, ast.Constant)]
        if node.arg is None and self.program.truth(self.fact(node.value)) is False:
            return []
        return [ast.keyword(node.arg, value)]

    def note(self, node: ast.Call, new: ast.Call, thing: object) -> None:
        """Tell the passes to come what a call reaches."""
        facts: It = new
        facts.targets = frozenset(self.program.targets.get(node, ()))
        facts.whole = not isinstance(new.func, ast.Attribute) and not isinstance(thing, Of)
        facts.pure = self.pure_call(node)
        owners = self.fact(node.func.value) if isinstance(node.func, ast.Attribute) else ()
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            owners = self.fact(node.args[0])
        facts.kinds = frozenset(t.kind for t in owners if isinstance(t, Of))

    def callee(self, node: ast.Call, thing: object) -> tuple[ast.expr, ast.expr | None]:
        """What is called, and the expression that becomes its first argument where a method becomes a function."""
        name = self.case(node, thing) or self.lifted(thing)
        if name is not None:
            return reference(name), None
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return node.func, None
        return self.expr(node.func), None

    def drops_self(self, node: ast.Call, thing: object) -> bool:
        """Is the first argument a value that no longer exists, given to a lifted method by hand?"""
        function = function_of(thing.it) if isinstance(thing, Known) else None
        return (
            function is not None
            and bool(node.args)
            and self.lifts(function)
            and self.gone(self.fact(node.args[0])) is not None
        )

    def lifts(self, function: Function) -> bool:
        """Does a method become a function, since the one value that it belongs to does not stand in the file?"""
        in_class = function.owner is not None and function.node not in function.module.tree.body
        if not in_class or not function.parameters:
            return False
        return (
            self.gone(self.program.facts.get(("variable", function, function.parameters[0]), frozenset())) is not None
        )

    def lifted(self, thing: object) -> str | None:
        """The name of a function that stands for a method of a value."""
        if isinstance(thing, Method) and self.lifts(thing.function):
            return self.lift(thing.function)
        if not isinstance(thing, Known):
            return None
        it: It = thing.it
        if self.gone(frozenset({thing})) is not None and "__call__" in vars(type(it)):
            static = vars(type(it)).get("__call__")
            if isinstance(static, staticmethod):
                return self.names.of_object(static.__func__)
            function = function_of(static, type(it))
            return self.lift(function) if function is not None and self.lifts(function) else None
        function = function_of(it)
        return self.lift(function) if function is not None and self.lifts(function) else None

    def lift(self, function: Function) -> str:
        assert isinstance(function.node, ast.FunctionDef)
        assert function.owner is not None
        name = function.node.name
        kind = snake(function.owner.__name__)
        return self.names.of_function(function, f"{'apply' if name == '__call__' else name}_{kind}")

    def case(self, node: ast.Call, thing: object) -> str | None:
        """The name of the only case of a dispatched function that a call may enter."""
        it: It = thing.it if isinstance(thing, Known) else None
        if not hasattr(it, "registry") or not is_ours(it):
            return None
        reached = self.program.targets.get(node, set())
        kinds = {function_of(real): kind for kind, real in it.registry.items() if function_of(real) in reached}
        function, kind = next(iter(kinds.items())) if len(kinds) == 1 else (None, object)
        name = it.__name__ if kind is object else f"{it.__name__}_of_{snake(kind.__name__)}"
        return None if function is None else self.names.of_function(function, name)


def is_text(node: ast.expr) -> bool:
    """A literal text?"""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def constant(it: object) -> ast.expr:
    """A literal."""
    if isinstance(it, tuple):
        return ast.Tuple([constant(x) for x in it], ast.Load())
    if isinstance(it, float) and it in (float("inf"), float("-inf")):
        return ast.Call(ast.Name("float", ast.Load()), [ast.Constant(str(it))], [])
    if isinstance(it, int | float) and not isinstance(it, bool) and it < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-it))
    return ast.Constant(it)  # pyright: ignore[reportArgumentType]


def reference(name: str) -> ast.expr:
    """A global name, and not one of a function's own that is spelt alike; it may have dots."""
    node = ast.parse(name, mode="eval").body
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            vars(n)["unit"] = n.id
    return node


def step_of(args: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
    """``env.step``, whose answer is not held to its promise."""
    return ast.Call(ast.Attribute(args[0], "step", ast.Load()), args[1:2], [])


def reset_of(args: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
    """``env.reset``, likewise."""
    return ast.Call(ast.Attribute(args[0], "reset", ast.Load()), [], keywords)


STAND_INS: dict[object, Callable[[list[ast.expr], list[ast.keyword]], ast.expr]] = {
    checked_step: step_of,
    checked_reset: reset_of,
    light: lambda args, _: args[0],
    called: lambda args, keywords: ast.Call(args[0], args[1:], keywords),
}
"""What is checked or made light in the library, and plain in the file."""
