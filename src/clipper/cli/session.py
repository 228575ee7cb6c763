"""Training as the command line shows it: a header, live progress, a clean stop on signals, and where to look next."""

import dataclasses
import os
import shlex
import shutil
import signal
import stat
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import FrameType

from rich.console import Console
from rich.table import Table

from clipper.environments.from_file import why_asked
from clipper.environments.ids import called
from clipper.environments.make import is_made_together
from clipper.environments.processes import end_children
from clipper.language.tasks import TASKS
from clipper.ranks.group import joined
from clipper.runs.curve import thousands
from clipper.runs.header import Header
from clipper.runs.profile import PARTS, Profile
from clipper.runs.progress import ProgressDisplay
from clipper.runs.restore import asked_for
from clipper.runs.run import Run
from clipper.runs.terminal import Terminal
from clipper.runs.train import train
from clipper.settings.config import Config
from clipper.settings.config_json import elsewhere, name_of, read_settings
from clipper.settings.language import LanguageConfig
from clipper.storage import checkpoint

GRACE = 8.0  # seconds that a signal leaves the current iteration


class Stopped(BaseException):
    """A signal arrived during an evaluation."""


def endings() -> list[signal.Signals]:
    """The signals that end a process from outside; not the one of a closed terminal where that is to change nothing."""
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
        return [signal.SIGTERM]
    return [signal.SIGTERM, signal.SIGHUP]


def turn_away(number: int) -> None:
    """After a hang-up nobody reads the terminal any more, and to write there fails: output goes nowhere."""
    if sys.platform != "win32" and number == signal.SIGHUP:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            with suppress(OSError):
                if stat.S_ISCHR(os.fstat(stream).st_mode):
                    os.dup2(nowhere, stream)


class StopOnSignal:
    """Ends a run after the current iteration on Ctrl-C, SIGTERM or a hang-up, so that it is saved whole; a second one
    at once.

    An evaluation is broken off. An iteration that does not end in time is given up, and what was learned before saved.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.run: Run | None = None
        self.before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self.timer = Timer(GRACE, self.leave)

    def __enter__(self) -> "StopOnSignal":
        self.before = {number: signal.signal(number, self.receive) for number in (signal.SIGINT, *endings())}
        return self

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def receive(self, number: int, _: FrameType | None) -> None:
        """Note the signal; the second one ends the process."""
        if self.received is not None and number not in endings()[1:]:  # a terminal may tell twice that it closes
            end_children()
            os._exit(128 + number)
        if self.received is not None:
            return
        self.received = number
        turn_away(number)
        self.timer.daemon = True
        self.timer.start()
        alone = self.run is not None and self.run.group is None  # else all end together, after the iteration
        if self.run is not None and alone and self.run.phase == "evaluating":
            raise Stopped

    def leave(self) -> None:
        """End the process from another thread: the main one may hang in the environment."""
        run = self.run
        try:
            if run is not None and run.path is not None and run.group is None and run.phase == "collecting":
                iteration = run.iteration
                run.check_folder()
                run.record_rest()
                tensors, values = run.state_dict(environments=False)
                tensors = {name: x.clone() for name, x in tensors.items()}
                if (run.iteration, run.phase) == (iteration, "collecting"):  # then the learner was still all the while
                    checkpoint.save(run.path / "checkpoint.safetensors", tensors, values, run.config.keep_checkpoints)
        finally:
            with suppress(OSError):
                os.write(2, b"the current iteration takes too long and is given up\n")
            end_children()  # of the environments
            os._exit(128 + (self.received or 0))

    def __call__(self, run: Run) -> bool:
        """The callback: go on?"""
        self.run = run
        return self.received is None


def train_and_show(config: Config, run_dir: Path, profile: bool = False, resume: str | None = None) -> int:
    """Train, and tell what happened; returns the exit status."""
    return show({"env": config, "run_dir": run_dir, "profile": profile, "resume": resume})


def resume_and_show(folder: Path, env: str | None, changes: dict[str, object], profile: bool = False) -> int:
    """Resume, and tell what happened; returns the exit status."""
    return show({"env": env, "resume": folder, "profile": profile, **changes})


def show(arguments: Mapping[str, object], train: Callable[..., Run] = train) -> int:
    """Call ``train``, or ``train_language``, with a display around it. Of several processes that train one run, the
    first one shows it.
    """
    group = joined()
    console = Terminal(quiet=group is not None and group.rank > 0)
    if console.quiet:
        warnings.simplefilter("ignore")  # which the first one shows
    header = Header(console)
    with StopOnSignal() as stop, ProgressDisplay(console) as display:
        try:
            run = called(train, **arguments, callback=[header, display, stop], progress=False)
        except Stopped:
            run = stop.run
    assert run is not None
    received = stop.received
    if group is not None:  # a signal to one of them has stopped all
        received = group.largest(received or 0)[0] or None
    if received is None and run.iteration and not header.printed:
        report_finished(run, console)
        return 0
    report(run, console, received)
    return 0 if received is None else 128 + received


def report_finished(run: Run, console: Console) -> None:
    """A run that was resumed and had nothing left to do, and how to train it longer."""
    how, folder = "been solved" if run.config.until_solved and run.solved else "finished", from_here(run.path)
    console.print(f"{folder} had {how} already, after {run.steps:,} steps", soft_wrap=True)
    if how == "finished":
        env = ["--env", run.source] if isinstance(run.source, str) and why_asked(run.source) else []
        line = command_of("resume", folder, *env, "--total-steps", str(2 * run.config.total_steps))
        console.print(f"  train longer  {line}", soft_wrap=True)


def profile_table(profile: Profile, iterations: int) -> Table:
    """Where the time went: seconds, their share of all, and milliseconds per iteration."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("part", "seconds", "share", "ms/iteration", ""):
        table.add_column(name, justify="left" if name in ("part", "") else "right")
    whole = time.perf_counter() - profile.began
    known = sorted(profile.seconds, key=lambda name: list(PARTS).index(name) if name in PARTS else len(PARTS))
    rows = [(name, profile.seconds[name], PARTS.get(name, "")) for name in known]
    for name, seconds, told in [*rows, ("other", whole - sum(s for _, s, _ in rows), "starting, and what is between")]:
        milliseconds = f"{1e3 * seconds / max(iterations, 1):.2f}"
        table.add_row(name, f"{seconds:.2f}", f"{seconds / whole:.1%}", milliseconds, told)
    return table


