"""Language models beside TRL: GRPO, and the last PPO that TRL had, on one small Llama that sorts digits.

$ sh benchmarks/make_peers.sh trl trl-ppo
$ python benchmarks/language_beside_trl.py                          # GRPO and PPO, three seeds
$ python benchmarks/language_beside_trl.py --algorithms grpo --seeds 0

Each run is a process of its own on one thread; they take turns. All do one optimizer step of Adam on an equal number
of responses in an update; GRPO's reward reads text (is it sorted?), PPO's is a network with random weights. Rates are
responses per processor second after the warm-up, split in what generates, what scores (log-probabilities, values,
rewards) and what updates. Memory is the process's peak, with all imports. The score is the mean over the last fifth of
the updates.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table
from samples import machine

from clipper.language.models import tiny_llama
from clipper.language.tasks.sort import Sort

HERE = Path(__file__).resolve().parent
WORDS = [*map(str, range(10)), "=", "<end>", "<pad>", "<unknown>"]
PEERS = {"grpo": "trl", "ppo": "trl-ppo"}
"""The environment that has the algorithm."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure."""

    algorithms: tuple[Literal["grpo", "ppo"], ...] = ("grpo", "ppo")
    """Beside which of TRL's."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of prompts and training; the model is the same."""
    updates: int = 60
    """For each run, warm-up included."""
    warm: int = 5
    """Updates before the clock starts."""
    responses: int = 256
    """In an update."""
    learning_rate: float = 3e-4
    """Constant."""
    beta: float = 0.02
    """Price of a nat of KL to the reference."""


def write_models(folder: Path) -> None:
    """A model after supervised steps with its tokenizer, and a network of the same shape whose numbers are rewards."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaForSequenceClassification, PreTrainedTokenizerFast

    task = Sort()
    task.vocabulary = len(WORDS)
    lm = task.model()
    for config in (lm.config, lm.generation_config):
        assert config is not None
        config.eos_token_id, config.pad_token_id = task.eos, WORDS.index("<pad>")
    lm.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unknown>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<end>", pad_token="<pad>", unk_token="<unknown>"
    ).save_pretrained(folder)
    config = tiny_llama(len(WORDS))
    config.initializer_range, config.num_labels, config.pad_token_id = 0.2, 1, WORDS.index("<pad>")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = LlamaForSequenceClassification(config).eval()
        texts = torch.randint(10, (500, 14))
        network.score.weight /= network.score(network.model(input_ids=texts)[0][:, -1]).std()
    network.save_pretrained(folder / "reward")


def run_side(python: str, script: str, work: dict[str, Any]) -> dict[str, Any]:
    """One side's result, from a process of its own in an empty folder."""
    paths = f"{HERE.parent / 'src'}:{HERE / 'peers'}"
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [python, HERE / "peers" / script, json.dumps(work)], cwd=empty, capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{script} with {work['algorithm']} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(options: Options) -> None:
    """Let the sides take turns, and print a table."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        for algorithm in options.algorithms:
            trl = str(HERE / ".peers" / PEERS[algorithm] / "bin" / "python")
            sides = {"Clipper": (sys.executable, "run_language_clipper.py"), "TRL": (trl, "run_language_trl.py")}
            for seed in options.seeds:
                work = {
                    "threads": 1, "folder": folder, "algorithm": algorithm, "seed": seed, "updates": options.updates,
                    "warm": options.warm, "responses": options.responses, "per_prompt": 4 if algorithm == "grpo" else 1,
                    "limit": 7, "learning_rate": options.learning_rate, "beta": options.beta,
                }  # fmt: skip
                for name, (python, script) in sides.items():
                    row = run_side(python, script, work)
                    found.setdefault((name, algorithm), []).append(row)
                    sys.stderr.write(f"{name}, {algorithm}, seed {seed}: {json.dumps(row)}\n")
    print_table(found)


def print_table(found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Means over seeds, with the least and the most of rates and scores."""
    names = ("", "responses per CPU s", "generate", "score", "update", "steps an update", "MB at most", "score at last")
    table = Table(*names, box=None, padding=(0, 2, 0, 0))
    for (name, algorithm), rows in found.items():
        rates = [row["responses"] / row["seconds"] for row in rows]
        seconds, count = sum(row["seconds"] for row in rows), len(rows)
        parts = [f"{sum(row['parts'][part] for row in rows) / seconds:.0%}" for part in ("generate", "score", "update")]
        scores = [row["score"] for row in rows]
        versions = rows[0]["versions"]
        table.add_row(
            f"{name} {versions.get('trl') or ''} {algorithm}",
            f"{sum(rates) / count:.0f} ({min(rates):.0f} to {max(rates):.0f})", *parts,
            f"{rows[0]['optimizer_steps']:g}", f"{max(row['memory'] for row in rows):.0f}",
            f"{sum(scores) / count:.3f} ({min(scores):.3f} to {max(scores):.3f})",
        )  # fmt: skip
    console = Console(width=160)
    versions = next(iter(found.values()))[0]["versions"]
    console.print(f"{machine()}; torch {versions['torch']}, transformers {versions['transformers']}")
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Options))
