"""Heads for a Box as a policy uses them: where σ comes from, what reaches the environment, the first ratio."""

import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import Generator, Tensor

import clipper
from clipper.environments import make
from clipper.errors import ConfigError, UnsupportedSpaceError
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import (
    GSDE,
    Beta,
    BoxDistribution,
    Deterministic,
    ExpOfState,
    Fixed,
    Gaussian,
    HeadOptions,
    Learned,
    LinearLogStd,
    LinearStd,
    Scale,
    SoftplusOfState,
    TanhGaussian,
)
from clipper.networks.heads.make_head import make_head
from clipper.networks.heads.scales import LOG_STD_BOUNDS
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

DISTRIBUTIONS = (Gaussian(), TanhGaussian(), Beta(), GSDE(3))
SCALES = (Learned(), Fixed(), LinearLogStd(-2.0), LinearStd(0.1), ExpOfState(), SoftplusOfState())
KINDS = [HeadOptions(distribution=d) for d in (*DISTRIBUTIONS, Deterministic())] + [
    HeadOptions(distribution=d, std=s) for d in DISTRIBUTIONS[:2] for s in SCALES[1:]
]
BOX = Box(np.array([-2, 0, -1], np.float32), np.array([2, 10, 1], np.float32))


def name(options: HeadOptions) -> str:
    return f"{type(options.distribution).__name__}-{type(options.std).__name__}"


def policy_for(options: HeadOptions, space: Any = BOX, dtype: torch.dtype = torch.float32) -> Any:
    observations = Box(-np.inf, np.inf, (3,))
    return make_policy(observations, space, PolicyOptions(hidden=(8,), head=options), Generator().manual_seed(1)).to(
        dtype
    )


def head_for(std: Scale, start: float = 0.0, distribution: BoxDistribution = DISTRIBUTIONS[0]) -> Any:
    options = HeadOptions(std=std, initial_log_std=start, distribution=distribution)
    return make_head(BOX, 8, options, Generator().manual_seed(0))


def features(*batch: int, seed: int = 0) -> Tensor:
    return torch.randn(*batch, 8, generator=Generator().manual_seed(seed))


# --- where σ comes from -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", SCALES, ids=lambda s: type(s).__name__)
def test_sigma_starts_where_it_was_asked_to(std: Scale) -> None:
    log_std = head_for(std, start=-0.7)(features(500)).log_std.detach()
    assert log_std.mean().item() == pytest.approx(-0.7, abs=0.005)
    by_state = isinstance(std, ExpOfState | SoftplusOfState)
    assert log_std.shape == ((500, 3) if by_state else (3,))
    assert (log_std.std(0).min() > 1e-3) == by_state


