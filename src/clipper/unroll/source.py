"""Files of the library taken apart: imports, top-level definitions, functions, and what a global name means."""

import ast
import builtins
import functools
import importlib
import inspect
import io
import tokenize
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

from clipper.errors import ClipperError

PACKAGE = "clipper"
It = Any
"""An object of the program that is followed, of whatever class."""
Syntax = Any
"""A node of a syntax tree, or what a field of one holds."""
Node: TypeAlias = ast.FunctionDef | ast.Lambda


class UnrollError(ClipperError, RuntimeError):
    """What cannot be written as one file."""


class Import(NamedTuple):
    """What one imported name is bound to; ``member`` is None for ``import module``."""

    module: str
    member: str | None
    alias: str | None


@dataclass(eq=False)
class Definition:
    """A top-level statement that binds a name."""

    name: str
    module: "Module"
    node: ast.stmt
    doc: str = ""
    """The text that stands below an assignment."""


@dataclass(eq=False)
class Function:
    """A function, method or lambda: where it stands, and what was compiled from it."""

    node: Node
    module: "Module"
    parent: "Function | None" = None
    owner: type | None = None
    """The class whose method it is."""
    real: FunctionType | None = None

    @functools.cached_property
    def body(self) -> list[ast.stmt]:
        return [ast.Return(self.node.body)] if isinstance(self.node, ast.Lambda) else self.node.body

    @functools.cached_property
    def parameters(self) -> list[str]:
        """All names, in order."""
        a = self.node.args
        starred = [x for x in (a.vararg, a.kwarg) if x]
        return [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs, *starred)]

    @functools.cached_property
    def locals(self) -> set[str]:
        """Names that it binds."""
        found, rest = set(self.parameters), list[ast.AST](self.body)
        while rest:
            node = rest.pop()
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Lambda):
                continue
            elif isinstance(node, ast.ExceptHandler) and node.name:
                found.add(node.name)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                found |= set(bindings(node))
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                rest += ast.iter_child_nodes(node)
        return found

    @functools.cached_property
    def generates(self) -> bool:
        """Does it yield?"""
        return any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(self.node))


@dataclass(eq=False)
class Module:
    """One file of the library, or the program that is begun with."""

    name: str
    source: str
    space: dict[str, It]
    """What its global names are."""
    imports: dict[str, Import] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree, self.lines = ast.parse(self.source), self.source.splitlines()
        tokens = tokenize.generate_tokens(io.StringIO(self.source).readline)
        self.comments = {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}
        last: Definition | None = None
        for node in self.tree.body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last is not None:
                last.doc = str(node.value.value)
            last = None
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imports |= bindings(node)
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                for inner in node.body:
                    self.imports |= bindings(inner) if isinstance(inner, ast.Import | ast.ImportFrom) else {}
            for name in bound_names(node):
                last = self.definitions[name] = Definition(name, self, node)
        self.starts = {
            min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", []))]): n
            for n in ast.walk(self.tree)
            if isinstance(n, ast.FunctionDef)
        }
        self.cases = [n for n in self.tree.body if isinstance(n, ast.FunctionDef) and n.name == "_"]
        """Of dispatched functions."""


@functools.cache
def module_of(name: str) -> Module:
    """A file of the library."""
    found = importlib.import_module(name)
    return Module(name, inspect.getsource(found), vars(found))


def is_ours(x: object) -> bool:
    """Does the library define this function or class?"""
    return (getattr(x, "__module__", None) or "").partition(".")[0] == PACKAGE


FUNCTIONS: dict[ast.AST, Function] = {}
"""By node: one place of the source is one function."""


def function_of(real: object, owner: type | None = None) -> Function | None:
    """What stands in the library's source for a function object; None for any other."""
    real = inspect.unwrap(real) if callable(real) else real
    if not isinstance(real, FunctionType) or not is_ours(real):
        return None
    module = module_of(real.__module__)
    node = module.starts.get(real.__code__.co_firstlineno)
    if node is None:
        return None
    first, dot, _ = real.__qualname__.partition(".")
    if owner is None and dot and isinstance(module.space.get(first), type):
        owner = module.space[first]
    if node not in FUNCTIONS:
        FUNCTIONS[node] = Function(node, module, None, owner, real)
    return FUNCTIONS[node]


def inner_function(node: Node, parent: Function) -> Function:
    """A function that another one makes."""
    if node not in FUNCTIONS:
        FUNCTIONS[node] = Function(node, parent.module, parent)
    return FUNCTIONS[node]


def resolve(module: Module, name: str) -> Definition | Import | None:
    """What a global name is: a definition of the library, something from outside it, or a builtin (None)."""
    while name not in module.definitions:
        imported = module.imports.get(name)
        if imported is None:
            if hasattr(builtins, name) or name in ("__name__",):
                return None
            raise UnrollError(f"{module.name} reads {name}, which it neither defines nor imports")
        if imported.module.partition(".")[0] != PACKAGE:
            return imported
        if imported.member is None:
            raise UnrollError(f"{module.name} imports {imported.module}: write `from module import name`")
        module, name = module_of(imported.module), imported.member
    return module.definitions[name]


def bindings(node: ast.Import | ast.ImportFrom) -> dict[str, Import]:
    """Bound name → import."""
    if isinstance(node, ast.Import):
        return {a.asname or a.name.partition(".")[0]: Import(a.name, None, a.asname) for a in node.names}
    return {a.asname or a.name: Import(node.module or "", a.name, a.asname) for a in node.names}


def bound_names(node: ast.stmt) -> list[str]:
    """Names that a statement binds, imports aside."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Try):
        inner = (*node.body, *(n for h in node.handlers for n in h.body), *node.orelse)
        return list(
            dict.fromkeys(
                name for n in inner for name in (bindings(n) if isinstance(n, ast.ImportFrom) else bound_names(n))
            )
        )
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
