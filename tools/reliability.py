"""Write the fault table: python tools/reliability.py [--check]. With --check, only say whether pages are up to date."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"en": ROOT / "docs" / "en" / "reliability.md", "zh": ROOT / "docs" / "zh" / "reliability.md"}
WORDS = {
    "en": {
        "title": "What happens when something goes wrong",
        "intro": "Each row is held by the tests named in it, each of which has a time limit. Counts are those "
        "of `make test-long`; the reduced tests run with every `make test`. F34 to F37 (several ranks, Ray) come with "
        "what they are about. This page is written by `python tools/reliability.py`.",
        "head": ("", "Fault", "What Clipper does", "Tests", "Measured"),
    },
    "zh": {
        "title": "出错时会发生什么",
        "intro": "每一行都由其中列出的测试保证，每个测试都有时间限制。"
        "数字来自 `make test-long`；缩减版测试随每次 `make test` 运行。"
        "F34 至 F37（多进程、Ray）将随相应功能加入。"
        "本页由 `python tools/reliability.py` 生成。",
        "head": ("", "故障", "Clipper 的做法", "测试", "实测"),
    },
}


def rows() -> list[dict[str, Any]]:
    """The table's rows."""
    return tomllib.loads((ROOT / "docs" / "reliability.toml").read_text(encoding="utf-8"))["row"]


def figures() -> dict[str, dict[str, float]]:
    """Row → what its long tests counted; F24b belongs to F24."""
    found = json.loads((ROOT / "benchmarks" / "results" / "reliability.json").read_text())
    found["F24"] = found.get("F24", {}) | found.pop("F24b", {})
    return found


def page(language: str) -> str:
    """One language's page."""
    words, counted = WORDS[language], figures()
    lines = [f"# {words['title']}", "", words["intro"], "", "| " + " | ".join(words["head"]) + " |", "|---" * 5 + "|"]
    for row in rows():
        fault, does = row[language]
        tests = "<br>".join(link(test) for test in row["tests"])
        try:
            measured = row.get(f"figure_{language}", "").format(**counted.get(row["id"], {}))
        except KeyError:  # not measured yet
            measured = ""
        lines.append(f"| {row['id']} | {fault} | {does} | {tests} | {measured} |")
    return "\n".join(lines) + "\n"


def link(test: str) -> str:
    """A test's name, leading to its file."""
    path, name = test.split("::")
    return f"[{name}](../../tests/{path})"


def main() -> int:
    """Write the pages, or compare them."""
    stale = [path for language, path in PAGES.items() if not path.exists() or path.read_text() != page(language)]
    if "--check" not in sys.argv:
        for language, path in PAGES.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(page(language), encoding="utf-8")
        return 0
    for path in stale:
        sys.stderr.write(f"{path} is out of date: python tools/reliability.py\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
