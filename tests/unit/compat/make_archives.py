"""Make archives/ anew, with Stable-Baselines3 installed: python tests/unit/compat/make_archives.py.

Two small models as its own ``save`` writes them, without the entry that describes the machine, and what they answer.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "archives"


def keep(name: str, model: Any, size: int) -> dict[str, Any]:
    """Save a model; its answers to eight observations."""
    model.save(FOLDER / f"{name}.zip")
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        entries = {e: archive.read(e) for e in archive.namelist() if e != "system_info.txt"}
    with zipfile.ZipFile(FOLDER / f"{name}.zip", "w") as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    obs = np.random.default_rng(0).normal(size=(8, size)).astype(np.float32)
    with torch.no_grad():
        dist = model.policy.get_distribution(torch.as_tensor(obs)).distribution
        value = model.policy.predict_values(torch.as_tensor(obs))[:, 0]
    params = dist.logits if hasattr(dist, "logits") else dist.mean
    action, _ = model.predict(obs, deterministic=True)
    answers = {"obs": obs, "action": action, "value": value.numpy(), "params": params.numpy()}
    return {key: x.tolist() for key, x in answers.items()}


def main() -> None:
    """Two models, trained for a moment."""
    from stable_baselines3 import A2C, PPO  # pyright: ignore[reportMissingImports]

    arch = {"net_arch": {"pi": [6, 5], "vf": [7]}}
    settings = {"n_steps": 64, "batch_size": 32, "n_epochs": 3, "gamma": 0.98, "ent_coef": 0.01, "learning_rate": 1e-2}
    ppo = PPO("MlpPolicy", "CartPole-v1", seed=1, policy_kwargs=arch, **settings).learn(512)
    relu = {"net_arch": [6], "activation_fn": torch.nn.ReLU, "log_std_init": -0.5}
    a2c = A2C("MlpPolicy", "Pendulum-v1", policy_kwargs=relu, seed=2).learn(200)
    kept = (("sb3_ppo_cartpole", ppo, 4), ("sb3_a2c_pendulum", a2c, 3))
    answers = {name: keep(name, model, size) for name, model, size in kept}
    (FOLDER / "outputs.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
