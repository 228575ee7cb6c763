"""What the pages say is so: examples run, commands parse, links lead somewhere, both languages say the same."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import pytest
from PIL import Image

from clipper.cli import command_options, commands

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
PAGES = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCK.findall(ENGLISH) if language == "python"]
SHELL = [line for language, code in BLOCK.findall(ENGLISH) if language == "sh" for line in code.splitlines()]
SHORTER = ((r"total_steps=[\d_]+", "total_steps=1_000"), (r"range\(\d+\)", "range(2)"), (r"episodes=\d+", "episodes=2"))


NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def measured(text: str) -> list[list[str]]:
    """The rows of the table of what was measured, each as its cells."""
    rows = [line for line in text.splitlines() if line.startswith("|") and "](benchmarks/results/" in line]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


MEASURED = measured(ENGLISH)


def prose(text: str) -> str:
    """The page without its code blocks."""
    return BLOCK.sub("", text)


def sections(text: str) -> list[tuple[int, int, list[str], list[str]]]:
    """Per heading: its level, the number of table rows under it, the pages that it links to, and its comments."""
    starts = [m.start() for m in re.finditer(r"^#+ ", text, re.MULTILINE)]
    found = []
    for start, stop in pairwise([*starts, len(text)]):
        part = text[start:stop]
        links = [x for x in re.findall(r"\]\(([^)]+)\)", part) if not x.startswith("README")]
        links = [re.sub("^docs/(en|zh)/", "docs/", x) for x in links]  # each language has its own pages
        rows = len(re.findall(r"^\|", part, re.MULTILINE))
        found.append((part.index(" "), rows, sorted(links), re.findall(r"<!--.*?-->", part)))
    return found


def test_both_languages_have_the_same_sections() -> None:
    assert len(sections(prose(ENGLISH))) > 5
    assert sections(prose(ENGLISH)) == sections(prose(CHINESE))


def test_both_languages_have_the_same_code() -> None:
    assert len(PYTHON) > 2
    assert BLOCK.findall(ENGLISH) == BLOCK.findall(CHINESE)


@pytest.mark.parametrize("code", PYTHON)
def test_examples_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With little to do, and in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for long, short in SHORTER:
        code = re.sub(long, short, code)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("line", [line for line in SHELL if line.startswith("clipper ")])
def test_commands_parse(line: str) -> None:
    """Every flag exists and takes what is given to it."""
    command, *args = shlex.split(line)[1:]
    kind = commands.COMMANDS[command][1]
    if kind in (command_options.Train, command_options.Unroll):
        config, flags = commands.train_defaults(args)
        command_options.parse(kind, flags, line, kind(config=config))
    else:
        command_options.parse(kind, args, line)


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z0-9-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= set(targets)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", prose((ROOT / page).read_text(encoding="utf-8")))
    relative = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in relative if not ((ROOT / page).parent / link).exists()] == []


def test_the_pictures_are_some() -> None:
    height, width, _ = matplotlib.image.imread(ROOT / "docs/images/cartpole.png").shape
    assert height > 300
    assert width > 500
    film = ROOT / "docs/images/platform.gif"
    assert film.stat().st_size < 1_500_000
    with Image.open(film) as frames:
        assert getattr(frames, "n_frames", 1) > 10


def test_the_readme_is_short() -> None:
    assert len(ENGLISH.split()) <= 1_600


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: row[0])
def test_measured_figures_are_those_of_their_page(row: list[str]) -> None:
    """Each number of Clipper's and of what it is compared with, as the page has it; a target may be our own."""
    page = (ROOT / re.findall(r"\]\(([^)]+)\)", row[3])[0]).read_text(encoding="utf-8")
    known = set(NUMBER.findall(page.replace("−", "-")))
    said = NUMBER.findall(f"{row[1]} {row[2]}".replace("−", "-").replace("Baselines3", "").replace("10M", ""))
    assert len(said) > 1
    assert [x for x in said if x not in known] == []


def test_both_languages_say_the_same_figures() -> None:
    numbers = [[NUMBER.findall(" ".join(row[1:])) for row in measured(text)] for text in (ENGLISH, CHINESE)]
    assert len(numbers[0]) == 12
    assert numbers[0] == numbers[1]
