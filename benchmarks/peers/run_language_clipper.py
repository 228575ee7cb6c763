"""Clipper's GRPO or PPO on sorting digits, as ``language_beside_trl.py`` compares them."""

from typing import Any

import torch
from language_side import END, Watch, as_text, prompts, reward_network, sorted_right
from measure import begin
from transformers import AutoModelForCausalLM

import clipper
from clipper.language.policy import TokenPolicy
from clipper.language.rollouts import LanguageRollouts
from clipper.language.shaping import Shaping
from clipper.learning.advantages import Standardised
from clipper.learning.optimizers import Adam
from clipper.learning.reference_kl import InLoss
from clipper.learning.value_losses import ClippedMSE


def main() -> None:
    """Train, and report the updates after the warm-up."""
    work = begin()
    watch = Watch(work)
    shared = {"learning_rate": work["learning_rate"], "minibatches": 1, "epochs": 1, "optimizer": Adam(1e-8)}
    given: dict[str, Any] = {"model": work["folder"], "prompts": prompts(work)}
    if work["algorithm"] == "grpo":
        given["prompts"] = [as_text(x) for x in given["prompts"]]

        def is_sorted(asked: list[str], answered: list[str]) -> list[float]:
            found = [sorted_right(*pair) for pair in zip(asked, answered, strict=True)]
            watch.scores.append(sum(found) / len(found))
            return found

        reward: Any = is_sorted
        algorithm: Any = clipper.GRPO(reference_kl=InLoss(work["beta"], "k3"), **shared)
        critic, shaping = None, Shaping(beta=0.0)
    else:
        network = reward_network(work["folder"])
        given["model"] = AutoModelForCausalLM.from_pretrained(work["folder"])  # without its tokenizer

        @torch.no_grad()
        def by_network(asked: list[list[int]], answered: list[list[int]]) -> torch.Tensor:
            texts = [[*x, *y, *[END] * (len(y) < work["limit"])] for x, y in zip(asked, answered, strict=True)]
            last = torch.tensor([len(text) - 1 for text in texts])
            widest = max(map(len, texts))
            hidden = network.model(input_ids=torch.tensor([x + [0] * (widest - len(x)) for x in texts]))[0]
            found = network.score(hidden[torch.arange(len(texts)), last]).squeeze(-1)
            watch.scores.append(float(found.mean()))
            return found

        reward = by_network
        algorithm = clipper.PPO(
            gamma=1.0, lam=0.95, value_coef=0.05, value_loss=ClippedMSE(0.2), max_grad_norm=float("inf"),
            advantages=Standardised("batch"), **shared,
        )  # fmt: skip
        critic, shaping = "own", Shaping(beta=work["beta"], cut="end")
    LanguageRollouts.answer = watch.timed("generate", LanguageRollouts.answer)
    LanguageRollouts.collect = watch.timed("score", LanguageRollouts.collect)
    values = watch.timed("score", TokenPolicy.value)
    learned = TokenPolicy.value

    def value(*args: Any, **named: Any) -> Any:
        return (learned if torch.is_grad_enabled() else values)(*args, **named)

    TokenPolicy.value = value
    clipper.train_language(
        reward=reward, algorithm=algorithm, critic=critic, shaping=shaping, seed=work["seed"], max_tokens=work["limit"],
        responses=work["responses"], responses_per_prompt=work["per_prompt"], total_steps=10**9, progress=False,
        callback=watch.updated, **given,
    )  # fmt: skip
    watch.report("clipper-rl")


if __name__ == "__main__":
    main()
