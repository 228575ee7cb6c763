"""Public names of Stable-Baselines3 and sb3-contrib, each with its state: python tools/sb3_names.py writes the pages.

Both have to be installed. A name's state is found, not told: it resolves, it is refused, or it is missing. What
resolves is compared: arguments by their names and order, and of a class its public methods.
"""

import functools
import importlib
import inspect
import pkgutil
import sys
import typing
import warnings
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"en": ROOT / "docs" / "en" / "sb3-names.md", "zh": ROOT / "docs" / "zh" / "sb3-names.md"}
PACKAGES = ("stable_baselines3", "sb3_contrib")
LIBRARY = "clipper.compat.sb3"
HOW = {
    "en": {
        "TRPO": "its KL is the sum over an action's components", "EvalCallback": "refuses the training environments",
        "VecNormalize": "its file holds no pickle", "PPO": "minibatches differ in size by one at most",
        "MaskablePPO": "minibatches differ in size by one at most", "BasePolicy": "its file holds no pickle",
    },
    "zh": {
        "TRPO": "其 KL 是动作各分量之和", "EvalCallback": "拒绝训练所用的环境",
        "VecNormalize": "文件中没有 pickle", "PPO": "小批量大小至多差一",
        "MaskablePPO": "小批量大小至多差一", "BasePolicy": "文件中没有 pickle",
    },
}  # fmt: skip
"""Names that differ otherwise, and how."""
APART = {
    "en": {"lacks": "without the arguments", "order": "other order of arguments", "methods": "without the methods"},
    "zh": {"lacks": "没有参数", "order": "参数次序不同", "methods": "没有方法"},
}
WORDS = {
    "en": ("# Names of Stable-Baselines3", "Module", "As there", "Differs", "Refused",
           "What each public name of Stable-Baselines3 and sb3-contrib 2.9.2 is in `clipper.compat.sb3`. A refused "
           "name can be imported; its use is an error that says what to take instead. What is as there has the same "
           "arguments by name and order, and the same public methods. "
           "`python tools/sb3_names.py` writes this page."),
    "zh": ("# Stable-Baselines3 的名字", "模块", "与那边相同", "有差异", "被拒绝",
           "Stable-Baselines3 与 sb3-contrib 2.9.2 的每个公开名字在 `clipper.compat.sb3` 中是什么。"
           "被拒绝的名字可以导入，使用时会报错并说明该用什么代替。"
           "与那边相同的，参数的名字与次序、公开的方法都相同。本页由 `python tools/sb3_names.py` 写出。"),
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


def state(package: str, module: str, name: str) -> str:
    """same, differs, refused or missing."""
    try:
        found = getattr(importlib.import_module(f"{LIBRARY}.{module}".rstrip(".")), name)
    except (ImportError, AttributeError):
        return "missing"
    if type(found).__name__ == "Refused":
        return "refused"
    return "differs" if name in HOW["en"] or apart(package, module, name) else "same"


def arguments(x: object) -> tuple[list[str], bool]:
    """Names, and whether any others are taken."""
    try:
        found = inspect.signature(x).parameters.values()  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return [], True
    named = [p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return named, any(p.kind == p.VAR_KEYWORD for p in found)


@functools.cache
def apart(package: str, module: str, name: str) -> dict[str, str]:
    """How a name that resolves differs, by the words of ``APART``: names that are lacking, one after another."""
    theirs, own = (
        getattr(importlib.import_module(f"{root}.{module}".rstrip(".")), name) for root in (package, LIBRARY)
    )
    (wanted, _), (there, others), found = arguments(theirs), arguments(own), dict[str, str]()
    lacking = [x for x in wanted if x not in there and not x.startswith("_")]
    if lacking and not others:
        found["lacks"] = ", ".join(f"`{x}`" for x in lacking)
    both = [x for x in there if x in wanted]
    if both != [x for x in wanted if x in there]:
        found["order"] = ""
    if inspect.isclass(theirs) and not issubclass(theirs, tuple | Enum):
        public = [x for x, method in inspect.getmembers(theirs, callable) if not x.startswith("_")]
        gone = [x for x in public if not hasattr(own, x)]
        found |= {"methods": ", ".join(f"`{x}`" for x in gone)} if gone else {}
    return found


def how(language: str, package: str, module: str, name: str) -> str:
    """All that differs, in words."""
    known = [HOW[language][name]] if name in HOW[language] else []
    measured = apart(package, module, name).items()
    return ", ".join([*known, *(f"{APART[language][kind]} {names}".rstrip() for kind, names in measured)])


def states() -> dict[tuple[str, str], dict[str, list[str]]]:
    """(package, module) → state → names."""
    table = dict[tuple[str, str], dict[str, list[str]]]()
    for package in PACKAGES:
        for module, names in public(package).items():
            own = table.setdefault((package, module), {})
            for name in names:
                own.setdefault(state(package, module, name), []).append(name)
    return table


def page(language: str, table: dict[tuple[str, str], dict[str, list[str]]]) -> str:
    """The whole page."""
    title, module, same, differs, refused, about = WORDS[language]
    lines = [title, "", about, "", f"| {module} | {same} | {differs} | {refused} |", "|---|---|---|---|"]
    for (package, name), own in table.items():
        cells = [", ".join(f"`{x}`" for x in own.get(kind, [])) for kind in ("same", "refused")]
        differs = "; ".join(f"`{x}`: {how(language, package, name, x)}" for x in own.get("differs", []))
        lines.append(f"| `{package}{'.' * bool(name)}{name}` | {cells[0]} | {differs} | {cells[1]} |")
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
