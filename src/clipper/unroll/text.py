"""The kept definitions as text: cut from the source, annotations made plain, grouped by file."""

import ast
import sys
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from clipper.unroll.program import MAIN, Program
from clipper.unroll.source import (
    PACKAGE,
    PLAIN,
    VALUES,
    WIDTH,
    Definition,
    Function,
    Import,
    Module,
    annotations,
    shaped,
    without_range,
)  # fmt: skip

HEADER = '''"""{title}: everything that runs, in one file, cut from the source of Clipper.

Save it as train.py and run it with `python train.py`. It needs {packages}:

    pip install {install}

Read `main` at the end first: it is the whole training loop. Then look up, further above, what it calls. Each part names
the file of the library that it was cut from. Evaluations and checkpoints, which do not change what is learned, are
left out.
"""'''


class Edit(NamedTuple):
    """Replace the bytes from ``start`` to ``stop`` of a module's source, both (line, column), by ``text``."""

    start: tuple[int, int]
    stop: tuple[int, int]
    text: str


def assemble(program: Program, title: str, extra: str = "") -> str:
    """Header, imports, then each module's kept definitions beneath a bar that names it.

    ``extra`` is Gymnasium's, as in ``gymnasium[box2d]``.
    """
    packages = sorted({i.module.partition(".")[0] for i in program.imports.values()} - set(sys.stdlib_module_names))
    listed = " and ".join([", ".join(packages[:-1]), packages[-1]] if len(packages) > 1 else packages)
    header = HEADER.format(
        title=title,
        packages=listed,
        install=" ".join(f'"{p}[{extra}]"' if extra and p == "gymnasium" else p for p in packages),
    )
    parts = [section(program, module) for module in program.order]
    end = 'if __name__ == "__main__":\n    main()\n'
    text = f"{header}\n\n{imports(program.imports)}\n\n" + "\n\n\n".join([*(p for p in parts if p), end])
    return joined_headers(text)


def imports(found: dict[str, Import]) -> str:
    """Import statements: the standard library's first, members of one module together."""
    plain: dict[bool, list[str]] = {True: [], False: []}
    members: dict[tuple[str, str], list[str]] = {}
    for i in found.values():
        standard = i.module.partition(".")[0] in sys.stdlib_module_names
        renamed = f" as {i.alias}" if i.alias and i.alias != i.member else ""
        if i.member is None:
            plain[standard].append(f"import {i.module}{renamed}")
        else:  # ruff has one with a name of its own on a line of its own
            members.setdefault((i.module, i.member + renamed if renamed else ""), []).append(i.member + renamed)
    blocks = []
    for standard in (True, False):
        lines = sorted(plain[standard])
        for module, own in sorted(members):
            if (module.partition(".")[0] in sys.stdlib_module_names) is standard:
                names = sorted(members[module, own], key=constants_first)
                line = f"from {module} import {', '.join(names)}"
                apart = "".join(f"    {name},\n" for name in names)
                lines.append(line if len(line) <= WIDTH else f"from {module} import (\n{apart})")
        blocks.append("\n".join(lines))
    return "\n\n".join(b for b in blocks if b)


def constants_first(name: str) -> tuple[int, str]:
    """Sorts constants before classes before functions, as ruff does."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def section(program: Program, module: Module) -> str:
    """One module's kept definitions beneath its name and its docstring."""
    found = sorted((d for d in program.kept if d.module is module), key=lambda d: d.first)
    kept = list({d.node: d for d in found}.values())  # one statement may bind several names
    if not kept:
        return ""
    pieces = [cut(program, d) for d in kept]
    body = pieces[0]
    for before, after, piece in zip(kept, kept[1:], pieces[1:], strict=False):
        block = any(isinstance(d.node, Function | ast.ClassDef) for d in (before, after))
        body += ("\n\n\n" if block else "\n") + piece
    name = "main" if module.name == MAIN else file_name(module)
    bar = f"# --- {name} ".ljust(WIDTH, "-")
    paragraphs = [as_comment(p) for p in (module.doc or "").split("\n\n") if p]
    doc = "\n#\n".join(paragraphs) + "\n" * bool(paragraphs)
    return f"{bar}\n{doc}\n\n{body}"


def as_comment(paragraph: str) -> str:
    """Wrapped again only where the mark makes a line too long: line breaks of equations are meant."""
    lines = paragraph.splitlines()
    if max(map(len, lines)) + 2 > WIDTH:
        lines = textwrap.wrap(paragraph, WIDTH - 2)
    return "\n".join(f"# {line}" for line in lines)


def file_name(module: Module) -> str:
    """Where the module lies in the repository's src folder."""
    path = module.name.replace(".", "/")
    return f"{path}/__init__.py" if module.path is not None and module.path.name == "__init__.py" else f"{path}.py"


