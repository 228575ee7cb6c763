"""Programs of a few lines, cut as the library's are, do what they did."""

import ast
import contextlib
import io

import pytest

from clipper.learning.schedules import Linear
from clipper.unroll.build import cut
from clipper.unroll.follow import Follow
from clipper.unroll.follow_recipe import main_of
from clipper.unroll.text import assemble

HANDED_OVER = {
    "to the library": "each(lambda x: seen.append(x), (1, 2))",
    "to others, whose answer nobody reads": "answer = tree_map(lambda x: seen.append(x), (1, 2))",
    "within another call": "each(lambda x: each(lambda y: seen.append(x + y), (3, 4)), (1, 2))",
    "by name": "f = lambda x: seen.append(x)\n    answer = each(f, (1, 2))",
    "with statements": "def f(x):\n        seen.append(x)\n    answer = tree_map(f, (1, 2))",
}


def run(text: str) -> str:
    """What a program prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(text + "\nmain()\n", {"__name__": __name__})
    return out.getvalue()


def cut_out(source: str, *kept: object) -> str:
    main, program = main_of(source), Follow()
    program.follow(main)
    units, names = cut(program, main, [*kept])
    return assemble(units, names.imports, "A program")


START = """
from torch.utils._pytree import tree_map
from clipper.data.trees import each

def main():
    seen = []
"""


@pytest.mark.parametrize("how", HANDED_OVER)
def test_what_a_function_changes_that_is_handed_over_is_changed(how: str) -> None:
    source = f"{START}    {HANDED_OVER[how]}\n    print(seen)\n"
    text = cut_out(source)
    assert run(text) == run(source) != "[]\n"
    assert "clipper" not in {n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)}


def test_what_only_computes_goes_with_its_answer() -> None:
    source = f"{START}    answer = each(lambda x: x + 1, (1, 2))\n    print(seen)\n"
    text = cut_out(source)
    assert run(text) == run(source) == "[]\n"
    assert "lambda" not in text


@pytest.mark.parametrize("names", ["Kept._fields", "sorted(Kept._fields)"])
def test_attributes_that_are_read_by_name_stay(names: str) -> None:
    source = f"""
from clipper.learning.replay import Kept

def main():
    kept = Kept(1, 2, 3, 4, 5, 6, 7)
    print(*(getattr(kept, name) for name in {names}))
"""
    text = cut_out(source)
    assert run(text) == run(source)
    assert ("getattr" in text) is (names != "Kept._fields")


def test_texts_are_written_out_and_formats_stay() -> None:
    source = """
from clipper.rollout.protocol import Episode

def main():
    name, count = "steps", Episode(7, 1.0, 3)
    print(f"{name}.length", f"{count.env:>4} {name!r}")
"""
    text = cut_out(source)
    assert run(text) == run(source) == "steps.length    7 'steps'\n"
    assert '"steps.length"' in text


@pytest.mark.parametrize(
    "said",
    ["""f'{at!r} is none: "{kind}"'""", """f'no {"ab"[at:]} {{in}} "it"'""", '''f"it's {'ab'[at:]}, \\"{at}\\" \\n"'''],
)
def test_formats_with_quotes_stay(said: str) -> None:
    """Before Python 3.12 no text in the braces may be in the quotes that are around all."""
    source = f"""
from clipper.rollout.protocol import Episode

def main():
    at = Episode(1, 1.0, 3).env
    kind = at + 1
    print({said})
"""
    text = cut_out(source)
    assert run(text) == run(source)


@pytest.mark.parametrize(
    ("statements", "kept"),
    [
        ("y = x + 1\n    y.add_(2)\n    print(x)", "add_"),  # a tensor of its own, which nobody reads
        ("y = x + 1\n    y.add_(2)\n    print(y)", ""),
        ("y = x\n    y.add_(2)\n    print(x)", ""),  # the same tensor
        ("z, y = x, x + 1\n    z.add_(2)\n    y.add_(2)\n    print(x)", ""),
    ],
)
def test_a_tensor_that_is_changed_for_nobody_goes(statements: str, kept: str) -> None:
    source = f"import torch\n\ndef main():\n    x = torch.zeros(2)\n    {statements}\n"
    text = cut_out(source)
    assert run(text) == run(source)
    assert ("add_" in text) is (kept != "add_")


def test_each_call_enters_its_own_case() -> None:
    source = """
import numpy
from gymnasium.spaces import Box, Discrete, Tuple
from clipper.spaces.actions import element

def main():
    both = Tuple((Discrete(3), Box(-1, 1, (2,))))
    print(element(both, (numpy.arange(4), numpy.ones((4, 2))), 2))
"""
    text = cut_out(source)
    assert run(text) == run(source)


def test_what_sorting_gives_is_followed() -> None:
    source = """
from clipper.learning.schedules import Linear, at

def main():
    rates = (("b", Linear(1.0)), ("a", 0.5))
    print([at(rate, 0.5) for name, rate in sorted(rates, key=lambda pair: pair[0])])
"""
    text = cut_out(source, Linear(1.0))
    assert run(text) == run(source) == "[0.5, 0.5]\n"
