"""What differs between an entry and the published results that stand beside it, prior knowledge included.

An aim is where the means of a choice's arguments start (``HeadOptions.initial_mean``); without one they start at 0,
the middle of their range.
"""

CEILINGS = {4: 0.964, 6: 0.989, 8: 0.993, 10: 0.996}
"""The part of HardMove's starts from which the target can be reached in 30 decisions at all, by the number of
actuators; ``tests/benchmarks/test_notes.py`` computes it. A success rate above it is the luck of its 1000 starts."""

EXPLANATION = {
    "en": "An *aim* is knowledge about the task: the means of a choice's arguments start there, and not in the middle "
    "of their range. *At most* is the part of starts from which the target can be reached at all; what is above it is "
    "the luck of the 1000 starts.",
    "zh": "*瞄准*（aim）是关于任务的先验知识：动作参数的均值从该处开始，而不是从取值范围的中点开始。"
    "*至多*是存在可行解的初始状态所占比例；超出它的部分只是所抽到的 1000 个初始状态的运气。",
}

EXPLAINED = ("hybrid", "hardmove")
"""Suites whose notes say these words."""

V5 = (
    "XuanCe samples its actions, in 3 episodes at each of 201 moments; here the likeliest ones, in 10 at each of 20",
    "XuanCe 评估时对动作采样，201 个时刻各 3 个回合；此处取最可能的动作，20 个时刻各 10 个回合",
)
AIM = (
    "an aim: kicks start towards x = 8, shots halfway to either post",
    "带瞄准（aim）：踢球从朝向 x = 8 开始，射门从球门中点与两侧门柱的中间处开始",
)
SHOWN = (
    "the observation shows the velocity, which the published one does not; the figure is Moving's",
    "观测中显示速度，公布的任务不显示；所列目标属于 Moving",
)


def switches(n: int) -> tuple[str, str]:
    """HardMove as ``recipes.hardmove`` has it."""
    return (
        f"{n} switches and one acceleration, which starts at 0.5; HyAR's agents choose one of {2**n} actions, each "
        f"with its own: not comparable; at most {CEILINGS[n]}",
        f"{n} 个开关（switch）和一个从 0.5 开始的加速度；HyAR 的智能体从 {2**n} 个动作中选一个，各有自己的加速度："
        f"不可比较；至多 {CEILINGS[n]}",
    )


def published(n: int) -> tuple[str, str]:
    """HardMove with HyAR's actions."""
    return (
        f"HyAR's {2**n} actions, each with an acceleration of its own, all of which start at 0; at most {CEILINGS[n]}",
        f"HyAR 的 {2**n} 个动作，各有自己的加速度，均从 0 开始（start）；至多 {CEILINGS[n]}",
    )


MUJOCO = ("halfcheetah", "hopper", "walker2d", "ant", "swimmer", "humanoid")
NOTES: dict[tuple[str, str], tuple[str, str]] = {
    **{("mujoco", task): V5 for task in MUJOCO},
    ("mujoco", "ant without contact forces"): (
        "27 numbers of the observation where version 5 has 105, as version 4 had it by default",
        "观测为 27 个数（version 5 为 105 个），与 version 4 的默认设置相同",
    ),
    **{("trust_region", f"ppo-{task}"): V5 for task in ("hopper", "halfcheetah")},
    ("hybrid", "sliding"): SHOWN,
    ("hybrid", "goal"): AIM,
    ("hybrid", "goal, per part"): AIM,
    ("hybrid", "goal without an aim"): ("no aim", "不带瞄准"),
    ("hybrid", "hard goal"): ("an aim: kicks start towards x = 8", "带瞄准（aim）：踢球从朝向 x = 8 开始"),
    **{("hybrid", f"hardmove {n}"): switches(n) for n in CEILINGS},
    **{("hardmove", f"hardmove {n}"): published(n) for n in CEILINGS},
}
"""By suite and entry, in English and in Chinese."""


def note(suite: str, name: str, language: str) -> str:
    """An entry's note; none where nothing is known to differ."""
    return NOTES.get((suite, name), ("", ""))[language == "zh"]


def noted(suite: str) -> bool:
    """Does any entry of the suite have one?"""
    return any(of == suite for of, _ in NOTES)
