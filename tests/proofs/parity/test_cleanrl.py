"""One update of CleanRL's scripts (ppo.py, ppo_continuous_action.py) and of Clipper, from the same weights and batch.

Its formulas stand below once more, with torch.distributions and loops. Where ``CLEANRL`` names a checkout, the scripts'
own lines run too.
"""

import ast
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from batches import ACTIONS, OBSERVATIONS, Kind
from recorded import Recorded, assert_same_parameters, new_policy, record, steps_of
from torch import Tensor, nn

from clipper import PPO
from clipper.learning.rewards import Raw
from clipper.networks.actor_critic import ActorCritic
from clipper.settings import presets

KINDS: list[Kind] = ["categorical", "gaussian"]
SCRIPTS: dict[Kind, str] = {"categorical": "ppo.py", "gaussian": "ppo_continuous_action.py"}
WATCHED = ("pg_loss", "v_loss", "entropy_loss", "approx_kl")
Update = Callable[[Kind, ActorCritic, Recorded, SimpleNamespace], tuple[nn.Module, dict[str, Tensor]]]


class Agent(nn.Module):
    """Two separate networks of two layers of 64 tanh units; for continuous actions a free log σ."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        outputs = 3 if kind == "categorical" else 2
        self.actor = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))
        self.log_std = None if kind == "categorical" else nn.Parameter(torch.zeros(1, outputs))

    def dist(self, obs: Tensor) -> torch.distributions.Distribution:
        if self.log_std is None:
            return torch.distributions.Categorical(logits=self.actor(obs))
        normal = torch.distributions.Normal(self.actor(obs), self.log_std.exp())
        return torch.distributions.Independent(normal, 1)


def by_our_name(agent: nn.Module, kind: Kind) -> Iterator[tuple[str, Tensor]]:
    """CleanRL's parameters under the names that they have here."""
    last = {"critic": "value_layer", "actor": "head.logits" if kind == "categorical" else "head.mean"}
    for name, parameter in agent.named_parameters():
        part, _, layer = name.replace("actor_mean", "actor").partition(".")
        if "log" in part:
            yield "head.log_std.value", parameter
        else:
            yield layer.replace("4.", f"{last[part]}.") if layer.startswith("4.") else f"{part}.{layer}", parameter


@torch.no_grad()
def copy_weights(policy: ActorCritic, agent: nn.Module, kind: Kind) -> None:
    for name, parameter in by_our_name(agent, kind):
        parameter.copy_(policy.get_parameter(name).view_as(parameter))


