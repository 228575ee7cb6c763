"""Statements, functions and classes as text."""

import ast
import inspect
from collections.abc import Sequence

from clipper.unroll.printing import OPERATORS, WIDTH, bare, laid_out, parameters, text


def block(nodes: Sequence[ast.stmt], indent: int) -> list[str]:
    """Statements one below the other."""
    found, before = list[str](), None
    for node in nodes:
        inner = isinstance(node, ast.FunctionDef) or isinstance(before, ast.FunctionDef)
        if before is not None and inner:
            found.append("")
        found += lines(node, indent)
        before = node
    return found


def lines(node: ast.stmt, indent: int) -> list[str]:
    """A statement with its comments."""
    pad, found = " " * indent, statement(node, indent)
    above, beside = vars(node).get("above", ()), vars(node).get("beside", "")
    if beside and isinstance(node, ast.If | ast.For | ast.While | ast.With):
        if len(found[0]) + 2 + len(beside) <= WIDTH:
            found[0] += f"  {beside}"
    elif beside and len(found[-1]) + 2 + len(beside) <= WIDTH:
        found[-1] += f"  {beside}"
    elif beside:
        found.insert(0, pad + beside)
    return [*(pad + line for line in above), *found]


def statement(node: ast.stmt, indent: int) -> list[str]:  # noqa: PLR0911, PLR0912 (one for each kind)
    """A statement without its comments."""
    pad = " " * indent
    match node:
        case ast.Expr(value=ast.Constant(value=str() as doc)):
            return docstring(doc, indent)
        case ast.Expr():
            return laid_out("", node.value, "", indent)
        case ast.Assign():
            head = " = ".join(bare(t) for t in node.targets)
            if len(f"{pad}{head} = {bare(node.value)}") > WIDTH and (parts := one_by_one(node)):
                return [line for part in parts for line in statement(part, indent)]
            return laid_out(f"{head} = ", node.value, "", indent)
        case ast.AnnAssign():
            head = f"{text(node.target)}: {text(node.annotation)}"
            return (
                [pad + head]
                if node.value is None
                else [pad + line]
                if len(line := f"{head} = {text(node.value)}") + indent <= WIDTH
                else laid_out(f"{head} = ", node.value, "", indent)
            )
        case ast.AugAssign():
            return laid_out(f"{text(node.target)} {OPERATORS[type(node.op)][0]}= ", node.value, "", indent)
        case ast.Return():
            if node.value is None:
                return [f"{pad}return"]
            if isinstance(node.value, ast.Tuple) and len(line := f"{pad}return {bare(node.value)}") <= WIDTH:
                return [line]
            return laid_out("return ", node.value, "", indent)
        case ast.Raise():
            return laid_out("raise ", node.exc, "", indent) if node.exc is not None else [f"{pad}raise"]
        case ast.ImportFrom():
            return [f"{pad}from {node.module} import {', '.join(a.name for a in node.names)}"]
        case ast.Pass() | ast.Break() | ast.Continue():
            return [pad + type(node).__name__.lower()]
        case ast.Delete():
            return [f"{pad}del {', '.join(map(text, node.targets))}"]
        case ast.If():
            return choice(node, indent, "if")
        case ast.For():
            return [*laid_out(f"for {bare(node.target)} in ", node.iter, ":", indent), *block(node.body, indent + 4)]
        case ast.While():
            return [*laid_out("while ", node.test, ":", indent), *block(node.body, indent + 4)]
        case ast.With():
            named = [
                f"{text(i.context_expr)}" + (f" as {text(i.optional_vars)}" if i.optional_vars else "")
                for i in node.items
            ]
            return [f"{pad}with {', '.join(named)}:", *block(node.body, indent + 4)]
        case ast.Try():
            return attempt(node, indent)
        case ast.FunctionDef():
            return function(node, indent)
        case ast.ClassDef():
            return class_(node, indent)
    raise ValueError(ast.dump(node))


