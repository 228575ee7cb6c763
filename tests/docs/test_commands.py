"""The command lines of the walk and the guides: every flag exists and takes what is given to it."""

import re
import shlex

import pytest
from walk import DOCS

from clipper import cli

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [page for folder in ("walk", "guides") for page in sorted((DOCS / "en" / folder).glob("*.md"))]
LINES = [
    pytest.param(line, id=f"{page.stem}-{number}")
    for page in PAGES
    for code in BLOCK.findall(page.read_text(encoding="utf-8"))
    for number, line in enumerate(code.splitlines())
    if line.startswith("clipper ")
]


def test_there_are_some() -> None:
    assert len(LINES) > 2


@pytest.mark.parametrize("line", LINES)
def test_it_parses(line: str) -> None:
    command, *args = shlex.split(line)[1:]
    kind = cli.COMMANDS[command][1]
    if kind is cli.Train:
        config, flags = cli.train_defaults(args)
        cli.parse(cli.Train, flags, line, cli.Train(config=config))
    else:
        cli.parse(kind, args, line)
