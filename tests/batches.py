"""Small policies and recorded batches for them, in the canonical (next-step) layout."""

from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from clipper.data.steps import Steps, Targets
from clipper.data.trees import each
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.run import Run

Kind = Literal["categorical", "gaussian", "several", "one of"]
OBSERVATIONS = gymnasium.spaces.Box(-np.inf, np.inf, (3,))
ACTIONS: dict[Kind, gymnasium.Space] = {
    "categorical": gymnasium.spaces.Discrete(3),
    "gaussian": gymnasium.spaces.Box(-1, 1, (2,)),
    "several": gymnasium.spaces.MultiDiscrete(np.array([[2, 3], [4, 2]])),
    "one of": gymnasium.spaces.OneOf([Box(-1, 1, (2,)), gymnasium.spaces.Discrete(1), Box(-1, 1, (1,))]),
}


def stepped(run: Run) -> VectorRollouts:
    """Its rollouts, which step a vector environment."""
    assert isinstance(run.rollouts, VectorRollouts)
    return run.rollouts


class Still(gymnasium.vector.VectorEnv):
    """Environments that show the same whatever is done."""

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, obs: np.ndarray, actions: gymnasium.Space) -> None:
        self.obs, self.num_envs = obs, len(obs)
        self.single_observation_space = Box(-9, 9, obs.shape[1:])
        self.single_action_space = actions

    def reset(self, **_: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return self.obs, {}

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        never = np.zeros(self.num_envs, bool)
        return self.obs, np.zeros(self.num_envs), never, never, {}


def small_policy(kind: Kind, options: PolicyOptions | None = None, seed: int = 0) -> ActorCritic:
    """An actor-critic of a few dozen parameters."""
    options = options or PolicyOptions(hidden=(5,))
    return make_policy(OBSERVATIONS, ACTIONS[kind], options, torch.Generator().manual_seed(seed))


@torch.no_grad()
def make_steps(policy: ActorCritic, rows: int, envs: int, seed: int) -> tuple[Steps, Tensor]:
    """Steps that ``policy`` takes where observations, rewards and ends of episodes are noise; and ``last_obs``."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next(policy.parameters()).dtype
    obs = torch.randn(rows + 1, envs, 3, generator=generator, dtype=dtype)
    dist, _ = policy.act(obs[:-1])
    action = dist.sample(generator)
    terminated, truncated = (torch.rand(2, rows, envs, generator=generator) < 0.1).unbind()
    mask = torch.ones_like(terminated)
    for t in range(1, rows):  # the row after an end is no decision
        mask[t] = ~((terminated | truncated)[t - 1] & mask[t - 1])
    reward = torch.randn(rows, envs, generator=generator, dtype=dtype).masked_fill(~mask, torch.nan)
    log_prob = dist.log_prob(action)
    return Steps(obs[:-1], action, log_prob, reward, terminated & mask, (terminated | truncated) & mask, mask), obs[-1]


def decisions(targets: Targets) -> Targets:
    """The rows where a decision was taken, ``[D, ...]``, in the order of time."""
    steps = targets.steps
    flat = targets._replace(steps=steps._replace(memory=()))
    return each(lambda x: x[steps.mask], flat)
