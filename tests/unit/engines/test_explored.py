"""An algorithm that explores, on kernels: the definition's numbers, and with a bonus of weight 0 the held one's."""

from typing import Any

import pytest
import torch

import clipper
from clipper.learning.bonuses import ICM, RND

PLAN: Any = {"policy": clipper.PolicyOptions(hidden=(8,)), "num_envs": 4, "total_steps": 256, "seed": 5}
HELD = [clipper.PPO(horizon=16, epochs=2, recompute=True), clipper.A2C(), clipper.VPG(horizon=16)]
each_held = pytest.mark.parametrize("held", HELD, ids=lambda x: type(x).__name__)


def trained(algorithm: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> clipper.Run:
    monkeypatch.delenv("CLIPPER_ENGINE", raising=False)
    return clipper.train("CartPole-v1", algorithm, engine=engine, **PLAN)


@each_held
def test_a_bonus_of_weight_0_changes_no_bit(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(held, "cpu", monkeypatch)
    explores = clipper.Exploring(held, RND(8, (8,)), intrinsic_coef=0.0, prime=0, bonus_epochs=1)
    run = trained(explores, "cpu", monkeypatch)
    assert run.engine.description == "cpu (compiled kernels; the bonus by torch)"
    assert torch.equal(plain.learner.parameters, run.learner.policy_parameters)


@each_held
def test_kernels_and_definition_learn_the_same(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = clipper.Exploring(held, ICM(features=8, hidden=(8,)), intrinsic_coef=2.0, prime=32)
    runs = [trained(algorithm, engine, monkeypatch) for engine in ("torch", "cpu")]
    first, second = (run.learner.state_dict() for run in runs)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=2e-3, atol=2e-4, msg=name)
