"""PufferLib's trainer on one workload, on Gymnasium's environments: its serial vectorisation, or the native one.

Its own CartPole in C is not built (see make_peers.sh), so the native environment is the one that the other sides have.
Minibatches are whole segments, as the trainer makes them, drawn with equal weights here (its priority exponent is 0);
advantages are computed anew before each, as it always does, and it clamps rewards to [-1, 1]. Native environments are
reset in a step of their own, which is no decision, and so are its serial ones.
"""

import time
from typing import Any

import gymnasium
import numpy as np
import torch
from measure import begin, report
from mlps import mlp
from pufferlib import PufferEnv, pufferl, vector  # pyright: ignore[reportMissingImports]
from pufferlib.emulation import GymnasiumPufferEnv  # pyright: ignore[reportMissingImports]
from torch import nn


class Native(PufferEnv):
    """Gymnasium's natively vectorised environment as PufferLib wants it, with decisions and returns counted."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.env = gymnasium.make_vec(work["env"], num_envs=work["num_envs"], vectorization_mode="vector_entry_point")
        self.single_observation_space = self.env.single_observation_space
        self.single_action_space = self.env.single_action_space
        self.num_agents = work["num_envs"]
        super().__init__()
        self.decisions, self.resetting = 0, 0
        self.totals, self.returns = np.zeros(self.num_agents), []

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Start all episodes."""
        self.observations[:] = self.env.reset(seed=seed)[0]
        return self.observations, []

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, list[dict[str, Any]]]:
        """One step of every environment."""
        self.observations[:], self.rewards[:], self.terminals[:], self.truncations[:], _ = self.env.step(actions)
        self.decisions += self.num_agents - self.resetting
        self.totals += self.rewards
        ended = self.terminals | self.truncations
        self.resetting = int(np.count_nonzero(ended))
        if self.resetting:
            self.returns += self.totals[ended].tolist()
            self.totals[ended] = 0.0
        return self.observations, self.rewards, self.terminals, self.truncations, []

    def close(self) -> None:
        """Close the environment."""
        self.env.close()


class Serial(vector.Serial):
    """Counts decisions: where an episode has ended, the next step only resets."""

    decisions = 0

    def send(self, actions: np.ndarray) -> None:
        """One step of every environment."""
        self.decisions += sum(not env.done for env in self.envs)
        super().send(actions)

    @property
    def returns(self) -> list[float]:
        """Of finished episodes, the environments one after another: at most ten of each."""
        latest = 100 // len(self.envs) + 1
        return [float(total) for env in self.envs for total in list(env.env.return_queue)[-latest:]]


class Policy(nn.Module):
    """Actor and critic, with a trunk each."""

    def __init__(self, env: Any, hidden: list[int]) -> None:
        super().__init__()
        inputs, space = int(np.prod(env.single_observation_space.shape)), env.single_action_space
        discrete = isinstance(space, gymnasium.spaces.Discrete)
        outputs = int(space.n) if discrete else space.shape[0]
        self.actor, self.critic = mlp(inputs, hidden, outputs), mlp(inputs, hidden, 1)
        self.log_std = None if discrete else nn.Parameter(torch.zeros(outputs))

    def forward(self, observations: torch.Tensor, _state: Any = None) -> tuple[Any, torch.Tensor]:
        """Observations → logits, or a Gaussian; and values."""
        out, value = self.actor(observations), self.critic(observations)
        if self.log_std is not None:
            out = torch.distributions.Normal(out, self.log_std.exp().expand_as(out))
        return out, value

    def forward_eval(self, observations: torch.Tensor, state: Any = None) -> tuple[Any, torch.Tensor]:
        """The same, when collecting."""
        return self.forward(observations, state)


def config(work: dict[str, Any]) -> dict[str, Any]:
    """The workload in the trainer's own words; what is not the workload's has the value that leaves PPO plain."""
    rows = work["horizon"] * work["num_envs"]
    return {
        "env": work["env"],
        "seed": work["seed"],
        "device": "cpu",
        "cpu_offload": False,
        "torch_deterministic": True,
        "precision": "float32",
        "compile": False,
        "use_rnn": False,
        "data_dir": "run",
        "checkpoint_interval": 200,  # the default
        "total_timesteps": work["iterations"] * rows,
        "batch_size": rows,
        "bptt_horizon": work["horizon"],
        "minibatch_size": rows // work["minibatches"],
        "max_minibatch_size": rows,
        "update_epochs": work["epochs"],
        "optimizer": "adam",
        "learning_rate": work["learning_rate"],
        "anneal_lr": False,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_eps": 1e-5,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_coef": 0.2,
        "vf_coef": 1.0,  # its value loss carries another factor of 0.5
        "vf_clip_coef": 1e9,  # none
        "ent_coef": 0.0,
        "max_grad_norm": 0.5,
        "prio_alpha": 0.0,
        "prio_beta0": 1.0,
        "vtrace_rho_clip": 1.0,
        "vtrace_c_clip": 1.0,
    }


def make(work: dict[str, Any]) -> Any:
    """All environments."""
    if work["native"]:
        return Native(work)

    def single(buf: Any = None, seed: int = 0) -> GymnasiumPufferEnv:
        env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(work["env"]))
        return GymnasiumPufferEnv(env, buf=buf, seed=seed)

    return vector.make(single, backend=Serial, num_envs=work["num_envs"], seed=work["seed"])


def main() -> None:
    """Train, and report the iterations after the warm-up."""
    work = begin()
    torch.manual_seed(work["seed"])
    envs = make(work)
    trainer = pufferl.PuffeRL(config(work), envs, Policy(envs, work["hidden"]))
    trainer.print_dashboard = lambda *_, **__: None  # it draws a screen several times a second
    marks: list[tuple[float, int]] = []
    try:
        for _ in range(work["iterations"]):
            trainer.evaluate()
            trainer.train()
            marks.append((time.perf_counter(), envs.decisions))
    finally:
        trainer.utilization.stop()  # its thread would keep a failed process from ending
    (began, before), (ended, after) = marks[work["warmup"] - 1], marks[-1]
    report(after - before, ended - began, envs.returns, "pufferlib")


if __name__ == "__main__":
    main()
