"""Parts drawn one after another: the chain rule by enumeration, estimates by their means, and masks given a choice."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from spaces.matrix import AnySpace, observations, policy_for
from spaces.skills import Orders, table
from spaces.test_densities import actions_of
from torch import Generator

from clipper.algorithms import PPO, TRPO
from clipper.data.trees import each, leaves
from clipper.distributions import Autoregressive
from clipper.engines.cpu.network import read_network
from clipper.engines.protocol import UnsuitableError
from clipper.environments import make
from clipper.errors import ConfigError, EnvironmentContractError
from clipper.learning.action_parts import Joint, Parts, PerPart
from clipper.learning.advantages import Standardised, with_old
from clipper.learning.kl import Exact
from clipper.learning.minibatches import minibatches
from clipper.networks.actor_critic import ActorCritic
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.spaces.action_masks import action_masks
from clipper.spaces.actions import element

STATES = 5
EXACT: dict[str, gymnasium.Space] = {
    "tuple": Tuple([Discrete(3, start=-1), Discrete(2), Discrete(3)]),
    "dict": Dict({"b": MultiDiscrete([2, 3]), "a": MultiBinary(2)}, sort_keys=False),
    "tree last": Tuple([Discrete(2), OneOf([Discrete(2), Tuple([Discrete(2), Discrete(3)])])]),
}
ESTIMATED: dict[str, gymnasium.Space] = {
    "box first": Tuple([Box(-1, 1, (2,)), Discrete(3)]),
    "box between": Dict(a=Discrete(2), b=Box(0, 5, ()), c=MultiBinary(2)),
    "tree first": Tuple([OneOf([Discrete(3), Box(-1, 1, (1,))]), Dict(x=Discrete(2), y=Box(-1, 1, ())), Discrete(2)]),
    "many values": Tuple([MultiDiscrete([9, 9]), Discrete(2)]),
    "one-of around": OneOf([Tuple([Box(-1, 1, (1,)), Discrete(2)]), Discrete(2)]),
}
every = pytest.mark.parametrize("space", (EXACT | ESTIMATED).values(), ids=EXACT | ESTIMATED)


def pair(space: gymnasium.Space, obs: torch.Tensor, mask=()):
    """π and π′ in float64, in the same states."""
    with torch.no_grad():
        return [policy_for(space, seed, autoregressive=True).double().act(obs, action_mask=mask)[0] for seed in (0, 1)]


def every_action(space: gymnasium.Space, states: int = STATES) -> list:
    return [each(lambda x: x.expand(states, *x.shape), action) for action in actions_of(space)]


@pytest.mark.parametrize("masked", [False, True], ids=["free", "masked"])
@pytest.mark.parametrize("name", EXACT)
def test_by_enumeration(name: str, masked: bool) -> None:
    space, rng, mask = EXACT[name], np.random.default_rng(0), ()
    if masked and name == "tuple":  # the second given the first, the third given the second
        given = [
            (table(rng, 1, 3)[0], {"given": 0, "table": table(rng, 3, 2)}, {"given": 1, "table": table(rng, 2, 3)})
            for _ in range(STATES)
        ]
        mask = action_masks(space, given, STATES, np.ones(STATES, dtype=bool))
    elif masked and name == "tree last":
        trees = [
            (None, {"given": 0, "table": [(table(rng, 1, 2)[0], (None, (table(rng, 1, 2)[0], None))) for _ in "01"]})
            for _ in range(STATES)
        ]
        mask = action_masks(space, trees, STATES, np.ones(STATES, dtype=bool))
    pi, other = pair(space, observations(STATES).double(), mask)
    log_p = torch.stack([pi.log_prob(action) for action in every_action(space)])
    log_q = torch.stack([other.log_prob(action) for action in every_action(space)])
    p = log_p.exp()
    torch.testing.assert_close(p.sum(0), torch.ones(STATES, dtype=torch.float64))
    safe = p > 0
    assert safe.all() == (not mask)
    torch.testing.assert_close(pi.entropy(), -torch.where(safe, p * log_p, 0).sum(0))
    torch.testing.assert_close(pi.kl(other), torch.where(safe, p * (log_p - log_q), 0).sum(0))
    rebuilt = [type(dist)(*dist.params) for dist in (pi, other)]  # as an update keeps the old policy
    torch.testing.assert_close(rebuilt[0].kl(other), pi.kl(other))
    torch.testing.assert_close(pi.kl(rebuilt[1]), pi.kl(other))
    torch.testing.assert_close(rebuilt[0].entropy(), pi.entropy())
    torch.testing.assert_close(torch.stack([rebuilt[0].log_prob(action) for action in every_action(space)]), log_p)
    drawn = [dist.sample(Generator().manual_seed(0)) for dist in (pi, rebuilt[0])]
    assert all(torch.equal(x, y) for x, y in zip(leaves(drawn[0]), leaves(drawn[1]), strict=True))


def test_what_is_forbidden_is_what_the_tables_say() -> None:
    """Every action of every state: its probability is above 0 exactly where the mask's own words allow it."""
    space, rng = EXACT["tuple"], np.random.default_rng(1)
    tables = [(table(rng, 1, 3)[0], table(rng, 3, 2), table(rng, 2, 3)) for _ in range(STATES)]
    given = [(a, {"given": 0, "table": lambda k, b=b: b[k + 1]}, {"given": 1, "table": c}) for a, b, c in tables]
    dist, _ = pair(
        space, observations(STATES).double(), action_masks(space, given, STATES, np.ones(STATES, dtype=bool))
    )
    for action in every_action(space):
        i, j, k = (int(x[0]) for x in action)
        legal = [bool(a[i] and b[i, j] and c[j, k]) for a, b, c in tables]
        assert (dist.log_prob(action).exp() > 0).tolist() == legal


