"""Sorting digits: which responses are right, and a start from which some are."""

import torch
from small_models import config_of

from clipper.language.generate import generate
from clipper.language.models import load_model
from clipper.language.tasks.sort import Sort


def test_only_the_digits_in_order_are_right() -> None:
    task = Sort(digits=4)
    prompt = [3, 1, 2, 1, task.equals]
    assert task.reward([prompt] * 3, [[1, 1, 2, 3], [1, 2, 3], [1, 1, 3, 2]]) == [1.0, 0.0, 0.0]


def test_a_few_steps_on_right_responses_are_a_start() -> None:
    task = Sort(digits=2)
    lm = load_model(config_of("llama", task.vocabulary), 1).lm
    prompts = task.prompts(200, torch.Generator().manual_seed(5))

    def right() -> float:
        found = generate(lm, prompts, None, task.max_tokens, [task.eos]).responses()
        return sum(task.reward(prompts, found)) / len(prompts)

    before = right()
    task.fit(lm, steps=60)
    assert right() > before + 0.2
