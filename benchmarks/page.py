"""The benchmark page in both languages, from results/: python benchmarks/page.py [--check].

It holds no number of its own: what learning.py and speed.py wrote, and what others publish.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from notes import EXPLAINED, EXPLANATION, note, noted
from published import PUBLISHED, SOURCES, Published
from suites import SCORES, SUITES, Protocol

from clipper.data.bootstrap import bootstrap_interval
from clipper.pictures.aggregate import probability_above
from clipper.runs.curve import thousands

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = {language: ROOT / "docs" / language / "benchmarks.md" for language in ("en", "zh")}
COLUMN = {"evaluation": "evaluation_mean", "success": "success_rate", "training": "training_mean"}
Row = dict[str, str]
WORDS = {
    "en": {
        "title": "Benchmarks",
        "intro": "Written by `python benchmarks/page.py` from what `benchmarks/learning.py` and `benchmarks/speed.py` "
        "measured; [their page](../../benchmarks/README.md) says how to repeat each number.",
        "learning": "Learning",
        "protocols": "*evaluation*: deterministic episodes of the final policy, 100 (hybrid tasks: 1000); *success*: "
        "the part of those that succeeded; *training*: "
        "the last 100 training episodes; *best*: the moment of training at which the mean over seeds of deterministic "
        "evaluations was largest. Intervals: percentile bootstrap of the mean over seeds, 95 %.",
        "entry": ("settings", "task", "steps", "seeds", "protocol", "mean", "95 % interval", "target", "reached"),
        "differs": "what differs from what is published, prior knowledge included",
        "reached": {True: "yes", False: "no", None: "no, but the interval does"},
        "of": "of",
        "peers": "Beside what others publish",
        "peers_intro": "PPO after 1M steps. Of these, XuanCe's alone are of version 5 of the tasks, as Clipper's are; "
        "it evaluates sampled actions, 3 episodes at each of 201 moments, Clipper the likeliest ones, 10 at each "
        "of 20. Versions 3 and 4 have another simulator, model, observation or reward: their figures do not say who is "
        "better. P(better), given for version 5 alone, is the probability that a run of Clipper's beats one of theirs, "
        "taken as normal with the deviation published.",
        "peer": ("task", "protocol", "Clipper", "95 % interval", "seeds", "library", "published", "P(better)"),
        "time": "Time to score",
        "time_intro": "When the mean over the latest 100 training episodes first reached the score: median over seeds. "
        "Seconds are those of one thread, with a run on each other core.",
        "times": ("task", "score", "settings", "seeds that did", "steps", "seconds"),
        "speed": "Speed",
        "speed_intro": "Decisions per second beside peers on the same work. What W1 to W4 are, and under which "
        "conditions they were measured: [speed.md](../../benchmarks/results/speed.md).",
    },
    "zh": {
        "title": "基准测试",
        "intro": "本页由 `python benchmarks/page.py` 根据 `benchmarks/learning.py` 与 "
        "`benchmarks/speed.py` 的实测结果生成；如何复现每个数字，见[基准说明](../../benchmarks/README.md)。",
        "learning": "学习效果",
        "protocols": "*evaluation*：最终策略的确定性评估，100 个回合（混合动作任务为 1000 个）；"
        "*success*：其中成功的比例；"
        "*training*：最后 100 个训练回合；"
        "*best*：训练过程中，各种子确定性评估均值最大的那一刻。区间：对种子均值做百分位自助法，95 %。",
        "entry": ("设置", "任务", "步数", "种子", "口径", "均值", "95 % 区间", "目标", "达到"),
        "differs": "与公布结果的不同之处，包括先验知识",
        "reached": {True: "是", False: "否", None: "否，但区间达到"},
        "of": "/",
        "peers": "与他人公布的结果对照",
        "peers_intro": "均为 1M 步后的 PPO。其中只有 XuanCe 的数值与 Clipper 同为第 5 版任务；它评估时对动作采样，"
        "201 个时刻各 3 个回合，Clipper 取最可能的动作，20 个时刻各 10 个回合。第 3、4 版的仿真器、模型、观测或"
        "奖励不同，其数值不能说明孰优孰劣。P(better) 只对第 5 版给出，是 Clipper 的一次运行胜过对方一次运行的概率，"
        "对方按所公布的均值与标准差视为正态分布。",
        "peer": ("任务", "口径", "Clipper", "95 % 区间", "种子", "库", "公布值", "P(better)"),
        "time": "达到分数所需的时间",
        "time_intro": "最近 100 个训练回合的均值首次达到该分数的时刻，取种子的中位数。"
        "秒数为单线程用时，其他核心上同时在跑别的运行。",
        "times": ("任务", "分数", "设置", "达到的种子", "步数", "秒"),
        "speed": "速度",
        "speed_intro": "同样的工作上与其他库相比，每秒的决策数；W1 至 W4 各是什么、在什么条件下测量，见 "
        "[speed.md](../../benchmarks/results/speed.md)。",
    },
}


SPEED_WORDS = {
    "en": {},
    "zh": {
        "workload": "任务",
        "library": "库",
        "steps/s": "步/秒",
        "range": "范围",
        "Clipper is": "Clipper 是其",
        "its torch engine is": "torch 引擎是其",
        "memory, MB": "内存，MB",
        "training return": "训练回报",
        "environments alone": "仅有环境",
        "computed limit": "计算得出的极限",
        "Clipper, torch engine": "Clipper，torch 引擎",
        "Clipper, bfloat16": "Clipper，bfloat16",
        "Clipper, bfloat16, ale-py's vector": "Clipper，bfloat16，ale-py 的向量环境",
        "LeanRL, compiled": "LeanRL，编译后",
        "PureJaxRL, on gymnax": "PureJaxRL，在 gymnax 上",
    },
}
"""What the cells of speed.py's table are called."""


