"""Write the pages that say where each equation is: python tools/where.py."""

import re
import tomllib
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {language: ROOT / "docs" / language / "where.md" for language in ("en", "zh")}
NUMBER = re.compile(r"(section|appendix|algorithm|37 details,) (\w+)")
CHINESE = {"section": "第 {} 节", "appendix": "附录 {}", "algorithm": "算法 {}", "37 details,": "37 个细节，{}"}
WORDS = {
    "en": {
        "title": "Where is it",
        "intro": "Each equation that Clipper has, the function that is it, and the tests that hold it. What is named "
        "here exists, and every function of `clipper.functional` is named: a test sees to that. "
        "This page is written by `python tools/where.py`.",
        "head": "| No. | Equation | Code | Tests |",
        "reinforce": "REINFORCE (Williams 1992, doi:10.1007/BF00992696)",
        "trpo": "TRPO (Schulman et al. 2015, arXiv:1502.05477)",
        "gae": "GAE (Schulman et al. 2016, arXiv:1506.02438)",
        "ppo": "PPO (Schulman et al. 2017, arXiv:1707.06347)",
        "tutorial0": "As tutorials tell it: from REINFORCE to PPO",
        "tutorial1": "As tutorials tell it: off-policy weights, natural gradients, A2C",
        "tutorial2": "As tutorials tell it: σ, masks, hybrid actions",
        "tutorial4": "As tutorials tell it: critics and their targets",
        "values": "Action values: targets of DQN, DDPG, TD3 and SAC; bonuses for what is new",
        "language": "Language models: groups of responses, tokens, KL to a reference",
        "further": "Further",
    },
    "zh": {
        "title": "公式在哪里",
        "intro": "Clipper 中的每个公式、实现它的函数，以及为它把关的测试。"
        "表中的名字都真实存在，`clipper.functional` 里的函数一个不漏，这两点由测试保证。"
        "本页由 `python tools/where.py` 生成。",
        "head": "| 编号 | 公式 | 代码 | 测试 |",
        "reinforce": "REINFORCE（Williams 1992，doi:10.1007/BF00992696）",
        "trpo": "TRPO（Schulman 等 2015，arXiv:1502.05477）",
        "gae": "GAE（Schulman 等 2016，arXiv:1506.02438）",
        "ppo": "PPO（Schulman 等 2017，arXiv:1707.06347）",
        "tutorial0": "教程里的讲法：从 REINFORCE 到 PPO",
        "tutorial1": "教程里的讲法：异策略权重、自然梯度与 A2C",
        "tutorial2": "教程里的讲法：σ、动作掩码与混合动作",
        "tutorial4": "教程里的讲法：critic 及其目标",
        "values": "动作价值：DQN、DDPG、TD3 与 SAC 的目标；对新事物的奖励",
        "language": "语言模型：同一提示的各条回答、token，以及对参考策略的 KL",
        "further": "其他",
    },
}


def rows() -> list[dict[str, Any]]:
    """The table's rows, in the order of the file within each source."""
    found = tomllib.loads((ROOT / "docs" / "where.toml").read_text(encoding="utf-8"))["row"]
    return sorted(found, key=lambda row: list(WORDS["en"]).index(row["source"]))


def page(language: str) -> str:
    """One language's page."""
    words = WORDS[language]
    lines = [f"# {words['title']}", "", words["intro"]]
    for source, group in groupby(rows(), key=lambda row: row["source"]):
        lines += ["", f"## {words[source]}", "", words["head"], "|---|---|---|---|"]
        for row in group:
            code = "<br>".join(f"[`{short(name)}`](../../src/clipper/{file(name)})" for name in row["code"])
            tests = "<br>".join("[{1}](../../tests/{0})".format(*test.split("::")) for test in row["tests"])
            number = (
                NUMBER.sub(lambda m: CHINESE[m[1]].format(m[2]), row["number"]) if language == "zh" else row["number"]
            )
            lines.append(f"| {number} | {row.get(language, row['equation'])} | {code} | {tests} |")
    return "\n".join(lines) + "\n"


def file(name: str) -> Path:
    """Where the code named ``a.b.c`` stands, below the package: the longest part of the name that is a file."""
    parts = name.split(".")
    paths = [Path(*parts[:n]).with_suffix(".py") for n in range(len(parts), 0, -1)]
    return next(path for path in paths if (ROOT / "src" / "clipper" / path).is_file())


def short(name: str) -> str:
    """``algorithms.ppo.PPO.loss`` → ``PPO.loss``."""
    return ".".join(name.split(".")[len(file(name).parts) :])


if __name__ == "__main__":
    for language, path in PAGES.items():
        path.write_text(page(language), encoding="utf-8")
