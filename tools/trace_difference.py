"""Two traces beside each other, bit for bit."""

import importlib.util
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import torch

END = 10**9  # in the place of an iteration: what is there once the run is over
SETTINGS = "settings"  # in the place of a name: all that ``config.json`` says
Entries = dict[int, dict[str, Any]]
"""By iteration and name: tensors, and values of JSON."""


def read_trace(path: Path) -> Entries:
    """What ``trace_run.py`` wrote: of each iteration first the metrics, then tensors, then other values."""
    with safetensors.safe_open(path, framework="pt") as file:
        numbers = {int(k): v for k, v in json.loads(file.metadata()["numbers"]).items()}
        entries: Entries = {i: {k: v for k, v in x.items() if k.startswith("metrics")} for i, x in numbers.items()}
        for key in file.keys():  # noqa: SIM118 (it is no dict)
            iteration, _, name = key.partition("/")
            entries.setdefault(int(iteration), {})[name] = file.get_tensor(key)
    for iteration, values in numbers.items():
        entries[iteration] |= values
    return entries


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    """JSON as one entry for each leaf, by its path."""
    if isinstance(tree, dict | list) and tree:
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, x in pairs for k, v in flat(x, f"{name}.{key}" if name else str(key)).items()}
    return {name: tree}


def renewal(source: Path) -> Callable[[Any], Any]:
    """What the checkout with this ``src`` reads of settings that earlier ones wrote."""
    path = source / "clipper" / "settings" / "old.py"
    spec = importlib.util.spec_from_file_location("settings_of_before", path) if path.exists() else None
    if spec is None or spec.loader is None:
        return lambda data: data
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    renew = getattr(module, "as_now", None)
    return renew if renew and len(inspect.signature(renew).parameters) == 1 else lambda data: data


def with_settings(old: Entries, new: Entries, renew: Callable[[Any], Any]) -> tuple[Entries, Entries]:
    """Both, with the settings' leaves as entries: OLD's as NEW reads them, NEW's without fields that came later."""

    def renewed(tree: Any) -> Any:
        if isinstance(tree, list):
            return [renewed(x) for x in tree]
        return {k: renewed(x) for k, x in renew(tree).items()} if isinstance(tree, dict) else tree

    ours, theirs = (entries.get(END, {}).pop(SETTINGS, {}) for entries in (old, new))
    ours, theirs = flat(renewed(ours), SETTINGS), flat(theirs, SETTINGS)
    for entries, leaves in ((old, ours), (new, {k: v for k, v in theirs.items() if k in ours})):
        entries.setdefault(END, {}).update(leaves)
    return old, new


def first_difference(old: Entries, new: Entries) -> str:
    """Where two traces first differ: iteration, name and by how much; "" where they are equal.

    What NEW notes beside all that OLD noted is no difference as long as it is nothing: zero, none, or empty.
    """
    for iteration in sorted(old.keys() | new.keys()):
        ours, theirs = old.get(iteration, {}), new.get(iteration, {})
        found = []
        for name in [*ours, *(name for name in theirs if name not in ours)]:
            if name not in ours and not isinstance(theirs[name], torch.Tensor) and not theirs[name]:
                continue
            if name not in theirs or name not in ours:
                found.append(f"{name} is only in {'OLD' if name in ours else 'NEW'}")
            elif told := difference(ours[name], theirs[name]):
                found.append(f"{name} {told}")
        if found:
            more = f", and {len(found) - 1} more there" if len(found) > 1 else ""
            return f"{'the end' if iteration == END else f'iteration {iteration}'}: {found[0]}{more}"
    return ""


def difference(old: Any, new: Any) -> str:
    """How two entries differ in type, shape or any bit; "" where they do not."""
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            return f"is {old.dtype} {list(old.shape)} and {new.dtype} {list(new.shape)}"
        if torch.equal(bits(old), bits(new)):
            return ""
        apart = (old.double() - new.double()).abs()
        return f"differs in {int((apart != 0).sum())} of {apart.numel()} numbers, by up to {float(apart.max()):.3g}"
    if type(old) is type(new) and repr(old) == repr(new):  # of a float, all its bits: NaN is NaN, and 0.0 not −0.0
        return ""
    if isinstance(old, float) and isinstance(new, float):
        return f"differs by {abs(old - new):.3g} ({old!r} and {new!r})"
    return f"is {str(old)[:80]!r} and {str(new)[:80]!r}"


def bits(x: torch.Tensor) -> torch.Tensor:
    """A tensor's bytes."""
    return x.contiguous().reshape(-1).view(torch.uint8)
