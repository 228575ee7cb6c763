"""What is studied: suites of settings, each with its seeds and, where one is claimed, the score it is held against."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import gymnasium
from hybrid_methods import HYBRID_METHODS
from mask_variants import MaskedOnlyWhenActing, Unmasked
from off_policy_tasks import OFF_POLICY
from torch import nn

from clipper import Config, PolicyOptions
from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, Algorithm, Exploring, PPOPenalty, Reinforce
from clipper.environments.agents import is_pettingzoo
from clipper.learning.action_parts import PerPart
from clipper.learning.advantages import Standardised
from clipper.learning.bonuses import ICM, Bonus, Counts
from clipper.learning.objectives import Unclipped
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Raw, Scaled
from clipper.learning.schedules import Linear
from clipper.networks.heads import HeadOptions
from clipper.networks.memory import GRU, Memory, Transformer
from clipper.settings import recipes

Protocol = Literal["evaluation", "success", "training", "best"]


class Target(NamedTuple):
    """What an entry is expected to reach."""

    value: float
    protocol: Protocol
    source: str


class Entry(NamedTuple):
    """One set of settings, trained with several seeds."""

    config: Callable[[], Config]
    seeds: int
    target: Target | None
    protocol: Protocol
    """Which number stands for a run; the target's own where there is one."""
    episodes: int = 100
    """In the final evaluation."""
    policy: Callable[[Config], nn.Module] | None = None
    """What makes the policy where it is not Clipper's own."""


def entry(
    config: Callable[[], Config], seeds: int, target: Target | None = None, protocol: Protocol = "training",
    episodes: int = 100, policy: Callable[[Config], nn.Module] | None = None,
) -> Entry:  # fmt: skip
    """An entry; its protocol is its target's."""
    return Entry(config, seeds, target, protocol if target is None else target.protocol, episodes, policy)


RECIPES = {
    "cartpole": entry(recipes.cartpole, 5, Target(475, "evaluation", "Gymnasium's threshold")),
    "acrobot": entry(recipes.acrobot, 5, Target(-90, "evaluation", "ours; Gymnasium's threshold is -100")),
    "lunarlander": entry(recipes.lunarlander, 5, Target(200, "evaluation", "Gymnasium's threshold")),
    "pendulum": entry(recipes.pendulum, 5, Target(-250, "evaluation", "ours; Gymnasium sets none")),
    "hopper": entry(recipes.hopper, 3, Target(2300, "training", "ours; CleanRL on Hopper-v4: 2383")),
    "halfcheetah": entry(recipes.halfcheetah, 3, Target(1800, "training", "ours; CleanRL on HalfCheetah-v4: 1443")),
}

CLASSIC = {name: RECIPES[name] for name in ("cartpole", "acrobot", "pendulum")}
BOX2D = {name: RECIPES[name] for name in ("lunarlander",)}

MUJOCO_TASKS = {  # XuanCe's PPO on version 5, benchmarks/published.py
    "HalfCheetah": 5371, "Hopper": 2343, "Walker2d": 4371, "Ant": 1394, "Swimmer": 112, "Humanoid": 761,
}  # fmt: skip
XUANCE = "XuanCe on {}-v5, 5 seeds"


def mujoco(task: str, arguments: str = "") -> Entry:
    """PPO with the recipes' settings for MuJoCo, evaluated as Tianshou does it; the CSV file has both protocols."""
    config = dataclasses.replace(recipes.mujoco(f"{task}-v5{arguments}"), eval_every=50_000, eval_episodes=10)
    # Another observation is another task, of which no published results are known.
    return entry(lambda: config, 3, None if arguments else v5_target(task), "best")


def v5_target(task: str) -> Target:
    """The highest published result of PPO on version 5 of a task."""
    return Target(MUJOCO_TASKS[task], "best", XUANCE.format(task))


MUJOCO = {task.lower(): mujoco(task) for task in MUJOCO_TASKS}
MUJOCO["ant without contact forces"] = mujoco("Ant", ",include_cfrc_ext_in_observation=false")


