"""The fault table names tests that exist, says the same in both languages, and is up to date."""

import ast
import importlib.util
from pathlib import Path
from string import Formatter
from types import ModuleType

ROOT = Path(__file__).parents[2]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reliability", ROOT / "tools" / "reliability.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RELIABILITY = tool()


def test_pages_are_up_to_date() -> None:
    for language, path in RELIABILITY.PAGES.items():
        assert path.read_text(encoding="utf-8") == RELIABILITY.page(language), "python tools/reliability.py"


def test_every_row_of_the_first_part_is_there() -> None:
    names = [row["id"] for row in RELIABILITY.rows()]
    numbers = [int(name.removeprefix("F")) for name in names]
    assert numbers == sorted(set(numbers))
    assert {*range(1, 37), *range(38, 69)} <= set(numbers)


def test_every_test_exists() -> None:
    for row in RELIABILITY.rows():
        for test in row["tests"]:
            path, name = test.split("::")
            tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_both_languages_have_the_same_figures() -> None:
    for row in RELIABILITY.rows():
        assert len(row["en"]) == len(row["zh"]) == 2
        fields = [{field for _, field, _, _ in Formatter().parse(row.get(f"figure_{language}", "")) if field}
                  for language in ("en", "zh")]  # fmt: skip
        assert fields[0] == fields[1]
