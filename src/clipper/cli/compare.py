"""``clipper compare`` in the terminal: a table for each environment, and what it can and cannot tell."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clipper.pictures.compare import Comparison, Estimate, Row
from clipper.runs.folders import printable

FEW = 10  # seeds, below which percentile intervals of a mean are clearly too narrow


def show(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print the tables, what differs in the settings, and how to read it."""
    for env, rows in comparisons:
        console.print(Text(printable(env, 60), style="bold"), Text("final return, and its 95 % interval", style="dim"))
        console.print(table_of(rows))
        console.print()
        console.print(settings_of(rows))
        console.print()
    for sentence in sentences([row for _, rows in comparisons for row in rows]):
        console.print(sentence)


def table_of(rows: Sequence[Row]) -> Table:
    """A line per group, and its intervals under it."""
    table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("", overflow="fold", max_width=40)
    for name in ("seeds", "final return", "difference", "P(better)"):
        table.add_column(name, justify="right", no_wrap=True)
    digits = decimals([*(abs(row.mean.value) for row in rows), *(width(row.mean) for row in rows)])
    for row in rows:
        cells = [cell(row.mean, digits)]
        if row.difference is None or row.better is None:
            cells += [Text("baseline", style="dim"), Text("")]
        else:
            cells += [cell(row.difference, digits, "+"), cell(row.better, 2)]
        table.add_row(Text(row.label), str(len(row.returns)), *cells)
    return table


def cell(estimate: Estimate, digits: int, sign: str = "") -> Text:
    """A number, and under it its interval."""
    text = Text(number(estimate.value, digits, sign))
    if estimate.low is None or estimate.high is None:
        return text.append("\none seed", style="dim")
    low, high = number(estimate.low, digits, sign), number(estimate.high, digits, sign)
    return text.append(f"\n{low} to {high}", style="dim")


def number(x: float, digits: int, sign: str = "") -> str:
    """With a minus that is one."""
    return f"{round(x, digits) + 0.0:{sign}.{digits}f}".replace("-", "−")


def width(estimate: Estimate) -> float:
    """Of the interval, where there is one."""
    return 0.0 if estimate.low is None or estimate.high is None else estimate.high - estimate.low


def decimals(sizes: Sequence[float]) -> int:
    """How many decimals numbers of these sizes need: 475.3, 5.21, 0.052."""
    top = max((size for size in sizes if math.isfinite(size)), default=0.0)
    return min(max(1, 2 - math.floor(math.log10(top))), 8) if top > 0 else 1


def settings_of(rows: Sequence[Row]) -> Table:
    """Which settings of each group are not the baseline's."""
    grid = Table(box=None, padding=(0, 3, 0, 0), show_header=False)
    grid.add_column(overflow="fold", max_width=40)
    grid.add_column(overflow="fold")
    for row in rows[1:]:
        apart = ", ".join(row.apart) or "the same settings as the baseline"
        grid.add_row(Text(row.label, style="dim"), Text(apart, style="dim"))
    return grid


def sentences(rows: Sequence[Row]) -> list[str]:
    """What the numbers are, and what they can and cannot tell."""
    told = [
        "Final return: mean over the latest 100 training episodes at the end of a run, then over seeds. P(better): how "
        "often a seed of the row returns more than one of the baseline, a tie counting half. Intervals: percentile "
        "bootstrap over seeds, within each group (Agarwal et al. 2021, arXiv:2108.13264)."
    ]
    counts = [len(row.returns) for row in rows]
    if 1 in counts:
        told.append(
            "Where a group has one seed there is no interval: nobody can tell from it whether the settings made the "
            "difference or the seed. Train more: --seeds 5."
        )
    if few := [count for count in counts if 1 < count < FEW]:
        told.append(
            f"With {min(few)} seeds in a group the intervals are too narrow: a clear difference can be seen, a small "
            "one can be neither shown nor ruled out. More seeds tell more."
        )
    if any(row.better and row.better.low is not None and row.better.low == row.better.high for row in rows):
        told.append(
            "An interval of P(better) without width says that no seed here was an exception, not that none ever is."
        )
    return told
