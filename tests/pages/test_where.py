"""Every function and test that the pages name exists, and every equation is named."""

import ast
import importlib.util
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

from clipper import functional

ROOT = Path(__file__).parents[2]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("where", ROOT / "tools" / "where.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WHERE = tool()


def test_pages_are_up_to_date() -> None:
    for language, path in WHERE.PAGES.items():
        assert path.read_text(encoding="utf-8") == WHERE.page(language), "python tools/where.py"


def test_all_code_exists() -> None:
    for row in WHERE.rows():
        assert row["code"], row
        for name in row["code"]:
            assert callable(pkgutil.resolve_name(f"clipper.{name}")), name


def test_all_tests_exist() -> None:
    for row in WHERE.rows():
        assert row["tests"], row
        for test in row["tests"]:
            path, name = test.split("::")
            tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_every_function_of_functional_has_a_row() -> None:
    named = {name for row in WHERE.rows() for name in row["code"]}
    public = set()
    for info in pkgutil.iter_modules(functional.__path__):
        module = importlib.import_module(f"clipper.functional.{info.name}")
        public |= {f"functional.{info.name}.{name}" for name, thing in vars(module).items()
                   if inspect.isfunction(thing) and thing.__module__ == module.__name__ and name[0] != "_"}  # fmt: skip
    assert len(public) > 20
    assert public - named == set()