def quick(config: Config) -> Config:
    """An Atari game in a seventh of the decisions, for few cores: four times the learning rate, and bfloat16."""
    assert isinstance(config.algorithm, PPO)
    algorithm = dataclasses.replace(config.algorithm, learning_rate=Linear(1e-3))
    encoder = dataclasses.replace(config.policy.encoder, bfloat16=True)
    policy = dataclasses.replace(config.policy, encoder=encoder)
    return dataclasses.replace(config, algorithm=algorithm, policy=policy, total_steps=1_500_000, vector="native")


ATARI = {
    "pong": entry(recipes.pong, 3, Target(20, "training", "ours; 37 details: 20.86, PPO's paper: 20.7"), episodes=10),
    "pong, 1.5M": entry(
        lambda: quick(recipes.pong()), 3, Target(20, "training", "ours, with a seventh of the decisions"), episodes=10
    ),
    "breakout, 1.5M": entry(
        lambda: quick(recipes.breakout()), 3, Target(400, "training", "of 10M decisions; this has 1.5M"), episodes=10
    ),
    "breakout": entry(recipes.breakout, 3, Target(400, "training", "ours; 37 details: 404, CleanRL: 415"), episodes=10),
}

SCORES = {
    "CartPole-v1": 475, "Acrobot-v1": -85, "LunarLander-v3": 200, "Hopper-v5": 2300, "HalfCheetah-v5": 5000,
    "clipper/Moving-v0": 1.8, "clipper/Platform-v0": 0.95, "ALE/Pong-v5": 20,
}  # fmt: skip
"""Time to score: when the mean over the latest 100 training episodes first reached it."""


def line(algorithm: Algorithm, total_steps: int) -> Entry:
    """An algorithm on CartPole-v1."""
    config = Config(env="CartPole-v1", algorithm=algorithm, total_steps=total_steps)
    return entry(lambda: config, 5, Target(475, "evaluation", "Gymnasium's threshold"))


LINE = {
    "reinforce": line(Reinforce(learning_rate=Linear(1e-2)), 300_000),
    "reinforce-decisions": line(Reinforce(learning_rate=Linear(1e-2), advantages=Standardised("batch", 0)), 300_000),
    "vpg": line(VPG(learning_rate=Linear(1e-2)), 200_000),
    "a2c": line(A2C(learning_rate=Linear(2e-3)), 300_000),
    "npg": line(NPG(), 150_000),
    "trpo": line(TRPO(), 150_000),
    "ppo-penalty": line(PPOPenalty(), 150_000),
    "ppo": line(PPO(), 150_000),
}

MUJOCO_POLICY = PolicyOptions(normalise_obs=True, head=HeadOptions(initial_log_std=-0.5))
NATURAL: dict[str, Any] = {
    "horizon": 128, "value_epochs": 20, "value_minibatches": 1, "value_learning_rate": Linear(1e-3),
    "rewards": Scaled(),
}  # fmt: skip


def trust_region(name: str, algorithm: Algorithm, task: str) -> Entry:
    """An algorithm on a MuJoCo task, evaluated as Tianshou does it."""
    config = Config(
        env=f"{task}-v5", algorithm=algorithm, policy=MUJOCO_POLICY, total_steps=1_000_000,
        eval_every=50_000, eval_episodes=10,
    )  # fmt: skip
    return entry(lambda: config, 3, v5_target(task) if name == "ppo" else None, "best")


TRUST_REGION = {
    f"{name}-{task.lower()}": trust_region(name, algorithm, task)
    for task in ("Hopper", "HalfCheetah")
    for name, algorithm in {
        "ppo": recipes.mujoco("").algorithm,
        "trpo": TRPO(**NATURAL),
        "npg": NPG(**NATURAL),
    }.items()
}

