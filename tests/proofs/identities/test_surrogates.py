"""What the papers say about their own equations."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clipper.algorithms import PPO
from clipper.functional.objectives import clip, conservative, policy_gradient
from clipper.functional.returns import gae, reward_to_go


def rollout(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Reward, value, terminated, done and mask of 40 rows of 3 environments."""
    generator = torch.Generator().manual_seed(seed)

    def flag(probability: float) -> Tensor:
        return torch.rand(40, 3, generator=generator) < probability

    reward = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    value = torch.randn(41, 3, generator=generator, dtype=torch.float64)
    terminated = flag(0.1)
    done = terminated | flag(0.1)
    mask = torch.ones_like(done)
    mask[1:] = ~done[:-1]  # the row after an end is no decision
    return reward, value, terminated & mask, done & mask, mask


def test_gae_lambda_1_is_the_bootstrapped_return_minus_the_value() -> None:
    reward, value, terminated, done, mask = rollout(1)
    # What is bootstrapped belongs to the last reward of its episode, or of the segment.
    cut = done & ~terminated
    cut[-1] |= mask[-1] & ~terminated[-1]
    returns = reward_to_go(reward + 0.9 * value[1:].where(cut, 0), done, mask, 0.9)
    expected = (returns - value[:-1]).masked_fill(~mask, 0)
    actual = gae(reward, value, terminated, done, mask, 0.9, 1.0)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_an_exact_critic_leaves_no_advantage() -> None:
    """A constant reward 1 for ever: V = 1/(1 − γ) everywhere, and Â = 0 though episodes are truncated."""
    _, _, _, done, mask = rollout(2)
    never = torch.zeros_like(done)
    reward, value = torch.ones(40, 3, dtype=torch.float64), torch.full((41, 3), 10.0, dtype=torch.float64)
    actual = gae(reward, value, never, done, mask, 0.9, 0.95)
    torch.testing.assert_close(actual, torch.zeros_like(actual), rtol=0, atol=1e-14)


def test_at_theta_old_clip_and_cpi_have_the_policy_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    advantage = torch.randn(50, generator=generator, dtype=torch.float64)
    action = torch.randint(4, (50,), generator=generator)
    log_prob = logits.log_softmax(-1)[torch.arange(50), action]
    log_ratio = log_prob - log_prob.detach()
    expected = torch.autograd.grad(policy_gradient(log_prob, advantage).sum(), logits, retain_graph=True)[0]
    for surrogate in (clip(log_ratio, advantage, 0.2, 0.2), conservative(log_ratio, advantage)):
        actual = torch.autograd.grad(surrogate.sum(), logits, retain_graph=True)[0]
        torch.testing.assert_close(actual, expected, rtol=1e-14, atol=1e-14)


numbers = st.floats(-30, 30)


@given(numbers, numbers, st.floats(0, 0.99), st.floats(0, 5))
def test_clip_is_a_lower_bound_of_cpi(log_ratio: float, advantage: float, low: float, high: float) -> None:
    """L^CLIP ≤ L^CPI (section 3), equal within the bounds; losses are −L."""
    x, a = torch.tensor([log_ratio], dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64)
    pessimistic, plain = clip(x, a, low, high), conservative(x, a)
    assert pessimistic >= plain
    if 1 - low <= x.exp() <= 1 + high:
        assert pessimistic == plain


def test_ppo_takes_one_epsilon_for_a_symmetric_pair() -> None:
    """ε and (ε, ε) are the same algorithm."""
    from batches import make_steps, small_policy

    policy = small_policy("categorical").double()
    steps, last = make_steps(policy, rows=12, envs=3, seed=0)
    losses = []
    for bound in (0.1, (0.1, 0.1), (0.1, 0.3)):
        algorithm = PPO(clip=bound)
        learner = algorithm.init(policy)
        targets = algorithm.targets(learner, steps, last)
        shifted = targets._replace(steps=steps._replace(log_prob=steps.log_prob - 0.2))
        losses.append(algorithm.loss(learner, shifted)[0].item())
    assert losses[0] == losses[1] != losses[2]
