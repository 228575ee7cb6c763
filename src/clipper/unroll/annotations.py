"""Annotations as the file has them: without shapes and ranges, and of classes that stand there."""

import ast

from clipper.data import values
from clipper.unroll.fold import Fold, constant, reference
from clipper.unroll.source import Import, is_ours, resolve
from clipper.unroll.things import Fact, Items, Known, Of

PLAIN = {n: values.plain(hint).__name__ for n, hint in vars(values).items() if values.plain(hint) is not hint}
"""Count → int: what a number's range is left out of."""


class Annotations(Fold):
    """Folds annotations."""

    def annotation(self, node: ast.expr, fact: Fact) -> ast.expr:
        """Without shapes and ranges; what does not stand in the file gives way to what it is."""
        found = self.hint(node, fact)
        if found is not None:
            return found
        (only,) = fact if len(fact) == 1 else (None,)
        if isinstance(only, Items) and only.items:
            parts = [self.annotation(constant(...), part) for part in only.items]
            inner = ast.Tuple(parts, ast.Load()) if len(parts) > 1 else parts[0]
            return ast.Subscript(reference("tuple"), inner, ast.Load())
        kinds = set[str]()
        for thing in fact:
            kind = type(thing.it) if isinstance(thing, Known) else thing.kind if isinstance(thing, Of) else None
            name = None if kind is None else self.name_of_kind(kind)
            kinds.add(name or "Any")
        if not kinds or "Any" in kinds:
            return reference(self.names.of_import(Import("typing", "Any", None)))
        return union(
            [constant(None) if k == "None" else reference(k) for k in sorted(kinds, key=lambda k: (k == "None", k))]
        )

    def name_of_kind(self, kind: type) -> str | None:
        if kind is type(None):
            return "None"
        if kind.__module__ == "builtins":
            return kind.__name__ if kind.__name__ in __builtins__ else None  # pyright: ignore[reportOperatorIssue]
        if is_ours(kind) and not (kind in self.program.made or any(type(x) is kind for x in self.kept)):
            return None
        return self.names.of_object(kind)

    def hint(self, node: ast.expr, fact: Fact) -> ast.expr | None:  # noqa: PLR0911 (one for each kind)
        """The annotation as it is, where all of it can stand; otherwise None."""
        assert self.here is not None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.hint(ast.parse(node.value, mode="eval").body, fact)
        if isinstance(node, ast.Constant):
            return node if node.value is None else None
        if isinstance(node, ast.Name):
            return self.hint_name(node, fact)
        if isinstance(node, ast.BinOp):
            parts = [self.hint(n, fact) for n in (node.left, node.right)]
            never = (
                fact and Known(None) not in fact and not any(type(t).__name__ in ("Anything", "Outside") for t in fact)
            )
            left = [
                p for p in parts if p is not None and not (never and isinstance(p, ast.Constant) and p.value is None)
            ]
            return union(left) if left and None not in parts else None
        if isinstance(node, ast.Subscript):
            return self.hint_subscript(node, fact)
        if isinstance(node, ast.Tuple | ast.List):
            parts = [n if is_dots(n) else self.hint(n, frozenset()) for n in node.elts]
            return None if None in parts else type(node)([p for p in parts if p is not None], ast.Load())
        return self.expr(node) if isinstance(node, ast.Attribute) else None

    def hint_name(self, node: ast.Name, fact: Fact) -> ast.expr | None:
        assert self.here is not None
        module = self.here.module
        found = resolve(module, node.id) if node.id not in self.here.locals else None
        imported = module.imports.get(node.id)
        if imported is not None and imported.module == values.__name__:
            return reference(PLAIN.get(node.id, "Any"))
        if found is None or isinstance(found, Import):
            return reference(self.names.of_global(module, node.id)) if imported or found is None else None
        real = found.module.space.get(found.name)
        alias = isinstance(found.node, ast.Assign) and "TypeVar" not in ast.unparse(found.node)
        kind = isinstance(real, type) and is_ours(real) and self.name_of_kind(real) is not None
        return reference(self.names.of_definition(found)) if alias or kind else None

    def hint_subscript(self, node: ast.Subscript, fact: Fact) -> ast.expr | None:
        assert self.here is not None
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        imported = self.here.module.imports.get(name)
        first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
        if (imported is not None and imported.module == "jaxtyping") or name == "Annotated":
            return self.hint(first, fact)
        value = self.hint(node.value, fact)
        inner = node.slice if name == "Literal" else self.hint(node.slice, frozenset())
        return None if value is None or inner is None else ast.Subscript(value, inner, ast.Load())


def is_dots(node: ast.expr) -> bool:
    """``...`` in a tuple of any length."""
    return isinstance(node, ast.Constant) and node.value is ...


def union(parts: list[ast.expr]) -> ast.expr:
    """A | B, each once."""
    once = list({ast.dump(p): p for p in parts}.values())
    found = once[0]
    for part in once[1:]:
        found = ast.BinOp(found, ast.BitOr(), part)
    return found
