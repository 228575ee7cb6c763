"""Training a language model: the same run and the same loop, on prompts."""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from clipper.algorithms import GRPO, PPO, Algorithm, PairwisePPO, Reinforce
from clipper.errors import ConfigError
from clipper.language.generate import check_sampling
from clipper.language.models import copy_of, eos_of, load_model
from clipper.language.policy import TokenPolicy
from clipper.language.prompts import Prompts, Source, make_prompts
from clipper.language.rollouts import LanguageRollouts, Reward
from clipper.language.shaping import Shaping
from clipper.learning.baselines import GreedyResponse
from clipper.learning.kl import Exact
from clipper.runs.callbacks import Callback
from clipper.runs.logs import Logger
from clipper.runs.make_run import Settings
from clipper.runs.run import Run
from clipper.runs.train import train

if TYPE_CHECKING:
    from clipper.language.models import Model

RESPONSES = 64
"""In an iteration, where nobody says how many."""


def train_language(
    model: "Model",
    prompts: Source | Prompts,
    reward: Reward,
    algorithm: Algorithm | None = None,
    *,
    critic: Literal["own", "shared"] | None = "own",
    shaping: Shaping | None = None,
    responses: int | None = None,
    responses_per_prompt: int = 1,
    max_tokens: int = 64,
    temperature: float = 1.0,
    eos: int | Collection[int] | None = None,
    micro_batch: int | None = None,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    callback: Callback | Sequence[Callback] = (),
    loggers: Logger | Sequence[Logger] = (),
    profile: bool = False,
    **settings: Unpack[Settings],
) -> Run:
    """Train a causal language model on scores of its responses, and return the run.

    ``model`` is a folder that ``save_pretrained`` wrote, a ``transformers`` model, alone or as (model, tokenizer), or
    its configuration, which ``seed`` makes a model of. It stays as it is, and is the reference of the KL; a copy
    learns. ``prompts`` are a list of texts or of tokens, a file of JSON lines, or a function (count, generator).
    ``reward`` is called with (prompts, responses), and gives a number for each response.

    In an iteration ``responses`` are collected, ``responses_per_prompt`` to each prompt, of at most ``max_tokens``
    tokens, which is the algorithm's horizon. Of an algorithm that asks for whole episodes they are as many as these.
    ``shaping`` has a KL in the rewards of 0.05 a nat, or none where the algorithm has one of its own (``GRPO``,
    ``PairwisePPO``).
    A step is a token, and ``total_steps`` counts them. What else a run has is as in ``clipper.train``; ``resume`` asks
    for the same model, prompts and reward once more.
    """
    check_sampling(settings)
    if isinstance(getattr(algorithm, "kl", None), Exact):
        raise ConfigError(
            "an exact KL needs all probabilities of every token, [T, N, V]: use kl=clipper.kl.Sampled('k3')"
        )
    algorithm = PPO(gamma=1.0, epochs=4, learning_rate=1e-5) if algorithm is None and resume is None else algorithm
    if algorithm is not None and hasattr(algorithm, "horizon") and dataclasses.is_dataclass(algorithm):
        algorithm = dataclasses.replace(algorithm, horizon=max_tokens)
    loaded = load_model(model, settings.get("seed", 1))
    device = settings.get("device", "cpu")
    ends = eos_of(loaded) if eos is None else (eos,) if isinstance(eos, int) else tuple(eos)
    if not ends:
        raise ConfigError("no token ends a response, for the model names none: give eos=, or eos=() where none should")
    reference = TokenPolicy(copy_of(loaded.lm), None, temperature, micro_batch).to(device).requires_grad_(False)
    policy = TokenPolicy(copy_of(loaded.lm), critic, temperature, micro_batch)
    rollouts = LanguageRollouts(
        reference,
        make_prompts(prompts),
        reward,
        tokenizer=loaded.tokenizer,
        eos=ends,
        shaping=shaping_for(algorithm, shaping),
        responses=responses or (algorithm.episodes if isinstance(algorithm, Reinforce) else RESPONSES),
        per_prompt=responses_per_prompt,
        max_tokens=max_tokens,
        greedy=isinstance(algorithm, GRPO) and isinstance(algorithm.baseline, GreedyResponse),
        seed=settings.get("seed", 1),
    )
    return train(
        rollouts, algorithm, policy=policy, run_dir=run_dir, resume=resume, callback=callback, loggers=loggers,
        profile=profile, **settings,
    )  # fmt: skip


def shaping_for(algorithm: Algorithm | None, shaping: Shaping | None) -> Shaping:
    """How scores become rewards; raises ``ConfigError`` where algorithm and rewards would both count the KL."""
    own = (isinstance(algorithm, PairwisePPO) and algorithm.beta > 0) or (
        isinstance(algorithm, GRPO) and algorithm.reference_kl is not None
    )
    if shaping is None:
        return Shaping(beta=0.0) if isinstance(algorithm, GRPO | PairwisePPO) else Shaping()
    if own and shaping.first_beta > 0:
        raise ConfigError(
            f"{type(algorithm).__name__} has a KL to the reference of its own, and shaping has one, too: let one of "
            "them be without, as by Shaping(beta=0), or by reference_kl=None or beta=0 of the algorithm"
        )
    return shaping
