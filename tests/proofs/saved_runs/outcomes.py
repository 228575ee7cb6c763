"""Answers, episodes and further training of a saved run: recorded by the commit that saved it, asked of every other."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces.utils import unflatten
from torch import Generator

import clipper

MORE = 2  # iterations after resuming
NUMBERS = 24  # of a policy's state


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of an action that may be a tree."""
    if isinstance(tree, dict | tuple):
        return [x for part in (tree.values() if isinstance(tree, dict) else tree) for x in leaves(part)]
    return [np.asarray(tree, dtype=np.float64).ravel()]


def one_row(tree: Any) -> Any:
    """An observation as a batch of one, in tensors."""
    if isinstance(tree, dict):
        return {k: one_row(x) for k, x in tree.items()}
    return tuple(map(one_row, tree)) if isinstance(tree, tuple) else torch.as_tensor(np.asarray(tree)[None])


def answers(folder: Path, space: gymnasium.Space, observations: list[list[float]], mask: Any) -> dict[str, Any]:
    """Actions, most likely and drawn, the values and entropies of a loaded policy, one observation after another."""
    policy, generator = clipper.load(folder), Generator().manual_seed(0)
    told: dict[str, Any] = {"actions": [], "drawn": [], "values": [], "entropies": []}
    memory: Any = ()
    legal = None if mask is None else np.array(mask, dtype=np.int8)
    for flat in observations:
        obs = unflatten(space, np.array(flat))
        drawn, _ = policy.predict(obs, False, generator, memory=memory, action_mask=legal)
        action, memory = policy.predict(obs, memory=memory, action_mask=legal)
        told["actions"].append(np.concatenate(leaves(action)).tolist())
        told["drawn"].append(np.concatenate(leaves(drawn)).tolist())
        with torch.no_grad():
            told["values"].append(float(policy.value(one_row(obs)).mean))
            told["entropies"].append(float(policy.act(one_row(obs))[0].entropy()))
    return told


def played(folder: Path, source: Any) -> dict[str, Any]:
    """Three episodes."""
    evaluation = clipper.evaluate(folder, source, episodes=3, seed=11, num_envs=1)
    return {"returns": evaluation.returns.tolist(), "lengths": evaluation.lengths.tolist()}


def resumed(folder: Path, source: Any) -> dict[str, Any]:
    """Some iterations more, with the torch engine: their metrics, and some numbers of the policy, by size.

    By size, since neither the names of a policy's parts nor their order is what was learned.
    """
    run = clipper.train(source, resume=folder, callback=Until(), engine="torch")
    state = [x.double().ravel() for x in run.policy.state_dict().values() if x.is_floating_point()]
    by_size = torch.cat(state).sort().values
    chosen = torch.linspace(0, len(by_size) - 1, NUMBERS).long()
    rows = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in run.history[-MORE:]]
    return {"exact": run.exact, "rows": rows, "count": len(by_size), "total": float(by_size.sum()),
            "squares": float(by_size.square().sum()), "numbers": by_size[chosen].tolist()}  # fmt: skip


class Until:
    """Lets a run go on for ``MORE`` iterations."""

    def __init__(self) -> None:
        self.left = MORE

    def __call__(self, run: clipper.Run) -> bool:
        self.left -= 1
        return self.left > 0
