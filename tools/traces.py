"""Compare two checkouts bit for bit: python tools/traces.py OLD NEW [--only PATTERN] [--except PATTERN] [--jobs 1|2].

Both run the same battery (``trace_cases.py``): every recipe, cut short, and every algorithm with everything that goes
through it, 20 iterations each, with the torch engine and with the cpu engine where that knows the case. The engine is
insisted on: a case that silently runs on another one is a failure. Compared are metrics (times aside), all tensors and
values of the checkpoint after every iteration, generators among them, and the policy in the end. Then both load,
evaluate and resume what OLD had saved after iteration 10.

``--only ppo/`` and ``--except recipes/`` take names, parts of names, or shell patterns. The exit status is 0 where all
is equal, 1 where something differs or fails, and 2 where nothing could be compared. Compiled kernels lie in
CLIPPER_CACHE_DIR, if that is set.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from trace_cases import PROBE, Case, battery
from trace_difference import first_difference, read_trace, renewal, with_settings

HERE = Path(__file__).resolve().parent
ITERATIONS, SAVED = 20, 10
MEMORY = Path("/dev/shm")  # where every save need not wait for a disk
PATIENCE = 600.0  # seconds for one run; the first on the cpu engine compiles kernels
EQUAL, TORCH_ONLY = "equal", "torch only"
STATUSES: dict[str, str] = {
    "done": "runs", "inexpressible": "cannot express it", "missing": "lacks a package", "refused": "refuses",
}  # fmt: skip


class Side:
    """A process that runs cases inside one checkout; where a run kills it, the next gets another one."""

    def __init__(self, name: str, checkout: Path, scratch: Path) -> None:
        self.name, self.source, self.scratch = name, checkout.resolve() / "src", scratch
        self.process: subprocess.Popen[bytes] | None = None
        self.errors = scratch / f"{name}.log"

    def send(self, request: dict[str, Any]) -> None:
        """Begin with a request."""
        if self.process is None:
            kept = {k: v for k, v in os.environ.items() if k != "CLIPPER_ENGINE"}  # it would outweigh what is asked
            own = {"PYTHONPATH": str(self.source), "PYTHONDONTWRITEBYTECODE": "1"}
            with self.errors.open("wb") as errors:
                self.process = subprocess.Popen(
                    [sys.executable, HERE / "trace_run.py"], env=kept | own, cwd=self.scratch, stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=errors,
                )  # fmt: skip
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is found dead when it is asked for its answer
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Its answer; one of ours where the process is dead or hangs."""
        assert self.process is not None
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        reason = f"ended by itself, with status {self.close()}" if ready else f"took more than {PATIENCE:g} s"
        self.close()
        last = self.errors.read_text(errors="replace").strip().rpartition("\n")[2]
        return {"status": "died", "reason": f"{reason}; its last words: {last}"}

    def close(self) -> int | None:
        """End the process; returns its status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


class Row(NamedTuple):
    """One line of the table."""

    case: str
    engine: str
    told: str
    """``EQUAL``, or what is wrong."""


class Comparison:
    """Both checkouts, and what was found so far."""

    def __init__(self, old: Path, new: Path, scratch: Path, together: bool) -> None:
        self.old, self.new = Side("OLD", old, scratch), Side("NEW", new, scratch)
        self.scratch, self.together = scratch, together
        self.rows: list[Row] = []
        self.left_out: dict[str, str] = {}
        """Cases that neither checkout can run, and why."""

    def ask(self, requests: tuple[dict[str, Any], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A request to each, at the same time or one after the other."""
        self.old.send(requests[0])
        if not self.together:
            answer = self.old.receive()
            self.new.send(requests[1])
            return answer, self.new.receive()
        self.new.send(requests[1])
        return self.old.receive(), self.new.receive()

    def phase(self, name: str, case: Case, engine: str) -> tuple[str, str]:
        """One phase of a case in both: a status that both share ("" where they do not), and what is to be told."""
        kept = str(self.scratch / "kept")
        common = {"phase": name, "case": dataclasses.asdict(case), "engine": engine, "iterations": ITERATIONS}
        outs = [self.scratch / f"{side.name}.safetensors" for side in (self.old, self.new)]
        first, second = (common | {"out": str(out), "keep": SAVED, "kept": kept} for out in outs)
        if name == "record":
            second["kept"] = ""
        answers = self.ask((first, second))
        try:
            return judge(answers, engine, outs, self.new.source)
        finally:
            for out in outs:
                out.unlink(missing_ok=True)

    def compare(self, case: Case, engine: str) -> str:
        """Run a case in both and note what comes of it; returns the status."""
        shutil.rmtree(self.scratch / "kept", ignore_errors=True)
        status, told = self.phase("record", case, engine)
        if status in ("inexpressible", "missing"):
            self.left_out[case.name] = told
        elif status != "refused":
            if not told and not (self.scratch / "kept").exists():
                told = f"the run has no more than {SAVED} iterations"
            if not told:
                told = self.phase("resume", case, engine)[1]
                told = f"what OLD saved, resumed: {told}" if told else EQUAL
            self.rows.append(Row(case.name, engine, told))
        return status


