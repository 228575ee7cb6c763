"""Words that readers stumble over are in no docstring's first sentence, no message and no page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTEAD = {
    r"told": "reported, given, known",
    r"by (now|then)": "now, already",
    r"at hand": "current, available",
    r"in the midst": "during",
    r"stands? behind": "follows",
    r"mend": "fix",
    r"(?<=[,;:] )else": "otherwise",
}
"""What is not written, and what is written in its place."""
SAYS = {"warn", "print", "write", "add_argument"}
"""Calls whose texts a user reads."""


def found(text: str) -> list[str]:
    """Each such word, with what to write in its place."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
    return [f"{x[0]}: {better}" for rule, better in INSTEAD.items() for x in re.finditer(rf"\b{rule}\b", plain, re.I)]


def first_sentences(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Of each docstring, those of fields included."""
    for node in ast.walk(tree):
        for child in getattr(node, "body", []) if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            if (
                isinstance(child, ast.Expr)
                and isinstance(child.value, ast.Constant)
                and isinstance(child.value.value, str)
            ):
                yield child.lineno, re.split(r"(?<=[.?!])\s", " ".join(child.value.value.split()), maxsplit=1)[0]


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Texts of errors that are raised, and of calls that say something."""
    for node in ast.walk(tree):
        call = node.exc if isinstance(node, ast.Raise) else node
        name = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
        if isinstance(call, ast.Call) and (isinstance(node, ast.Raise) or name in SAYS):
            texts = [x for argument in call.args for x in ast.walk(argument) if isinstance(x, ast.Constant)]
            yield from ((text.lineno, text.value) for text in texts if isinstance(text.value, str))


SOURCES = sorted((ROOT / "src" / "clipper").rglob("*.py"))
EQUATIONS = ("functional", "where.md")
"""Where mathematics has its own words."""
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]
PAGES += sorted(page for page in (ROOT / "docs" / "en").rglob("*.md") if page.name not in EQUATIONS)


def test_docstrings_and_messages_have_none() -> None:
    assert len(SOURCES) > 100
    stumbles = []
    for file in (file for file in SOURCES if file.parent.name not in EQUATIONS):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for line, text in [*first_sentences(tree), *messages(tree)]:
            stumbles += [f"{file.relative_to(ROOT)}:{line}: {x}" for x in found(text)]
    assert stumbles == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_have_none(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    stumbles = [f"{i}: {x}" for i, line in enumerate(prose.splitlines(), 1) for x in found(line)]
    assert stumbles == []


def test_they_would_be_found() -> None:
    tree = ast.parse('def f():\n    """What is told. More."""\n    raise E("the critic of by now")\n')
    assert [x for _, text in [*first_sentences(tree), *messages(tree)] for x in found(text)] != []
    assert found("cold as stone, else fine") == ["else: otherwise"]
    assert found("`told` is a name, or elsewhere") == []