def written_again(
    kind: Kind, policy: ActorCritic, recorded: Recorded, args: SimpleNamespace
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The update as the scripts' lines say it, a decision at a time where they are vectors."""
    agent = Agent(kind)
    copy_weights(policy, agent, kind)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    rows, envs = recorded.reward.shape
    with torch.no_grad():
        value = agent.critic(recorded.obs).squeeze(-1)
    advantage = torch.zeros(rows, envs)
    for n in range(envs):
        carried = 0.0
        for t in reversed(range(rows)):
            goes_on = 1.0 - float(recorded.terminated[t, n])
            error = recorded.reward[t, n] + args.gamma * goes_on * value[t + 1, n] - value[t, n]
            carried = float(error) + args.gamma * args.gae_lambda * goes_on * carried
            advantage[t, n] = carried
    target = advantage + value[:-1]
    standard = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

    dist, new_value = agent.dist(recorded.obs[:-1]), agent.critic(recorded.obs[:-1]).squeeze(-1)
    log_ratio = dist.log_prob(recorded.action) - recorded.log_prob
    ratio, e = log_ratio.exp(), args.clip_coef
    policy_loss = torch.maximum(-standard * ratio, -standard * ratio.clamp(1 - e, 1 + e)).mean()
    near = value[:-1] + (new_value - value[:-1]).clamp(-e, e)
    value_loss = 0.5 * torch.maximum((new_value - target) ** 2, (near - target) ** 2).mean()
    entropy = dist.entropy().mean()
    (policy_loss - args.ent_coef * entropy + args.vf_coef * value_loss).backward()
    nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
    optimizer.step()
    watched = (policy_loss, value_loss, entropy, (ratio - 1 - log_ratio).mean())
    return agent, {name: x.detach() for name, x in zip(WATCHED, watched, strict=True)}


def script(kind: Kind) -> tuple[ModuleType, ast.Module]:
    """The user's script: as a module, and its lines from the advantages to the end of the epochs."""
    folder = os.environ.get("CLEANRL")
    if folder is None:
        pytest.skip("CLEANRL names no checkout")
    [path] = [p for p in (Path(folder) / SCRIPTS[kind], Path(folder) / "cleanrl" / SCRIPTS[kind]) if p.exists()]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    main = ast.parse(path.read_text()).body[-1]
    [iterations] = [x for x in ast.walk(main) if isinstance(x, ast.For) and ast.unparse(x.target) == "iteration"]
    kinds = [type(x) for x in iterations.body]
    first = kinds.index(ast.With)
    last = next(i for i, x in enumerate(iterations.body) if isinstance(x, ast.For) and ast.unparse(x.target) == "epoch")
    return module, ast.Module(iterations.body[first : last + 1], [])


def of_the_script(
    kind: Kind, policy: ActorCritic, recorded: Recorded, args: SimpleNamespace
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The script's own lines on the batch."""
    module, lines = script(kind)
    envs = SimpleNamespace(single_observation_space=OBSERVATIONS, single_action_space=ACTIONS[kind])
    agent = module.Agent(envs)
    copy_weights(policy, agent, kind)
    with torch.no_grad():
        values = agent.get_value(recorded.obs[:-1]).squeeze(-1)
    done = recorded.terminated.float()
    names: dict[str, Any] = {
        "torch": torch, "np": np, "nn": nn, "args": args, "agent": agent, "device": "cpu", "envs": envs,
        "optimizer": torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5),
        "obs": recorded.obs[:-1], "actions": recorded.action, "logprobs": recorded.log_prob,
        "rewards": recorded.reward, "dones": torch.cat([torch.zeros(1, done.shape[1]), done[:-1]]), "values": values,
        "next_obs": recorded.obs[-1], "next_done": done[-1],
    }  # fmt: skip
    exec(compile(lines, SCRIPTS[kind], "exec"), names)
    return agent, {name: names[name].detach() for name in WATCHED}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("update", [written_again, of_the_script])
def test_ppo(kind: Kind, update: Update) -> None:
    """The scripts' defaults but for one epoch and one minibatch; they take a time limit for an end."""
    config = presets.cleanrl() if kind == "categorical" else presets.cleanrl_continuous()
    algorithm = config.algorithm
    assert isinstance(algorithm, PPO)
    # With rewards as they are: CleanRL scales them in the environment, a step at a time.
    algorithm = replace(algorithm, epochs=1, minibatches=1, rewards=Raw())
    args = SimpleNamespace(
        learning_rate=2.5e-4 if kind == "categorical" else 3e-4, ent_coef=0.01 if kind == "categorical" else 0.0,
        gamma=0.99, gae_lambda=0.95, clip_coef=0.2, vf_coef=0.5, norm_adv=True, clip_vloss=True, max_grad_norm=0.5,
        target_kl=None, update_epochs=1, num_steps=32, num_envs=4, batch_size=128, minibatch_size=128,
    )  # fmt: skip
    policy = new_policy(kind)
    recorded = record(policy, truncations=False)
    agent, theirs = update(kind, policy, recorded, args)
    learner = algorithm.init(policy)
    metrics = algorithm.update(learner, *steps_of(recorded))
    assert_same_parameters(policy, by_our_name(agent, kind))
    assert float(metrics["loss/policy"]) == pytest.approx(float(theirs["pg_loss"]), abs=1e-5)
    assert 0.5 * float(metrics["loss/value"]) == pytest.approx(float(theirs["v_loss"]), abs=1e-5)
    assert float(metrics["policy/entropy"]) == pytest.approx(float(theirs["entropy_loss"]), abs=1e-5)
    assert float(metrics["policy/kl"]) == pytest.approx(float(theirs["approx_kl"]), abs=1e-5)
    assert float(metrics["policy/clip_fraction"]) > 0.1, "the batch must put the clip to the test"