def judge(
    answers: tuple[dict[str, Any], dict[str, Any]], engine: str, outs: list[Path], source: Path
) -> tuple[str, str]:
    """The status that both share ("" where they do not), and the difference, or the reason why there is no trace."""
    old, new = answers
    if old["status"] != new["status"]:
        return "", "; ".join(f"{name} {words(x)}" for name, x in zip(("OLD", "NEW"), answers, strict=True))
    if old["status"] != "done":
        return old["status"], f"both {words(old)}"
    if {old["engine"], new["engine"]} != {engine}:
        return "", f"engine {engine} was asked for; OLD ran {old['engine']}, NEW {new['engine']}"
    old, new = map(read_trace, outs)
    return "done", first_difference(*with_settings(old, new, renewal(source)))


def words(answer: dict[str, Any]) -> str:
    """What became of a run, in words."""
    status = STATUSES.get(str(answer["status"]), str(answer["status"]))
    return f"{status} ({answer['reason']})" if "reason" in answer else status


def matches(name: str, patterns: list[str]) -> bool:
    """Whether one of the patterns is a part of a case's name, or describes all of it."""
    return any(pattern in name or fnmatch(name, pattern) for pattern in patterns)


def show(console: Console, rows: list[Row], left_out: dict[str, str]) -> None:
    """The table."""
    table = Table("Case", "Engine", "Outcome")
    for row in rows:
        good = row.told == EQUAL
        table.add_row(row.case, row.engine, f"[{'green' if good else 'red'}]{'' if good else '✗ '}[/]" + row.told)
    console.print(table)
    for case, reason in left_out.items():
        console.print(f"left out: {case}: {reason}", markup=False, highlight=False, soft_wrap=True)


def run(options: argparse.Namespace, comparison: Comparison, console: Console) -> int:
    """The whole battery; returns the exit status."""
    began, sides = time.monotonic(), (comparison.old, comparison.new)
    hello = comparison.ask(({"phase": "recipes"}, {"phase": "recipes"}))
    for side, answer in zip(sides, hello, strict=True):
        if side.source not in Path(answer.get("file", "/")).parents:
            console.print(f"{side.name} ({side.source}) cannot be run: {answer}", markup=False)
            return 2
    cases = battery(sorted({name for answer in hello for name in answer["recipes"]}))
    cases = [c for c in cases if matches(c.name, options.only or [""]) and not matches(c.name, options.leave)]
    if "cpu" in options.engine:
        status, told = comparison.phase("record", PROBE, "cpu")
        if status != "done" and "engine cpu" not in told:
            console.print(f"the cpu engine cannot be compared here, --engine torch can: {told}", markup=False)
            return 2
    for number, case in enumerate(cases, start=1):
        statuses = {engine: comparison.compare(case, engine) for engine in options.engine}
        if statuses == {"torch": "done", "cpu": "refused"}:
            comparison.rows[-1] = comparison.rows[-1]._replace(engine=TORCH_ONLY)
        found = [f"{row.engine}: {row.told}" for row in comparison.rows if row.case == case.name]
        told = "; ".join(found) or "left out"
        console.print(f"{number}/{len(cases)} {case.name}: {told}", markup=False, highlight=False, soft_wrap=True)
    rows = comparison.rows
    show(console, rows, comparison.left_out)
    wrong = sum(row.told != EQUAL for row in rows)
    counts = {e: sum(row.engine == e for row in rows) for e in ("torch", "cpu", TORCH_ONLY)}
    told = ", ".join(f"{count} {engine}" for engine, count in counts.items() if count)
    console.print(f"{len(rows)} traces ({told}): {len(rows) - wrong} equal, {wrong} not; "
                  f"{time.monotonic() - began:.0f} s")  # fmt: skip
    return 2 if not rows else int(wrong > 0)


def main() -> int:
    """Read the command line, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="checkout to compare with")
    parser.add_argument("new", type=Path, help="checkout to compare")
    parser.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help="only these cases")
    parser.add_argument("--except", nargs="+", default=[], metavar="PATTERN", dest="leave", help="all but these")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=2, help="2 runs both checkouts at the same time")
    parser.add_argument("--engine", nargs="+", choices=("torch", "cpu"), default=["torch", "cpu"])
    options = parser.parse_args()
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it leaves in memory is removed then, too
    folder = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="traces-", dir=folder) as scratch:
        comparison = Comparison(options.old, options.new, Path(scratch), options.jobs == 2)
        try:
            return run(options, comparison, console)
        finally:
            comparison.old.close()
            comparison.new.close()


if __name__ == "__main__":
    sys.exit(main())
