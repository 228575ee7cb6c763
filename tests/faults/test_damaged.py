"""Run folders damaged by chance, from a kept seed: none is used in silence, none ends bare, none takes much."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

MOST_MEGABYTES = 300


@pytest.mark.parametrize(("seed", "count"), [(3, 16), pytest.param(1, 330, marks=pytest.mark.long)])
def test_a_damaged_folder_is_refused_or_read(
    seed: int, count: int, tmp_path: Path, run_program: Callable, figures: Callable
) -> None:
    """Each child may use five seconds of the processor's time; one that takes more dies."""
    found = run_program("damaged.py", tmp_path, seed, count)
    assert [case for case in found if case["kind"] not in ("nothing", "ClipperError")] == []
    assert [case for case in found if case["silent"]] == []
    assert [case for case in found if case["megabytes"] > MOST_MEGABYTES] == []
    assert len(found) == count
    kinds = Counter(case["kind"] for case in found)
    assert kinds["ClipperError"] > 0
    if count > 100:
        most = max(case["megabytes"] for case in found)
        figures("F68", folders=count, refused=kinds["ClipperError"], megabytes=round(most))