PAPER = {
    "no clipping": (PPO, {"objective": Unclipped()}, -0.39),
    "clip 0.1": (PPO, {"clip": 0.1}, 0.76),
    "clip 0.2": (PPO, {"clip": 0.2}, 0.82),
    "clip 0.3": (PPO, {"clip": 0.3}, 0.70),
    "adaptive 0.003": (PPOPenalty, {"kl_target": 0.003}, 0.68),
    "adaptive 0.01": (PPOPenalty, {"kl_target": 0.01}, 0.74),
    "adaptive 0.03": (PPOPenalty, {"kl_target": 0.03}, 0.71),
    "fixed 0.3": (PPOPenalty, {"kl_target": None, "beta": 0.3}, 0.62),
    "fixed 1": (PPOPenalty, {"kl_target": None, "beta": 1.0}, 0.71),
    "fixed 3": (PPOPenalty, {"kl_target": None, "beta": 3.0}, 0.72),
    "fixed 10": (PPOPenalty, {"kl_target": None, "beta": 10.0}, 0.69),
}
"""The surrogates that the PPO paper compares, and their scores there (arXiv:1707.06347, table 1: 7 tasks, 1M steps)."""

SURROGATE_TASKS = ("InvertedDoublePendulum-v5", "Swimmer-v5", "Hopper-v5")
SURROGATE_STEPS = 200_000


def surrogate(variant: str, task: str) -> Entry:
    """A surrogate with the paper's hyperparameters (its table 3), 8 × 256 rows for its 2048."""
    algorithm, settings, _ = PAPER[variant]
    config = Config(
        env=task, algorithm=algorithm(horizon=256, minibatches=32, learning_rate=3e-4, **settings),
        policy=PolicyOptions(normalise_obs=True), total_steps=SURROGATE_STEPS,
    )  # fmt: skip
    return entry(lambda: config, 3)


SURROGATES = {
    f"{variant}, {task.partition('-')[0]}": surrogate(variant, task) for task in SURROGATE_TASKS for variant in PAPER
}

TRICK_TASKS = ("Hopper-v5", "HalfCheetah-v5")
TRICKS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {  # what changes of PPO, and of the policy
    "all ten": ({}, {}),
    "raw advantages": ({"advantages": Raw()}, {}),
    "raw observations": ({}, {"normalise_obs": False}),
    "raw rewards": ({"rewards": Raw()}, {}),
    "no entropy bonus": ({"entropy_coef": 0.0}, {}),
    "constant learning rate": ({"learning_rate": 3e-4}, {}),
    "no gradient clipping": ({"max_grad_norm": 1e9}, {}),
    "weights as torch draws them": ({}, {"orthogonal": False}),
    "Adam's ε of 1e-8": ({"optimizer": Adam(1e-8)}, {}),
    "ReLU": ({}, {"activation": "relu"}),
}
"""The ten tricks of the PPO-continuous notes, each taken away in turn; normalised and scaled rewards are one switch."""


def trick(variant: str, task: str) -> Entry:
    """PPO as the MuJoCo recipes have it, with an entropy bonus and without one trick."""
    algorithm, policy = TRICKS[variant]
    base = PPO(
        horizon=256, minibatches=32, learning_rate=Linear(3e-4), rewards=Scaled(), entropy_coef=0.01,
    )  # fmt: skip
    config = Config(
        env=task, algorithm=dataclasses.replace(base, **algorithm),
        policy=dataclasses.replace(PolicyOptions(normalise_obs=True), **policy), total_steps=300_000,
    )  # fmt: skip
    return entry(lambda: config, 3)


TRICK_ENTRIES = {
    f"{variant}, {task.partition('-')[0]}": trick(variant, task) for task in TRICK_TASKS for variant in TRICKS
}

