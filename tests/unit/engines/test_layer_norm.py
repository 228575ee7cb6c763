"""Layer normalisation as an option of the networks: what it does, and the kernels' beside the definition's."""

import copy
from typing import Any, Literal

import pytest
import torch
from batches import make_steps, small_policy
from test_gradients import check, shaken
from torch import Generator, Tensor, nn

from clipper.algorithms import PPO, TRPO, Algorithm
from clipper.engines.cpu.engine import CPU
from clipper.engines.eager import Torch
from clipper.networks.policy_options import PolicyOptions


def test_what_is_activated_has_mean_0_and_deviation_1_whatever_is_seen() -> None:
    policy = small_policy("gaussian", PolicyOptions(hidden=(32, 16), layer_norm=True, activation="relu"))
    seen = list[Tensor]()
    for part in (policy.actor, policy.critic):
        for module in part.modules():
            if isinstance(module, nn.ReLU):
                module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        policy(100 * torch.randn(50, 3, generator=Generator().manual_seed(0)))
    assert [x.shape[-1] for x in seen] == [32, 16, 32, 16]
    for x in seen:
        torch.testing.assert_close(x.mean(-1), torch.zeros(50), rtol=0, atol=1e-5)
        torch.testing.assert_close(x.std(-1, correction=0), torch.ones(50), rtol=0, atol=1e-3)


def test_without_it_there_is_none() -> None:
    """And with it each normalises with a gain and a bias of its own, which are 1 and 0 at first."""
    plain, normed = (small_policy("gaussian", PolicyOptions(hidden=(8, 4), layer_norm=on)) for on in (False, True))
    assert not any(isinstance(module, nn.LayerNorm) for module in plain.modules())
    own = {name: p for name, p in normed.named_parameters() if name not in dict(plain.named_parameters())}
    norms = [module for module in normed.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 4
    assert sum(p.numel() for p in normed.parameters()) == sum(p.numel() for p in plain.parameters()) + 2 * 2 * (8 + 4)
    assert own
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


@pytest.mark.parametrize("shared", [False, True], ids=["separate", "shared"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
def test_gradient_is_the_definition_s(activation: Literal["tanh", "relu", "elu", "silu"], shared: bool) -> None:
    generator = Generator().manual_seed(3)
    options = PolicyOptions(hidden=(24, 7, 16), activation=activation, shared=shared, layer_norm=True)
    behaviour = shaken(small_policy("categorical", options), 0.2, generator)
    check(shaken(behaviour, 0.02, generator), behaviour, PPO(entropy_coef=0.01), rows=150)


@pytest.mark.parametrize("algorithm", [PPO(epochs=3), TRPO()], ids=["ppo", "trpo"])
def test_five_updates_are_the_definition_s(algorithm: Algorithm) -> None:
    policy = small_policy("gaussian", PolicyOptions(hidden=(32, 32), layer_norm=True))
    learners: list[Any] = [algorithm.init(copy.deepcopy(policy), seed=5) for _ in range(2)]
    engines = CPU(learners[0], algorithm), Torch(learners[1], algorithm)
    for iteration in range(5):
        steps, last = make_steps(learners[1].policy, 65, 4, seed=iteration)
        ours, theirs = (engine.update(steps, last) for engine in engines)
        expected = {name: float(x) for name, x in theirs.items()}
        assert {name: float(x) for name, x in ours.items()} == pytest.approx(expected, 1e-3, 1e-4)
    torch.testing.assert_close(*(learner.parameters for learner in learners), rtol=1e-3, atol=1e-5)
