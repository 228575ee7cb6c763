"""The options of commands on language models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from clipper.algorithms import Algorithm
from clipper.data.values import NonNegative
from clipper.rollout.evaluation import EVALUATION_SEED
from clipper.settings.language import AdaptiveKL


@dataclass(frozen=True, kw_only=True)
class TrainLanguage:
    """Train a language model: clipper train-language sort | FOLDER [ALGORITHM] [options]."""

    algorithm: Algorithm
    prompts: Path | None = None
    """File of prompts, one a line: a JSON text, a list of tokens, or an object with an entry prompt."""
    reward: str | None = None
    """MODULE:FUNCTION that is called with (prompts, responses) and gives a number for each response."""
    responses: int | None = None
    """Responses of an iteration."""
    responses_per_prompt: int = 1
    """Responses to each prompt."""
    max_tokens: int = 64
    """Tokens of a response, at most."""
    temperature: float = 1.0
    """What logits are divided by, of sampler, policy and reference alike."""
    eos: tuple[int, ...] | None = None
    """Tokens that end a response; the model's own where none is named."""
    critic: Literal["own", "shared", "none"] = "own"
    """Where V is: own, a trunk that begins as a copy of the model's; shared, a head on the model's own; none, for
    algorithms without V."""
    shaping_beta: NonNegative | AdaptiveKL | None = None
    """β, the price in the rewards of a nat of KL to the model that the run begins with; 0.05, or 0 where the algorithm
    has a KL of its own."""
    shaping_normalise: int = 0
    """Responses of that model whose scores give the unit of all scores; 0 leaves scores as they are."""
    shaping_cut: Literal["bootstrap", "end", "mask"] = "bootstrap"
    """A response that --max-tokens cut: V behind it counts, the limit ends it, or nothing is learned from it."""
    shaping_cut_score: float | None = None
    """Score of such a response in place of its own."""
    shaping_overlong: int = 0
    """Last tokens before the limit in which a penalty grows from 0 to 1."""
    micro_batch: int | None = None
    """Responses in the model at once, at most; it changes no gradient."""
    supervised_steps: int = 70
    """Of a task: steps on right responses, from which the run begins."""
    total_steps: int = 1_000_000
    """Tokens to train for."""
    seed: int = 1
    """Seeds the task's model, prompts, responses and minibatches."""
    seeds: int = 1
    """Train this many runs side by side, from --seed on, one process per core, in folders seed1, seed2 …"""
    device: str = "cpu"
    """Where the models compute: cpu, cuda, cuda:1 …"""
    threads: int = 1
    """Threads on the CPU."""
    checkpoint_every: int = 50_000
    """Save each time this many tokens have passed; the end of a run is always saved."""
    keep_checkpoints: int = 2
    """How many of the latest checkpoints stay."""
    log_every: int = 0
    """Tokens that a row of metrics covers; 0: a row for each iteration."""
    run_dir: Path | None = None
    """Folder for metrics, curve and checkpoints; a new one below runs/ where none is named."""
    profile: bool = False
    """Print at the end where the time went, part by part."""


@dataclass(frozen=True, kw_only=True)
class OfRun:
    """A run on prompts."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    reward: str | None = None
    """The reward once more (MODULE:FUNCTION), since nothing is imported because a file says so; a task has its own."""
    model: Path | None = None
    """The model's folder once more, where it has moved or was handed over as an object."""
    prompts: Path | None = None
    """The file of prompts once more, where it has moved or was handed over as an object; to evaluate, any other."""


@dataclass(frozen=True, kw_only=True)
class ResumeLanguage(OfRun):
    """Go on with a run on prompts that was interrupted."""

    total_steps: int | None = None
    """Train longer than was planned; where a schedule follows the plan, the run no longer counts as exact."""
    device: str | None = None
    """Where the models compute, once more, where that was not the cpu."""
    profile: bool = False
    """Print at the end where the time went, part by part."""


@dataclass(frozen=True, kw_only=True)
class EvaluateLanguage(OfRun):
    """Score fresh responses of a language model that was trained, sampled and the likeliest, and print some."""

    responses: int = 256
    """Responses that are scored, each way."""
    samples: int = 8
    """Responses that are printed."""
    seed: int = EVALUATION_SEED
    """Seed of prompts and responses."""
