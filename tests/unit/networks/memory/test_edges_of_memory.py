"""What is remembered at the edges of episodes and segments: against torch's own modules over each whole episode."""

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, OneOf, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from kinds import KINDS
from torch import Tensor, nn

from clipper.algorithms import PPO, Reinforce
from clipper.data.trees import each
from clipper.environments import make
from clipper.environments.vector.serial import Serial
from clipper.learning.minibatches import minibatches
from clipper.learning.rewards import Raw
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.heads import HeadOptions
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import EncoderOptions, PolicyOptions
from clipper.rollout.vector_rollouts import VectorRollouts

BACKENDS = ["serial", "next_step", "same_step", "disabled"]


class Timed(gymnasium.Env):
    """Observes (own number, episode, time) in small numbers; episodes last 1 to 7 steps, every other one truncated."""

    observation_space = Box(-np.inf, np.inf, (3,))

    def __init__(self, number: int, action_space: gymnasium.Space, masked: bool = False) -> None:
        self.number, self.episode, self.action_space, self.masked = number, -1, action_space, masked

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        obs = np.array([self.number, self.episode, self.time], np.float32)
        return obs, {"action_mask": mask_of(self.action_space, self.time)} if self.masked else {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self.look()

    def step(self, action):
        assert self.action_space.contains(action)
        self.time += 1
        end, terminates = self.time == length(self.number, self.episode), (self.number + self.episode) % 2 == 0
        obs, info = self.look()
        return obs, float(self.time), end and terminates, end and not terminates, info


def length(number: int, episode: int) -> int:
    return 1 + (3 * number + 5 * episode) % 7


def mask_of(space: gymnasium.Space, time: int) -> Any:
    if isinstance(space, Discrete):
        return np.arange(space.n) != time % space.n
    return np.array([True, time % 2 == 0]), (None, np.array([True, time % 3 > 0]))


def envs(n: int, backend: str, space: gymnasium.Space, masked: bool = False) -> VectorEnv:
    factories: Any = [lambda i=i: Timed(i, space, masked) for i in range(n)]
    if backend == "serial":
        return Serial(factories)
    return make(SyncVectorEnv(factories, autoreset_mode=AutoresetMode[backend.upper()]), n)


def policy_for(env: VectorEnv, kind: str, dtype: torch.dtype = torch.float64, **options: Any) -> ActorCritic:
    head = options.pop("head", HeadOptions(action_gain=1.0))
    chosen = PolicyOptions(hidden=(6,), memory=KINDS[kind], head=head, **options)
    spaces = env.single_observation_space, env.single_action_space
    return make_policy(*spaces, chosen, torch.Generator().manual_seed(0)).to(dtype)


def whole_episode(policy: ActorCritic, obs: Tensor) -> Tensor:
    """V of each observation of one episode ``[L, 3]``, by torch.nn.LSTM or GRU from zeros."""
    assert policy.memory is not None
    cell: Any = policy.memory.critic
    module = (nn.LSTM if cell.leaves == 2 else nn.GRU)(6, cell.size).double()
    module.load_state_dict(cell.rnn.state_dict())
    return policy.value_layer(module(policy.critic(obs))[0]).squeeze(-1)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("backend", BACKENDS)
@torch.no_grad()
def test_values_and_bootstraps_remember_their_episode_and_no_other(backend: str, kind: str, shared: bool) -> None:
    """With λ = 0, Â = r + γ V(s′) − V(s), where s′ may be a truncated episode's or the segment's last observation."""
    env = envs(3, backend, Discrete(2))
    policy = policy_for(env, kind, shared=shared)
    algorithm = PPO(gamma=0.9, lam=0.0, advantages=Raw())
    learner, state, seen = algorithm.init(policy), VectorRollouts(env, 0), 0
    for _ in range(5):
        steps, _ = state.collect(policy, horizon=6)
        targets = algorithm.targets(learner, steps, state.obs)
        for t, n in steps.mask.nonzero().tolist():
            number, episode, time = (int(x) for x in steps.obs[t, n])
            size = length(number, episode)
            value = whole_episode(policy, torch.tensor([[number, episode, i] for i in range(size + 1)]).double())
            terminal = time + 1 == size and (number + episode) % 2 == 0
            expected = time + 1 + 0.9 * value[time + 1] * (not terminal) - value[time]
            assert abs(targets.value[t, n] - value[time]) < 1e-12
            assert abs(targets.advantage[t, n] - expected) < 1e-6  # rewards are float32
            seen += 1
    assert seen > 70


HYBRID = OneOf([Box(-1, 1, (2,)), Discrete(2)])
CASES = {
    "discrete": (Discrete(3), False, HeadOptions(action_gain=1.0)),
    "masked": (Discrete(3), True, HeadOptions(action_gain=1.0)),
    "hybrid masked": (HYBRID, True, HeadOptions(action_gain=1.0)),
    "box": (Box(-1, 1, (2,)), False, HeadOptions(action_gain=1.0)),
    "autoregressive": (
        Tuple([Discrete(2), Box(-1, 1, (1,))]),
        False,
        HeadOptions(action_gain=1.0, autoregressive=True),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("backend", "dtype"), [*((b, torch.float64) for b in BACKENDS), ("serial", torch.float32)], ids=str
)
@torch.no_grad()
def test_the_first_ratio_of_a_policy_with_a_memory_is_one(
    backend: str, dtype: torch.dtype, kind: str, case: str
) -> None:
    """Fault F33: over segments, resets, masks and hybrid actions, row by row and in minibatches of columns."""
    space, masked, head = CASES[case]
    env = envs(4, backend, space, masked)
    policy = policy_for(env, kind, dtype, head=head)
    algorithm = PPO()
    learner, state = algorithm.init(policy), VectorRollouts(env, 0)
    within = 1e-5 if dtype is torch.float32 else 1e-12
    for _ in range(3):
        steps, _ = state.collect(policy, horizon=9)
        dist, _ = policy(steps.obs, steps.memory, steps.action_mask)
        log_ratio = (dist.log_prob(steps.action) - steps.log_prob)[steps.mask]
        assert log_ratio.abs().max() < within
        assert steps.log_prob[steps.mask].std() > 1e-3
        forgetful, _ = policy(steps.obs, steps.memory._replace(begins=torch.ones_like(steps.mask)), steps.action_mask)
        assert (forgetful.log_prob(steps.action) - steps.log_prob)[steps.mask].abs().max() > 1e-3  # it is remembered
        targets, sizes = algorithm.targets(learner, steps, state.obs), []
        for batch in minibatches(targets, 1, 3, learner.generator):
            part = batch.steps
            dist, value = policy(part.obs, part.memory, part.action_mask)
            assert (dist.log_prob(part.action) - part.log_prob).abs().max() < within
            assert (value.mean - batch.value).abs().max() < within * 10
            assert part.mask.all()
            sizes.append(len(part.mask))
        assert sum(sizes) == steps.mask.sum()


@torch.no_grad()
def test_a_row_that_is_no_decision_changes_nothing() -> None:
    """Its action and reward, and its observation in a loss: NaN there reaches neither loss nor gradient (F14)."""
    env = envs(3, "serial", Discrete(2))
    policy = policy_for(env, "lstm")
    algorithm = PPO()
    learner, state = algorithm.init(policy), VectorRollouts(env, 0)
    steps, _ = state.collect(policy, horizon=20)
    targets = algorithm.targets(learner, steps, state.obs)
    broken = steps._replace(obs=steps.obs.where(steps.mask[..., None], torch.nan))
    found = []
    for one in (targets, targets._replace(steps=broken)):
        batch = next(minibatches(one, 1, 1, torch.Generator().manual_seed(0)))
        with torch.enable_grad():
            loss, _ = algorithm.loss(learner, batch)
            found.append([loss, *torch.autograd.grad(loss, list(policy.parameters()))])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert all(x.isfinite().all() for x in found[0])


@torch.no_grad()
def test_rows_that_are_burnt_in_are_not_learned_from() -> None:
    env = envs(3, "serial", Discrete(2))
    options = PolicyOptions(hidden=(6,), memory=replace(KINDS["lstm"], burn_in=3))
    policy = make_policy(env.single_observation_space, env.single_action_space, options, torch.Generator())
    state = VectorRollouts(env, 0)
    state.collect(policy, horizon=9)
    steps, _ = state.collect(policy, horizon=9)
    learner = PPO().init(policy)
    targets = PPO().targets(learner, steps, state.obs)
    rows = torch.arange(9)[:, None].expand(9, 3)
    fresh = torch.stack([(~steps.mask[:t]).any(0) for t in range(9)])  # an episode has begun in this segment
    first = steps.obs[0, :, 2] == 0  # an episode begins with this segment, at time 0: there is nothing to burn in
    assert first.tolist() == [True, False, False]
    fresh |= first
    for batch in minibatches(targets, 1, 1, torch.Generator()):
        columns = each(lambda x: x[steps.mask], targets._replace(steps=steps._replace(memory=())))
        assert int(batch.steps.mask.sum()) == int((((rows >= 3) | fresh) & steps.mask).sum()) < len(columns.value)
        _, value = policy(batch.steps.obs, batch.steps.memory)
        assert (value.mean - batch.value).abs().max() < 1e-5  # they still bring the state to where it was


class Hinted(gymnasium.ObservationWrapper):
    """Adds what the critic alone may see."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = Dict({"seen": Box(-np.inf, np.inf, (3,)), "hint": Discrete(7)})

    def observation(self, observation: np.ndarray) -> dict[str, Any]:
        return {"seen": observation, "hint": int(observation[2]) % 7}


@torch.no_grad()
def test_a_critic_that_sees_more_remembers_more() -> None:
    """Dict observations, a critic with an encoder of its own, and a memory; ``predict`` does without the hint."""
    env = Serial([lambda i=i: Hinted(Timed(i, Discrete(3), masked=True)) for i in range(3)])
    policy = policy_for(env, "lstm", encoder=EncoderOptions(critic_only=("hint",)))
    algorithm = PPO()
    learner, state = algorithm.init(policy), VectorRollouts(env, 0)
    for _ in range(2):
        steps, _ = state.collect(policy, horizon=9)
        dist, value = policy(steps.obs, steps.memory, steps.action_mask)
        assert (dist.log_prob(steps.action) - steps.log_prob)[steps.mask].abs().max() < 1e-12
        targets = algorithm.targets(learner, steps, state.obs)
        assert (value.mean - targets.value).abs().max() < 1e-12
        other = steps._replace(obs=steps.obs | {"hint": (steps.obs["hint"] + 1) % 7})
        dist, value = policy(other.obs, steps.memory, steps.action_mask)
        assert (dist.log_prob(steps.action) - steps.log_prob)[steps.mask].abs().max() < 1e-12
        assert (value.mean - targets.value)[steps.mask].abs().max() > 1e-3
        with torch.enable_grad():
            algorithm.update(learner, steps, state.obs)
    _, memory = policy.predict({"seen": np.zeros(3, np.float32)}, memory=())
    policy.predict({"seen": np.ones(3, np.float32)}, memory=memory)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_episodes_are_learned_from_their_first_row_on(kind: str) -> None:
    """Their memory is empty at first, so that there is nothing to burn in: the gradient is that without ``burn_in``."""
    gradients = []
    for burn_in in (0, 3):
        env = envs(3, "serial", Discrete(2))
        options = PolicyOptions(hidden=(6,), memory=replace(KINDS[kind], burn_in=burn_in))
        policy = make_policy(
            env.single_observation_space, env.single_action_space, options, torch.Generator().manual_seed(0)
        )
        state, algorithm = VectorRollouts(env, 0), Reinforce(episodes=6)
        state.collect(policy, episodes=6)
        steps, _ = state.collect(policy, episodes=6)  # which begins anew
        learner = algorithm.init(policy)
        batch = next(minibatches(algorithm.targets(learner, steps, state.obs), 1, 1, learner.generator))
        assert batch.steps.mask.all()
        gradients.append(torch.autograd.grad(algorithm.loss(learner, batch)[0], list(policy.parameters())))
    assert all(map(torch.equal, *gradients))
