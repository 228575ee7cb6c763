"""The first weights come from the given generator, and are distributed as is said."""

import gymnasium
import numpy as np
import pytest
import torch
from batches import ACTIONS, OBSERVATIONS, Kind
from torch import Generator, nn

from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions

KINDS: list[Kind] = ["categorical", "gaussian"]


def built(kind: Kind, options: PolicyOptions, seed: int = 0) -> ActorCritic:
    return make_policy(OBSERVATIONS, ACTIONS[kind], options, Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_without_orthogonal_weights_layers_start_as_torchs_do(kind: Kind) -> None:
    """Uniform on ±1/√n, biases too: the bound is never passed, and the variance is a third of its square."""
    policy = built(kind, PolicyOptions(hidden=(400, 100), orthogonal=False))
    ordinary = nn.Linear(400, 100)
    layers = [m for m in policy.modules() if isinstance(m, nn.Linear)]
    assert len(layers) == 6
    for layer in layers:
        bound = layer.in_features**-0.5
        numbers = torch.cat([p.detach().flatten() for p in layer.parameters()]) / bound
        assert numbers.abs().max() <= 1
        assert numbers.square().mean() == pytest.approx(1 / 3, abs=4 * (4 / 45 / len(numbers)) ** 0.5)
        assert layer.bias.abs().max() > 0
    wide = policy.get_submodule("actor.2")
    assert isinstance(wide, nn.Linear)
    assert float(wide.weight.detach().std() / ordinary.weight.detach().std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_weights_follow_their_seed_and_leave_the_global_generator_alone(orthogonal: bool) -> None:
    options = PolicyOptions(orthogonal=orthogonal)
    before = torch.get_rng_state()
    first, again, other = (built("gaussian", options, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["actor.0.weight"], other["actor.0.weight"])


def test_the_critic_may_have_widths_of_its_own() -> None:
    policy = built("categorical", PolicyOptions(hidden=(4,), critic_hidden=(7, 6)))
    shapes = {name: tuple(p.shape) for name, p in policy.named_parameters() if name.endswith("weight")}
    assert shapes == {
        "actor.0.weight": (4, 3), "critic.0.weight": (7, 3), "critic.2.weight": (6, 7), "head.logits.weight": (3, 4),
        "value_layer.weight": (1, 6),
    }  # fmt: skip
    linear = make_policy(
        gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2), PolicyOptions(hidden=(4,), critic_hidden=()),
        Generator(),
    )  # fmt: skip
    assert linear.value(torch.zeros(5, 3)).mean.shape == (5,)
    assert np.prod(linear.get_parameter("value_layer.weight").shape) == 3


def test_a_shared_trunk_has_one_set_of_widths() -> None:
    with pytest.raises(ConfigError, match="critic_hidden"):
        PolicyOptions(shared=True, critic_hidden=(4,))
