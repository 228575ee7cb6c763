"""Stable-Baselines3's SAC, TD3 or DDPG, as benchmarks/off_policy.py asks for it, with its default logging."""

import json
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3  # pyright: ignore[reportMissingImports]
import torch
from stable_baselines3.common.callbacks import BaseCallback  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.noise import NormalActionNoise  # pyright: ignore[reportMissingImports]

STARTS = 100


class Marks(BaseCallback):
    """Notes the processor time at a step."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first, self.began, self.before = first, 0.0, 0

    def _on_step(self) -> bool:
        if not self.before and self.num_timesteps >= self.first:
            self.began, self.before = time.process_time(), self.num_timesteps
        return True


def main() -> None:
    """Train, and report the steps after the first ones with a gradient."""
    work = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    options: dict[str, Any] = {"net_arch": [work["width"]] * 2}
    if work["algorithm"] != "SAC":  # as SAC has it by default
        options["activation_fn"] = torch.nn.ReLU
    noise: dict[str, Any] = {}
    if work["algorithm"] != "SAC":
        size: Any = gymnasium.make(work["env"]).action_space.shape
        noise = {"action_noise": NormalActionNoise(np.zeros(size), np.full(size, 0.1))}
    model = getattr(stable_baselines3, work["algorithm"])(
        "MlpPolicy", work["env"], learning_starts=STARTS, batch_size=256, train_freq=1, gradient_steps=1,
        policy_kwargs=options, device="cpu", seed=work["seed"], **noise,
    )  # fmt: skip
    marks = Marks(STARTS + work["steps"] // 10)
    model.learn(STARTS + work["steps"] // 10 + work["steps"], callback=marks)
    result = {"seconds": time.process_time() - marks.began, "steps": model.num_timesteps - marks.before}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
