"""One update of Stable-Baselines3 and of Clipper: the same weights, the same batch, the same losses and weights after.

Run by ``make parity``, in an environment of its own.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import ACTIONS, OBSERVATIONS, Kind
from recorded import Recorded, assert_same_parameters, new_policy, record, steps_of
from torch import Tensor

from clipper import PPO
from clipper.algorithms import A2C, Algorithm
from clipper.learning.advantages import Standardised
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Adam, Optimizer, RMSProp, RMSPropTF
from clipper.learning.rewards import Raw
from clipper.networks.actor_critic import ActorCritic
from clipper.settings import presets

sb3 = pytest.importorskip("stable_baselines3", exc_type=ImportError)
contrib = pytest.importorskip("sb3_contrib", exc_type=ImportError)
pytest.importorskip("stable_baselines3.common.sb2_compat.rmsprop_tf_like")
KINDS: list[Kind] = ["categorical", "gaussian"]
ROWS, ENVS = 32, 4


class Silent(gymnasium.Env):
    """Spaces without a world."""

    def __init__(self, kind: Kind) -> None:
        self.observation_space, self.action_space = OBSERVATIONS, ACTIONS[kind]


def peer(kind: Kind, algorithm: Any, ours: ActorCritic, **settings: Any) -> Any:
    """SB3's algorithm with our weights."""
    env = sb3.common.vec_env.DummyVecEnv([lambda: Silent(kind)] * ENVS)
    model = algorithm("MlpPolicy", env, n_steps=ROWS, device="cpu", seed=0, **settings)
    model.set_logger(sb3.common.logger.Logger(None, []))
    with torch.no_grad():
        for name, parameter in theirs_by_our_name(model.policy):
            parameter.copy_(ours.get_parameter(name))
    return model


def theirs_by_our_name(policy: Any) -> Iterator[tuple[str, Tensor]]:
    """SB3's parameters under the names that they have here."""
    head = {"action_net": "head.logits" if isinstance(policy.action_space, gymnasium.spaces.Discrete) else "head.mean"}
    names = {
        "mlp_extractor.policy_net": "actor",
        "mlp_extractor.value_net": "critic",
        "value_net": "value_layer",
    } | head
    for name, parameter in policy.named_parameters():
        ours = "head.log_std.value" if name == "log_std" else name
        for theirs, own in names.items():
            if name.startswith(theirs):
                ours = own + name.removeprefix(theirs)
        yield ours, parameter


@torch.no_grad()
def fill(model: Any, recorded: Recorded) -> None:
    """Give SB3 the batch, as its ``collect_rollouts`` does."""
    buffer, policy = model.rollout_buffer, model.policy
    start = np.ones(ENVS)
    done = (recorded.terminated | recorded.truncated).numpy()
    for t in range(ROWS):
        reward = recorded.reward[t] + recorded.truncated[t] * model.gamma * policy.predict_values(
            recorded.final_obs[t]
        ).flatten()  # fmt: skip
        value = policy.predict_values(recorded.obs[t])
        action = recorded.action[t].reshape(ENVS, -1).numpy()
        buffer.add(recorded.obs[t].numpy(), action, reward.numpy(), start, value, recorded.log_prob[t])
        start = done[t]
    buffer.compute_returns_and_advantage(policy.predict_values(recorded.obs[-1]), done[-1])


def both(
    kind: Kind, algorithm: Algorithm, theirs: Any, **settings: Any
) -> tuple[Learner, Metrics, Any, dict[str, Any]]:
    """One update on each side; ours and theirs afterwards, each with its metrics."""
    policy = new_policy(kind)
    model = peer(kind, theirs, deepcopy(policy), **settings)
    recorded = record(policy, ROWS, ENVS)
    fill(model, recorded)
    learner = algorithm.init(policy)
    metrics = algorithm.update(learner, *steps_of(recorded))
    model.train()
    return learner, metrics, model, model.logger.name_to_value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({}, {}),
        ({"entropy_coef": 0.01, "max_grad_norm": 0.1}, {"ent_coef": 0.01, "max_grad_norm": 0.1}),
        ({"advantages": Raw(), "clip": 0.05}, {"normalize_advantage": False, "clip_range": 0.05}),
        ({"epochs": 10}, {"n_epochs": 10}),
    ],
    ids=["defaults", "entropy", "not standardised", "ten epochs"],
)
def test_ppo(kind: Kind, changes: dict[str, Any], settings: dict[str, Any]) -> None:
    preset = presets.sb3().algorithm
    assert isinstance(preset, PPO)
    ours = replace(preset, **{"epochs": 1, "minibatches": 1, **changes})
    learner, metrics, model, logged = both(
        kind, ours, sb3.PPO, **{"batch_size": ROWS * ENVS, "n_epochs": 1, **settings}
    )
    assert_same_parameters(learner.policy, theirs_by_our_name(model.policy))
    names = {"loss/policy": "policy_gradient_loss", "loss/value": "value_loss", "policy/clip_fraction": "clip_fraction"}
    if ours.epochs == 1:
        names["policy/kl"] = "approx_kl"  # SB3 logs the last epoch's, we the mean over epochs
    for name, theirs in names.items():
        assert float(metrics[name]) == pytest.approx(logged[f"train/{theirs}"], abs=1e-5), name
    assert -float(metrics["policy/entropy"]) == pytest.approx(logged["train/entropy_loss"], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("optimizer", [RMSProp(), RMSPropTF(), Adam(1e-8)])
def test_a2c(kind: Kind, standardise: bool, optimizer: Optimizer) -> None:
    preset = presets.sb3_a2c().algorithm
    assert isinstance(preset, A2C)
    ours = replace(preset, advantages=Standardised("batch") if standardise else Raw(), optimizer=optimizer)
    tf = sb3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike
    choice = {
        RMSProp: {},
        RMSPropTF: {"policy_kwargs": {"optimizer_class": tf, "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5}}},
        Adam: {"use_rms_prop": False, "policy_kwargs": {"optimizer_kwargs": {"eps": 1e-8}}},
    }[type(optimizer)]
    learner, metrics, model, logged = both(kind, ours, sb3.A2C, normalize_advantage=standardise, **choice)
    assert_same_parameters(learner.policy, theirs_by_our_name(model.policy))
    assert float(metrics["loss/policy"]) == pytest.approx(logged["train/policy_loss"], abs=1e-5)
    assert float(metrics["loss/value"]) == pytest.approx(logged["train/value_loss"], abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_trpo(kind: Kind) -> None:
    """SB3 takes the mean of a Gaussian's KL over its A components too, so that its δ and its damping count A times."""
    components = 2 if kind == "gaussian" else 1
    algorithm: Any = presets.sb3_trpo().algorithm
    ours = replace(
        algorithm, delta=components * algorithm.delta, damping=components * algorithm.damping, value_minibatches=1
    )
    before, obs = new_policy(kind), record(new_policy(kind), ROWS, ENVS).obs[:-1]
    learner, metrics, model, logged = both(kind, ours, contrib.TRPO, batch_size=ROWS * ENVS)
    assert_same_parameters(learner.policy, theirs_by_our_name(model.policy), gradients=False)
    assert float(metrics["loss/value"]) == pytest.approx(logged["train/value_loss"], abs=1e-5)
    # Its KL is that of the new policy from the old one, ours of the old one from the new one.
    with torch.no_grad():
        kl = learner.policy.act(obs)[0].kl(before.act(obs)[0]).mean() / components
    assert float(kl) == pytest.approx(logged["train/kl_divergence_loss"], abs=1e-5)
    assert metrics["policy/step_scale"] > 0
