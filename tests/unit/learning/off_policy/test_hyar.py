"""HyAR: its formulas by hand, what a representation brings back, what is executed, and codes that are made anew."""

from typing import Any

import numpy as np
import pytest
import torch
from batches import OBSERVATIONS, small_policy
from gymnasium.spaces import Box, Discrete, OneOf
from torch import Generator

import clipper
from clipper.errors import ConfigError
from clipper.functional.latent_actions import central_range, evidence_bound, nearest_choice, relabelled
from clipper.learning.exploration import UniformOrPolicy
from clipper.learning.replay import Transitions
from clipper.networks.action_representation import ActionRepresentation
from clipper.networks.heads import BestQ, HeadOptions, Latent, LatentHead
from clipper.networks.heads.latent import UNKNOWN
from clipper.networks.make_policy import make_policy

SPACE = OneOf([Box(np.array([0, -2], np.float32), np.array([1, 4], np.float32)), Discrete(1), Box(-1, 1, (1,))])
SMALL = clipper.PolicyOptions(
    hidden=(5,), activation="relu", orthogonal=False, head=HeadOptions(one_of=Latent(3, 2, width=16))
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def head_of(policy: Any) -> LatentHead:
    assert isinstance(policy.head, LatentHead)
    return policy.head


def made() -> Any:
    return make_policy(OBSERVATIONS, SPACE, clipper.HyAR().policy_options(SMALL), Generator().manual_seed(0))


def test_the_nearest_legal_choice_is_found_by_a_loop() -> None:
    e, table, legal = drawn(9, 3), drawn(4, 3, seed=1), drawn(9, 4, seed=2) > -0.5
    legal[:, 0] |= ~legal.any(-1)
    for mask in (None, legal):
        found = nearest_choice(e, table, mask)
        for b in range(9):
            allowed = [k for k in range(4) if mask is None or mask[b, k]]
            assert found[b] == min(allowed, key=lambda k: sum(float(e[b, i] - table[k, i]) ** 2 for i in range(3)))


def test_the_bound_is_torch_s() -> None:
    x, again, mean, log_std = drawn(6, 2), drawn(6, 2, seed=1), drawn(6, 3, seed=2), drawn(6, 3, seed=3)
    normal = torch.distributions.Normal(mean, log_std.exp())
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    distance = torch.nn.functional.mse_loss(again, x, reduction="none").sum(-1)
    torch.testing.assert_close(evidence_bound(x, again, mean, log_std), distance + kl)


def test_bounds_hold_the_central_share_of_codes() -> None:
    z = torch.stack([torch.arange(101.0), -2 * torch.arange(101.0)], 1)[torch.randperm(101)]
    low, high = central_range(z, 0.9)
    torch.testing.assert_close((low, high), (torch.tensor([5.0, -190.0]), torch.tensor([95.0, -10.0])))


def test_what_is_stale_is_made_anew_and_nothing_else() -> None:
    kept, now = torch.zeros(4, 5), torch.ones(4, 5)
    moved, wrong = torch.tensor([False, True, False, True]), torch.tensor([False, False, True, True])
    expected = [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [1, 1, 1, 1, 1]]
    assert relabelled(kept, now, moved, wrong, 3).tolist() == expected


def test_a_representation_brings_arguments_back_and_says_what_follows() -> None:
    """Of two states' numbers s, arguments x of one choice of three move the first by x, those of another by −x."""
    own = ActionRepresentation(2, (1, 1, 0), 3, 2, 32, Generator().manual_seed(0))
    optimizer = torch.optim.Adam(own.parameters(), 3e-3)
    g = Generator().manual_seed(1)

    def batch() -> tuple[torch.Tensor, ...]:
        s, choice = torch.randn(128, 2, generator=g), torch.randint(3, (128,), generator=g)
        x = (2 * torch.rand(128, 1, generator=g) - 1) * (choice < 2)[:, None]
        moved = x * (1 - 2 * choice)[:, None] * (choice < 2)[:, None]
        return s, choice, x, torch.cat([moved, torch.zeros_like(x)], 1)

    for _ in range(700):
        s, choice, x, change = batch()
        mean, log_std = own.encode(s, choice, x)
        z = mean + log_std.exp() * torch.randn(mean.shape, generator=g)
        again, told = own.decode(s, choice, z)
        kl = evidence_bound(x, x, mean, log_std)
        loss = (10 * (x - again).square().sum(-1) + 10 * (change - told).square().sum(-1) + 0.01 * kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    s, choice, x, change = batch()
    again, told = own.decode(s, choice, own.encode(s, choice, x)[0])
    assert again[choice == 2].abs().max() == 0  # it has none
    assert (again - x).abs().mean() < 0.1
    assert (told - change).abs().mean() < 0.1


def test_codes_are_mapped_onto_the_bounds_and_back() -> None:
    own = ActionRepresentation(2, (2, 0), 2, 2, 4, Generator().manual_seed(0))
    own.low.copy_(torch.tensor([-3.0, 1.0]))
    own.high.copy_(torch.tensor([1.0, 2.0]))
    z = torch.tensor([[-1.0, 1.0], [0.0, -0.5]])
    torch.testing.assert_close(own.to_code(z), torch.tensor([[-3.0, 2.0], [-1.0, 1.25]]))
    torch.testing.assert_close(own.from_code(own.to_code(z)), z)
    assert own.from_code(torch.tensor([[9.0, -9.0]])).tolist() == [[1, -1]]


def test_actions_are_in_the_environment_s_units_and_come_back() -> None:
    policy = made()
    latent, x = torch.zeros(3, 5), torch.tensor([[0.5, -1.0], [0.0, 0.0], [-0.25, 0.0]])
    choice, parts = policy.to_env((latent, torch.tensor([0, 1, 2]), x))
    assert choice.tolist() == [0, 1, 2]
    np.testing.assert_allclose(parts[0][0], [0.75, -2])
    assert parts[1][1] == 0
    np.testing.assert_allclose(parts[2][2], [-0.25])
    unknown, same, again = head_of(policy).from_env((choice, parts))
    assert (unknown == UNKNOWN).all()
    assert same.tolist() == [0, 1, 2]
    torch.testing.assert_close(again, x)


def test_only_legal_choices_are_made_at_first_and_later() -> None:
    policy = made()
    learner = clipper.HyAR(learning_starts=10, representation_starts=20, update_ratio=0.5).init(policy)
    assert isinstance(learner.behaviour, UniformOrPolicy)
    assert learner.behaviour.first == 50
    obs = drawn(4000, OBSERVATIONS.shape[0])
    legal = torch.tensor([True, False, True]).expand(4000, 3)
    uniform = learner.behaviour.act(obs, action_mask=(legal, ()))[0]
    latent, choice, x = uniform.sample(learner.generator)
    assert (latent == UNKNOWN).all()
    assert choice.unique().tolist() == [0, 2]
    assert (choice == 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert x[choice == 2, 1].abs().max() == 0
    assert x[choice == 0].std() == pytest.approx(3**-0.5, abs=0.05)
    learner.extra["decisions"] += 50
    learner.advance(1.0)
    latent, choice, _ = learner.behaviour.act(obs, action_mask=(legal, ()))[0].sample(learner.generator)
    assert (choice != 1).all()
    own = latent[:, 0] != UNKNOWN
    assert own.float().mean() == pytest.approx(0.95, abs=0.015)
    nearest = nearest_choice(latent[own, :3], head_of(policy).representation.table, legal[own])
    assert torch.equal(choice[own], nearest)


def test_codes_of_uniform_actions_and_of_others_than_were_done_are_made_anew() -> None:
    policy = made()
    learner = clipper.HyAR(stale_factor=1e9).init(policy)
    own = head_of(policy).representation
    obs, choice = drawn(4, OBSERVATIONS.shape[0]), torch.tensor([0, 1, 2, 0])
    x = torch.where(own.own[choice], 0.5, 0.0)
    e = own.table[choice].detach()
    kept = torch.cat([e, torch.full((4, 2), 0.25)], 1)
    kept[1], kept[2, :3] = UNKNOWN, -e[2]
    assert own.nearest(kept[2:3, :3]) != 2
    batch = Transitions(obs, (kept, choice, x), torch.zeros(4), torch.ones(4), obs)
    with torch.no_grad():
        found = clipper.HyAR(stale_factor=1e9).kept(learner, batch)
        again = own.from_code(own.encode(policy.encoder(obs), choice, x)[0])
    assert torch.equal(found[[0, 3]], kept[[0, 3]])
    torch.testing.assert_close(found[1:3], torch.cat([e, again], 1)[1:3])
    with torch.no_grad():  # every code is wrong by a large factor of nothing
        found = clipper.HyAR(stale_factor=1e-9).kept(learner, batch)
    torch.testing.assert_close(found[:, 3:], again)


def test_what_follows_a_termination_counts_for_nothing() -> None:
    """There sₜ stands in the place of the next state: with other numbers in it nothing changes."""

    def learned(next_obs: float) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        learner = clipper.HyAR(representation_starts=1).init(made())
        obs, choice = drawn(4, OBSERVATIONS.shape[0]), torch.tensor([0, 1, 2, 0])
        kept, after = torch.full((4, 5), 0.25), obs + 1
        after[1] += next_obs
        discount = torch.tensor([0.9, 0.0, 0.9, 0.9])
        batch = Transitions(obs, (kept, choice, torch.zeros(4, 2)), torch.zeros(4), discount, after)
        clipper.HyAR().represent(learner, batch)
        with torch.no_grad():
            codes = clipper.HyAR(stale_factor=1e-9).kept(learner, batch)
        return {name: x.clone() for name, x in learner.policy.state_dict().items()}, codes

    (first, codes), (second, same) = learned(0.0), learned(50.0)
    assert all(torch.equal(x, second[name]) for name, x in first.items())
    assert torch.equal(codes, same)


def test_codes_near_a_choice_that_was_illegal_stay() -> None:
    policy = made()
    own = head_of(policy).representation
    learner = clipper.HyAR(stale_factor=1e9).init(policy)
    obs = drawn(1, OBSERVATIONS.shape[0])
    e = own.table[:1].detach()  # choice 0's, which the mask forbids: the nearest legal one was done
    kept = torch.cat([e, torch.zeros(1, 2)], 1)
    legal = torch.ones(1, 3, dtype=torch.bool)
    legal[0, 0] = False
    choice = own.nearest(e, legal)
    batch = Transitions(obs, (kept, choice, torch.zeros(1, 2)), torch.zeros(1), torch.ones(1), obs, (legal, ()), ())
    with torch.no_grad():
        masked = clipper.HyAR(stale_factor=1e9).kept(learner, batch)
        bare = clipper.HyAR(stale_factor=1e9).kept(learner, batch._replace(action_mask=()))
    assert torch.equal(masked, kept)
    assert not torch.equal(bare, kept)


def test_an_optimizer_moves_the_representation_and_another_the_policy() -> None:
    learner = clipper.HyAR().init(small_policy("one of", clipper.HyAR().policy_options(SMALL)))
    parts = {name: sum(p.numel() for p in part.parameters) for name, part in learner.parts.items()}
    own = sum(p.numel() for p in head_of(learner.policy).representation.parameters())
    assert parts["representation"] == own
    assert parts[""] == sum(p.numel() for p in learner.policy.parameters()) - own


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave n_step at 1"):
        clipper.HyAR(n_step=3).init(made())
    with pytest.raises(ConfigError, match="in a latent space, not by BestQ"):
        clipper.HyAR().policy_options(clipper.PolicyOptions(head=HeadOptions(one_of=BestQ())))
    with pytest.raises(ConfigError, match="no arguments to encode"):
        make_policy(OBSERVATIONS, OneOf([Discrete(1), Discrete(1)]), clipper.HyAR().policy_options(None), Generator())