@pytest.mark.parametrize("std", SCALES, ids=lambda s: type(s).__name__)
def test_what_is_trained_and_what_is_not(std: Scale) -> None:
    """A fixed or scheduled σ has no parameter, and nothing of the head but its mean has a gradient."""
    head = head_for(std)
    dist = head(features(20))
    (dist.log_prob(torch.ones(20, 3)) + dist.entropy()).sum().backward()
    trained = {n for n, p in head.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    own = {
        Learned: {"log_std.value"},
        ExpOfState: {"log_std.linear.weight", "log_std.linear.bias"},
        SoftplusOfState: {"log_std.linear.weight", "log_std.linear.bias"},
    }
    assert trained == {"mean.weight", "mean.bias"} | own.get(type(std), set())
    assert trained == {n for n, _ in head.named_parameters()}


@pytest.mark.parametrize(("std", "at"), [
    (Fixed(), lambda p: 0.5),
    (LinearStd(0.1), lambda p: 0.5 - 0.4 * p),
    (LinearLogStd(math.log(0.1)), lambda p: 0.5 ** (1 - p) * 0.1**p),
])  # fmt: skip
def test_sigma_follows_its_line(std: Scale, at: Any) -> None:
    policy = policy_for(HeadOptions(std=std, initial_log_std=math.log(0.5)))
    learner = clipper.PPO().init(policy)
    for progress in (0.0, 0.25, 0.5, 1.0, 1.3):
        learner.advance(progress)
        assert learner.progress == progress
        log_std = policy.act(torch.zeros(1, 3))[0].log_std
        assert log_std.exp().tolist() == pytest.approx([at(min(progress, 1.0))] * 3, rel=1e-6)


def test_a_schedule_reaches_a_policy_that_moved_to_another_dtype() -> None:
    """``.double()`` replaces buffers; the learner must find the new ones."""
    policy = policy_for(HeadOptions(std=LinearStd(0.5)))
    learner = clipper.PPO().init(policy)
    policy.double()
    learner.advance(0.5)
    assert policy.act(torch.zeros(1, 3))[0].log_std.exp().tolist() == pytest.approx([0.75] * 3, rel=1e-12)


@pytest.mark.parametrize("std", [ExpOfState(), SoftplusOfState()])
@pytest.mark.parametrize("raw", [-1e4, -200.0, 200.0, 1e4])
def test_sigma_of_the_state_stays_within_its_bounds(std: Scale, raw: float) -> None:
    head = head_for(std)
    torch.nn.init.constant_(head.log_std.linear.bias, raw)
    dist = head(features(4))
    assert (dist.log_std >= LOG_STD_BOUNDS[0] - 1e-4).all()
    assert (dist.log_std <= LOG_STD_BOUNDS[1]).all()
    dist.log_prob(torch.ones(4, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_softplus_of_state_is_softplus() -> None:
    head = head_for(SoftplusOfState())
    z = features(20)
    std = torch.log1p((math.log(math.e - 1) + head.log_std.linear(z)).exp()) + math.exp(-10)
    torch.testing.assert_close(head(z).log_std.exp(), std)


# --- what reaches the environment -------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("options", KINDS, ids=name)
def test_draws_are_in_the_space(options: HeadOptions) -> None:
    policy = policy_for(options)
    dist, _ = policy.act(3 * torch.randn(1000, 3, generator=Generator().manual_seed(0)))
    actions = policy.to_env(10 * dist.sample(Generator().manual_seed(1)))
    assert actions.shape == (1000, 3)
    assert actions.dtype == np.float32
    assert all(BOX.contains(a) for a in actions)
    for edge in (-1e9, 1e9):
        assert BOX.contains(policy.to_env(torch.full((3,), edge)))


@pytest.mark.parametrize("distribution", [TanhGaussian(), Beta()], ids=lambda d: type(d).__name__)
def test_the_support_is_the_box(distribution: BoxDistribution) -> None:
    """0 goes to the middle, and raw draws approach either bound without being clipped there."""
    policy = policy_for(HeadOptions(distribution=distribution, rescale_action=False))
    assert policy.to_env(torch.zeros(3)).tolist() == pytest.approx([0, 5, 0])
    near = policy.to_env(torch.full((3,), 4.0))
    inside = math.tanh(4.0) if isinstance(distribution, TanhGaussian) else 2 / (1 + math.exp(-4.0)) - 1
    assert near.tolist() == pytest.approx([2 * inside, 5 + 5 * inside, inside], rel=1e-6)


INFINITE = [Box(-np.inf, np.inf, (2,)), Box(0, np.inf, (2,)), Box(-np.inf, 1, (2,)),
            Box(np.array([-1, -np.inf], np.float32), np.ones(2, np.float32))]  # fmt: skip


@pytest.mark.parametrize("space", INFINITE, ids=str)
@pytest.mark.parametrize("distribution", [TanhGaussian(), Beta(), Deterministic()], ids=lambda d: type(d).__name__)
def test_bounded_distributions_refuse_infinite_bounds(distribution: BoxDistribution, space: Box) -> None:
    with pytest.raises(UnsupportedSpaceError, match="a bound is infinite; use gaussian"):
        policy_for(HeadOptions(distribution=distribution), space)


@pytest.mark.parametrize("distribution", [Gaussian(), GSDE()], ids=lambda d: type(d).__name__)
def test_half_infinite_bounds_clip_on_the_finite_side(distribution: BoxDistribution) -> None:
    options = HeadOptions(distribution=distribution)
    outcomes = [policy_for(options, space).to_env(torch.tensor([-50.0, 50.0])).tolist() for space in INFINITE]
    assert outcomes == [[-50, 50], [0, 50], [-50, 1], [-1, 1]]


@pytest.mark.parametrize(("options", "complaint"), [
    (HeadOptions(distribution=Beta(), std=Fixed()), "beta policy has no σ"),
    (HeadOptions(distribution=GSDE(), std=LinearStd()), "gsde learns a σ of its own"),
    (HeadOptions(distribution=Deterministic(), std=Fixed()), "deterministic policy has the σ of its noise"),
])  # fmt: skip
def test_options_that_would_be_ignored_are_refused(options: HeadOptions, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        policy_for(options)


def test_gsde_within_a_tree_is_refused() -> None:
    for tree in (gymnasium.spaces.Dict(a=BOX), gymnasium.spaces.Tuple([BOX]), gymnasium.spaces.OneOf([BOX, BOX])):
        with pytest.raises(ConfigError, match="gsde keeps its noise"):
            policy_for(HeadOptions(distribution=GSDE()), tree)
    dist, _ = policy_for(HeadOptions(distribution=Beta()), gymnasium.spaces.Tuple([BOX, BOX])).act(torch.zeros(1, 3))
    assert dist.log_prob(dist.sample(Generator().manual_seed(0))).isfinite().all()


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="every must be at least 1"):
        GSDE(0)
    with pytest.raises(ConfigError, match="above 0"):
        LinearStd(0.0)


# --- the first ratio --------------------------------------------------------------------------------------------------


class FarOut(gymnasium.Env):
    """Observations so large, and bounds so narrow, that most Gaussian actions lie outside."""

    observation_space = Box(-np.inf, np.inf, (3,))
    action_space = Box(-0.1, 0.1, (3,))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return self.look(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        return self.look(), 0.0, bool(self.np_random.random() < 0.1), False, {}

    def look(self) -> np.ndarray:
        return self.np_random.normal(size=3).astype(np.float32) * 3


@torch.no_grad()
def first_ratios(policy: Any, judge: ActorCritic, change: Any = lambda action: action) -> Tensor:
    """π(a|s)/μ(a|s) − 1 of all decisions, where nothing was updated in between."""
    env = make(FarOut, 4)
    steps, _ = VectorRollouts(env, 0).collect(policy, horizon=40)
    obs = steps.obs.to(next(judge.parameters()).dtype)
    log_ratio = judge(obs)[0].log_prob(change(steps.action)) - steps.log_prob
    return log_ratio[steps.mask].exp() - 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("options", KINDS, ids=name)
def test_the_first_ratio_is_one(options: HeadOptions, dtype: torch.dtype, tolerance: float) -> None:
    policy = policy_for(options, FarOut.action_space, dtype)
    clipper.PPO().init(policy).advance(0.4)
    assert first_ratios(policy, policy).abs().max() <= tolerance


@pytest.mark.parametrize("rescale", [False, True])
def test_a_stored_action_that_was_clipped_would_show(rescale: bool) -> None:
    """The bad variant: the likelihood of what the environment was given, instead of what was drawn."""
    policy = policy_for(HeadOptions(rescale_action=rescale), FarOut.action_space)
    bound = 1.0 if rescale else 0.1
    assert first_ratios(policy, policy).abs().max() <= 1e-5
    clipped = first_ratios(policy, policy, lambda action: action.clamp(-bound, bound))
    assert clipped.abs().max() > 0.1


def test_an_action_squashed_before_it_is_stored_would_show() -> None:
    """Atanh of float32's tanh(u) is not u where |u| is large."""
    policy = policy_for(HeadOptions(distribution=TanhGaussian(), initial_log_std=1.5), FarOut.action_space)
    limit = 1 - 1e-6
    squashed = first_ratios(policy, policy, lambda u: u.tanh().clamp(-limit, limit).atanh())
    assert squashed.abs().max() > 0.1


# --- gSDE's noise -----------------------------------------------------------------------------------------------------


def gsde(every: int, n: int = 4) -> tuple[Any, Any]:
    policy = policy_for(HeadOptions(distribution=GSDE(every)), FarOut.action_space)
    return policy, VectorRollouts(make(FarOut, n), 0)


@torch.no_grad()
def test_the_noise_is_one_matrix_for_as_many_steps_as_was_asked() -> None:
    """(a − μ(s)) = θᵀ z(s): within one lifetime all rows solve for one θ; and a new lifetime has another."""
    policy = policy_for(HeadOptions(distribution=GSDE(12)))
    generator, begins = Generator().manual_seed(0), np.array([False, False])
    obs = torch.randn(24, 2, 3, generator=generator)
    memory, rows = (), []
    for t in range(24):
        memory = policy.renew(memory, begins, generator)
        dist, memory = policy.act(obs[t], memory)
        rows.append(dist.sample() - dist.mode)
    z, noise = policy.actor(obs), torch.stack(rows)
    theta = [[torch.linalg.lstsq(z[part, i], noise[part, i]) for part in (slice(12), slice(12, 24))] for i in (0, 1)]
    for i in (0, 1):
        for k, part in enumerate((slice(12), slice(12, 24))):
            torch.testing.assert_close(z[part, i] @ theta[i][k].solution, noise[part, i], atol=1e-4, rtol=1e-4)
        assert (theta[i][0].solution - theta[i][1].solution).abs().max() > 0.05
    assert (theta[0][0].solution - theta[1][0].solution).abs().max() > 0.05, "environments share their noise"


def test_an_episodes_first_step_has_new_noise() -> None:
    policy, _ = gsde(1000)
    memory = policy.renew((), np.zeros(3, bool), Generator().manual_seed(0))
    later = policy.renew(memory, np.array([False, True, False]), Generator().manual_seed(1))
    same = [torch.equal(later[0][i], memory[0][i]) for i in range(3)]
    assert same == [True, False, True]
    assert later[1].tolist() == [2, 1, 2]


@torch.no_grad()
def test_actions_have_the_marginal_variance() -> None:
    """Over draws of the noise, (a − μ)/σ̂ is a standard normal in each component."""
    policy, _ = gsde(1)
    obs, generator = torch.randn(1, 3, generator=Generator().manual_seed(3)).expand(20_000, 3), Generator()
    memory = policy.renew((), np.zeros(20_000, bool), generator.manual_seed(0))
    drawn = policy.act(obs, memory)[0].sample()
    marginal = policy.act(obs)[0]
    z = (drawn - marginal.mode) / marginal.log_std.exp()
    assert z.mean(0).abs().max() < 4 / math.sqrt(20_000)
    assert (z.var(0) - 1).abs().max() < 4 * math.sqrt(2 / 20_000)


def test_memory_goes_on_from_one_segment_to_the_next() -> None:
    policy, state = gsde(7)
    whole, _ = state.collect(policy, horizon=20)
    policy, state = gsde(7)
    first, _ = state.collect(policy, horizon=9)
    second, _ = state.collect(policy, horizon=11)
    assert torch.equal(whole.action, torch.cat([first.action, second.action]))


def test_evaluation_draws_its_own_noise() -> None:
    """Training's next segment is the same, whether or not the policy was evaluated in between."""
    policy, state = gsde(7)
    state.collect(policy, horizon=9)
    before = [x.clone() for x in state.memory]
    clipper.evaluate(policy, FarOut, episodes=3, seed=0, deterministic=False)
    assert all(map(torch.equal, state.memory, before))
    greedy = clipper.evaluate(policy, FarOut, episodes=3, seed=0)
    assert greedy.lengths.sum() > 3


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS, ids=name)
def test_gradients_by_finite_differences(options: HeadOptions) -> None:
    """Of log π and H with respect to every parameter of the head."""
    head = make_head(BOX, 8, options, Generator().manual_seed(0))
    assert isinstance(head, torch.nn.Module)
    head.double()
    z = features(4).double()
    action = head(z).sample(Generator().manual_seed(1)).detach()
    names, values = zip(*[(n, p.detach().clone().requires_grad_()) for n, p in head.named_parameters()], strict=True)

    def of(*parameters: Tensor) -> tuple[Tensor, Tensor]:
        dist = torch.func.functional_call(head, dict(zip(names, parameters, strict=True)), (z,))
        return dist.log_prob(action), dist.entropy().expand(4)

    assert torch.autograd.gradcheck(of, values)
