"""The algorithms of ``clipper train-language`` by name, with what each begins from."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from clipper.algorithms import PPO, Algorithm, PairwisePPO, PPOSeparate, Reinforce
from clipper.learning.reference_kl import InReward
from clipper.learning.schedules import Linear
from clipper.settings import language_presets as presets


class Choice(NamedTuple):
    """An algorithm, and what its runs begin from where flags say nothing else."""

    make: Callable[..., Algorithm]
    responses_per_prompt: int = 4
    critic: Literal["own", "shared", "none"] = "none"
    learning_rate: float = 3e-4
    """On a task's small model: without a critic a third of PPO's."""


CHOICES: dict[str, Choice] = {
    "ppo": Choice(partial(PPO, gamma=1.0, epochs=4, learning_rate=1e-5), 1, "own", 7e-4),
    "ppo-separate": Choice(partial(PPOSeparate, gamma=1.0, learning_rate=1e-5), 1, "own", 7e-4),
    "reinforce": Choice(partial(Reinforce, gamma=1.0, episodes=64, learning_rate=1e-5), 1, "own", 7e-4),
    "grpo": Choice(presets.grpo),
    "rloo": Choice(presets.rloo),
    "dr-grpo": Choice(presets.dr_grpo),
    "dapo": Choice(presets.dapo),
    "gspo": Choice(presets.gspo),
    "cispo": Choice(presets.cispo),
    "reinforce-pp": Choice(presets.reinforce_pp, 1),
    "reinforce-pp-baseline": Choice(presets.reinforce_pp_baseline),
    "remax": Choice(presets.remax, 1),
    "pairwise-ppo": Choice(PairwisePPO),
}


BETA = 0.02
"""Price of a nat of KL on a task."""


def for_task(choice: Choice) -> Algorithm:
    """The algorithm with a small model's settings: larger steps, and more of them to the same responses."""
    fields: dict[str, object] = {"learning_rate": Linear(choice.learning_rate)}
    plain = choice.make()
    has = {f.name for f in dataclasses.fields(plain)} if dataclasses.is_dataclass(plain) else set[str]()
    known: dict[str, object] = {"epochs": 2, "minibatches": 4, "episodes": 256, "value_epochs": 2}
    fields |= {name: x for name, x in known.items() if name in has}
    if isinstance(plain, PairwisePPO):
        fields["beta"] = BETA
    elif "reference_kl" in has and isinstance(getattr(plain, "reference_kl", None), InReward):
        fields["reference_kl"] = InReward(BETA)
    return choice.make(**fields)
