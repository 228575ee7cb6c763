"""What changes something when it runs, by what the library's functions do, and by the names of others."""

import ast

from clipper.learning.parts import Part
from clipper.unroll.follow import Follow
from clipper.unroll.source import Function, function_of
from clipper.unroll.things import Closure, Fact, Known, Method

IMPURE = {
    "append", "extend", "insert", "pop", "update", "setdefault", "add", "remove", "clear", "step", "reset", "close",
    "backward", "write", "seed", "sample", "sort", "fill", "register_buffer", "manual_seed", "absorb", "random",
    "load_state_dict", "rand", "randn", "randperm", "randint", "normal", "set_num_threads", "print", "setattr", "next",
    "put", "integers", "uniform", "delattr", "register_pytree_node", "act", "to_env",
}  # fmt: skip
"""Of what the library does not define: what changes something."""
NOTHING = {Part.attach}
"""What only undoes what others did, who are not in the file."""


class Effects:
    """Asks of a program that was followed what changes something."""

    def __init__(self, program: Follow) -> None:
        self.program = program

    def fact(self, node: ast.AST) -> Fact:
        return self.program.found.get(node, frozenset())

    def pure(self, node: ast.AST) -> bool:
        """Does evaluating it change nothing?"""
        if isinstance(node, ast.Lambda):
            return True
        if isinstance(node, ast.NamedExpr | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(node, ast.Call) and node not in self.program.bodies and not self.pure_call(node):
            return False
        return all(map(self.pure, ast.iter_child_nodes(node)))

    def pure_call(self, node: ast.Call, seen: tuple[Function, ...] = ()) -> bool:
        """By what it reaches and hands over, or else by name."""
        targets = self.program.targets.get(node)
        given = (f for a in (*node.args, *(k.value for k in node.keywords)) for f in self.functions(a))
        if not all(isinstance(t, Function) and not self.effects(t, seen) for t in (*(targets or ()), *given)):
            return False
        if targets:
            return True
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "super" or (isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "super()"):
            return False
        into = any(k.arg == "out" for k in node.keywords)
        if name == "next" and ast.unparse(node).startswith("next(iter("):
            return True  # an iterator that nobody else has
        return not (name in IMPURE or into or (name.endswith("_") and not name.startswith("_")))

    def functions(self, node: ast.expr) -> list[Function]:
        """Functions of the library that an argument may be."""
        found = (x.function if isinstance(x, Closure | Method) else function_of(x.it) for x in self.fact(node)
                 if isinstance(x, Closure | Method | Known))  # fmt: skip
        return [f for f in found if f is not None]

    def effects(self, function: Function, seen: tuple[Function, ...] = ()) -> bool:
        """Does a function change anything but names of its own?"""
        if function in seen or function.real in NOTHING:
            return False
        for node in live_nodes(self.program, function):
            if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
                return True
            if isinstance(node, ast.AugAssign | ast.Yield):
                return True
            alone = node.value if isinstance(node, ast.Expr) else None
            if isinstance(alone, ast.Call) and not self.program.targets.get(alone):
                return True  # for what else is it called
            if isinstance(node, ast.Call) and not self.pure_call(node, (*seen, function)):
                return True
        return False


def live_nodes(program: Follow, function: Function) -> list[ast.AST]:
    """All nodes of statements that may run, raising ones aside."""
    found, rest = list[ast.AST](), list[ast.AST](function.body)
    while rest:
        node = rest.pop()
        idle = isinstance(node, ast.stmt) and (node not in program.live or isinstance(node, ast.Raise | ast.Assert))
        if idle and not isinstance(function.node, ast.Lambda):
            continue
        found.append(node)
        rest += ast.iter_child_nodes(node)
    return found
