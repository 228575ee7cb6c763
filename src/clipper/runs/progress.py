"""What a run shows while it trains: a live panel in a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from clipper.data.figures import figure
from clipper.runs.curve import thousands
from clipper.runs.in_effect import settings_now
from clipper.runs.rows import Row
from clipper.runs.run import Run
from clipper.runs.terminal import Terminal

SECONDS_BETWEEN_LINES = 2.0
GAP = 2
"""Columns between facts."""
LINE = 160
"""Columns of a line where no terminal says how wide it is."""
IMPORTANT = (
    "steps", "tokens", "return", "score", "left", "steps/s", "tokens/s", "evaluation", "best", "success", "elapsed",
    "length", "entropy", "KL", "KL/response", "step size", "clipped", "loss of Q", "bonus", "σ",
)  # fmt: skip
"""What stays the longest where there is little room, first."""


class ProgressDisplay:
    """A callback for ``train`` and a context manager around it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Terminal()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=min(40, self.console.width - 18)),
            TaskProgressColumn(),
        )
        self.task = self.bar.add_task("training", total=1.0)
        self.live = Live(console=self.console, refresh_per_second=8) if self.console.is_terminal else None
        self.last_line = 0.0
        self.marks = deque[tuple[float, int]](maxlen=12)
        """When how many decisions were taken, half a second apart at least: a row may come much later."""
        self.last_eval: float | None = None
        self.last_success: float | None = None
        self.highest: float | None = None

    def __enter__(self) -> "ProgressDisplay":
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, run: Run) -> None:
        """Show the run's latest row, and how far it is."""
        row, total = run.history[-1] if run.history else {}, run.config.total_steps
        self.pace(run)
        self.best(run)  # in each row, also where no line is printed
        evaluated = row.get("eval/return") if row.get("iteration") == run.iteration else None
        if evaluated is not None:
            self.last_eval, self.last_success = evaluated, row.get("eval/success_rate")
            self.marks.clear()  # evaluating is no training
        if self.live is not None:
            self.bar.update(self.task, completed=min(run.steps / total, 1.0))
            self.live.update(Group(self.bar, self.table(run)))
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or run.steps >= total or evaluated is not None:
            self.last_line = now
            words = {name: f"{name} {x}" for name, x in self.facts(run).items()}
            shown = fitting(words, max(LINE, self.console.width))
            self.console.print("  ".join(words[name] for name in shown), soft_wrap=True)

    def pace(self, run: Run) -> float:
        """Decisions per second of late; 0 where it is not known yet."""
        now = time.monotonic()
        if not self.marks or now - self.marks[-1][0] >= 0.5:
            self.marks.append((now, run.steps))
        began, steps = self.marks[0]
        return (run.steps - steps) / (now - began) if now > began else 0.0

    def facts(self, run: Run) -> dict[str, str]:
        """The numbers worth watching, in words."""
        row, config = run.history[-1] if run.history else {}, run.config
        recent = run.history[-20:]
        speed = self.pace(run) or speed_of(recent)
        left = max(config.total_steps - run.steps, 0) / max(speed, 1e-9)
        done = f"{thousands(run.steps):>6}/{thousands(config.total_steps)}"
        paced = (f"{speed:,.0f}", clock(left), clock(run.seconds)) if recent else ("", "", "")
        now = settings_now(config.algorithm, run.learner)
        if config.language is None:
            facts = dict(zip(("steps", "steps/s", "left", "elapsed"), (done, *paced), strict=True)) | {
                "return": returned(row.get("episode/recent_return")),
                "best": returned(self.best(run)),
                "length": number(row.get("episode/length"), ".0f"),
                "evaluation": returned(self.last_eval),
                "success": number(self.last_success, ".0%"),
                "KL": number(row.get("policy/kl"), ".4f"),
            }
        else:
            facts = dict(zip(("tokens", "tokens/s", "left", "elapsed"), (done, *paced), strict=True)) | {
                "score": number(row.get("reward/score"), ".3f"),
                "KL/response": number(row.get("kl/reference"), ".3f"),
                "length": number(row.get("response/length"), ".1f"),
            }
        facts |= {
            "clipped": number(row.get("policy/clip_fraction"), ".1%"),
            "entropy": number(row.get("policy/entropy"), ".3f"),
            "σ": number(now.get("setting/std"), ".2f"),
            "step size": number(now.get("setting/learning_rate"), ".1e"),
            "loss of Q": number(row.get("loss/q"), ".3g"),
            "bonus": number(row.get("bonus/reward"), ".3g"),
            **{name.removeprefix("custom/"): number(x, ".4g") for name, x in run.noted.items()},
        }
        return {k: v for k, v in facts.items() if v}

    def best(self, run: Run) -> float | None:
        """The highest mean return of late that a row has shown."""
        rows = run.history if self.highest is None else run.history[-1:]
        found = [x for row in rows if (x := row.get("episode/recent_return")) is not None]
        self.highest = max([*found, *([] if self.highest is None else [self.highest])], default=None)
        return self.highest

    def table(self, run: Run) -> Table:
        """The facts, side by side."""
        table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim")
        facts = self.facts(run)
        shown = fitting({name: max(name, x, key=len) for name, x in facts.items()}, self.console.width)
        for name in shown:
            table.add_column(name, justify="right", no_wrap=True)
        table.add_row(*(facts[name] for name in shown))
        return table


def fitting(widest: Mapping[str, str], width: int) -> list[str]:
    """The names of the facts that fit side by side, by the widest text of each: those of ``IMPORTANT`` in its order.

    The user's own come with entropy.
    """
    places = {name: i for i, name in enumerate(IMPORTANT)}
    kept, left = set[str](), width + GAP
    for name in sorted(widest, key=lambda name: places.get(name, places["entropy"])):
        left -= len(widest[name]) + GAP
        if left < 0:
            break
        kept.add(name)
    return [name for name in widest if name in kept]


def clock(seconds: float) -> str:
    """75 → 1:15, 3675 → 1:01:15."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def returned(x: float | int | None) -> str:
    """A return, or nothing where there is none."""
    return "" if x is None else figure(x)


def number(x: float | int | None, form: str) -> str:
    """``x`` in the given form, or nothing where there is no number."""
    return "" if x is None else format(x, form)


def speed_of(rows: Sequence[Row]) -> float:
    """Decisions per second over all of the rows: their decisions by their seconds, since rows may differ in length."""
    if len(rows) < 2:
        return sum(row["time/steps_per_second"] or 0.0 for row in rows)
    decisions, seconds = ((rows[-1][name] or 0.0) - (rows[0][name] or 0.0) for name in ("steps", "time/seconds"))
    return decisions / max(seconds, 1e-9)
