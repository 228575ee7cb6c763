"""Recipes run, give the committed figures' numbers, and these are what theory says; code in pages runs."""

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from statistics import fmean

import pytest
from walk import DOCS, RECIPES, committed, recipe

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted((DOCS / "en" / "walk").glob("*.md"))
WORDS_ALONE = {"command-line", "glossary"}
GUIDES = sorted(path for path in (DOCS / "en" / "guides").glob("*.md") if path.stem not in WORDS_ALONE)


def test_every_figure_has_its_recipe_and_page() -> None:
    assert len(RECIPES) > 2
    for kind in ("svg", "json"):
        assert sorted(path.stem for path in (DOCS / "figures").glob(f"*.{kind}")) == RECIPES
    assert sorted(p.stem.replace("-", "_") for p in PAGES) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_the_figures_numbers_again(name: str, tmp_path: Path) -> None:
    """With the recipe's REDUCED arguments; what rests on few repetitions then is left out by its COMPARED."""
    module = recipe(name)
    found, expected = module.numbers(**getattr(module, "REDUCED", {})), committed(name)
    assert list(found) == list(expected)
    compared = getattr(module, "COMPARED", {})
    for key in found:
        stop = compared.get(key)
        near = pytest.approx(expected[key][:stop], rel=module.TOLERANCE, abs=getattr(module, "ABSOLUTE", None))
        assert found[key][:stop] == near, key
    module.draw(found, tmp_path / "figure.svg")
    ET.parse(tmp_path / "figure.svg")


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_the_figures_numbers_in_full(name: str) -> None:
    """Point by point; of runs, which part where another processor rounds otherwise, the mean of each curve."""
    module = recipe(name)
    found, expected = module.numbers(), committed(name)
    assert list(found) == list(expected)
    learned = hasattr(module, "COMPARED")
    for key in found:
        near = {"rel": max(module.TOLERANCE, 0.2 if learned else 0), "abs": getattr(module, "ABSOLUTE", None)}
        if learned:
            assert len(found[key]) == len(expected[key]), key
            assert fmean(found[key]) == pytest.approx(fmean(expected[key]), **near), key
        else:
            assert found[key] == pytest.approx(expected[key], **near), key


def test_the_error_is_that_of_independent_games() -> None:
    """√(Var / M): a game's variance is E[S²H²] − (Tpq)² with S = H − Tp and H binomial, summed over its outcomes."""
    from scipy.stats import binom

    length, p = 10, 0.3
    exact = length * p * (1 - p)
    second = sum(binom.pmf(h, length, p) * ((h - length * p) * h) ** 2 for h in range(length + 1))
    found = committed("policy_gradient")
    assert found["exact"] == [pytest.approx(exact)]
    assert found["mean"] == [pytest.approx(exact, rel=0.01)]
    for games, error in list(zip(found["games"], found["error"], strict=True))[:5]:
        assert error == pytest.approx(((second - exact**2) / games) ** 0.5, rel=0.05)


def test_the_variances_are_those_of_fair_coins() -> None:
    """By hand, with heads ±½ about the mean: T³/16 + T²/8 − T/8 for the whole return, T (T − 1)/32 for Gₜ − V."""
    found = committed("causality")
    for i, length in enumerate(found["length"]):
        assert found["G(τ)"][i] == pytest.approx(length**3 / 16 + length**2 / 8 - length / 8, rel=0.03)
        assert found["Gₜ − V"][i] == pytest.approx(length * (length - 1) / 32, rel=0.03)


def test_two_of_six_cells_have_no_gradient() -> None:
    found = committed("clipping")
    for name, gone in (("+", lambda r: r > 1.2), ("−", lambda r: r < 0.8)):
        for r, slope in zip(found["ratio"], found[f"slope{name}"], strict=True):
            if abs(r - 0.8) > 1e-9 and abs(r - 1.2) > 1e-9:
                assert slope == pytest.approx(0 if gone(r) else (1 if name == "+" else -1)), (name, r)


def test_the_testbed_s_curves_are_the_book_s() -> None:
    """Sutton & Barto (2018), figures 2.2, 2.4 and 2.5, as far as they can be read; the best of ten arms pays 1.54."""
    found = committed("bandits")
    last = {key: values[-1] for key, values in found.items()}
    assert 0.30 < last["optimal ε = 0"] < 0.45
    assert 0.75 < last["optimal ε = 0.1"] < 0.85
    assert 0.95 < last["reward ε = 0"] < 1.15
    assert 1.25 < last["reward ε = 0.1"] < last["reward UCB, c = 2"] < 1.54
    assert max(found["optimal ε = 0.01"]) < last["optimal ε = 0.1"]
    assert found["optimal ε = 0.1"][0] == pytest.approx(0.1, abs=0.03)
    small, large = (f"optimal α = {alpha}, {{}} baseline" for alpha in (0.1, 0.4))
    assert last[small.format("with")] > 0.75
    assert last[small.format("with")] > last[small.format("without")] > last[large.format("without")]
    assert last[large.format("with")] > last[large.format("without")] + 0.2


def test_maxima_over_noise_and_soft_values_are_those_of_theory() -> None:
    """The mean of the largest of K normals, of the smaller of two −1/√π; V and π of s₀ by one equation.

    Of two states whose best actions pay 1 and 0.5, and γ = 0.8, the greedy values are 3 and 2.5.
    """
    found = committed("action_values")
    for largest, choices in ((0.0, 1), (0.56419, 2), (0.84628, 3), (1.16296, 5), (1.86748, 20)):
        i = [1, 2, 3, 5, 8, 12, 20].index(choices)
        assert found["bias DQN"][i] == pytest.approx(largest, abs=0.02)
        assert found["bias double"][i] == pytest.approx(0, abs=0.02)
    assert found["bias TD3"][0] == pytest.approx(-0.56419, abs=0.02)
    assert found["V"][0] == pytest.approx(1 + 0.8 * 2.5, abs=2e-3)
    for alpha, v, p in zip((0.02, 0.1, 0.25, 0.5, 1.0, 2.0), found["V"], found["π"], strict=True):
        other = 0.0
        for _ in range(300):  # V(s₁), given V(s₀)
            other = alpha * math.log(math.exp((0.5 + 0.8 * other - v) / alpha) + math.exp((0.8 * v - v) / alpha)) + v
        assert v == pytest.approx(
            alpha * math.log(math.exp(0.8 * v / alpha) + math.exp((1 + 0.8 * other) / alpha)), rel=1e-6
        )
        assert p == pytest.approx(1 / (1 + math.exp((0.8 * v - 1 - 0.8 * other) / alpha)), abs=1e-6)


@pytest.mark.parametrize("page", PAGES + GUIDES, ids=lambda page: page.stem)
def test_code_in_pages_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(DOCS / "recipes")  # for files that a page tells to save
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for code in blocks:
        shorter = re.sub(r"total_steps=[\d_]+", "total_steps=512", code)
        shorter = re.sub(r"episodes=\d+", "episodes=2", shorter)
        exec(compile(shorter, page.name, "exec"), {"__name__": "page"})
