"""PPO, GRPO's presets and pairs train a language model towards an optimum that is known by enumeration."""

import math
from typing import Any

import pytest
import torch
from transformers import LlamaConfig

import clipper
from clipper.algorithms import GRPO, Algorithm, PairwisePPO
from clipper.errors import ConfigError
from clipper.language.shaping import Shaping
from clipper.language.tasks.sequences import Sequences
from clipper.language.train import train_language
from clipper.learning.reference_kl import InReward
from clipper.learning.schedules import Linear

BETA = 0.5
FIELDS: dict[str, Any] = {"learning_rate": Linear(3e-3), "epochs": 2, "minibatches": 2}


def trained(
    algorithm: Algorithm, iterations: int, responses: int = 256, **settings: Any
) -> tuple[Any, Sequences, torch.Tensor]:
    task = Sequences(symbols=2, limit=2, seed=1)
    config = LlamaConfig(
        vocab_size=task.vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=None, eos_token_id=None, initializer_range=0.3,
    )  # fmt: skip
    run = train_language(
        config, task.prompts, task.reward, algorithm, responses=responses, max_tokens=2, eos=task.eos, seed=1,
        total_steps=iterations * responses, **({"critic": None, "responses_per_prompt": 4} | settings),
    )  # fmt: skip
    reference: Any = run.rollouts
    return run, task, task.log_probs(reference.reference).detach()


@pytest.mark.parametrize(
    "algorithm",
    [
        clipper.PPO(gamma=1.0, **FIELDS),
        clipper.language_presets.rloo(reference_kl=InReward(BETA), **FIELDS),
        clipper.language_presets.remax(reference_kl=InReward(BETA), **FIELDS),
        PairwisePPO(beta=BETA, **FIELDS),
    ],
    ids=["ppo", "rloo", "remax", "pairs"],
)
def test_they_come_near_the_optimum(algorithm: Algorithm) -> None:
    """Responses so few that all are enumerated; ``benchmarks/language.py`` goes further, on larger ones."""
    ppo = {"critic": "shared", "responses_per_prompt": 1, "shaping": Shaping(beta=BETA, cut="end")}
    run, task, log_reference = trained(algorithm, 12, **(ppo if isinstance(algorithm, clipper.PPO) else {}))
    start = float((log_reference.exp() * task.table).sum(1).mean())
    best = float(task.optimum(log_reference, BETA))
    reached = float(task.objective(run.policy, log_reference, BETA).detach())
    assert reached <= best
    assert (reached - start) / (best - start) > 0.8


@pytest.mark.parametrize("preset", clipper.language_presets.ALL, ids=lambda f: f.__name__)
def test_every_preset_trains(preset: Any) -> None:
    run, *_ = trained(preset(learning_rate=1e-3), 1, 32)
    assert math.isfinite(run.history[-1]["loss/policy"])
    assert math.isfinite(run.history[-1]["policy/reference_kl_k1"])


def test_the_kl_counts_once() -> None:
    run, *_ = trained(GRPO(epochs=1, minibatches=1, learning_rate=1e-3), 1, 8)
    assert run.rollouts.shaping.beta == 0
    with pytest.raises(ConfigError, match="a KL to the reference of its own"):
        trained(GRPO(), 1, 8, shaping=Shaping(beta=0.1))
    trained(GRPO(reference_kl=None), 1, 8, shaping=Shaping(beta=0.1))
