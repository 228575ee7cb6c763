"""Language models on tasks whose answers are known: an optimum by enumeration, and sorting digits.

$ python benchmarks/language.py optimum              # 3 symbols, four algorithms, three seeds
$ python benchmarks/language.py optimum --symbols 5  # 2 x 156 responses
$ python benchmarks/language.py sort                 # six digits, after 70 supervised steps
$ python benchmarks/language.py sort --algorithms ppo --seeds 0 --again

A line for each run, and a table of all that have been made so far; finished runs are kept in .cache/language.jsonl and
are not made again unless ``--again`` says so. Processor seconds are of training alone, with one thread: imports, the
supervised start and the exact evaluation are left out. The load of the machine is said with each.
"""

import dataclasses
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from samples import machine

import clipper
from clipper.cli.language import Given, arguments_of, defaults
from clipper.language.evaluation import evaluate_responses
from clipper.language.models import load_model, tiny_llama
from clipper.language.shaping import Shaping
from clipper.language.tasks.sequences import Sequences
from clipper.language.tasks.sort import Sort
from clipper.learning.optimizers import Adam
from clipper.learning.reference_kl import InReward
from clipper.learning.schedules import Linear

BETA = 0.5
"""Price of a nat of KL in the task of all sequences."""
STEPS = {3: 45_000, 5: 150_000}
"""Tokens to train for, by symbols: about a third as many responses."""
LONGER = {("rloo", 3): 60_000}
"""The same for what learns more slowly: at 3e-3 and 45 000 tokens one of three seeds ends at 0.91 of the way."""
FIELDS: dict[str, Any] = {"epochs": 2, "minibatches": 2, "learning_rate": Linear(3e-3), "max_grad_norm": 1.0}
SMALLER: dict[str, Any] = FIELDS | {"learning_rate": Linear(2e-3)}
SEQUENCES: dict[str, Any] = {
    "ppo": clipper.PPO(gamma=1.0, **FIELDS),
    "ppo-separate": clipper.PPOSeparate(
        gamma=1.0, lam=0.95, value_epochs=2, value_minibatches=2, stop=None, optimizer=Adam(), **FIELDS
    ),
    "rloo": clipper.language_presets.rloo(reference_kl=InReward(BETA), **SMALLER),
    "pairwise-ppo": clipper.PairwisePPO(beta=BETA, **SMALLER),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    task: tyro.conf.Positional[Literal["optimum", "sort"]]
    """The exact optimum of random scores, or sorting."""
    algorithms: tuple[str, ...] = ("ppo", "rloo", "pairwise-ppo", "ppo-separate")
    """By their names on the command line."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of scores or digits, model, and training."""
    symbols: int = 3
    """V less the end, of the optimum's task."""
    total_steps: int = 0
    """Tokens to train for; 0: what is usual for the task."""
    again: bool = False
    """Make runs again that have been made."""
    cache: Path = Path(__file__).parent / ".cache" / "language.jsonl"
    """Where finished runs are kept."""


def timed(**arguments: Any) -> tuple[Any, dict[str, float]]:
    """A run, and what it took."""
    began, wall, load = time.process_time(), time.monotonic(), os.getloadavg()[0]
    run = clipper.train_language(**arguments)
    took = {"seconds": time.process_time() - began, "wall": time.monotonic() - wall, "load": load}
    return run, took | {"responses": run.iteration * run.config.num_envs, "tokens": run.steps}


def optimum(name: str, seed: int, symbols: int, total_steps: int) -> dict[str, float]:
    """How far of the way from the reference's J to J* one comes."""
    task = Sequences(symbols=symbols, seed=seed)
    config = tiny_llama(task.vocabulary, width=32)
    config.initializer_range = 0.2
    steps = total_steps or LONGER.get((name, symbols)) or STEPS.get(symbols, 150_000)
    reference = load_model(config, seed).lm
    with_critic = name in ("ppo", "ppo-separate")
    run, took = timed(
        model=reference, prompts=task.prompts, reward=task.reward, algorithm=SEQUENCES[name], max_tokens=task.limit,
        critic={"ppo": "shared", "ppo-separate": "own"}.get(name), eos=task.eos, seed=seed, responses=512,
        shaping=Shaping(beta=BETA if with_critic else 0.0, cut="end"),
        responses_per_prompt=1 if with_critic else 4, total_steps=steps,
    )  # fmt: skip
    with torch.no_grad():
        log_reference = task.log_probs(run.rollouts.reference)
        best = float(task.optimum(log_reference, BETA))
        start, reached = (float(task.objective(x, log_reference, BETA)) for x in (run.rollouts.reference, run.policy))
    return took | {"of the way": (reached - start) / (best - start), "KL to the optimum": (best - reached) / BETA}


def sort(name: str, seed: int, total_steps: int) -> dict[str, float]:
    """Which part of fresh prompts is sorted exactly right, before and after, sampled and by the likeliest tokens; the
    settings are those of ``clipper train-language sort NAME``.
    """
    options = dataclasses.replace(defaults("sort", name), seed=seed)
    options = dataclasses.replace(options, total_steps=total_steps or options.total_steps)
    task = Sort()
    given = Given(task.model(seed, options.supervised_steps), task.prompts, task.reward)
    run, took = timed(**arguments_of(options, given, None))
    found: dict[str, float] = {}
    for word, policy in (("start", run.rollouts.reference), ("end", run.policy)):
        for how in ("sampled", "greedy"):
            means = evaluate_responses(run.rollouts, policy, responses=2000, seed=7, greedy=how == "greedy").means()
            found[f"{how}, {word}"] = means["score"]
            if (word, how) == ("end", "sampled"):
                found["KL, nats"] = means["kl"]
    return took | found


def main(options: Options) -> None:
    """Make the runs that are missing, and print a table of all that were asked for."""
    options.cache.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    known = [json.loads(line) for line in options.cache.read_text().splitlines()] if options.cache.exists() else []
    rows: list[dict[str, Any]] = []
    for name in options.algorithms:
        for seed in options.seeds:
            sized = {"symbols": options.symbols} if options.task == "optimum" else {}
            key = {"task": options.task, "algorithm": name, "seed": seed, "total_steps": options.total_steps} | sized
            made = [row for row in known if key.items() <= row.items()]
            if made and not options.again:
                rows.append(made[-1])
                continue
            if options.task == "optimum":
                found = optimum(name, seed, options.symbols, options.total_steps)
            else:
                found = sort(name, seed, options.total_steps)
            rows.append(key | found)
            with options.cache.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
            sys.stderr.write(
                ", ".join(f"{k} {x:.3g}" if isinstance(x, float) else f"{k} {x}" for k, x in rows[-1].items())
            )
            sys.stderr.write("\n")
    columns = [name for name in rows[0] if name not in ("task", "total_steps", "symbols")]
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in columns))
    console = Console(width=150)
    console.print(f"{options.task}: {machine()}")
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