MOVING = Target(1.85, "evaluation", "ours; DI-engine's H-PPO on Moving: about 1.7 at 3M steps")
PLATFORM = Target(0.99, "evaluation", "ours; published: H-PPO 0.80, HyAR 0.98, CHDP 0.997")
GOAL = Target(0.80, "success", "ours, with an aim to start from; published: H-PPO 0.00, HyAR 0.78, CHDP 0.81")
CATCHING = Target(0.90, "success", "ours; published: HyAR 0.90")
HARDMOVE = {  # actuators → HyAR's success (arXiv 2109.05490, table 2), the better one of its DDPG and TD3
    4: (0.93, "published: HyAR"), 6: (0.92, "published: HyAR"), 8: (0.89, "published: HyAR"),
    10: (0.82, "published: HyAR"),
}  # fmt: skip


def hybrid(
    config: Callable[..., Config], target: Target | None = None, protocol: Protocol = "success", **arguments: Any
) -> Entry:
    """A recipe with hybrid actions, evaluated over a thousand episodes."""
    return entry(lambda: config(**arguments), 5, target, protocol, 1000)


def per_part(config: Callable[[], Config], target: Target) -> Entry:
    """The same recipe with one clipped surrogate for each part of an action (H-PPO) instead of a joint one."""
    whole = config()
    assert isinstance(whole.algorithm, PPO)
    changed = dataclasses.replace(whole, algorithm=dataclasses.replace(whole.algorithm, parts=PerPart()))
    return entry(lambda: changed, 5, target, episodes=1000)


HYBRID = {
    "platform": hybrid(recipes.platform, PLATFORM),
    "moving": hybrid(recipes.moving, MOVING),
    "sliding": hybrid(recipes.sliding, MOVING),
    "sliding without velocity": hybrid(recipes.sliding, MOVING, velocity=False),
    "goal": hybrid(recipes.goal, GOAL),
    "goal without an aim": hybrid(recipes.goal, aim=False),
    "hard goal": hybrid(recipes.hard_goal),
    "catching point": hybrid(recipes.catching_point, CATCHING),
    **{f"hardmove {n}": hybrid(recipes.hardmove, actuators=n) for n in HARDMOVE},
    "platform, per part": per_part(recipes.platform, PLATFORM),
    "moving, per part": per_part(recipes.moving, MOVING),
    "goal, per part": per_part(recipes.goal, GOAL),
}

HIT = Target(0.9998, "success", "published: H-PPO, on an environment that was never released")
SCORED = Target(0.9539, "success", "published: H-PPO, on an environment that was never released")
H_PPO = {  # each reading of what the paper leaves open
    **{f"chase and attack, {n}": hybrid(recipes.chase_and_attack, HIT, reading=n) for n in (1, 2, 3)},
    **{f"half field football, {n}": hybrid(recipes.half_field_football, SCORED, reading=n) for n in (1, 2, 3)},
}

HARDMOVE_PUBLISHED = {
    f"hardmove {n}": hybrid(recipes.hardmove, Target(value, "success", source), actuators=n, published=True)
    for n, (value, source) in HARDMOVE.items()
}


BARS = {
    "platform, mp-dqn": Target(0.97, "evaluation", "ours; MP-DQN's paper: 0.987"),
    "platform, p-dqn": Target(0.93, "evaluation", "ours; HyAR's table 2: 0.93"),
}


def grid(policy: Callable[[Config], nn.Module] | None = None) -> Entry:
    """PPO on the masked grid, in the definition's engine, since the variants are policies of their own."""
    config = Config(
        env="clipper/MaskedGrid-v0", total_steps=600_000, num_envs=64, engine="torch",
        algorithm=PPO(horizon=32, epochs=8, minibatches=8, learning_rate=Linear(1e-3), entropy_coef=0.01),
    )  # fmt: skip
    return entry(lambda: config, 5, protocol="training", policy=policy)


MASKS = {
    "masked": grid(),
    "unmasked": grid(Unmasked.make),
    "masked only when acting": grid(MaskedOnlyWhenActing.make),
}


def memory(config: Config, target: Target | None = None) -> Entry:
    """A recipe for a task that needs a memory."""
    return entry(lambda: config, 5, target, protocol="evaluation")


def instead(config: Config, kind: Memory) -> Config:
    """The same recipe with another memory, or with none."""
    return dataclasses.replace(config, policy=dataclasses.replace(config.policy, memory=kind))


