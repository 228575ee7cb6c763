"""What the scripts on language models share: processor seconds by part, scores by update, one JSON line as a result.

Seconds are the process's processor seconds from the end of the last warm-up update to the end of the last one. A part's
seconds leave out those of parts within it; what belongs to no part is the update.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
import torch

DIGITS, END = 6, 11


class Watch:
    """Where a side's time goes."""

    def __init__(self, work: dict[str, Any]) -> None:
        self.work, self.inner, self.parts = work, list[float](), defaultdict[str, float](float)
        self.updates, self.began, self.ended, self.steps = 0, 0.0, 0.0, 0
        self.scores: list[float] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose seconds count as this part's."""

        def counted(*args: Any, **named: Any) -> Any:
            before = time.process_time()
            self.inner.append(0.0)
            try:
                return function(*args, **named)
            finally:
                took = time.process_time() - before
                self.parts[part] += took - self.inner.pop()
                if self.inner:
                    self.inner[-1] += took

        return counted

    def updated(self, *_: object) -> bool:
        """An update has ended. Is another one to come?"""
        self.updates, self.ended = self.updates + 1, time.process_time()
        if self.updates == self.work["warm"]:
            self.began, self.steps = self.ended, measure.counted
            self.parts.clear()
        return self.updates < self.work["updates"]

    def report(self, *packages: str) -> None:
        """Print the result as the last line."""
        updates, seconds = self.updates - self.work["warm"], self.ended - self.began
        last = self.scores[-max(1, len(self.scores) // 5) :]
        result = {
            "responses": updates * self.work["responses"],
            "seconds": seconds,
            "parts": {**self.parts, "update": seconds - sum(self.parts.values())},
            "optimizer_steps": (measure.counted - self.steps) / updates,
            "memory": measure.peak_memory(),
            "first": self.scores[0],
            "score": sum(last) / len(last),
            "versions": {name: measure.installed(name) for name in ("torch", "transformers", *packages)},
        }
        print(json.dumps(result), flush=True)


def prompts(work: dict[str, Any]) -> list[list[int]]:
    """As many as all updates need: random digits and the sign of equality, as tokens."""
    count = work["updates"] * work["responses"] // work["per_prompt"]
    found = torch.randint(10, (count, DIGITS), generator=torch.Generator().manual_seed(work["seed"])).tolist()
    return [[*digits, 10] for digits in found]


def as_text(tokens: Sequence[int]) -> str:
    """Digits and the sign of equality as words."""
    return " ".join("=" if token == 10 else str(token) for token in tokens)


def sorted_right(prompt: str, response: str) -> float:
    """1 where the response is the prompt's digits in order."""
    return float(response.split() == sorted(prompt.split()[:DIGITS]))


def reward_network(folder: str) -> Any:
    """A network whose numbers are the scores of texts."""
    from transformers import LlamaForSequenceClassification

    return LlamaForSequenceClassification.from_pretrained(Path(folder) / "reward").eval()