def report(run: Run, console: Console, received: int | None) -> None:
    """What came of the run, and the commands that go on from it."""
    if run.profile is not None:
        console.print(profile_table(run.profile, run.iteration))
    env = ["--env", run.source] if isinstance(run.source, str) and why_asked(run.source) else []
    steps, seconds = thousands(run.steps), f"{run.seconds:.0f} s"
    unit = "steps" if run.config.language is None else "tokens"
    if received is not None:
        console.print(f"stopped by {signal.Signals(received).name} after {steps} {unit}; go on with:")
        again = code_again(run.source, run.config, run.settings)
        again += [] if run.config.language is None else reward_again(run.config.language)
        command = command_of("resume", from_here(run.path), *again)
        console.print(f"  {command}", soft_wrap=True)
        return
    last = next((row["eval/return"] for row in reversed(run.history) if row.get("eval/return") is not None), None)
    if run.solved:
        outcome = f"[bold green]solved[/]: {run.config.eval_episodes} evaluation episodes return {last:.1f} on average,"
    elif last is not None:
        outcome = f"finished: {run.config.eval_episodes} evaluation episodes return {last:.1f} on average,"
    else:
        outcome = "finished"
    console.print(f"{outcome} after {steps} {unit} and {seconds} of training", markup=True, soft_wrap=True)
    folder = from_here(run.path)
    told = f"  run    {folder}\n  curve  {folder}/curve.png\n"
    if isinstance(run.source, str) and is_made_together(run.source):  # no window shows one
        told += f"  score  {command_of('evaluate', folder, *env)}"
    elif run.config.language is None:
        told += f"  watch  {command_of('play', folder, *env)}"
    else:
        told += f"  read   {command_of('evaluate', folder, *reward_again(run.config.language))}"
    console.print(told, soft_wrap=True)


def reward_again(language: LanguageConfig) -> list[str]:
    """``--reward``, where a run on prompts asks for it once more: a task has its own."""
    return [] if language.model in TASKS else ["--reward", language.reward or "MODULE:FUNCTION"]


def from_here(folder: Path | None) -> Path | None:
    """A run's folder, shorter where it lies below the place where one stands."""
    try:
        return folder.relative_to(Path.cwd()) if folder is not None else None
    except (ValueError, FileNotFoundError):  # it lies elsewhere, or that place was deleted
        return folder


def command_of(*words: str | Path | None) -> str:
    """A command that can be pasted into a shell where the user stands; a folder is not taken for a flag."""
    plain = [f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words]
    return " ".join(map(quoted, [program_name(), *plain]))


def quoted(word: str) -> str:
    """A word as a shell reads it; by its bytes where the terminal's encoding lacks a letter of it."""
    try:
        word.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "$'" + "".join(chr(b) if b < 128 and chr(b).isalnum() else f"\\{b:03o}" for b in os.fsencode(word)) + "'"
    return shlex.quote(word)


def code_again(source: object, config: Config, settings: object) -> list[str]:
    """What ``resume`` asks for: ``--env`` and ``--algorithm`` of the user's own, and where to compute.

    MODULE:NAME is left to fill in where only parts of an algorithm are.
    """
    env = ["--env", source] if isinstance(source, str) and why_asked(source) else []
    computing = [word for name, x in asked_for(config).items() for word in (f"--{name}", x)]
    return env + computing + algorithm_again(config.algorithm, settings)


def algorithm_again(algorithm: object, settings: object) -> list[str]:
    """The algorithm, where it or a part of it is the user's own."""
    if not any(elsewhere(read_settings(settings).algorithm)):
        return []
    name = name_of(algorithm)
    if ":" not in name:
        return ["--algorithm", "MODULE:NAME"]
    fields = dataclasses.fields(algorithm) if dataclasses.is_dataclass(algorithm) else ()
    given = [(f.name, getattr(algorithm, f.name)) for f in fields if f.init and getattr(algorithm, f.name) != f.default]
    words = ", ".join(f"{field}={x!r}" for field, x in given)
    return ["--algorithm", f"{name}({words})" if words else name]


def program_name() -> str:
    """How the user can call this program: by its name, or, where that is not on the path, by the way it was called."""
    called = Path(sys.argv[0])
    return "clipper" if called.name != "clipper" or shutil.which("clipper") else os.path.relpath(called)
