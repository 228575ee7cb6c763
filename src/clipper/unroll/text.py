"""The file: header, imports, constants, then ``main`` and what it calls in the order of its first use."""

import ast
import sys
from collections.abc import Iterable

from clipper.unroll.printing import WIDTH
from clipper.unroll.source import Import
from clipper.unroll.statements import lines
from clipper.unroll.syntax import Units, mentions

HEADER = '''"""{title}, in one file, to be read from top to bottom: the training loop first, then what it calls.

Save it as train.py and run it with `python train.py`. It needs {packages}:

    pip install {install}

It is cut from the source of Clipper and folded by the settings in `main`: what they switch off is gone, and so are
evaluations, checkpoints and checks of what environments give. It learns what Clipper learns with these settings, bit
for bit: the last line that it prints identifies the parameters.
"""'''


ENVIRONMENT = "# The environments: what `env` in `main` is made of."
"""Above what belongs to them alone."""


def assemble(units: Units, imported: dict[str, Import], title: str, extra: str = "") -> str:
    """The text of a file; ``extra`` is Gymnasium's, as in ``gymnasium[box2d]``."""
    used = {n.id for nodes in units.values() for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)}
    found = {name: i for name, i in imported.items() if name in used}
    packages = sorted({i.module.partition(".")[0] for i in found.values()} - set(sys.stdlib_module_names))
    listed = " and ".join([", ".join(packages[:-1]), packages[-1]] if len(packages) > 1 else packages)
    install = " ".join(f'"{p}[{extra}]"' if extra and p == "gymnasium" else p for p in packages)
    header = HEADER.format(title=title, packages=listed, install=install)
    begin = f"{header}\n\n{imports(found.values())}"
    order, apart = in_order(units), environment(units)
    learning = section(units, [name for name in order if name not in apart], begin)
    around = section(units, [name for name in order if name in apart], ENVIRONMENT) if apart else []
    end = 'if __name__ == "__main__":\n    main()\n'
    return "\n\n\n".join([*learning, *around, end])


def section(units: Units, order: list[str], head: str) -> list[str]:
    """The head with constants below it, then definitions one by one."""
    first = list[str]()
    for name in order:
        if isinstance(units[name][0], ast.Assign) and {*mentions(units[name][0])} & {*order} <= {*first}:
            first.append(name)
    constants = [line for name in first for node in units[name] for line in lines(node, 0)]
    bodies = ["\n".join(lines(node, 0)) for name in order if name not in first for node in units[name]]
    return ["\n".join([f"{head}\n", *constants] if constants else [head]), *bodies]


def environment(units: Units) -> set[str]:
    """What the environments alone are made of."""
    main = units["main"][0]
    assert isinstance(main, ast.FunctionDef)
    made = {m for n in main.body if ast.unparse(n).startswith("env = ") for m in mentions(n)}
    return reached(units, made) - reached(units, {*mentions(main)} - made)


def reached(units: Units, names: Iterable[str]) -> set[str]:
    """Definitions that these mention, and those that they mention."""
    found, rest = set[str](), list(names)
    while rest:
        name = rest.pop()
        if name in units and name not in found:
            found.add(name)
            rest += [m for node in units[name] for m in mentions(node)]
    return found


def in_order(units: Units) -> list[str]:
    """``main``, then what it mentions, depth first; what Python reads where it defines something stands above that."""
    found, begun = list[str](), set[str]()

    def visit(name: str) -> None:
        if name in begun or name not in units:
            return
        begun.add(name)
        for node in units[name]:
            for needed in needed_first(node):
                visit(needed)
        found.append(name)
        for node in units[name]:
            for mentioned in mentions(node):
                visit(mentioned)

    visit("main")
    return found


def needed_first(node: ast.stmt) -> list[str]:
    """What is read where a definition is executed: parents, decorators, defaults, and all of a plain assignment."""
    if isinstance(node, ast.FunctionDef):
        given = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        return [m for d in (*node.decorator_list, *given) for m in mentions(d)]
    if isinstance(node, ast.ClassDef):
        inner = [n for n in node.body if not isinstance(n, ast.AnnAssign)]
        values = [n.value for n in node.body if isinstance(n, ast.AnnAssign) and n.value is not None]
        found = [m for d in (*node.bases, *node.decorator_list, *values) for m in mentions(d)]
        return found + [m for n in inner for m in needed_first(n)]
    return mentions(node)


def imports(found: Iterable[Import]) -> str:
    """Import statements as ruff sorts them: the standard library's first, members of one module together."""
    plain: dict[bool, list[str]] = {True: [], False: []}
    members: dict[tuple[str, str], list[str]] = {}
    for i in found:
        standard = i.module.partition(".")[0] in sys.stdlib_module_names
        renamed = f" as {i.alias}" if i.alias and i.alias != i.member else ""
        if i.member is None:
            plain[standard].append(f"import {i.module}{renamed}")
        else:  # ruff has one with a name of its own on a line of its own
            members.setdefault((i.module, i.member + renamed if renamed else ""), []).append(i.member + renamed)
    blocks = ["from __future__ import annotations"]
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