def one_by_one(node: ast.Assign) -> list[ast.Assign]:
    """``a, b = x, y`` as two statements; empty where that could differ, or is not what stands there."""
    target, value = node.targets[0], node.value
    if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)):
        return []
    names, read = (
        {n.id for part in whole.elts[at:] for n in ast.walk(part) if isinstance(n, ast.Name)}
        for whole, at in ((target, 0), (value, 1))
    )
    attributes = {ast.unparse(t) for t in target.elts}
    again = any(ast.unparse(n) in attributes for v in value.elts for n in ast.walk(v) if isinstance(n, ast.expr))
    starred = any(isinstance(x, ast.Starred) for x in (*target.elts, *value.elts))
    calls = any(isinstance(n, ast.Call) for v in value.elts[1:] for n in ast.walk(v))
    if again or starred or calls or (names - {"self"}) & read:
        return []
    return [ast.Assign([t], v) for t, v in zip(target.elts, value.elts, strict=True)]


def choice(node: ast.If, indent: int, word: str) -> list[str]:
    """``if``, ``elif`` and ``else``."""
    found = [*laid_out(f"{word} ", node.test, ":", indent), *block(node.body, indent + 4)]
    if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If) and not vars(node.orelse[0]).get("above"):
        return [*found, *choice(node.orelse[0], indent, "elif")]
    return [*found, f"{' ' * indent}else:", *block(node.orelse, indent + 4)] if node.orelse else found


def attempt(node: ast.Try, indent: int) -> list[str]:
    """``try`` and what belongs to it."""
    pad = " " * indent
    found = [f"{pad}try:", *block(node.body, indent + 4)]
    for h in node.handlers:
        kind = f" {text(h.type)}" if h.type else ""
        found += [f"{pad}except{kind}{f' as {h.name}' if h.name else ''}:", *block(h.body, indent + 4)]
    if node.orelse:
        found += [f"{pad}else:", *block(node.orelse, indent + 4)]
    return [*found, f"{pad}finally:", *block(node.finalbody, indent + 4)] if node.finalbody else found


def function(node: ast.FunctionDef, indent: int) -> list[str]:
    """A function with its decorators."""
    pad = " " * indent
    decorators = [f"{pad}@{text(d)}" for d in node.decorator_list]
    end = f") -> {text(node.returns)}:" if node.returns is not None else "):"
    given = parameters(node.args)
    head = [f"{pad}def {node.name}({', '.join(given)}{end}"]
    if len(head[0]) > WIDTH:
        within = f"{pad}    {', '.join(given)}"
        inner = [within] if len(within) <= WIDTH else [f"{pad}    {x}{',' * (x != '*') or ','}" for x in given]
        head = [f"{pad}def {node.name}(", *inner, pad + end]
    return [*decorators, *head, *block(node.body, indent + 4)]


def class_(node: ast.ClassDef, indent: int) -> list[str]:
    """A class with its decorators."""
    pad = " " * indent
    bases = f"({', '.join(map(text, node.bases))})" if node.bases else ""
    found = [*(f"{pad}@{text(d)}" for d in node.decorator_list), f"{pad}class {node.name}{bases}:"]
    body = [n for n in node.body if not isinstance(n, ast.Pass)] or node.body
    if len(body) > 1:
        body = [n for n in body if not isinstance(n, ast.Pass)]
    before = None
    for i, n in enumerate(body):
        doc = i == 1 and isinstance(body[0], ast.Expr)
        if doc or (before is not None and isinstance(n, ast.FunctionDef)) or isinstance(before, ast.FunctionDef):
            found.append("")
        found += lines(n, indent + 4)
        before = n
    return found


def docstring(doc: str, indent: int) -> list[str]:
    """A text that explains; its lines stay."""
    pad, (first, *rest) = " " * indent, inspect.cleandoc(doc).replace("\\", "\\\\").split("\n")
    if not rest:
        return [f'{pad}"""{first}"""']
    body = [f"{pad}{line}".rstrip() for line in rest]
    return [f'{pad}"""{first}', *body, f'{pad}"""']
