"""The package's rooms: imports run down without circles, and every file stands in the architecture page's tables."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "clipper"
TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "rooms.py"))
LANGUAGES = ("en", "zh")
REMAIN = {"__init__.py", "__main__.py", "errors.py", "former.py"}


def test_what_is_written_from_the_tree_is_up_to_date() -> None:
    for path, text in TOOL["written"]().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: python tools/rooms.py"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_module_is_in_a_table(language: str) -> None:
    """By the links of the page itself, whatever wrote it, each with words in the page's language beside it."""
    page = (ROOT / "docs" / ("zh" if language == "zh" else "") / "architecture.md").resolve()
    rows = re.findall(
        r"^\| (?:\d+ \| )?\[[^\]]+\]\(([^)]+)\) \| (.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    told = {(page.parent / link).resolve(): words for link, words in rows}
    for path in SOURCE.rglob("*.py"):
        if path.name == "__init__.py":
            continue
        words = told.get(path, "")
        assert words, f"{path.relative_to(SOURCE)} has no line in {page.relative_to(ROOT)}"
        assert (language == "zh") == bool(re.search("[\u4e00-\u9fff]", words)), words


def test_cells_are_short_lines() -> None:
    for page in TOOL["PAGES"].values():
        for part in re.findall(r"<!-- \w+: python.*?<!-- end", page.read_text(encoding="utf-8"), re.DOTALL):
            assert max(len(row.split(" | ")[-1]) for row in part.splitlines()) < 150


def test_every_room_is_on_one_floor_and_arrows_run_down() -> None:
    between = TOOL["rooms"](TOOL["imports"]())
    floors = TOOL["plan"]()["floors"]
    assert sorted(room for floor in floors for room in floor) == sorted(between)
    assert TOOL["upward"](between, floors) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert TOOL["circles"](TOOL["imports"]()) == []


def test_the_measures_measure() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert TOOL["circles"](graph) == [{"b", "c"}]
    assert TOOL["height"](graph) == 3
    assert len(TOOL["upward"](graph, None)) == 1
    assert TOOL["upward"](graph, [["a"], ["b"], ["c"], ["d"]]) == [("c", "b")]
    assert TOOL["upward"]({"a": {"b"}, "b": set()}, [["a", "b"]]) == [("a", "b")]


def test_few_files_lie_outside_of_rooms() -> None:
    assert {path.name for path in SOURCE.glob("*.py")} == REMAIN


@pytest.mark.parametrize("name", ["masks.py", "memory", "trees.py", "options.py"])
def test_a_name_means_one_thing(name: str) -> None:
    """Exercises have the names of their pages."""
    found = [path for path in SOURCE.rglob(name) if path.parent.name != "pages"]
    assert len(found) <= 1, found


def test_counting_is_a_command() -> None:
    command = [sys.executable, str(ROOT / "tools" / "rooms.py"), "--count", str(ROOT)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "circles of files: 0\narrows upward: 0\n" in told