def rows_of(name: str) -> list[Row]:
    """A result file's rows; none where it was not made yet."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def values(suite: str, rows: Sequence[Row], protocol: Protocol) -> np.ndarray:
    """One number per run, by the protocol."""
    if protocol != "best":
        return np.array([float(row[COLUMN[protocol]]) for row in rows if row[COLUMN[protocol]]])
    entry, seeds = rows[0]["entry"], [row["seed"] for row in rows]
    evaluations = [row for row in rows_of(f"{suite}-evaluations") if row["entry"] == entry]
    curves = [[float(row["return"]) for row in evaluations if row["seed"] == seed] for seed in seeds]
    points = np.array([curve[: min(map(len, curves))] for curve in curves])
    return points[:, points.mean(0).argmax()] if points.size else np.zeros(0)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return ["", *("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)), ""]


def shown(x: float) -> str:
    """Few digits: three decimals of what is about 1, one of what is above 10."""
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.3f}"


def interval(found: np.ndarray) -> tuple[float, float]:
    """95 % of the mean."""
    (low,), (high,) = bootstrap_interval(found[:, None])
    return float(low), float(high)


def verdict(found: np.ndarray, target: float) -> bool | None:
    """Does the mean reach the target? None where only the interval does."""
    if found.mean() >= target:
        return True
    return None if interval(found)[1] >= target else False


def learned(suite: str, language: str) -> list[str]:
    """One suite's table."""
    words, lines, rows = WORDS[language], [], rows_of(suite)
    for name, entry in SUITES[suite].items():
        mine = [row for row in rows if row["entry"] == name]
        found = values(suite, mine, entry.protocol) if mine else np.zeros(0)
        if not found.size:
            continue
        low, high = interval(found)
        target = entry.target
        line = [name, mine[0]["env"], thousands(entry.config().total_steps)]
        line += [f"{len(found)}" + ("" if len(found) == entry.seeds else f" {words['of']} {entry.seeds}")]
        line += [entry.protocol, shown(found.mean()), f"{shown(low)} … {shown(high)}" if len(found) > 1 else ""]
        line += ["", ""] if target is None else [f"{target.value:g}", words["reached"][verdict(found, target.value)]]
        line += [note(suite, name, language)] * noted(suite)
        lines.append(line)
    if not lines:
        return []
    link = f"[{suite}.md](../../benchmarks/results/{suite}.md)"
    head = [*words["entry"], *[words["differs"]] * noted(suite)]
    words_of = ["", EXPLANATION[language]] * (suite in EXPLAINED)
    return [f"### {suite.replace('_', ' ')}", *words_of, *table(head, lines), f"{link}, `--suite {suite}`", ""]


