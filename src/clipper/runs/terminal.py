"""A console that shows whatever it is given, and obeys none of it: names and texts out of files may mean harm."""

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from clipper.errors import visible


class Terminal(Console):
    """rich's, in which strings are no markup unless that is asked for, nor pictures by their names, ``:b:``.

    Control characters are shown as escapes.
    """

    def __init__(self, **options: bool) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)  # pyright: ignore[reportArgumentType] (stderr alone)
        self.push_render_hook(Visibly())


class Visibly(RenderHook):
    """Has all that is printed rendered visibly."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [Visible(renderable) for renderable in renderables]


@dataclass(frozen=True, slots=True)
class Visible:
    """Something that is printed, whose own letters do nothing to a terminal."""

    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        segments: Iterable[Segment] = console.render(self.inner, options)
        for text, style, control in segments:
            yield Segment(text if control else visible(text), style, control)


def write_source(text: str) -> None:
    """Print Python code: in a file or a pipe as UTF-8, as Python reads it, whatever the terminal's encoding is."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
    else:
        sys.stdout.write(text)
