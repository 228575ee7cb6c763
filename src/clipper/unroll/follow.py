"""Which statements of the library can run, and with what: the program followed from ``main`` until nothing is new."""

import ast
from collections.abc import Sequence
from importlib import import_module

from clipper.unroll.expressions import Expressions
from clipper.unroll.facts import ANY, join, known
from clipper.unroll.source import Function
from clipper.unroll.things import Fact, Known

ROUNDS = 200_000


class Follow(Expressions):
    """Follows statements. A branch is followed where its condition may be true, by what is known of it so far."""

    def __init__(self) -> None:
        super().__init__()
        self.live: set[ast.stmt] = set()
        """Statements that may run."""

    def follow(self, main: Function) -> None:
        """Until nothing new becomes possible."""
        self.reach(main)
        self.settle()

    def settle(self) -> None:
        while self.queue:
            self.now = self.queue.popleft()
            ends = self.block(self.now.body)
            if not ends and not isinstance(self.now.node, ast.Lambda):
                self.put(known(None), "result", self.now)
        self.now = None

    def block(self, body: Sequence[ast.stmt]) -> bool:
        """Follow statements; does control never come to their end?"""
        for node in body:
            self.live.add(node)
            if self.statement(node):
                return True
        return False

    def statement(self, node: ast.stmt) -> bool:  # noqa: PLR0912 (one for each kind)
        match node:
            case ast.Expr():
                self.look(node.value)
            case ast.Assign():
                fact = self.look(node.value)
                for target in node.targets:
                    self.assign(target, fact)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.look(node.value))
            case ast.AugAssign():
                self.augment(node)
            case ast.Return():
                self.put(known(None) if node.value is None else self.look(node.value), "result", self.here)
                return True
            case ast.Raise() | ast.Continue() | ast.Break():
                return True
            case ast.If():
                return self.choice(node)
            case ast.For() | ast.While():
                self.loop(node)
            case ast.With():
                for item in node.items:
                    fact = self.look(item.context_expr)
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, join(fact, ANY))
                return self.block(node.body)
            case ast.Try():
                return self.attempt(node)
            case ast.FunctionDef():
                self.put(self.closure(node), "variable", self.here, node.name)
            case ast.ImportFrom():
                for alias in node.names:
                    module = import_module(node.module or "")
                    self.put(known(getattr(module, alias.name)), "variable", self.here, alias.asname or alias.name)
            case _:
                pass
        return False

    def augment(self, node: ast.AugAssign) -> None:
        added = self.look(node.value)
        load = ast.copy_location(as_load(node.target), node.target)
        before = self.look(load)
        for thing in before:
            if type(thing).__name__ == "Cell" and self.iterated(added)[1] != ():
                self.blur(thing, self.iterated(added)[0])  # pyright: ignore[reportArgumentType]
                return
        fact: Fact = before if any(type(t).__name__ == "Cell" for t in before) else self.sum(node, before, added)
        self.assign(node.target, fact)

    def sum(self, node: ast.AugAssign, before: Fact, added: Fact) -> Fact:
        kinds = {type(t.it) if isinstance(t, Known) else getattr(t, "kind", None) for t in before | added}
        if kinds and kinds <= {int, float, bool}:
            return join(known(0), known(1)) if kinds <= {int, bool} else join(known(0.5), known(1.5))
        return ANY if before and added else before

    def choice(self, node: ast.If) -> bool:
        test = self.look(node.test)
        if not test:
            return True
        truth = self.test(node.test)
        taken = truth is not False and self.block(node.body)
        other = truth is not True and self.block(node.orelse)
        return (taken or truth is False) and (other or truth is True)

    def loop(self, node: ast.For | ast.While) -> None:
        if isinstance(node, ast.For):
            each, exact = self.iterated(self.look(node.iter))
            if exact == () or not each:
                return
            self.assign(node.target, each)
        elif (self.look(node.test) or True) and self.test(node.test) is False:
            return
        self.block(node.body)
        self.block(node.orelse)

    def attempt(self, node: ast.Try) -> bool:
        ended = self.block(node.body) or self.block(node.orelse)
        for handler in node.handlers:
            if isinstance(handler.body[-1], ast.Raise):
                continue  # an error ends the program
            ended = self.block(handler.body) and ended
        return self.block(node.finalbody) or ended


def as_load(target: ast.expr) -> ast.expr:
    """The target of ``x += …`` as it is read."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Attribute):
        return ast.Attribute(target.value, target.attr, ast.Load())
    assert isinstance(target, ast.Subscript)
    return ast.Subscript(target.value, target.slice, ast.Load())
