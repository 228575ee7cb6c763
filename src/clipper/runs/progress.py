"""What a run shows while it trains: a live panel in a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from clipper.data.figures import figure
from clipper.runs.curve import thousands
from clipper.runs.rows import Row
from clipper.runs.run import Run
from clipper.runs.terminal import Terminal

SECONDS_BETWEEN_LINES = 2.0


class ProgressDisplay:
    """A callback for ``train`` and a context manager around it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Terminal()
        self.bar = Progress(TextColumn("{task.description}"), BarColumn(bar_width=40), TaskProgressColumn())
        self.task = self.bar.add_task("training", total=1.0)
        self.live = Live(console=self.console, refresh_per_second=8) if self.console.is_terminal else None
        self.last_line = 0.0
        self.marks = deque[tuple[float, int]](maxlen=12)
        """When how many decisions were taken, half a second apart at least: a row may come much later."""
        self.last_eval: float | None = None

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
        evaluated = row.get("eval/return") if row.get("iteration") == run.iteration else None
        self.last_eval = evaluated if evaluated is not None else self.last_eval
        if self.live is not None:
            self.bar.update(self.task, completed=min(run.steps / total, 1.0))
            self.live.update(Group(self.bar, self.table(run)))
            return
        now = time.monotonic()
        if now - self.last_line >= SECONDS_BETWEEN_LINES or run.steps >= total or evaluated is not None:
            self.last_line = now
            self.console.print("  ".join(f"{k} {v}" for k, v in self.facts(run).items()), soft_wrap=True)

    def pace(self, run: Run) -> float:
        """Decisions per second of late; 0 where it is not known yet."""
        now = time.monotonic()
        if not self.marks or now - self.marks[-1][0] >= 0.5:
            self.marks.append((now, run.steps))
        began, steps = self.marks[0]
        return (run.steps - steps) / (now - began) if now > began else 0.0

    def facts(self, run: Run) -> dict[str, str]:
        """The few numbers worth watching, in words."""
        row, config = run.history[-1] if run.history else {}, run.config
        recent = run.history[-20:]
        speed = self.pace(run) or speed_of(recent)
        left = max(config.total_steps - run.steps, 0) / max(speed, 1e-9)
        done = f"{thousands(run.steps):>6}/{thousands(config.total_steps)}"
        speed_text = f"{speed:,.0f}" if recent else ""
        left_text = f"{int(left) // 60}:{int(left) % 60:02d}" if recent else ""
        if config.language is None:
            facts = {
                "steps": done,
                "return": returned(row.get("episode/recent_return")),
                "evaluation": returned(self.last_eval),
                "steps/s": speed_text,
                "left": left_text,
                "KL": number(row.get("policy/kl"), ".4f"),
            }
        else:
            facts = {
                "tokens": done,
                "score": number(row.get("reward/score"), ".3f"),
                "KL/response": number(row.get("kl/reference"), ".3f"),
                "length": number(row.get("response/length"), ".1f"),
                "tokens/s": speed_text,
                "left": left_text,
            }
        facts |= {
            "clipped": number(row.get("policy/clip_fraction"), ".1%"),
            "entropy": number(row.get("policy/entropy"), ".3f"),
            "loss of Q": number(row.get("loss/q"), ".3g"),
            "bonus": number(row.get("bonus/reward"), ".3g"),
            **{name.removeprefix("custom/"): number(x, ".4g") for name, x in run.noted.items()},
        }
        return {k: v for k, v in facts.items() if v}

    def table(self, run: Run) -> Table:
        """The facts, side by side."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        facts = self.facts(run)
        for name in facts:
            table.add_column(name, justify="right")
        table.add_row(*facts.values())
        return table


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
