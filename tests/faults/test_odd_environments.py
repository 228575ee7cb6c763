"""Odd environments, drawn from kept seeds: none is learned from in silence, and none ends in an error of some depth."""

import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import odd_environments
import pytest

import clipper
from clipper.errors import ClipperError

QUICK = clipper.PPO(horizon=8, epochs=1, minibatches=1)
SMALL = clipper.PolicyOptions(hidden=(4,))


def outcome(seed: int) -> tuple[str, str]:
    """What became of one, and of what kind it is; the former is empty where it is right."""
    env, odd, kind = odd_environments.draw(seed)
    settings: dict[str, Any] = {} if isinstance(env, odd_environments.Ready) else {"num_envs": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            clipper.train(env, QUICK, policy=SMALL, total_steps=30, engine="torch", **settings)
        except ClipperError as error:
            first = str(error).splitlines()[0]
            named = any(word in first for word in ("Ready", "Single", "num_envs", "action", "observation"))
            return ("" if odd.wrong and named else f"refused: {first}"), kind
        except BaseException as error:  # noqa: BLE001, RUF100 (whatever it is)
            return f"{type(error).__name__}: {error}", kind
    return ("learned from in silence" if odd.wrong else ""), kind


@pytest.mark.parametrize("drawn", [100, pytest.param(800, marks=pytest.mark.long)])
def test_odd_environments_are_refused_by_name(drawn: int, figures: Callable[..., None]) -> None:
    wrong, slowest, before = list[str](), 0.0, memory()
    for seed in range(drawn):
        began = time.process_time()
        became, kind = outcome(seed)
        slowest = max(slowest, time.process_time() - began)
        wrong += [f"{seed} ({kind}): {became}"] if became else []
    grown = memory() - before
    assert not wrong, "\n".join(wrong)
    assert grown < 300
    if drawn > 100:
        figures("F53", drawn=drawn, wrong=len(wrong), slowest=round(slowest, 1), megabytes=round(grown))


def memory() -> float:
    """The most that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