def test_a_later_part_depends_on_the_earlier_and_not_the_other_way() -> None:
    dist, _ = pair(EXACT["tuple"], observations(1).double())
    assert isinstance(dist, Autoregressive)
    first, second, _ = zip(*[dist.log_probs(action) for action in every_action(EXACT["tuple"], 1)], strict=True)
    first, second = (torch.stack(x).reshape(3, 2, 3) for x in (first, second))
    assert (first == first[:, :1, :1]).all()
    assert (second == second[:, :, :1]).all()
    assert (second[0] - second[1]).abs().min() > 1e-3


@pytest.mark.parametrize("space", ESTIMATED.values(), ids=ESTIMATED)
def test_estimates_have_the_right_mean(space: gymnasium.Space) -> None:
    """Within five standard errors of E[−log π] and E[log π − log π′], over actions drawn from one state."""
    n = 20_000
    pi, other = pair(space, observations(1).double().expand(n, 3))
    action = pi.sample(Generator().manual_seed(1))
    log_p, log_q = pi.log_prob(action), other.log_prob(action)
    old = type(pi)(*pi.params)
    for estimates, drawn in ((pi.entropy(), -log_p), (pi.kl(other), log_p - log_q), (old.kl(other), log_p - log_q)):
        error = (estimates.var() / n + drawn.var() / n).sqrt()
        assert abs(estimates.mean() - drawn.mean()) < 5 * error
    assert log_p.isfinite().all()


