"""The package's rooms: python tools/rooms.py writes the import contracts, the architecture page's tables and
docs/api.md from docs/rooms.toml and the sources; `--count [CHECKOUT]` counts modules, rooms, floors, arrows and circles
instead.
"""

import argparse
import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import cache
from itertools import permutations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"en": ROOT / "docs" / "architecture.md", "zh": ROOT / "docs" / "zh" / "architecture.md"}
UP = {"en": "../", "zh": "../../"}
HEADS = {
    "en": ("| Floor | Room | In it |", "| File | In it |"),
    "zh": ("| 层 | 房间 | 其中有什么 |", "| 文件 | 其中有什么 |"),
}
Graph = dict[str, set[str]]


@cache
def modules(root: Path = ROOT) -> dict[str, Path]:
    """Module or package below ``clipper`` → its file; the package itself is ``""``."""
    source = root / "src" / "clipper"
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(root: Path = ROOT) -> Graph:
    """Module → those that it imports, for types too, at the top or within a function."""
    files = modules(root)
    graph: Graph = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                wanted = [(node.module or "", alias.name) for alias in node.names]
            elif isinstance(node, ast.Import):
                wanted = [(alias.name, "") for alias in node.names]
            else:
                continue
            for module, member in wanted:
                base, *below = module.split(".")
                if base == "clipper":
                    full = ".".join([*below, member])
                    graph[name].add(full if full in files else ".".join(below))
        graph[name].discard(name)
    return graph


def rooms(graph: Graph) -> Graph:
    """The same between the package's folders and lone modules."""
    found: Graph = defaultdict(set)
    for name, others in graph.items():
        room = name.partition(".")[0]
        if room:
            found[room] |= {other.partition(".")[0] for other in others} - {room, ""}
    return dict(found)


def circles(graph: Graph) -> list[set[str]]:
    """What reaches itself again along arrows, each with all that it so meets."""
    below: Graph = {}
    for start in graph:
        seen, rest = set(), list(graph[start])
        while rest:
            name = rest.pop()
            if name not in seen:
                seen.add(name)
                rest += graph.get(name, ())
        below[start] = seen
    found: list[set[str]] = []
    for name, reached in below.items():
        if name in reached and not any(name in circle for circle in found):
            found.append({other for other in reached if name in below.get(other, ())})
    return found


def upward(graph: Graph, floors: list[list[str]] | None) -> list[tuple[str, str]]:
    """Arrows that do not run down: by the floors, or where there are none, the fewest that a circle must have."""
    if floors is not None:
        height = {room: -i for i, floor in enumerate(floors) for room in floor}
        return [(a, b) for a, others in graph.items() for b in others if height[b] >= height[a]]
    found: list[tuple[str, str]] = []
    for circle in circles(graph):
        orders = [
            [(a, b) for a in circle for b in graph[a] & circle if order.index(a) > order.index(b)]
            for order in permutations(sorted(circle))
        ]
        found += min(orders, key=len)
    return found


def height(graph: Graph) -> int:
    """Floors that the arrows need: the longest way down, each circle being one room."""
    groups = circles(graph)
    name_of = {name: min(group) for group in groups for name in group}
    merged: Graph = defaultdict(set)
    for name, others in graph.items():
        own = name_of.get(name, name)
        merged[own] |= {name_of.get(other, other) for other in others} - {own}
    floors: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in floors:
            floors[name] = 1 + max((floor(other) for other in merged[name]), default=0)
        return floors[name]

    return max(floor(name) for name in list(merged))


@cache
def plan(root: Path = ROOT) -> dict:
    """``docs/rooms.toml``."""
    return tomllib.loads((root / "docs" / "rooms.toml").read_text(encoding="utf-8"))