def beside_peers(language: str) -> list[str]:
    """Clipper's MuJoCo runs beside published ones."""
    words, lines, rows = WORDS[language], [], rows_of("mujoco")
    for name, entry in SUITES["mujoco"].items():
        mine = [row for row in rows if row["entry"] == name]
        task = entry.config().env.removesuffix("-v5")
        for (of, protocol), peers in PUBLISHED.items():
            found = values("mujoco", mine, protocol) if of == task and mine else np.zeros(0)
            lines += [beside(task, protocol, found, peer) for peer in peers if found.size]
    if not lines:
        return []
    where = " · ".join(f"[{name}]({source})" for name, source in SOURCES.items())
    return [f"## {words['peers']}", "", words["peers_intro"], *table(words["peer"], lines), where, ""]


def beside(task: str, protocol: Protocol, found: np.ndarray, peer: Published) -> list[str]:
    """One line: Clipper's runs and a peer's published mean."""
    low, high = interval(found)
    better = f"{probability_above(found, peer.mean, peer.deviation):.2f}" if peer.version == "v5" else ""
    theirs = f"{shown(peer.mean)} ± {shown(peer.deviation)} ({peer.runs} × {task}-{peer.version})"
    ours = [shown(found.mean()), f"{shown(low)} … {shown(high)}", f"{len(found)}"]
    return [f"{task}-v5", protocol, *ours, peer.library, theirs, better]


def times(language: str) -> list[str]:
    """Time to score, of every suite whose results have it."""
    words, lines, seen = WORDS[language], [], set()
    for suite in SUITES:
        rows = [row for row in rows_of(suite) if row["algorithm"] == "PPO" and "steps_to_score" in row]
        for name in dict.fromkeys(row["entry"] for row in rows if row["env"] in SCORES):
            mine = [row for row in rows if row["entry"] == name]
            env, did = mine[0]["env"], [row for row in mine if row["steps_to_score"]]
            if suite not in ("classic", "box2d", "mujoco", "hybrid", "atari") or (env, name) in seen:
                continue
            seen.add((env, name))
            steps, seconds = ([float(row[key]) for row in did] for key in ("steps_to_score", "seconds_to_score"))
            when = [thousands(float(np.median(steps))), f"{np.median(seconds):.0f}"] if did else ["", ""]
            lines.append([env, f"{SCORES[env]:g}", name, f"{len(did)} {words['of']} {len(mine)}", *when])
    return [f"## {words['time']}", "", words["time_intro"], *table(words["times"], lines)] if lines else []


def speed(language: str) -> list[str]:
    """The table that speed.py wrote."""
    path = RESULTS / "speed.md"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if not cells:
        return []
    names = SPEED_WORDS[language]
    head, _, *rows = [[names.get(cell, cell) for cell in row] for row in cells]
    if language == "zh":
        rows = [[cell.replace(" to ", " 至 ") for cell in row] for row in rows]
    return [f"## {WORDS[language]['speed']}", "", str(WORDS[language]["speed_intro"]), *table(head, rows)]


def page(language: str) -> str:
    """One language's page."""
    words = WORDS[language]
    suites = [line for suite in SUITES for line in learned(suite, language)]
    lines = [f"# {words['title']}", "", words["intro"], "", f"## {words['learning']}", "", words["protocols"], ""]
    lines += suites
    lines += [*beside_peers(language), *times(language), *speed(language)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Write the pages, or compare them."""
    stale = [path for language, path in PAGES.items() if not path.exists() or path.read_text("utf-8") != page(language)]
    if "--check" not in sys.argv:
        for language, path in PAGES.items():
            path.write_text(page(language), encoding="utf-8")
        return 0
    for path in stale:
        sys.stderr.write(f"{path} is out of date: python benchmarks/page.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
