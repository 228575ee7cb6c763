"""Say what was shown a step ago: right always with a memory, no better than guessing without."""

import pytest
import torch

from clipper.algorithms import PPO
from clipper.environments import make
from clipper.environments.recall import RepeatPrevious
from clipper.networks.make_policy import make_policy
from clipper.networks.memory import GRU, LSTM, Memory, Transformer
from clipper.networks.policy_options import PolicyOptions
from clipper.rollout.evaluation import evaluate_policy
from clipper.rollout.vector_rollouts import VectorRollouts

MEMORIES: dict[str, Memory] = {"lstm": LSTM(8), "gru": GRU(8), "transformer": Transformer(8, 3, 1), "none": None}


@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
@pytest.mark.parametrize("kind", MEMORIES)
def test_what_was_shown_before_is_said_with_a_memory_only(kind: str, masked: bool) -> None:
    def probe() -> RepeatPrevious:
        return RepeatPrevious(symbols=3, delay=1, length=12, masked=masked)

    env, options = make(probe, 12), PolicyOptions(hidden=(), memory=MEMORIES[kind])
    algorithm = PPO(horizon=24, epochs=4, minibatches=1, learning_rate=0.02, gamma=0.5, lam=0.9)
    spaces = env.single_observation_space, env.single_action_space
    policy = make_policy(*spaces, options, torch.Generator().manual_seed(0))
    learner, state = algorithm.init(policy), VectorRollouts(env, seed=0)
    for _ in range(25):
        steps, _ = state.collect(policy, horizon=24)
        algorithm.update(learner, steps, state.obs)
    right = evaluate_policy(policy, probe, episodes=40, seed=9).mean
    guessing = 1 / 2 if masked else 1 / 3
    if kind == "none":
        assert right == pytest.approx(guessing, abs=0.08)
    else:
        assert right > 0.97
