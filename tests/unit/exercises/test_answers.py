"""Right answers pass; each almost right one is told which mistake it makes. Answers are those of answers/."""

import importlib.util
import re
import sys
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


ODD = {
    "nothing": lambda *_: None,
    "a word": lambda *_: "G",
    "no argument": lambda: 0.0,
    "its first argument": lambda x, *_: x,
    "an empty tensor": lambda *_: torch.empty(0),
    "a scalar": lambda *_: torch.tensor(0.5),
    "NaN": lambda *_: float("nan"),
    "a pair": lambda x, *_: (x, x),
    "a dictionary": lambda *_: {"G": 1.0},
    "an error": lambda *_: torch.ones(2) @ torch.ones(3),
    "an exit": lambda *_: sys.exit(0),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_no_answer_breaks_the_checker_and_none_of_these_is_right(exercise: Exercise, odd: str) -> None:
    verdict = judge(exercise, ODD[odd])
    assert not verdict.right
    assert verdict.words.en
    assert "\n" not in verdict.words.en + verdict.words.zh


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_an_answer_cannot_spoil_what_it_is_compared_with(exercise: Exercise) -> None:
    """One that writes over its inputs is told so, or that it is wrong; the right one passes as before."""

    def spoil(*inputs: Any) -> Any:
        for x in inputs:
            if isinstance(x, torch.Tensor) and x.is_floating_point():
                x.detach().fill_(0.125)
        return 0.125

    assert not judge(exercise, spoil).right
    assert judge(exercise, exercise.right).right
