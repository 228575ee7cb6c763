"""Any settings → one standalone Python file of what they run (torch engine), to be read from top to bottom.

The library's source is followed from ``main`` with these settings, and folded by what is found: which statements can
run, and what is the same in every run. Then what nothing reads is dropped, until all that is left is read.
"""

import ast
import builtins
import symtable

from clipper.settings.config import Config
from clipper.unroll.build import built
from clipper.unroll.entry import extra
from clipper.unroll.source import UnrollError
from clipper.unroll.text import assemble

__all__ = ["UnrollError", "unroll"]


def unroll(config: Config) -> str:
    """The text of a Python file that trains as ``config`` says, and needs neither Clipper nor jaxtyping."""
    units, names = built(config)
    text = assemble(units, names.imports, f"{type(config.algorithm).__name__} on {config.env}", extra(config))
    if missing := undefined(text):
        raise UnrollError(f"the file would read {', '.join(missing)}, which nothing in it defines")
    return text


def undefined(text: str) -> list[str]:
    """Global names that a file reads and nothing in it binds."""
    top = symtable.symtable(text, "<unroll>", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    read = {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    found, rest = set[str](), [top]
    while rest:
        table = rest.pop()
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (table is top or s.is_global())}
        rest += table.get_children()
    return sorted((found & read) - bound - set(dir(builtins)) - {"__name__"})
