"""``Any`` says nothing to who reads, and lets everything pass: the annotations that use it are counted."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "clipper"
MOST = 80  # annotations in which the name occurs; what comes down stays down


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    """Of arguments, results, variables and fields."""
    for node in ast.walk(tree):
        annotation = node.returns if isinstance(node, ast.FunctionDef) else getattr(node, "annotation", None)
        if annotation is not None:
            yield annotation


def says_any(annotation: ast.expr) -> bool:
    """Does the name occur in it, also where it is quoted?"""
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name | ast.Attribute) and "Any" in (getattr(node, "id", ""), getattr(node, "attr", "")):
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\bAny\b", node.value):
            return True
    return False


def count(text: str) -> int:
    return sum(map(says_any, annotations(ast.parse(text))))


def test_few_annotations_say_any() -> None:
    found = Counter({str(path.relative_to(SOURCE)): count(path.read_text()) for path in SOURCE.rglob("*.py")})
    worst = "\n".join(f"{number:4} {name}" for name, number in found.most_common() if number)
    print(worst)
    assert found.total() <= MOST, f"{found.total()} annotations say Any:\n{worst}"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("def f(a: Any, *b: Any, c: int = 1, **d: Any) -> list[Any]: ...", 4),
        ("x: dict[str, Any] = {}\nclass A:\n    y: 'Any | None' = None", 2),
        ("def f(a: typing.Any) -> tuple[Any, Any]: ...", 2),
        ("from typing import Any\nTree = Any\ndef f(a: Tree, anything: int) -> object: ...", 0),
    ],
)
def test_the_count_counts(text: str, number: int) -> None:
    assert count(text) == number