def test_the_estimated_entropys_gradient_has_the_right_mean() -> None:
    """Of H(second | x), x ~ N(μ, σ²), against quadrature: over x it is an integral of what the chain gives."""
    space, n, obs = Tuple([Box(-1, 1, (1,)), Discrete(3)]), 20_000, observations(1).double()
    policy = policy_for(space, autoregressive=True).double()
    parameters = list(policy.get_submodule("head").parameters())
    many, _ = policy.act(obs.expand(n, 3))
    one, _ = policy.act(obs)
    assert isinstance(many, Autoregressive)
    assert isinstance(one, Autoregressive)
    assert one.chain is not None
    second = many.entropies()[1].reshape(20, -1).mean(1)
    found = torch.stack(
        [flat(torch.autograd.grad(h, parameters, retain_graph=True, allow_unused=True)) for h in second]
    )
    box = one.chain.given(0, {})
    x = (
        box.params[0].detach()
        + box.params[1].detach().exp() * torch.linspace(-8, 8, 2001, dtype=torch.float64)[:, None]
    )
    density = type(box)(*(p.expand(2001, 1) for p in box.params)).log_prob(x).exp()
    entropies = one.chain.given(1, {0: x[None]}, 2001).entropy()[0]
    integral = torch.trapezoid(density * entropies, x[:, 0])
    exact = flat(torch.autograd.grad(integral, parameters, allow_unused=True))
    error = found.std(0) / 20**0.5
    assert ((found.mean(0) - exact).abs() < 5 * error + 1e-9).all()
    assert (exact[:4].abs() > 0).any()  # the first part's mean moves the entropy of the second


def flat(gradients) -> torch.Tensor:
    return torch.cat([g.reshape(-1) for g in gradients if g is not None])


@every
def test_samples_are_in_the_space_and_the_first_ratio_is_one(space: gymnasium.Space) -> None:
    policy = policy_for(space, autoregressive=True)
    env = make(lambda: AnySpace(space), 3)
    algorithm = PPO(horizon=20, epochs=1, minibatches=2, learning_rate=1e-3, entropy_coef=0.01, kl=Exact())
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=20)
    before = policy.double().act(steps.obs)[0].log_prob(steps.action)
    torch.testing.assert_close(before.float(), steps.log_prob, rtol=1e-4, atol=1e-5)
    policy.float()
    learner = algorithm.init(policy)
    head = policy.get_submodule("head")
    old = [p.clone() for p in head.parameters()]
    metrics = algorithm.update(learner, steps, state.obs)
    assert all(x.isfinite() for x in metrics.values())
    assert not any(torch.equal(p, q) for p, q in zip(old, head.parameters(), strict=True))
    action = policy.predict(observations(1)[0].numpy())
    assert space.contains(action)


@pytest.mark.parametrize("parts", [Joint(), PerPart()], ids=["joint", "per_part"])
@pytest.mark.parametrize("name", EXACT)
def test_gradients_by_finite_differences(name: str, parts: Parts) -> None:
    """Of the whole loss, entropy bonus included, and of the exact KL, away from μ."""
    space = EXACT[name]
    algorithm = PPO(horizon=20, parts=parts, entropy_coef=0.1, advantages=Standardised("batch"), clip=0.5, kl=Exact())
    env, policy = make(lambda: AnySpace(space), 2), policy_for(space, autoregressive=True).double()
    learner = algorithm.init(policy)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=20)
    with torch.no_grad():
        targets = with_old(policy, algorithm.targets(learner, steps, state.obs))
    batch = next(minibatches(targets, 1, 1, Generator()))
    generator = Generator().manual_seed(3)
    theta = learner.parameters.data
    theta.add_(0.02 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype))
    gradient = learner.parameters.grad
    assert gradient is not None

    def value() -> torch.Tensor:
        dist, _ = policy.act(batch.steps.obs)
        assert isinstance(dist, Autoregressive)
        kl = Autoregressive(*batch.old).kl(dist)
        return algorithm.loss(learner, batch)[0] + kl.mean()

    gradient.zero_()
    value().backward()
    direction = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    slope, h, values = (gradient * direction).sum().item(), 1e-6, []
    with torch.no_grad():
        for sign in (1, -1):
            theta.add_(sign * h * direction)
            values.append(value().item())
            theta.sub_(sign * h * direction)
    assert (values[0] - values[1]) / (2 * h) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_trpo_keeps_its_kl() -> None:
    """Second derivatives through the chain; the KL that it reports is that of the enumerated actions."""
    space = EXACT["tuple"]
    env, policy = make(lambda: AnySpace(space), 4), policy_for(space, autoregressive=True).double()
    algorithm = TRPO(horizon=64)
    state = VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=64)
    flat_obs = steps.obs[steps.mask]
    actions = every_action(space, len(flat_obs))
    with torch.no_grad():
        before = torch.stack([policy.act(flat_obs)[0].log_prob(a) for a in actions])
    metrics = algorithm.update(algorithm.init(policy), steps, state.obs)
    with torch.no_grad():
        after = torch.stack([policy.act(flat_obs)[0].log_prob(a) for a in actions])
    kl = (before.exp() * (before - after)).sum(0).mean()
    assert 0 < kl <= 0.01
    assert kl == pytest.approx(metrics["policy/kl"].item(), rel=1e-5)


