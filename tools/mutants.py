"""Small faults that a person could make, put into the package one at a time: which of them do its tests notice?

$ python tools/mutants.py --count 200              # some hours on one core; goes on where it was interrupted
$ python tools/mutants.py --rooms functional --count 20
$ python tools/mutants.py --report                 # what has run: shares by room, and the faults that survived

A fault is a change of one expression or statement: a comparison that includes its bound or not, a sign, a factor, a
negation, a keyword that is left out, a call that is not made. Each is drawn from a seed, so that the same command draws
the same ones. It is put into a copy of the project, where those test files run that import the faulty module or use a
name that it defines, themselves or by the files beside them, the ones that do so most first, until one fails or SECONDS
are over. What no test notices, and changes nothing, is listed in tools/equivalent_mutants.toml with the reason, and
does not count.
"""

import argparse
import ast
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "clipper"
RESULTS = ROOT / ".cache" / "mutants.jsonl"
ROOMS = {
    "functional": 3, "algorithms": 4, "learning": 4, "distributions": 2, "rollout": 3, "networks": 3,
    "engines/cpu/kernels": 1, "storage": 1, "runs": 2, "environments": 2, "compat": 2, "language": 1, "ranks": 1,
}  # fmt: skip
"""Where faults are put, and in what proportion."""
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
HELPERS = {
    name: list(paths)
    for name, paths in groupby(
        sorted((ROOT / "tests").rglob("[a-z]*.py"), key=lambda path: path.stem), key=lambda path: path.stem
    )
    if not name.startswith(("test_", "conftest"))
}
"""By name, what test files import from beside them."""
SAID = ("Error", "Warning", "warn", "print", "debug")
"""Calls that say something to a person: what they say is no matter of these faults."""


@dataclass(frozen=True)
class Mutant:
    """One fault: in which file, at which line, of what kind, and which of those there."""

    file: str
    line: int
    kind: str
    number: int
    before: str
    after: str
    text: str
    """The line as it stands."""

    @property
    def id(self) -> str:
        """A name that lasts while the line's text does, wherever in the file it stands."""
        text = f"{self.file} {self.kind} {self.number} {self.before} {self.after} {self.text}"
        return hashlib.sha256(text.encode()).hexdigest()[:10]


