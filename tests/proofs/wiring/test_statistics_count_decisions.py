"""Running statistics take in each decision once, in every algorithm and engine, whatever else is switched on."""

import dataclasses
import itertools
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from batches import small_policy
from wiring.rig import ALGORITHMS, ENVS, EngineName, engine_for, engines_of, names_of, recorded, short, trained

from clipper.learning.advantages import Raw, Standardised
from clipper.learning.critic_targets import Polyak, TDLambda
from clipper.learning.kl import Exact
from clipper.learning.rewards import Normalised, Scaled
from clipper.networks.critics import PopArt
from clipper.networks.policy_options import PolicyOptions

UPDATES = 3
EVERYWHERE = [pytest.param(kind, e, id=f"{kind.__name__}-{e}") for kind in ALGORITHMS for e in engines_of(kind)]


def count_of(statistics: Any) -> int:
    assert statistics is not None
    return int(statistics.moments.count)


@pytest.mark.parametrize("normalise", [(True, False), (False, True), (True, True)], ids=["obs", "returns", "both"])
@pytest.mark.parametrize(("kind", "engine"), EVERYWHERE)
def test_normalisers_count_decisions(kind: type, engine: EngineName, normalise: tuple[bool, bool]) -> None:
    obs, returns = normalise
    policy = small_policy("gaussian", PolicyOptions(hidden=(5,), normalise_obs=obs, normalise_returns=returns))
    found = trained(short(kind), engine, policy=policy, updates=UPDATES)
    if obs:
        normaliser: Any = policy.encoder.normaliser  # pyright: ignore[reportAttributeAccessIssue]
        assert count_of(normaliser) == sum(found.decisions)
        seen = [recorded(policy, seed)[0] for seed in range(UPDATES)]
        seen = torch.cat([steps.obs[steps.mask] for steps in seen]).double()
        torch.testing.assert_close(normaliser.moments.mean, seen.mean(0))
        torch.testing.assert_close(normaliser.moments.variance, seen.var(0, correction=0))
        torch.testing.assert_close(normaliser.scale.double(), (normaliser.moments.variance + 1e-8).rsqrt())
    if returns:
        assert count_of(policy.returns) == sum(found.decisions)


@pytest.mark.parametrize(("kind", "engine"), EVERYWHERE)
def test_pop_art_counts_batches(kind: type, engine: EngineName) -> None:
    policy = small_policy("gaussian", PolicyOptions(hidden=(5,), critic=PopArt()))
    trained(short(kind), engine, policy=policy, updates=UPDATES)
    assert count_of(policy.returns) == UPDATES


@pytest.mark.parametrize(("kind", "engine"), EVERYWHERE)
def test_statistics_stand_still_until_the_last_step(
    kind: type, engine: EngineName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in each update, when the parameters are what they will be."""
    algorithm, policy = short(kind), small_policy("gaussian", PolicyOptions(hidden=(5,), normalise_obs=True))
    learner, absorb = algorithm.init(policy), policy.absorb
    taken: list[torch.Tensor] = []
    monkeypatch.setattr(
        policy, "absorb", lambda *batch: (taken.append(learner.parameters.detach().clone()), absorb(*batch))
    )
    worker = engine_for(engine, learner, algorithm)
    for update in range(UPDATES):
        before = learner.parameters.detach().clone()
        worker.update(*recorded(policy, update))
        assert len(taken) == update + 1
        assert torch.equal(taken[-1], learner.parameters)
        assert not torch.equal(taken[-1], before)


def switches(kind: type) -> list[dict[str, Any]]:
    """The algorithm as it is, and with each of its switches, and the values that are such, the other way."""
    found = [field for field in dataclasses.fields(kind) if get_type_hints(kind)[field.name] is bool]
    switched = [{}, *({field.name: not field.default} for field in found)]
    if "kl" in names_of(kind):
        switched.append({"kl": Exact()})
    if "advantages" in names_of(kind):
        standardised = isinstance(kind().advantages, Standardised)
        switched.append({"advantages": Raw() if standardised else Standardised("batch")})
    return switched


def test_the_switches_are_found() -> None:
    found = {kind.__name__: {name for switch in switches(kind) for name in switch} for kind in ALGORITHMS}
    assert found == {
        "PPO": {"recompute", "kl", "advantages"}, "PPOSeparate": {"critic_first", "kl", "advantages"},
        "PPOPenalty": {"advantages"}, "Reinforce": {"causal", "baseline", "advantages"},
        "ImportanceSampling": {"baseline"}, "VPG": {"advantages"}, "A2C": {"advantages"}, "NPG": {"advantages"},
        "TRPO": {"advantages"}, "PPOEWMA": {"advantages"},
    }  # fmt: skip


SCALERS = [
    pytest.param(
        kind, {"rewards": scaler, **switch}, engine,
        id="-".join([kind.__name__, type(scaler).__name__, *switch, engine]),
    )
    for kind, scaler in itertools.product(ALGORITHMS, [Scaled(), Normalised()])
    if "rewards" in names_of(kind)
    for switch in switches(kind)
    for engine in engines_of(kind)
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "engine"), SCALERS)
def test_reward_scalers_count_decisions(kind: type, fields: dict[str, Any], engine: EngineName) -> None:
    found = trained(short(kind, **fields), engine, updates=UPDATES)
    assert count_of(found.learner.reward_scaler) == sum(found.decisions)


@pytest.mark.parametrize("kind", [kind for kind in ALGORITHMS if "rewards" in names_of(kind)])
def test_reward_scalers_know_the_returns_so_far(kind: type) -> None:
    """Their variance is that of Σ γᵏ r over each episode so far, decision by decision in plain floats."""
    found = trained(short(kind, gamma=0.5, rewards=Scaled()), updates=UPDATES)
    so_far, returns = np.zeros(ENVS), []
    policy = small_policy("gaussian")  # what is recorded of rewards and ends does not depend on it
    for steps in (recorded(policy, seed)[0] for seed in range(UPDATES)):
        for reward, done, mask in zip(steps.reward.tolist(), steps.done.tolist(), steps.mask.tolist(), strict=True):
            for env in range(ENVS):
                if mask[env]:
                    so_far[env] = 0.5 * so_far[env] + reward[env]
                    returns.append(so_far[env])
                    so_far[env] *= not done[env]
    assert found.learner.reward_scaler is not None
    assert float(found.learner.reward_scaler.moments.variance) == pytest.approx(np.var(returns), rel=1e-5)


LAGGED = [
    pytest.param(kind, switch, id="-".join([kind.__name__, *switch]))
    for kind in ALGORITHMS
    if "critic_target" in names_of(kind)
    for switch in [*switches(kind), {"rewards": Scaled()}]
]


@pytest.mark.parametrize(("kind", "switch"), LAGGED)
def test_a_lagging_critic_follows_once_an_update(kind: type, switch: dict[str, Any]) -> None:
    """However often an update estimates anew: θ⁻ ← θ⁻ + τ (θ − θ⁻) of the critic with which the update began."""
    algorithm, policy = short(kind, critic_target=TDLambda(0.5, Polyak(0.25)), **switch), small_policy("gaussian")
    learner = algorithm.init(policy)
    lagged = [p.detach().clone() for p in policy.parameters()]
    for update in range(UPDATES):
        lagged = [old + 0.25 * (new.detach() - old) for old, new in zip(lagged, policy.parameters(), strict=True)]
        algorithm.update(learner, *recorded(policy, update))
        for ours, theirs in zip(lagged, learner.lagged.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)
