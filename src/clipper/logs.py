"""A run's records: one JSON line per iteration, always, and TensorBoard events."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

from clipper.run import Row


class Log:
    """Appends rows to ``metrics.jsonl`` and to TensorBoard; ``keep`` rows of an earlier session stay."""

    def __init__(self, folder: Path, keep: list[Row], tensorboard: bool = True) -> None:
        path = folder / "metrics.jsonl"
        aside = path.with_suffix(".part")
        aside.write_text("".join(json.dumps(row) + "\n" for row in keep))
        aside.replace(path)
        self.file = path.open("a", buffering=1)
        self.events = tensorboard_writer(folder, keep) if tensorboard else None

    def write(self, row: Row) -> None:
        """Append one row; NaN and infinity become null, since JSON has neither."""
        self.file.write(json.dumps({k: finite(v) for k, v in row.items()}) + "\n")
        if self.events is not None:
            for name, value in row.items():
                if value is not None and "/" in name:
                    self.events.add_scalar(name, value, int(row["steps"] or 0))

    def close(self) -> None:
        """Flush and close both."""
        self.file.close()
        if self.events is not None:
            self.events.close()


def finite(x: float | int | None) -> float | int | None:
    """``x``, or None where it is no finite number."""
    return x if x is not None and math.isfinite(x) else None


def tensorboard_writer(folder: Path, keep: list[Row]) -> Any:
    """A TensorBoard writer for the folder, or None, with one warning, where TensorBoard cannot be had."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (slow to import)

        steps = int(keep[-1]["steps"] or 0) + 1 if keep else None
        return SummaryWriter(str(folder / "tensorboard"), purge_step=steps)
    except (ImportError, OSError) as error:
        warnings.warn(f"no TensorBoard events: {error}", stacklevel=2)
        return None
