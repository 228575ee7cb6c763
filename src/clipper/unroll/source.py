"""One file of the library taken apart: imports, definitions, and the names that each reads."""

import ast
import copy
import symtable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from clipper.data import values
from clipper.errors import ClipperError

PACKAGE = "clipper"
VALUES = values.__name__
PLAIN = {n: values.plain(hint).__name__ for n, hint in vars(values).items() if values.plain(hint) is not hint}
"""Count → int: what a number's range is left out of."""
ROOT = Path(__file__).parent.parent
WIDTH = 120
Function = ast.FunctionDef | ast.AsyncFunctionDef


class UnrollError(ClipperError, RuntimeError):
    """The library's source holds something that cannot be cut into one file."""


class Import(NamedTuple):
    """What one imported name is bound to; ``member`` is None for ``import module``."""

    module: str
    member: str | None
    alias: str | None


@dataclass(eq=False)
class Definition:
    """A top-level statement that binds a name, with the comments directly above it: lines ``first`` to ``last``."""

    name: str
    module: "Module"
    node: ast.stmt
    first: int
    last: int

    @property
    def extends(self) -> str | None:
        """The dispatched function that ``@f.register`` or ``@f.register(type)`` adds a case to."""
        for decorator in getattr(self.node, "decorator_list", []):
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(target, ast.Attribute) and target.attr == "register" and isinstance(target.value, ast.Name):
                return target.value.id
        return None

    @property
    def is_protocol(self) -> bool:
        bases = self.node.bases if isinstance(self.node, ast.ClassDef) else []
        return any(isinstance(n, ast.Name) and n.id == "Protocol" for base in bases for n in ast.walk(base))

    @property
    def union(self) -> list[ast.expr]:
        """A, B, C of ``Name: TypeAlias = A | B | C``; empty for everything else."""
        node = self.node
        if not (isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).endswith("TypeAlias") and node.value):
            return []
        members, rest = [], [node.value]
        while rest:
            part = rest.pop()
            rest += [part.left, part.right] if isinstance(part, ast.BinOp) else []
            members += [] if isinstance(part, ast.BinOp) else [part]
        return members[::-1]

    @property
    def members(self) -> list[Function]:
        body = self.node.body if isinstance(self.node, ast.ClassDef) else []
        return [n for n in body if isinstance(n, Function)]


class Module:
    """One file of the library (or ``main``), taken apart into imports and definitions."""

    def __init__(self, name: str, source: str, path: Path | None = None) -> None:
        self.name, self.path, self.lines = name, path, source.splitlines()
        self.tree = ast.parse(source)
        self.doc = ast.get_docstring(self.tree)
        self.imports: dict[str, Import] = {}
        self.definitions: list[Definition] = []
        self.strays: list[ast.stmt] = []
        for previous, node in zip([None, *self.tree.body], self.tree.body, strict=False):
            self.add(node, previous)
        self.by_name = {d.name: d for d in self.definitions if d.name != "_"}

    def add(self, node: ast.stmt, previous: ast.stmt | None) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports |= bindings(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for inner in node.body:
                self.add(inner, None)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(previous, ast.Assign | ast.AnnAssign) and self.definitions:
                self.definitions[-1].last = node.end_lineno or node.lineno
        elif names := bound_names(node):
            if names != ["__all__"]:
                decorators = getattr(node, "decorator_list", [])
                first = min([node.lineno, *(d.lineno for d in decorators)])
                while self.lines[first - 2].startswith("#"):
                    first -= 1
                self.definitions += [Definition(n, self, node, first, node.end_lineno or first) for n in names]
        else:
            self.strays.append(node)

    @property
    def shapes(self) -> set[str]:
        return {name for name, imported in self.imports.items() if imported.module == "jaxtyping"}


def bindings(node: ast.Import | ast.ImportFrom) -> dict[str, Import]:
    """Bound name → import."""
    if isinstance(node, ast.Import):
        return {a.asname or a.name.partition(".")[0]: Import(a.name, None, a.asname) for a in node.names}
    if node.level or node.module is None:
        raise UnrollError(f"relative import: {ast.unparse(node)}")
    return {a.asname or a.name: Import(node.module, a.name, a.asname) for a in node.names}


def bound_names(node: ast.stmt) -> list[str]:
    """Names that a definition or an assignment binds, or definitions of which only some are made (``try``)."""
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Try):
        inner = [*node.body, *(n for handler in node.handlers for n in handler.body), *node.orelse]
        names = [list(bindings(n)) if isinstance(n, ast.Import | ast.ImportFrom) else bound_names(n) for n in inner]
        return list(dict.fromkeys(name for found in names for name in found))
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    parts = [part for t in targets for part in (t.elts if isinstance(t, ast.Tuple) else [t])]
    return [t.id for t in parts if isinstance(t, ast.Name)]