def changed(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """The faults that can be made of one node: a kind, and what stands in its place (None: nothing does)."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPPED:
        yield "comparison", ast.Compare(node.left, [SWAPPED[type(node.ops[0])]()], node.comparators)  # pyright: ignore[reportArgumentType]
    elif (
        isinstance(node, ast.BinOp)
        and type(node.op) in SWAPPED
        and not isinstance(node.left, ast.Constant | ast.JoinedStr)
    ):
        yield "operator", ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)  # pyright: ignore[reportArgumentType]
    elif isinstance(node, ast.BoolOp):
        yield "logic", ast.BoolOp(SWAPPED[type(node.op)](), node.values)  # pyright: ignore[reportArgumentType]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield "sign", node.operand
    elif isinstance(node, ast.IfExp):
        yield "condition", ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value in (0, 1, -1, 2, 0.5):
        yield "number", ast.Constant(1 if node.value == 0 else 0 if node.value in (1, -1) else 1)
    elif isinstance(node, ast.Call):
        if node.keywords and all(k.arg for k in node.keywords):
            yield "keyword", ast.Call(node.func, node.args, node.keywords[:-1])
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("detach", "clamp", "copy", "clone", "absorb"):
            yield "call", node.func.value
        if isinstance(node.func, ast.Attribute) and node.func.attr in (
            "min",
            "max",
            "minimum",
            "maximum",
            "any",
            "all",
        ):
            other = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}
            yield "extreme", ast.Call(ast.Attribute(node.func.value, other[node.func.attr]), node.args, node.keywords)
    elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield "statement", ast.Pass()


def spoken(node: ast.AST) -> bool:
    """Does it only say something: raise an error, warn, annotate, document?"""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
        return True
    name = node.func if isinstance(node, ast.Call) else None
    word = name.id if isinstance(name, ast.Name) else name.attr if isinstance(name, ast.Attribute) else ""
    return word.endswith(SAID)


def places(tree: ast.AST, within: bool = False) -> Iterator[ast.AST]:
    """The nodes that may be changed: those of functions, but for annotations, defaults and messages."""
    for field, old in ast.iter_fields(tree):
        apart = ("annotation", "returns", "decorator_list", "type_params")
        if (field in apart and not isinstance(tree, ast.Call)) or isinstance(tree, ast.arguments):
            continue
        for child in old if isinstance(old, list) else [old]:
            if not isinstance(child, ast.AST) or spoken(child):
                continue
            inside = within or isinstance(tree, ast.FunctionDef)
            if inside:
                yield child
            yield from places(child, inside)


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All faults that can be put into a file."""
    text, seen = path.read_text(encoding="utf-8"), Counter[tuple[int, str]]()
    lines = text.splitlines()
    for node in places(ast.parse(text)):
        for kind, other in changed(node):
            line = getattr(node, "lineno", 0)
            before, after = ast.unparse(node), "" if other is None else ast.unparse(other)
            own = lines[line - 1].strip()
            yield Mutant(str(path.relative_to(ROOT)), line, kind, seen[line, kind], before, after, own)
            seen[line, kind] += 1


def source_with(mutant: Mutant, text: str) -> str:
    """A file's text with the fault, otherwise as it is: only the fault's lines are written anew."""
    tree, seen = ast.parse(text), Counter[tuple[int, str]]()
    for node in places(tree):
        for kind, other in changed(node):
            line = getattr(node, "lineno", 0)
            if (line, kind, seen[line, kind]) == (mutant.line, mutant.kind, mutant.number):
                assert isinstance(node, ast.expr | ast.stmt)
                assert other is not None
                assert ast.unparse(node) == mutant.before
                return replaced(
                    text, node, f"({ast.unparse(other)})" if isinstance(node, ast.expr) else ast.unparse(other)
                )
            seen[line, kind] += 1
    raise SystemExit(f"{mutant.file} has changed since: {mutant} is nowhere in it")


def replaced(text: str, node: ast.expr | ast.stmt, words: str) -> str:
    """``text`` with other words where the node stands; columns count bytes of UTF-8."""
    lines = text.encode().splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset :]
    return b"".join([*lines[:first], head + words.encode() + tail, *lines[last + 1 :]]).decode()


def drawn(rooms: list[str], count: int, seed: int) -> list[Mutant]:
    """So many faults, in the rooms' proportion, each file's lines as likely as another's."""
    generator, found = random.Random(seed), dict[str, list[Mutant]]()
    for room in rooms:
        files = sorted((PACKAGE / room).rglob("*.py"))
        if room != "engines/cpu/kernels":
            files = [file for file in files if "kernels" not in file.parts]
        found[room] = [mutant for file in files for mutant in mutants_of(file)]
        generator.shuffle(found[room])
    total = sum(ROOMS[room] for room in rooms)
    some = [m for room in rooms for m in found[room][: max(1, round(count * ROOMS[room] / total))]]
    generator.shuffle(some)
    return some


def names_of(path: Path) -> set[str]:
    """What a module defines for others."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and len(node.name) > 2}


@cache
def said_in(test: Path) -> str:
    """A test file's text, and that of the files beside the tests that it imports: programs and cases lie there."""
    text = test.read_text(encoding="utf-8")
    for name in re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE):
        text += "".join(said_in(path) for path in HELPERS.get(name, []) if path != test)
    return text


