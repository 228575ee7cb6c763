"""How folders of runs are named in what is said of them."""

from pathlib import Path

import pytest

from clipper.runs.folders import some_of


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "a"), (2, "a and b"), (4, "a, b, c and d"), (5, "a, b, c and 2 more"), (26, "a, b, c and 23 more")],
)
def test_many_folders_are_named_by_the_first_and_how_many_more(count: int, words: str) -> None:
    """Nobody reads "1 more" where a name fits."""
    assert some_of([Path(chr(ord("a") + i)) for i in range(count)]) == words