def orders_policy(seed: int = 0) -> ActorCritic:
    return policy_for(Orders.action_space, seed, autoregressive=True)


@pytest.mark.parametrize("vector", ["serial", "next_step", "same_step", "disabled", "alone"])
def test_an_environment_gets_what_its_tables_allow(vector: str) -> None:
    if vector in ("serial", "alone"):
        env = make(lambda: Orders("unreachable"), 1 if vector == "alone" else 4)
    else:
        env = make(SyncVectorEnv([Orders] * 4, autoreset_mode=AutoresetMode[vector.upper()]), 4)
    policy, algorithm = orders_policy(), PPO(horizon=40, epochs=2, minibatches=2)
    learner, state = algorithm.init(policy), VectorRollouts(env, 0)
    for _ in range(2):
        steps, _ = state.collect(policy, horizon=40)
        metrics = algorithm.update(learner, steps, state.obs)
        assert all(x.isfinite() for x in metrics.values())


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("rows", r"the table at action\[1\] has 2 rows, not 3"),
        ("later", r"action\[1\] is a table given 2, which is no Discrete or OneOf that comes before"),
        ("nothing", r"every choice at action\[1\] given 0=\d is masked"),
        ("plain", "gives masks of another form than before"),
    ],
)
def test_bad_tables_are_named(flaw: str, message: str) -> None:
    env = make(lambda: Orders(flaw), 2)
    with pytest.raises(EnvironmentContractError, match=message):
        VectorRollouts(env, 0).collect(orders_policy(), horizon=50)


def test_independent_parts_refuse_a_table() -> None:
    env = make(Orders, 2)
    with pytest.raises(ConfigError, match="autoregressive=True"):
        VectorRollouts(env, 0).collect(policy_for(Orders.action_space), horizon=2)


def test_predict_heeds_a_table() -> None:
    policy, obs = orders_policy(), observations(1)[0].numpy()
    for unit in range(3):
        targets = np.eye(4)[[1, 3, 0]]
        mask = np.eye(3)[unit], {"given": 0, "table": targets}, None
        action = policy.predict(obs, action_mask=mask)
        assert action[:2] == (unit, [1, 3, 0][unit])
        batch = policy.predict(np.stack([obs] * 2), action_mask=[mask] * 2)
        assert [element(Orders.action_space, batch, i)[:2] for i in range(2)] == [action[:2]] * 2


def test_a_choice_of_a_one_of_gives_a_table_too() -> None:
    space = Dict({"skill": OneOf([Discrete(2), Box(-1, 1, (1,))]), "target": Discrete(3)}, sort_keys=False)
    mask = {"target": {"given": "skill", "table": lambda k: np.arange(3) == 2 * k}}
    dist, _ = pair(space, observations(50).double(), action_masks(space, [mask] * 50, 50, np.ones(50, dtype=bool)))
    action = dist.sample(Generator().manual_seed(0))
    assert isinstance(dist, Autoregressive)
    assert (action["target"] == 2 * action["skill"][0]).all()
    assert len(set(action["target"].tolist())) == 2
    assert all(x.isfinite().all() for x in leaves(dist.entropies()))


def test_kernels_refuse_it() -> None:
    learner = PPO().init(policy_for(EXACT["tuple"], autoregressive=True))
    with pytest.raises(UnsuitableError, match="AutoregressiveHead"):
        read_network(learner.policy, learner.parameters)