def dotted(path: Path) -> str:
    """The name by which a module is imported."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def tests_of(file: str) -> list[str]:
    """The test files that import the module or use a name that it defines, those that do so most first.

    Where there are none, those of the modules that import it.
    """
    path = ROOT / file
    named = rf"\b{re.escape(dotted(path))}\b"
    words, scores = names_of(path), dict[str, float]()
    for test in sorted((ROOT / "tests").rglob("test_*.py")):
        text = said_in(test)
        imports = len(re.findall(named, text))
        uses = sum(bool(re.search(rf"\b{re.escape(word)}\b", text)) for word in words)
        if imports or uses:
            stem = path.stem in test.stem or path.parent.name in test.parts
            scores[str(test.relative_to(ROOT))] = 10 * imports + uses + 5 * stem
    if scores:
        return sorted(scores, key=lambda name: -scores[name])
    users = [one for one in sorted(PACKAGE.rglob("*.py")) if re.search(named, one.read_text(encoding="utf-8"))]
    return list(dict.fromkeys(test for one in users if one != path for test in tests_of(str(one.relative_to(ROOT)))))


def run(mutant: Mutant, folder: Path, seconds: float, sound: dict[str, bool]) -> str:
    """Whether a test notices the fault: killed, survived, or untested where no test file names its module.

    ``sound`` are the files whose tests pass, or not, without a fault; it is filled as they are asked for.
    """
    tests = [file for file in tests_of(mutant.file) if sound.get(file, True)]
    while tests:
        failed = with_fault(mutant, tests, folder, seconds)
        if failed in ("", None):
            return "survived" if failed == "" else "survived, in time"
        if failed not in sound:
            sound[failed] = noticed_by([failed], folder, seconds) in ("", None)
        if sound[failed]:
            return "killed"
        print(f"{failed} fails without a fault, and is left out")  # noqa: T201
        tests.remove(failed)
    return "untested"


def with_fault(mutant: Mutant, tests: list[str], folder: Path, seconds: float) -> str | None:
    """What ``noticed_by`` says while the fault is in the copy."""
    place = folder / mutant.file
    right = place.read_text(encoding="utf-8")
    place.write_text(source_with(mutant, right), encoding="utf-8")
    try:
        return noticed_by(tests, folder, seconds)
    finally:
        place.write_text(right, encoding="utf-8")


def noticed_by(tests: list[str], folder: Path, seconds: float) -> str | None:
    """The first of these files in which a test of the copy fails, "" where none does, None where the time is over.

    A fault may keep a file from being imported at all: that is noticed, too.
    """
    own = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not long", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=folder, env=own, capture_output=True, timeout=seconds, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode in (0, 5):
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (tests/[^:\s]+)", done.stdout, re.MULTILINE)
    return found[1] if found else tests[0]  # it ended as nothing should, in conftest.py already


def report(results: Path) -> None:
    """Shares by room, and what survived."""
    known = tomllib.loads((ROOT / "tools" / "equivalent_mutants.toml").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()] if results.exists() else []
    counts, lost = Counter[tuple[str, bool]](), list[str]()
    for row in rows:
        if row["id"] in known:
            continue
        room = next(name for name in ROOMS if row["file"].startswith(f"src/clipper/{name}/"))
        counts[room, row["outcome"] == "killed"] += 1
        if row["outcome"] != "killed":
            lost.append(f"{row['id']} {row['file']}:{row['line']} {row['outcome']}: {row['before']} → {row['after']}")
    for room in ROOMS:
        killed, every = counts[room, True], counts[room, True] + counts[room, False]
        if every:
            print(f"{room:20} {killed:4} of {every:4} killed")  # noqa: T201
    killed = sum(number for (_, right), number in counts.items() if right)
    print(f"{'all':20} {killed:4} of {sum(counts.values()):4} killed", *lost, sep="\n")  # noqa: T201


def main() -> None:
    """Draw faults, and run those that have not run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS), help="where faults are put")
    parser.add_argument("--count", type=int, default=200, help="faults")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--seconds", type=float, default=300, help="that the tests of one fault may take")
    parser.add_argument("--results", type=Path, default=RESULTS, help="a file of JSON lines, one for each fault")
    parser.add_argument("--report", action="store_true", help="run nothing")
    given = parser.parse_args()
    if given.report:
        report(given.results)
        return
    given.results.parent.mkdir(parents=True, exist_ok=True)
    before = given.results.read_text(encoding="utf-8") if given.results.exists() else ""
    have = {json.loads(line)["id"] for line in before.splitlines()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clipper"
        apart = {".git", ".cache", ".peers", "build", *(one.name for one in ROOT.glob(".venv*"))}
        shutil.copytree(
            ROOT, folder, ignore=lambda where, names: apart & {*names} | ({"runs"} if Path(where) == ROOT else set())
        )
        sound = dict[str, bool]()
        for mutant in drawn(given.rooms, given.count, given.seed):
            if mutant.id in have:
                continue
            outcome = run(mutant, folder, given.seconds, sound)
            row = {"id": mutant.id, **asdict(mutant), "outcome": outcome}
            with given.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(f"{outcome:18} {mutant.file}:{mutant.line} {mutant.before[:60]} → {mutant.after[:60]}", flush=True)  # noqa: T201
    report(given.results)


if __name__ == "__main__":
    main()
