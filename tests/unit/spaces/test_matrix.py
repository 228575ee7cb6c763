"""Each action space, from a sample to an update."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Graph, OneOf, Sequence, Text, Tuple
from gymnasium.vector import SyncVectorEnv
from spaces.matrix import SPACES, AnySpace, observations, policy_for
from torch import Generator

from clipper.algorithms import PPO
from clipper.data.trees import each
from clipper.environments import make
from clipper.errors import UnsupportedSpaceError
from clipper.networks.heads import HeadOptions
from clipper.networks.heads.make_head import make_head
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.spaces.actions import batch, element
from clipper.spaces.space_json import space_from_json, space_to_json

WRAPPED = ["box 0-d", "multi-binary 2-d", "dict of both", "one of trees", "one-of in dict in tuple", "one-of in one-of"]
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


@every_space
def test_samples_and_modes_are_in_the_space(space: gymnasium.Space) -> None:
    policy = policy_for(space)
    obs = observations(300)
    with torch.no_grad():
        dist, _ = policy.act(obs)
    for action in (dist.sample(Generator().manual_seed(0)), dist.mode):
        taken = policy.to_env(action)
        assert batch(space, 300).contains(taken)
        assert all(space.contains(element(space, taken, i)) for i in range(300))
    assert space.contains(policy.predict(obs[0].numpy()))
    assert batch(space, 300).contains(policy.predict(obs.numpy(), deterministic=False, generator=Generator()))


@every_space
def test_first_ratio_is_one(space: gymnasium.Space) -> None:
    """Through collecting, with padding inserted where episodes end, shuffling and the loss; in both precisions."""
    env = make(lambda: AnySpace(space), 3)
    policy, algorithm = policy_for(space), PPO(horizon=20, epochs=1, minibatches=2, learning_rate=0.0)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=20)
    dist, _ = policy.act(steps.obs)
    torch.testing.assert_close(dist.log_prob(steps.action).exp(), steps.log_prob.exp(), rtol=1e-5, atol=0)
    metrics = algorithm.update(algorithm.init(policy), steps, state.obs)
    assert abs(metrics["policy/kl"].item()) < 1e-10
    assert all(x.isfinite() for x in metrics.values())


@every_space
def test_an_update_moves_every_parameter_of_the_head(space: gymnasium.Space) -> None:
    env = make(lambda: AnySpace(space), 8)
    policy = policy_for(space)
    learner = (algorithm := PPO(horizon=32, epochs=2)).init(policy)
    head = policy.get_submodule("head")
    before = [p.clone() for p in head.parameters()]
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=32)
    algorithm.update(learner, steps, state.obs)
    moved = [not torch.equal(p, q) for p, q in zip(before, head.parameters(), strict=True)]
    # A choice of one has nothing to learn.
    assert all(moved) or "discrete of one" in str(space) or "Discrete(1)" in str(space) or isinstance(space, OneOf)


@pytest.mark.filterwarnings("ignore:.*Casting input x to numpy array")  # it cuts scalars out of 0-d boxes
@pytest.mark.parametrize("mode", ["next_step", "same_step", "disabled"])
@pytest.mark.parametrize("space", [SPACES[name] for name in WRAPPED], ids=WRAPPED)
def test_gymnasiums_vector_environments_get_what_they_take(space: gymnasium.Space, mode: str) -> None:
    env = make(
        SyncVectorEnv([lambda: AnySpace(space)] * 2, autoreset_mode=gymnasium.vector.AutoresetMode[mode.upper()]), 2
    )
    steps, _ = VectorRollouts(env, 0).collect(policy_for(space), horizon=12)
    assert steps.mask.shape[0] >= 12
    each(lambda x: x.reshape(*steps.mask.shape, -1), steps.action)


@every_space
def test_json_gives_the_space_back(space: gymnasium.Space) -> None:
    again = space_from_json(space_to_json(space))
    assert again == space
    assert type(again) is type(space)


@pytest.mark.parametrize(
    "space", [Text(3), Sequence(gymnasium.spaces.Discrete(2)), Graph(gymnasium.spaces.Box(-1, 1, (2,)), None)]
)
@pytest.mark.parametrize("inside", [lambda s: s, lambda s: OneOf([Tuple([s])])], ids=["bare", "deep"])
def test_what_has_no_head_is_refused_by_name(space: gymnasium.Space, inside) -> None:
    with pytest.raises(UnsupportedSpaceError, match=type(space).__name__):
        make_head(inside(space), 4, HeadOptions(), Generator())


def test_boxes_of_more_integers_than_can_be_chosen_from_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"integers to choose from; draw some of them, .*Binned"):
        make_head(gymnasium.spaces.Box(-(2**31), 2**31 - 1, (2,), np.int32), 4, HeadOptions(), Generator())
