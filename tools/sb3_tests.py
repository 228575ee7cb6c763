"""Stable-Baselines3's and sb3-contrib's own tests, run over ``clipper.compat.sb3``: python tools/sb3_tests.py [FILE …].

Their source packages are fetched with pip into ``.venv-sb3/sources``, where git ignores them, and their names are made
to mean Clipper's modules by an import alias that lies there, too. Each test file runs in a process of its own. Prints
how many passed, by file, and the reasons of those that did not. ``--theirs`` runs them over the installed libraries.
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".venv-sb3"
VERSION = "2.9.2"
SOURCES = {"stable_baselines3": "stable-baselines3", "sb3_contrib": "sb3-contrib"}
WANTED = {
    "stable_baselines3": (
        "buffers", "callbacks", "cnn", "custom_policy", "deterministic", "dict_env", "distributions", "env_checker",
        "envs", "gae", "her", "identity", "logger", "monitor", "n_step_replay", "predict", "preprocessing", "run",
        "save_load", "sde", "spaces", "tensorboard", "train_eval_mode", "utils", "vec_check_nan", "vec_envs",
        "vec_extract_dict_obs", "vec_monitor", "vec_normalize", "vec_stacked_obs",
    ),
    "sb3_contrib": (
        "cnn", "deterministic", "dict_env", "distributions", "identity", "invalid_actions", "lstm", "run", "save_load",
        "train_eval_mode", "utils",
    ),
}  # fmt: skip
LIMIT = 900.0  # seconds for a file
OTHERS = re.compile(
    r"SAC|TD3|DDPG|DQN|TQC|CrossQ|ARS|Her|HER|sac|td3|ddpg|dqn|tqc|qrdqn|crossq|her_|pg\[|n_critics|train_freq"
)
"""Of a test's name: it is of an algorithm that is none of PPO, A2C, TRPO, MaskablePPO and RecurrentPPO."""
ALIAS = '''"""This name means clipper.compat.sb3, in whatever process imports it."""

import importlib
import importlib.abc
import importlib.util
import sys

THEIRS = ("stable_baselines3", "sb3_contrib")


class Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in THEIRS:
            return None
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        module = importlib.import_module(".".join(["clipper.compat.sb3", *spec.name.split(".")[1:]]))
        self.spec = {**getattr(self, "spec", {}), spec.name: module.__spec__}
        return module

    def exec_module(self, module):
        for name, spec in self.spec.items():
            if sys.modules.get(name) is module or spec.name == module.__name__:
                module.__spec__ = spec


if not any(type(finder).__name__ == "Alias" for finder in sys.meta_path):
    sys.meta_path.insert(0, Alias())
sys.modules[__name__] = importlib.import_module("clipper.compat.sb3")
'''


def fetch() -> None:
    """The source packages, unpacked, and the alias."""
    for module, project in SOURCES.items():
        folder = HOME / "sources" / f"{module}-{VERSION}"
        if not folder.is_dir():
            to = HOME / "sources"
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", to,
                 f"{project}=={VERSION}"], check=True,
            )  # fmt: skip
            with tarfile.open(to / f"{module}-{VERSION}.tar.gz") as archive:
                archive.extractall(to, filter="data")
        alias = HOME / "alias" / module / "__init__.py"
        alias.parent.mkdir(parents=True, exist_ok=True)
        alias.write_text(ALIAS)


def run(module: str, name: str, theirs: bool) -> list[tuple[str, str, str]]:
    """(test, outcome, reason) of each in a file."""
    folder = HOME / "sources" / f"{module}-{VERSION}"
    report = HOME / "reports" / f"{module}-{name}.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    paths = [ROOT / "src"] if theirs else [HOME / "alias", ROOT / "src"]
    given = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, paths), *([given] if given else [])])}
    environment |= {"MPLBACKEND": "Agg", "SDL_VIDEODRIVER": "dummy", "COLUMNS": "200"}
    options = ["-q", "-p", "no:cacheprovider", "--disable-warnings", "--tb=line", f"--junitxml={report}"]
    file = folder / "tests" / f"test_{name}.py"
    command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(HOME / "reports"), str(file)]
    log = report.with_suffix(".log")
    with log.open("wb") as out, subprocess.Popen(
        command, cwd=HOME / "reports", env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
    if not report.exists():
        return [(f"{name}: all", "failed", "no report: " + (log.read_text(errors="replace").splitlines() or [""])[-1])]
    return [outcome(case) for case in ElementTree.parse(report).iter("testcase")]


def outcome(case: ElementTree.Element) -> tuple[str, str, str]:
    """(test, outcome, reason) of one."""
    name = str(case.get("name"))
    for kind, word in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        found = case.find(kind)
        if found is not None:
            text = found.get("message") or found.text or ""
            lines = [line for line in text.splitlines() if line.strip()]
            if name.startswith("tests") or "collection failure" in text:  # the file itself could not be imported
                lines = [x.removeprefix("E").strip() for x in (found.text or "").splitlines() if x.startswith("E ")]
            return name, word, (lines or [""])[0].strip()
    return name, "passed", ""


def main() -> int:
    """Fetch, run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="*", help="as callbacks or sb3_contrib/lstm; none for all")
    parser.add_argument("--theirs", action="store_true", help="run them over the installed libraries instead")
    options = parser.parse_args()
    theirs, chosen = options.theirs, options.file
    fetch()
    rows: list[tuple[str, list[tuple[str, str, str]]]] = []
    sys.stdout.write(f"{'file':44}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}\n")
    for module, names in WANTED.items():
        for name in names:
            title = f"{module}/{name}"
            if chosen and not any(word in (name, title) for word in chosen):
                continue
            began = time.monotonic()
            found = run(module, name, theirs)
            rows.append((title, found))
            counts = Counter(word for _, word, _ in found)
            numbers = "".join(f"{counts[word]:8}" for word in ("passed", "failed", "skipped"))
            sys.stdout.write(f"{title:44}{numbers}{time.monotonic() - began:9.0f}\n")
            sys.stdout.flush()
    tell(rows)
    return 0


def tell(rows: list[tuple[str, list[tuple[str, str, str]]]]) -> None:
    """Shares, and the reasons."""
    for title, others in (("policy-gradient and the rest of the library", False), ("off-policy, HER and ARS", True)):
        outcomes = Counter(word for _, found in rows for name, word, _ in found if bool(OTHERS.search(name)) is others)
        ran = outcomes["passed"] + outcomes["failed"]
        if ran:
            share = 100 * outcomes["passed"] / ran
            sys.stdout.write(f"{title}: {outcomes['passed']} of {ran} passed, {share:.1f} %\n")
    for others in (False, True):
        reasons = Counter(
            re.sub(r"0x[0-9a-f]+|[-\d.]{6,}", "…", reason)[:150]
            for _, found in rows for name, word, reason in found
            if word == "failed" and bool(OTHERS.search(name)) is others
        )  # fmt: skip
        sys.stdout.write(f"reasons, {'off-policy' if others else 'the others'}:\n")
        for reason, number in reasons.most_common(40):
            sys.stdout.write(f"{number:5}  {reason}\n")


if __name__ == "__main__":
    sys.exit(main())