VELOCITIES = Target(450, "evaluation", "ours; with the velocities Gymnasium's threshold is 475")
ANSWERS = Target(0.95, "evaluation", "ours; guessing is right in 0.25 of all answers, masked in 0.33")
HIDDEN, REPEAT, MASKED_REPEAT = (
    recipes.cartpole_memory(),
    recipes.repeat_previous(),
    recipes.repeat_previous(masked=True),
)

MEMORY = {
    "cartpole": memory(HIDDEN, VELOCITIES),
    "cartpole, no memory": memory(instead(HIDDEN, None)),
    "repeat": memory(REPEAT, ANSWERS),
    "repeat, gru": memory(instead(REPEAT, GRU(64)), ANSWERS),
    "repeat, transformer": memory(instead(REPEAT, Transformer(64, window=8)), ANSWERS),
    "repeat, no memory": memory(instead(REPEAT, None)),
    "repeat, masked": memory(MASKED_REPEAT, ANSWERS),
    "repeat, masked, no memory": memory(instead(MASKED_REPEAT, None)),
}


FOUND = Target(0.9, "evaluation", "ours; the best return is 0.99, and never going right has 0")
ENTERED = Target(0.9, "evaluation", "ours; the best return is 1, of whoever comes to the goal")


def sea(
    size: int, steps: int, target: Target | None, bonus: Bonus | None = None, alone: bool = False,
    television: bool = False,
) -> Entry:  # fmt: skip
    """The recipe for DeepSea at a size, with another bonus, or with the held algorithm ``alone``."""
    config = dataclasses.replace(recipes.deep_sea(size), total_steps=steps)
    shown = dataclasses.replace(config, env=f"{config.env},television=true") if television else config
    return explored(shown, target, bonus, alone)


def explored(config: Config, target: Target | None, bonus: Bonus | None = None, alone: bool = False) -> Entry:
    """A recipe that explores, with another bonus, or with the held algorithm ``alone``."""
    explores = config.algorithm
    assert isinstance(explores, Exploring)
    algorithm = dataclasses.replace(explores, bonus=explores.bonus if bonus is None else bonus)
    changed = dataclasses.replace(config, algorithm=explores.algorithm if alone else algorithm)
    return entry(lambda: changed, 5, target, protocol="evaluation")


EXPLORATION = {
    "deep sea 16": sea(16, 300_000, FOUND),
    "deep sea 16, counts": sea(16, 300_000, FOUND, Counts()),
    "deep sea 16, icm": sea(16, 300_000, None, ICM()),
    "deep sea 16, ppo alone": sea(16, 1_000_000, None, alone=True),
    "deep sea 24": sea(24, 1_500_000, FOUND),
    "deep sea 24, counts": sea(24, 1_500_000, FOUND, Counts()),
    "deep sea 24, icm": sea(24, 1_500_000, None, ICM()),
    "deep sea 24, ppo alone": sea(24, 1_000_000, None, alone=True),
    "deep sea 16, television": sea(16, 300_000, None, television=True),
    "deep sea 16, television, counts": sea(16, 300_000, None, Counts(), television=True),
    "deep sea 16, television, icm": sea(16, 300_000, None, ICM(), television=True),
    "rooms": explored(recipes.rooms(), ENTERED),
    "rooms, counts": explored(recipes.rooms(), ENTERED, Counts()),
    "rooms, icm": explored(recipes.rooms(), ENTERED, ICM()),
    "rooms, ppo alone": explored(recipes.rooms(), None, alone=True),
}


def with_engine(config: Config, engine: Literal["torch", "cpu"]) -> Entry:
    """A recipe with the definition, or with the engine that is held to it."""
    changed = dataclasses.replace(config, engine=engine, total_steps=min(config.total_steps, 300_000), eval_every=0)
    return entry(lambda: changed, 5)


