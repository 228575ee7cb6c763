"""Both languages have the same pages with the same content, and what a page includes is there. Sphinx is not needed."""

import ast
import re
from pathlib import Path

import pytest

from clipper.exercises import PAGES, exercises

DOCS = Path(__file__).parents[2] / "docs"
PACKAGE = DOCS.parent / "src" / "clipper"
LANGUAGES = ("en", "zh")
FENCE = re.compile(r"^```(\{?[\w-]*\}?)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FORMULA = re.compile(r"^\$\$\n(.*?)^\$\$$", re.MULTILINE | re.DOTALL)
IMAGE = re.compile(r"^!\[[^\]]+\]\(([^)]+)\)", re.MULTILINE)


def names(language: str) -> list[str]:
    return sorted(p.relative_to(DOCS / language).as_posix() for p in (DOCS / language).rglob("*.md"))


def read(language: str, page: str) -> str:
    return (DOCS / language / page).read_text(encoding="utf-8")


def whole(language: str, page: str) -> str:
    """With the text of the Markdown that the page includes, whose title is the page's own."""
    folder = (DOCS / language / page).parent

    def text(block: re.Match[str]) -> str:
        if block[1] != "{include}":
            return block[0]
        return (folder / block[2]).read_text(encoding="utf-8").partition("\n")[2]

    return FENCE.sub(text, read(language, page))


def fragment(path: Path, name: str) -> list[ast.stmt]:
    """The body of a function or class, ``A.b`` a method, without its docstring; [] where there is none."""
    body: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = [n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part]
        body = found[0].body if found else []
    documented = bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return body[1:] if documented else body


def test_every_page_is_there_in_both_languages() -> None:
    assert len(names("en")) > 4
    assert names("en") == names("zh")


@pytest.mark.parametrize("page", names("en"))
def test_both_languages_have_the_same_content(page: str) -> None:
    """Headings' levels, rows of tables, formulas, fragments, pictures, in the same order; of a drawing, its lines."""
    parts = []
    for language in LANGUAGES:
        text = whole(language, page)
        prose = FENCE.sub("", text)
        blocks = [
            (kind, title, body if kind else body.count("\n"))
            for kind, title, body in FENCE.findall(text)
            if kind != "{toctree}"
        ]
        toctrees = [re.sub(r":caption:.*", "", body) for kind, _, body in FENCE.findall(text) if kind == "{toctree}"]
        headings = re.findall(r"^(#+) \S", prose, re.MULTILINE)
        rows = len(re.findall(r"^\|", prose, re.MULTILINE))
        parts.append((headings, rows, FORMULA.findall(prose), IMAGE.findall(prose), blocks, toctrees))
    assert parts[0][0][0] == "#"
    assert parts[0] == parts[1]


def test_the_architecture_is_whole_in_both_languages() -> None:
    """As many headings, blocks of code and items, the same code names in links, and no link into nothing."""
    parts = []
    for language in LANGUAGES:
        text = whole(language, "architecture.md")
        prose = FENCE.sub("", text)
        counts = [len(re.findall(start, prose, re.MULTILINE)) for start in (r"^#+ \S", r"^- ", r"^\d+\. ")]
        folder = DOCS / "zh" if language == "zh" else DOCS
        links = {(folder / link).resolve() for link in re.findall(r"\]\(([^)]+)\)", prose)}
        assert not [link for link in links if not link.exists()]
        source = {link for link in links if not link.is_relative_to(DOCS)}
        parts.append((counts, len(FENCE.findall(text)), source))
    assert parts[0][0][0] > 10
    assert parts[0][1] > 0
    assert parts[0] == parts[1]


@pytest.mark.parametrize("page", names("en"))
def test_what_is_included_is_there(page: str) -> None:
    folder = (DOCS / "en" / page).parent
    for kind, path, options in FENCE.findall(read("en", page)):
        if kind == "{include}":
            assert (folder / path).is_file()
        if kind == "{literalinclude}":
            name = re.search(r"^:pyobject: (\S+)$", options, re.MULTILINE)
            if name is None and not options:
                assert ast.parse((folder / path).read_text(encoding="utf-8")).body, f"{page}: {path} is empty"
                continue
            assert name is not None, f"{page} pastes {path} by lines"
            assert fragment(folder / path, name[1]), f"{page}: {path} has no {name[1]}"
    for path in IMAGE.findall(read("en", page)):
        assert (folder / path).is_file()


def test_every_page_is_reached_from_the_index() -> None:
    """The walk's in their order."""
    listed = [line for kind, _, body in FENCE.findall(read("en", "index.md")) if kind == "{toctree}"
              for line in body.splitlines() if line and not line.startswith(":")]  # fmt: skip
    assert sorted([*(f"{name}.md" for name in listed), "index.md"]) == names("en")
    walk = [name.removeprefix("walk/") for name in listed if name.startswith("walk/")]
    assert walk == [page for page in PAGES if page in walk]


@pytest.mark.parametrize("page", [page for page in names("en") if page.startswith("walk/")])
def test_every_page_of_the_walk_has_its_parts(page: str) -> None:
    """Question, equation, code from the source, figure, exercises."""
    text, name = read("en", page), page.removeprefix("walk/").removesuffix(".md")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["The equation", "The code", "A recipe", "Exercises"]
    assert "\n**Question.** " in text
    assert FORMULA.search(text)
    assert f"../../figures/{name.replace('-', '_')}.svg" in IMAGE.findall(text)
    included = [path for kind, path, _ in FENCE.findall(text) if kind == "{literalinclude}"]
    assert any("/src/clipper/" in path for path in included)
    assert f"../../recipes/{name.replace('-', '_')}.py" in included
    assert [argument for kind, argument, _ in FENCE.findall(text) if kind == "{exercises}"] == [name]
    assert name in exercises()


@pytest.mark.parametrize("folder", ["functional", "algorithms", "distributions"])
def test_the_reference_has_every_module(folder: str) -> None:
    listed = re.findall(r"automodule:: clipper\.(\S+)", (DOCS / "api.md").read_text(encoding="utf-8"))
    modules = {f"{folder}.{p.stem}" for p in (PACKAGE / folder).glob("*.py") if p.stem not in {"__init__", "parts"}}
    assert {name for name in listed if name.startswith(f"{folder}.")} == modules