def global_reads(tree: ast.AST) -> set[str]:
    """Names that the code reads and that no function or class of its own binds."""
    found: set[str] = set()

    def walk(table: symtable.SymbolTable) -> None:
        top = table.get_type() == "module"
        found.update(s.get_name() for s in table.get_symbols() if s.is_referenced() and (top or s.is_global()))
        for child in table.get_children():
            walk(child)

    walk(symtable.symtable(ast.unparse(tree), "<unroll>", "exec"))
    return found | read_before_bound(tree)


def read_before_bound(tree: ast.AST) -> set[str]:
    """Names that a class's body reads before it binds them itself, as in ``mean = staticmethod(mean)``."""
    found: set[str] = set()
    for body in (n.body for n in ast.walk(tree) if isinstance(n, ast.ClassDef)):
        later = {name for node in body for name in bound_names(node)}
        for node in body:
            inner = [] if isinstance(node, Function | ast.ClassDef) else ast.walk(node)
            found |= later & {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
            later -= set(bound_names(node))
    return found


def defined(text: str) -> set[str]:
    """Names that a file binds at its top level."""
    names: set[str] = set()
    for node in ast.parse(text).body:
        names |= set(bindings(node)) if isinstance(node, ast.Import | ast.ImportFrom) else set(bound_names(node))
    return names


def annotations(node: ast.AST) -> list[ast.expr]:
    """All annotations inside a definition."""
    found = [n.returns if isinstance(n, Function) else getattr(n, "annotation", None) for n in ast.walk(node)]
    return [a for a in found if a is not None]


def without_annotations(node: ast.stmt) -> ast.stmt:
    """A copy of which only what Python executes is left."""
    node = copy.deepcopy(node)
    for n in ast.walk(node):
        if isinstance(n, Function):
            n.returns = None
        elif isinstance(n, ast.AnnAssign):
            n.annotation = ast.Constant(None)
        elif isinstance(n, ast.arg):
            n.annotation = None
    return node


def annotated_names(node: ast.expr, shapes: set[str]) -> set[str]:
    """Names in an annotation, quoted ones too, but not the words of a ``Literal`` or of a shape."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return annotated_names(ast.parse(node.value, mode="eval").body, shapes)
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id == "Literal":
            return {"Literal"}
        if node.value.id == "Annotated":
            return annotated_names(without_range(node), shapes)
        if node.value.id in shapes:
            return annotated_names(shaped(node), shapes)
    return set().union(*(annotated_names(c, shapes) for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)))


def shaped(node: ast.Subscript) -> ast.expr:
    """``Tensor`` in ``Float[Tensor, "T N"]``."""
    if not isinstance(node.slice, ast.Tuple):
        raise UnrollError(f"not an array type and its shape: {ast.unparse(node)}")
    return node.slice.elts[0]


def without_range(node: ast.expr) -> ast.expr:
    """``float`` in ``Annotated[float, Range(0)]``; everything else as it is."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Annotated":
        return node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice
    return node


def attributes(node: ast.AST) -> set[str]:
    """Names that may be looked up in an object: attributes, and strings that ``getattr`` could be given."""
    names = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    strings = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return names | {s for s in strings if s.isidentifier()}
