"""Bonuses and their returns against loops and hand-made tables."""

import math

import pytest
import torch

from clipper.functional.intrinsic import count_bonus, curiosity_loss, gae_across_episodes, simhash, squared_error
from clipper.functional.returns import gae

STATES = 3
CHAIN = torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.4, 0.6], [1.0, 0.0, 0.0]], dtype=torch.float64)
"""P(s′|s) of a chain in which state 2 is the last of an episode: its row says where the next one begins."""
REWARD = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
"""r_I of arriving there."""


def walked(steps: int, columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """States ``[T+1, N]`` of the chain with a row for each last observation, and which rows are decisions."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.zeros(columns, dtype=torch.int64)]
    for _ in range(steps):
        rows.append(torch.multinomial(CHAIN[rows[-1]], 1, generator=generator).squeeze(-1))
    states = torch.stack(rows)
    return states, states[:-1] != STATES - 1


def by_hand(reward: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float) -> torch.Tensor:
    """The same for one column, by a sum over later decisions, however far."""
    decisions = [t for t in range(len(mask)) if mask[t]]
    out_early = [t + 1 if t < len(mask) - 2 else len(mask) for t in decisions[-1:]]
    following = [*decisions[1:], *out_early]
    delta = {t: reward[t] + gamma * value[f] - value[t] for t, f in zip(decisions, following, strict=True)}
    out = torch.zeros_like(reward)
    for i, t in enumerate(decisions):
        out[t] = sum((gamma * lam) ** k * delta[u] for k, u in enumerate(decisions[i:]))
    return out


@pytest.mark.parametrize(("gamma", "lam"), [(0.9, 0.95), (0.99, 0.0), (0.5, 1.0)])
def test_a_return_goes_on_in_the_next_episode(gamma: float, lam: float) -> None:
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand((13, 6), generator=generator) < 0.7
    mask[:, 0], mask[-1, 1], mask[0, 2], mask[9:, 3], mask[8, 3], mask[:, 4] = True, False, False, False, True, False
    reward, value = (torch.randn(n, 6, generator=generator, dtype=torch.float64) for n in (13, 14))
    found = gae_across_episodes(reward.masked_fill(~mask, torch.nan), value, mask, gamma, lam)
    for i in range(6):
        torch.testing.assert_close(found[:, i], by_hand(reward[:, i], value[:, i], mask[:, i], gamma, lam))


def test_without_an_end_it_is_gae() -> None:
    reward, value = torch.randn(9, 4, dtype=torch.float64), torch.randn(10, 4, dtype=torch.float64)
    never = torch.zeros(9, 4, dtype=torch.bool)
    expected = gae(reward, value, never, never, ~never, 0.97, 0.9)
    torch.testing.assert_close(gae_across_episodes(reward, value, ~never, 0.97, 0.9), expected)


def test_values_of_a_chain_with_restarts_are_those_of_its_enumeration() -> None:
    """V_I of states 0 and 1 solves V = Σ P (r + γ V₊), where + skips the last observation: linear, so exact."""
    gamma, decides = 0.9, [0, 1]
    onward = CHAIN.clone()
    onward[:, decides] += CHAIN[:, 2:] * CHAIN[2, decides]  # who arrives in 2 decides next where an episode begins
    onward = onward[decides][:, decides]
    exact = torch.linalg.solve(torch.eye(2, dtype=torch.float64) - gamma * onward, CHAIN[decides] @ REWARD)
    states, mask = walked(60, 20_000, seed=1)
    value = torch.cat([exact, torch.tensor([torch.nan], dtype=torch.float64)])[states]
    value[-1] = torch.where(states[-1] == 2, exact[0], value[-1])
    advantage = gae_across_episodes(REWARD[states[1:]], value, mask, gamma, 1.0)
    for state in decides:  # Â of the exact V is 0 in the mean: not so with an episode's end in it
        first = advantage[0][states[0] == state] if state == 0 else advantage[1][states[1] == 1]
        assert abs(float(first.mean())) < 4 * float(first.std()) / math.sqrt(len(first))
        assert abs(float(first.mean())) < 0.05
    over = states[1:] == 2
    cut = gae(REWARD[states[1:]], value.nan_to_num(), over, over, mask, gamma, 1.0)
    assert float(cut[0].mean()) < -1


def test_errors_are_sums_over_features() -> None:
    x, y = torch.randn(4, 3, 5, dtype=torch.float64), torch.randn(4, 3, 5, dtype=torch.float64)
    found = squared_error(x, y)
    for i in range(4):
        for j in range(3):
            assert float(found[i, j]) == pytest.approx(sum(float(x[i, j, k] - y[i, j, k]) ** 2 for k in range(5)))
    inverse, forward = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 0.5])
    assert curiosity_loss(inverse, forward, 0.2).tolist() == pytest.approx([0.8 + 0.8, 1.6 + 0.1])


def test_counts_and_codes() -> None:
    assert count_bonus(torch.tensor([1, 4, 100]), 0.6).tolist() == pytest.approx([0.6, 0.3, 0.06])
    directions = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    points = torch.tensor([[2.0, 1.0], [-1.0, 3.0], [-1.0, -2.0], [4.0, 2.0]])
    assert simhash(points, directions).tolist() == [0b011, 0b010, 0b100, 0b011]
