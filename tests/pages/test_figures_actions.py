"""What the committed figures on losses and actions have to show, by closed forms where there are some."""

import math

import pytest
from scipy.stats import beta, norm
from walk import committed, recipe


def test_planned_standard_deviations_follow_their_plan() -> None:
    """(1 − p) σ₀ + p σ₁, where p is the part of the run that is done when an iteration begins."""
    found, first = committed("continuous_actions"), math.exp(-0.7)
    assert found["fixed, exact"] == pytest.approx([first] * len(found["steps"]))
    done = [0.0, *(steps / 40_000 for steps in found["steps"][:-1])]
    assert found["scheduled, exact"] == pytest.approx([first + (0.1 - first) * p for p in done])
    assert found["of the state, exact"][-1] < 0.2 * found["of the state, loose"][-1]


def test_the_densities_are_scipys() -> None:
    """Of N(0.5, 0.6²), of its tanh by the change of variables, and of a Beta on (−1, 1)."""
    found = committed("continuous_actions")
    for i, a in enumerate(found["a"]):
        assert found["gaussian"][i] == pytest.approx(norm.pdf(a, 0.5, 0.6))
        assert found["tanh"][i] == pytest.approx(norm.pdf(math.atanh(a), 0.5, 0.6) / (1 - a * a))
        assert found["beta"][i] == pytest.approx(beta.pdf((a + 1) / 2, 2.5, 1.5) / 2)
    assert found["cut off"] == pytest.approx([norm.cdf(-1, 0.5, 0.6), norm.sf(1, 0.5, 0.6)], rel=1e-5)


def test_half_a_mask_moves_farther_and_none_learns_nothing() -> None:
    found = committed("masks")
    mean = {kind: sum(found[f"KL, {kind}"]) / len(found[f"KL, {kind}"]) for kind in ("masked", "naive")}
    assert mean["naive"] > 2 * mean["masked"]
    last = {kind: found[f"return, {kind}"][-1] for kind in ("masked", "naive", "unmasked")}
    assert last["masked"] > last["naive"] > last["unmasked"] + 0.3


def test_unused_arguments_slow_down() -> None:
    """By the area under the curve."""
    kinds = recipe("hybrid_actions").KINDS
    found = committed("hybrid_actions")
    area = [sum(sum(curve) for key, curve in found.items() if key.startswith(kind)) for kind in kinds]
    assert min(area[:2]) > 1.1 * area[2]


def test_what_a_batch_says_lies_between_its_minibatches() -> None:
    found = committed("full_loss")
    low, whole, high = (
        found[f"advantage/{key}, c₂ = 0"] for key in ("minibatch_mean_min", "mean", "minibatch_mean_max")
    )
    assert all(a <= b <= c for a, b, c in zip(low, whole, high, strict=True))
    with_bonus, without = (found[f"policy/entropy, c₂ = {c:g}"] for c in (0.1, 0.0))
    assert sum(with_bonus[-10:]) > sum(without[-10:])


def test_units_decide() -> None:
    found = committed("details")
    whole = min(found["all of these"])
    assert max(found["cont. 6: observations as they are"] + found["cont. 8: rewards as they are"]) < whole
