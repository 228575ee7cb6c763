"""PureJaxRL's script on one workload, its file unmodified, from a checkout: ``run_purejaxrl.py WORKLOAD PATH``.

It trains on its own environments, gymnax's, which reset in the same step: every row is a decision. The whole training
is one compiled function; it is compiled before the clock starts, and has no other warm-up, so that all iterations are
timed. The value loss is clipped as the script has it. XLA takes one thread per processor that the process may use.
"""

import os
import sys
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from measure import begin, report

UNUSED = ("brax", "brax.envs", "brax.envs.wrappers", "brax.envs.wrappers.training", "navix")
NAMES = ("envs", "EpisodeWrapper", "AutoResetWrapper")  # that its wrappers.py takes from these, for other scripts


def keep_to(threads: int) -> int:
    """Bind the process to so many processors, before JAX counts them; where that is not to be had, all are used."""
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    return len(os.sched_getaffinity(0))


def load(checkout: Path) -> ModuleType:
    """The module of its ppo.py; brax and navix, which it imports but does not use for CartPole, may be missing."""
    for name in UNUSED:
        module = ModuleType(name)
        module.__dict__.update(dict.fromkeys(NAMES))
        sys.modules[name] = module
    sys.path.insert(0, str(checkout.resolve() / "purejaxrl"))
    return import_module("ppo")


def config(work: dict[str, Any]) -> dict[str, Any]:
    """The workload in the script's own words."""
    return {
        "ENV_NAME": work["env"],
        "TOTAL_TIMESTEPS": work["iterations"] * work["horizon"] * work["num_envs"],
        "NUM_ENVS": work["num_envs"],
        "NUM_STEPS": work["horizon"],
        "NUM_MINIBATCHES": work["minibatches"],
        "UPDATE_EPOCHS": work["epochs"],
        "LR": work["learning_rate"],
        "ANNEAL_LR": False,
        "GAMMA": 0.99,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "VF_COEF": 1.0,  # its value loss carries another factor of 0.5
        "ENT_COEF": 0.0,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
    }


def main() -> None:
    """Compile, train, and report."""
    threads = keep_to(int(os.environ["OMP_NUM_THREADS"]))
    script = load(Path(sys.argv[2]))
    import jax  # after the processors are chosen  # pyright: ignore[reportMissingImports]

    work = begin()
    assert work["hidden"] == [64, 64], "the script's networks are 64-64"
    key = jax.random.PRNGKey(work["seed"])
    train = jax.jit(script.make_train(config(work))).lower(key).compile()
    began = time.perf_counter()
    result = jax.block_until_ready(train(key))
    seconds = time.perf_counter() - began
    episodes = result["metrics"]
    returns = episodes["returned_episode_returns"][episodes["returned_episode"]]
    report(
        work["iterations"] * work["horizon"] * work["num_envs"],
        seconds,
        [float(total) for total in returns[-1000:]],
        "jax",
        "flax",
        "optax",
        "distrax",
        "gymnax",
        optimizer_steps=int(result["runner_state"][0].step),
        threads=threads,
    )


if __name__ == "__main__":
    main()
