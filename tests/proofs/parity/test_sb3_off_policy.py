"""One gradient step of Stable-Baselines3's SAC, TD3, DDPG and DQN and of Clipper's: the same weights, batch and noise.

Run by ``make parity``, in an environment of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium
import pytest
import torch
from batches import ACTIONS, OBSERVATIONS, small_policy
from torch import Generator, Tensor

import clipper
from clipper.learning.critic_targets import Periodic
from clipper.learning.learner import Learner
from clipper.learning.replay import Transitions

sb3 = pytest.importorskip("stable_baselines3", exc_type=ImportError)
B, A = 32, 2


class Silent(gymnasium.Env):
    """Spaces without a world."""

    def __init__(self, discrete: bool) -> None:
        self.observation_space, self.action_space = OBSERVATIONS, ACTIONS["categorical" if discrete else "gaussian"]


def drawn(discrete: bool) -> Transitions:
    g = Generator().manual_seed(3)
    obs, after = torch.randn(2, B, 3, generator=g)
    action = torch.randint(3, (B,), generator=g) if discrete else 2 * torch.rand(B, A, generator=g) - 1
    discount = torch.where(torch.rand(B, generator=g) < 0.2, 0.0, 0.99)
    return Transitions(obs, action, torch.randn(B, generator=g), discount, after)


def peer(name: str, batch: Transitions, learner: Learner, **settings: Any) -> Any:
    """SB3's model with our weights, whose buffer always gives this batch."""
    env = sb3.common.vec_env.DummyVecEnv([lambda: Silent(name == "DQN")])
    arch: Any = {"net_arch": [5]} | ({} if name == "DQN" else {"n_critics": 1 if name == "DDPG" else 2})
    model = getattr(sb3, name)("MlpPolicy", env, device="cpu", batch_size=B, policy_kwargs=arch, **settings)
    model.set_logger(sb3.common.logger.Logger(None, []))
    given = sb3.common.type_aliases.ReplayBufferSamples(
        batch.obs, batch.action.reshape(B, -1), batch.next_obs, (batch.discount == 0).float()[:, None],
        batch.reward[:, None],
    )  # fmt: skip
    model.replay_buffer.sample = lambda *_, **__: given
    with torch.no_grad():
        for theirs, ours in pairs(name, model, learner):
            theirs.copy_(ours)
    return model


def linears(module: Any) -> list[Tensor]:
    return [x for layer in module.modules() if isinstance(layer, torch.nn.Linear) for x in (layer.weight, layer.bias)]


def pairs(name: str, model: Any, learner: Learner) -> Iterator[tuple[Tensor, Tensor]]:
    """SB3's parameters with ours, targets too; theirs are ``[out, in]``, and so are these views of ours."""
    policy, modules = model.policy, learner.modules
    if name == "DQN":
        nets = (policy.q_net, learner.policy), (policy.q_net_target, modules["lagged_q"])
        for theirs, ours in nets:
            yield from zip(linears(theirs), linears(ours), strict=True)
        return
    actors = [(policy.actor, learner.policy)]
    actors += [] if name == "SAC" else [(policy.actor_target, modules["lagged_actor"])]
    for theirs, ours in actors:
        yield from zip(linears(theirs), linears(ours), strict=True)
    for theirs, ours in ((policy.critic, modules["critics"]), (policy.critic_target, modules["lagged_critics"])):
        for i, network in enumerate(theirs.q_networks):
            own = [x for w, b in zip(ours.weights, ours.biases, strict=True) for x in (w[i].T, b[i, 0])]
            yield from zip(linears(network), own, strict=True)


class Fixed:
    """Draws that are the same on both sides, whatever their order: noise by what it is for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.noise = 0.7 * torch.randn(B, A, generator=Generator().manual_seed(9))
        monkeypatch.setattr(torch.distributions.Normal, "rsample", lambda d, *_: d.mean + d.stddev * self.noise)
        monkeypatch.setattr(
            clipper.distributions.SquashedGaussian, "sample", lambda d, _: d.mean + d.log_std.exp() * self.noise
        )
        monkeypatch.setattr(Tensor, "normal_", lambda x, _, std: x.copy_(std * self.noise))
        monkeypatch.setattr(torch, "randn", lambda *_, **__: self.noise.clone())


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "SAC": (clipper.presets.sb3_sac, {}),
    "TD3": (clipper.presets.sb3_td3, {}),
    "DDPG": (clipper.presets.sb3_ddpg, {}),
    "DQN": (clipper.presets.sb3_dqn, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_four_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second one moves TD3's policy; parameters and targets agree after the last, and losses at each."""
    config = CASES[name][0]()
    algorithm = config.algorithm if name != "DQN" else replace(config.algorithm, lag=Periodic(3))
    policy = small_policy("categorical" if name == "DQN" else "gaussian", replace(config.policy, hidden=(5,)))
    learner, batch = algorithm.init(policy, seed=1), drawn(name == "DQN")
    model = peer(name, batch, learner, **({"target_update_interval": 12} if name == "DQN" else {}))
    Fixed(monkeypatch)
    for step in range(1, 5):
        learner.extra["gradient_steps"].fill_(step)
        metrics = {key: x.detach() for key, x in algorithm.gradient_step(learner, batch).items()}
        model.train(1, B)
        logged = model.logger.name_to_value
        scale = {"SAC": 2.0, "TD3": 2.0, "DDPG": 1.0, "DQN": 0.5}[name]
        theirs = logged["train/loss" if name == "DQN" else "train/critic_loss"]
        assert scale * float(metrics["loss/q"]) == pytest.approx(theirs, abs=1e-5)
        if "loss/policy" in metrics:
            assert float(metrics["loss/policy"]) == pytest.approx(logged["train/actor_loss"], abs=1e-5)
        if name == "DQN" and step == 3:  # its copy follows the count of decisions, which nothing takes here
            model.q_net_target.load_state_dict(model.q_net.state_dict())
        for x, ours in pairs(name, model, learner):
            torch.testing.assert_close(x.detach(), ours.detach(), atol=1e-5, rtol=0)
    if name == "SAC":
        assert float(learner.modules["alpha"]()) == pytest.approx(float(model.log_ent_coef.detach().exp()), abs=1e-6)