def cut(program: Program, definition: Definition) -> str:
    """The definition's source with its edits made."""
    lines = [line.encode() for line in definition.module.lines]  # ast counts columns in bytes
    for edit in sorted(edits(program, definition), reverse=True):
        (first, left), (last, right) = edit.start, edit.stop
        line = lines[first - 1][:left] + edit.text.encode() + lines[last - 1][right:]
        # A deleted range takes its lines along.
        lines[first - 1 : last] = [line] + [b"\0"] * (last - first) if line.strip() else [b"\0"] * (last - first + 1)
    kept = lines[definition.first - 1 : definition.last]
    return b"\n".join(line for line in kept if line != b"\0").decode()


def edits(program: Program, definition: Definition) -> Iterator[Edit]:
    """What differs from the source: dead methods, shapes, the library's imports, protocols, dead union members."""
    node, module = program.node(definition), definition.module
    body = getattr(definition.node, "body", [])
    dead = program.dead(definition)
    for method in dead:
        above = body[body.index(method) - 1] if body.index(method) else None
        start = above.end_lineno + 1 if above is not None and above.end_lineno else method.lineno
        yield Edit((start, 0), end(method), "    pass" if len(dead) == len(body) and method is dead[0] else "")
    for n in ast.walk(node):
        if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name) and n.value.id in module.shapes:
            yield Edit((n.lineno, n.col_offset), end(n), ast.unparse(shaped(n)))
        if isinstance(n, ast.Name) and program.renamed and (name := other_name(program, module, n)):
            yield Edit((n.lineno, n.col_offset), end(n), name)
        if isinstance(n, ast.ImportFrom) and (n.module or "").split(".")[0] == PACKAGE:
            yield Edit((n.lineno, 0), end(n), "")
    yield from plain_dataclass(module, node)
    for annotation in annotations(node):
        for n in ast.walk(annotation):
            if isinstance(n, ast.expr) and (text := plain_text(module, n)) != ast.unparse(n):
                yield Edit((n.lineno, n.col_offset), end(n), text)
            if isinstance(n, ast.Name) and (target := program.resolve(module, n.id)) in program.instead:
                yield Edit((n.lineno, n.col_offset), end(n), program.instead[target].name)
    members = definition.union
    if members and isinstance(node, ast.AnnAssign):
        left = [plain_text(module, m) for m in members if alive(program, module, without_range(m))]
        yield Edit(end(node.annotation), end(node), f" = {' | '.join(left)}")  # brackets around it, too


def plain_dataclass(module: Module, node: ast.stmt) -> Iterator[Edit]:
    """``@value`` as the decorator that makes the dataclass."""
    for decorator in getattr(node, "decorator_list", []):
        name = decorator.func if isinstance(decorator, ast.Call) else decorator
        imported = module.imports.get(name.id) if isinstance(name, ast.Name) else None
        if imported is not None and imported.module == VALUES:
            keywords = "kw_only=True, " if isinstance(decorator, ast.Call) else ""
            yield Edit(
                (decorator.lineno, decorator.col_offset),
                end(decorator),
                f"dataclass(frozen=True, {keywords}slots=True)",
            )


def plain_text(module: Module, node: ast.expr) -> str:
    """An annotation's text, without a range."""
    if isinstance(node, ast.Name) and (i := module.imports.get(node.id)) is not None and i.module == VALUES:
        return PLAIN.get(node.id, node.id)
    return ast.unparse(without_range(node))


def other_name(program: Program, module: Module, node: ast.Name) -> str | None:
    """What the file calls an import from outside the library whose own name means something else there."""
    foreign = module.imports.get(node.id) if node.id not in module.by_name else None
    return None if foreign is None else program.renamed.get(foreign)


def alive(program: Program, module: Module, member: ast.expr) -> bool:
    """Does a union's member exist in the file?"""
    target = program.resolve(module, member.id) if isinstance(member, ast.Name) else None
    return not isinstance(target, Definition) or target in program.kept


def end(node: ast.stmt | ast.expr) -> tuple[int, int]:
    """Line and column behind a node."""
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset


def joined_headers(text: str) -> str:
    """Function headers that fit on one line again, now that their shapes are gone."""
    lines: list[str | None] = list(text.splitlines())
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Function) or node.body[0].lineno <= node.lineno + 1:
            continue
        header = [line or "" for line in lines[node.lineno - 1 : node.body[0].lineno - 1]]
        if not header[-1].endswith(":") or any("#" in line for line in header) or header[-2].endswith(","):
            continue
        line = header[0] + " ".join(line.strip() for line in header[1:-1]) + header[-1].strip()
        if len(line) <= WIDTH:
            lines[node.lineno - 1 : node.lineno - 1 + len(header)] = [line, *[None] * (len(header) - 1)]
    return "\n".join(line for line in lines if line is not None) + "\n"