ENGINES = {
    f"{recipe.__name__}, {engine}": with_engine(recipe(), engine)
    for recipe in (recipes.cartpole, recipes.pendulum, recipes.hopper)
    for engine in ("torch", "cpu")
}

NEAR_CLEANRL = "ours, near what CleanRL reports of version 4 at 1M"
OFF_POLICY_TARGETS = {
    "pendulum": Target(-200, "evaluation", "ours, within 10k steps; Gymnasium sets none"),
    "cartpole": Target(475, "evaluation", "Gymnasium's threshold"),
    "lander": Target(200, "evaluation", "Gymnasium's threshold"),
    "halfcheetah": Target(9500, "training", NEAR_CLEANRL),
    "halfcheetah, ddpg": Target(9000, "training", NEAR_CLEANRL),
    "hopper, sac": Target(2300, "training", NEAR_CLEANRL),
    "hopper, td3": Target(3100, "training", NEAR_CLEANRL),
    "walker2d, sac": Target(3600, "training", NEAR_CLEANRL),
    "walker2d, td3": Target(4000, "training", NEAR_CLEANRL),
}
"""By entry, or by task."""


def from_replay(name: str) -> Entry:
    """Five seeds of the shortest runs, three of the others."""
    task = name.partition(",")[0]
    target = OFF_POLICY_TARGETS.get(name) or OFF_POLICY_TARGETS[task]
    return entry(OFF_POLICY[name], 5 if task in ("pendulum", "cartpole") else 3, target, episodes=20)


PPOF = {
    "rocket landing": entry(recipes.rocket_landing, 3, Target(200, "evaluation", "Gymnasium's threshold")),
    "drone fly": entry(recipes.drone_fly, 3, Target(0.9, "evaluation", "ours; the highest return is below 1")),
    "joints": entry(recipes.joints, 3),
}
"""Scenarios of the course PPO × Family, by its names, and MuJoCo with hybrid control."""

SPREAD = Target(-55.5, "training", "ours, −18.5 an agent; random play: −84")

AGENTS = {
    "spread": entry(
        recipes.spread,
        3,
        Target(-4.95, "evaluation", "95 % of the way from random play to the optimum, −3.26"),
        episodes=500,
    ),
    "simple spread": entry(recipes.simple_spread, 3, SPREAD),
    "simple spread, mappo": entry(recipes.mappo, 3, SPREAD),
}
"""Several agents as columns; a return is the team's."""


SUITES: Mapping[str, Mapping[str, Entry]] = {
    "classic": CLASSIC,
    "box2d": BOX2D,
    "mujoco": MUJOCO,
    "atari": ATARI,
    "hybrid": HYBRID,
    "hardmove": HARDMOVE_PUBLISHED,
    "h_ppo": H_PPO,
    "ppof": PPOF,
    "hybrid_methods": {
        name: entry(config, 3, BARS.get(name), "evaluation", episodes=1000) for name, config in HYBRID_METHODS.items()
    },
    "masks": MASKS,
    "memory": MEMORY,
    "recipes": RECIPES,
    "line": LINE,
    "trust_region": TRUST_REGION,
    "surrogates": SURROGATES,
    "tricks": TRICK_ENTRIES,
    "engines": ENGINES,
    "off_policy": {name: from_replay(name) for name in OFF_POLICY},
    "exploration": EXPLORATION,
    "agents": AGENTS,
}
"""By name, as ``--suite`` takes them."""


def with_seed(suite: str, name: str, seed: int, total_steps: int | None = None) -> Config:
    """The settings of one run."""
    config = SUITES[suite][name].config()
    # Runs fill the cores already; Clipper's own environments are many times as fast natively, Atari's somewhat.
    own = config.env.startswith("clipper/") and gymnasium.spec(config.env.partition(",")[0]).vector_entry_point
    own = own or is_pettingzoo(config.env)
    vector = "native" if own or config.vector == "native" else "serial"
    config = dataclasses.replace(config, seed=seed, vector=vector)
    return config if total_steps is None else dataclasses.replace(config, total_steps=total_steps)
