"""Right answers pass; each almost right one is told which mistake it makes. Answers are those of answers/."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from clipper.exercises import PAGES, Exercise, exercises, judge
from clipper.exercises.command import known

ANSWERS = Path(__file__).parent / "answers"
EXERCISES = known()
CHINESE = re.compile(r"[一-鿿]")


def answers(page: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"answers_{page}", ANSWERS / f"{page.replace('-', '_')}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases() -> list[Any]:
    """(exercise, name of an answer, the answer), for all that are written."""
    found = []
    for page, of_page in exercises().items():
        module = answers(page)
        for exercise in of_page:
            written = vars(getattr(module, exercise.name.title().replace("-", "")))
            functions = {name: f for name, f in written.items() if callable(f)}
            found += [pytest.param(exercise, name, f, id=f"{exercise.name}-{name}") for name, f in functions.items()]
    return found


CASES = cases()


@pytest.mark.parametrize(("exercise", "name", "answer"), CASES)
def test_the_verdict(exercise: Exercise, name: str, answer: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    verdict = judge(exercise, answer)
    if name.startswith("right"):
        assert verdict.right, verdict.words
    else:
        assert not verdict.right
        assert verdict.mistake == name.replace("_", "-"), verdict.words


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_each_mistake_is_made_by_an_answer(exercise: Exercise) -> None:
    written = {name for other, name, _ in (case.values for case in CASES) if other is exercise}
    names = [mistake.name.replace("-", "_") for mistake in exercise.mistakes]
    assert len(set(names)) == len(names) >= 2
    assert written >= {"right", *names}


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_both_languages_are_there(exercise: Exercise) -> None:
    for words in (exercise.title, exercise.task, *(mistake.words for mistake in exercise.mistakes)):
        assert CHINESE.search(words.zh)
        assert not CHINESE.search(words.en)
    assert "`" + exercise.function in exercise.task.en
    assert "`" + exercise.function in exercise.task.zh


def test_three_for_each_page_and_no_name_twice() -> None:
    pages = exercises()
    assert set(pages) <= set(PAGES)
    assert {len(of_page) for of_page in pages.values()} == {3}
    assert len(EXERCISES) == 3 * len(pages)
