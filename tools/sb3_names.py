"""Public names of Stable-Baselines3 and sb3-contrib, each with its state: python tools/sb3_names.py writes the pages.

Both have to be installed. A name's state is found, not told: it resolves, it is refused, or it is missing.
"""

import importlib
import inspect
import pkgutil
import sys
import typing
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"en": ROOT / "docs" / "en" / "sb3-names.md", "zh": ROOT / "docs" / "zh" / "sb3-names.md"}
PACKAGES = ("stable_baselines3", "sb3_contrib")
LIBRARY = "clipper.compat.sb3"
OWN = ("SAC", "TD3", "DDPG", "DQN", "RecurrentPPO")
HOW = {
    "en": {
        **dict.fromkeys(OWN, "Clipper's own networks, whose parts have other names"),
        "ReplayBuffer": "Clipper's replay behind it",
        "TRPO": "its KL is the sum over an action's components", "EvalCallback": "refuses the training environments",
        "VecNormalize": "its file holds no pickle", "PPO": "minibatches differ in size by one at most",
        "MaskablePPO": "minibatches differ in size by one at most", "BasePolicy": "its file holds no pickle",
    },
    "zh": {
        **dict.fromkeys(OWN, "网络是 Clipper 自己的，部件名字不同"),
        "ReplayBuffer": "背后是 Clipper 的回放",
        "TRPO": "其 KL 是动作各分量之和", "EvalCallback": "拒绝训练所用的环境",
        "VecNormalize": "文件中没有 pickle", "PPO": "小批量大小至多差一",
        "MaskablePPO": "小批量大小至多差一", "BasePolicy": "文件中没有 pickle",
    },
}  # fmt: skip
"""Names that differ, and how."""
WORDS = {
    "en": ("# Names of Stable-Baselines3", "Module", "As there", "Differs", "Refused",
           "What each public name of Stable-Baselines3 and sb3-contrib 2.9.2 is in `clipper.compat.sb3`. A refused "
           "name can be imported; its use is an error that says what to take instead. "
           "`python tools/sb3_names.py` writes this page."),
    "zh": ("# Stable-Baselines3 的名字", "模块", "与那边相同", "有差异", "被拒绝",
           "Stable-Baselines3 与 sb3-contrib 2.9.2 的每个公开名字在 `clipper.compat.sb3` 中是什么。"
           "被拒绝的名字可以导入，使用时会报错并说明该用什么代替。本页由 `python tools/sb3_names.py` 写出。"),
}  # fmt: skip


def public(package: str) -> dict[str, list[str]]:
    """Module → the names that it defines, or shows; aliases for types are none."""
    root, found = importlib.import_module(package), dict[str, list[str]]()
    names = [package, *(info.name for info in pkgutil.walk_packages(root.__path__, f"{package}."))]
    for name in names:
        module = importlib.import_module(name)
        shown = getattr(module, "__all__", ())
        found[name.partition(".")[2]] = sorted(
            key
            for key, x in vars(module).items()
            if not key.startswith(("_", "Self"))
            and not inspect.ismodule(x)
            and not isinstance(x, typing.TypeVar)
            and (key in shown or (getattr(x, "__module__", None) == name and callable(x)))
        )
    return {name: own for name, own in found.items() if own}


def state(module: str, name: str) -> str:
    """same, differs, refused or missing."""
    try:
        found = getattr(importlib.import_module(f"{LIBRARY}.{module}".rstrip(".")), name)
    except (ImportError, AttributeError):
        return "missing"
    if type(found).__name__ == "Refused":
        return "refused"
    return "differs" if name in HOW["en"] else "same"


def states() -> dict[tuple[str, str], dict[str, list[str]]]:
    """(package, module) → state → names."""
    table = dict[tuple[str, str], dict[str, list[str]]]()
    for package in PACKAGES:
        for module, names in public(package).items():
            own = table.setdefault((package, module), {})
            for name in names:
                own.setdefault(state(module, name), []).append(name)
    return table


def page(language: str, table: dict[tuple[str, str], dict[str, list[str]]]) -> str:
    """The whole page."""
    title, module, same, differs, refused, about = WORDS[language]
    lines = [title, "", about, "", f"| {module} | {same} | {differs} | {refused} |", "|---|---|---|---|"]
    for (package, name), own in table.items():
        cells = [", ".join(f"`{x}`" for x in own.get(kind, [])) for kind in ("same", "refused")]
        how = "; ".join(f"`{x}`: {HOW[language][x]}" for x in own.get("differs", []))
        lines.append(f"| `{package}{'.' * bool(name)}{name}` | {cells[0]} | {how} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages; names that are missing are an error."""
    warnings.simplefilter("ignore")
    table = states()
    missing = [f"{package}.{module}.{x}" for (package, module), own in table.items() for x in own.get("missing", [])]
    if missing:
        sys.exit(f"neither there nor refused: {', '.join(missing)}")
    for language, path in PAGES.items():
        path.write_text(page(language, table), encoding="utf-8")


if __name__ == "__main__":
    main()
