"""Any recipe → one standalone Python file of exactly what runs (torch engine), to be read from top to bottom.

The library's source is cut, not rewritten. Kept is what ``main`` reaches by name; a method counts as reached where
reached code mentions an attribute of its name. Dispatched functions (heads, encoders) bring only the cases that the
recipe's spaces enter. Three things are changed in annotations: jaxtyping's shapes become plain tensors, a
protocol becomes the one class that implements it, and unions of settings lose the members that nothing makes. Values
become plain frozen dataclasses, whose fields nothing checks.
"""

import ast
import builtins

from clipper.settings.config import Config
from clipper.unroll.entry import entered, extra, main_source
from clipper.unroll.program import Program
from clipper.unroll.source import UnrollError, defined, global_reads
from clipper.unroll.text import assemble

__all__ = ["UnrollError", "unroll"]


def unroll(config: Config) -> str:
    """The text of a Python file that trains as ``config`` says, and needs neither Clipper nor jaxtyping."""
    program = Program(main_source(config), entered(config))
    text = assemble(program, f"{type(config.algorithm).__name__} on {config.env}", extra(config))
    undefined = sorted(global_reads(ast.parse(text)) - defined(text) - set(dir(builtins)) - {"__name__"})
    if undefined:
        raise UnrollError(f"the file would read {', '.join(undefined)}, which nothing in it defines")
    return text