@cache
def sentence(path: Path) -> str:
    """The first sentence of a file's docstring, for a cell of a table."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0].split())
    first = re.match(r".*?[^.]\.(?= [A-Z]|$)", text)
    return (first[0] if first else text).removesuffix(".").replace("``", "`").replace("|", r"\|")


def says(name: str, language: str) -> str:
    """What is in a module, in a few words."""
    return sentence(modules()[name]) if language == "en" else plan()["zh"].get(name, "")


def link(name: str, language: str) -> str:
    """A module's or folder's name, with the way to it from the page."""
    path = modules()[name]
    place = path.parent if path.name == "__init__.py" else path
    shown = f"{place.name}/" if place.is_dir() else place.name
    return f"[{shown}]({UP[language]}{place.relative_to(ROOT).as_posix()})"


def floors_table(language: str) -> str:
    """The floors, the highest first: a row for each room."""
    lines = [HEADS[language][0], "|---|---|---|"]
    floors = plan()["floors"]
    for i, floor in enumerate(floors):
        lines += [f"| {len(floors) - 1 - i} | {link(room, language)} | {says(room, language)} |" for room in floor]
    return "\n".join(lines)


def files_tables(language: str) -> str:
    """A table of its files for each room, and for each folder in it."""
    _, head = HEADS[language]
    files = modules()
    folders = [name for name, path in files.items() if name and path.name == "__init__.py"]
    order = [room for floor in plan()["floors"] for room in floor]
    parts = []
    for folder in sorted(folders, key=lambda name: (order.index(name.partition(".")[0]), name)):
        inside = [name for name in files if name.rpartition(".")[0] == folder and name not in folders]
        if inside:
            rows = [f"| {link(name, language)} | {says(name, language)} |" for name in inside]
            parts += [f"**`{folder.replace('.', '/')}/`**: {says(folder, language)}", "", head, "|---|---|", *rows, ""]
    return "\n".join(parts).rstrip()


def contracts() -> str:
    """The layers of the import contract."""
    return "".join(f'  "{" | ".join(sorted(floor))}",\n' for floor in plan()["floors"])


def algorithms() -> str:
    """The modules that must not import each other: all but those that hold an algorithm."""
    holders = ("algorithms.exploring", "algorithms.reusing")
    names = [name for name in modules() if name.startswith("algorithms.") and name not in holders]
    return "".join(f'  "clipper.{name}",\n' for name in names)


def reference() -> str:
    """The API page, without its title."""
    lines, internal = [], plan()["internal"]
    shown = [name for name, path in modules().items() if path.name != "__init__.py" and name not in internal]
    for title, patterns in plan()["api"].items():
        lines += [f"## {title}", "", "```{eval-rst}"]
        for pattern in patterns:
            chosen = [name for name in shown if fnmatch(name, pattern)]
            lines += [text for name in chosen for text in (f".. automodule:: clipper.{name}", "   :members:")]
        lines += ["```", ""]
    front = ["train", "evaluate", "load", "make_policy"]
    lines += ["## train, evaluate", "", "```{eval-rst}", *(f".. autofunction:: clipper.{name}" for name in front)]
    classes = ["Config", "Evaluation", "VectorRollouts\n   :members: collect"]
    return "\n".join([*lines, *(f".. autoclass:: clipper.{name}" for name in classes), "```", ""])


def between(text: str, name: str, body: str) -> str:
    """The page with the part between two marks written anew."""
    begin, end = f"<!-- {name}: python tools/rooms.py -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    return before + begin + "\n" + body + "\n" + end + rest.partition(end)[2]


def written() -> dict[Path, str]:
    """Each file that is written from the tree, as it should be."""
    found = {
        page: between(
            between(page.read_text(encoding="utf-8"), "floors", floors_table(language)), "files", files_tables(language)
        )
        for language, page in PAGES.items()
    }
    settings = ROOT / "pyproject.toml"
    text = settings.read_text(encoding="utf-8")
    text = re.sub(r"(?<=\nlayers = \[\n).*?(?=\])", lambda _: contracts(), text, count=1, flags=re.DOTALL)
    text = re.sub(r'(?<=\nmodules = \[\n)(  "clipper\.algorithms\.\w+",\n)+', lambda _: algorithms(), text, count=1)
    return found | {settings: text, ROOT / "docs" / "api.md": reference()}


def count(root: Path) -> Iterable[str]:
    """The numbers of a checkout, also of one from before there were rooms."""
    files, graph = modules(root), imports(root)
    between_rooms = rooms(graph)
    floors = plan(root)["floors"] if (root / "docs" / "rooms.toml").exists() else None
    yield f"modules at the top level: {sum('.' not in name and p.name != '__init__.py' for name, p in files.items())}"
    yield f"rooms: {len(between_rooms)}"
    yield f"floors: {height(between_rooms)}"
    yield f"arrows between rooms: {sum(len(others) for others in between_rooms.values())}"
    yield f"circles of files: {len(circles(graph))}"
    yield f"arrows upward: {len(upward(between_rooms, floors))}"


def main() -> None:
    """Write, or count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", nargs="?", const=ROOT, type=Path, metavar="CHECKOUT")
    options = parser.parse_args()
    if options.count is not None:
        sys.stdout.write("\n".join(count(options.count)) + "\n")
        return
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, ROOT / "tools" / "help_texts.py"], check=True)


if __name__ == "__main__":
    main()
