"""Flags that other libraries have, answered with ours."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress

from clipper.cli.arguments import SHORT_FLAGS, said, train_defaults
from clipper.data.field_names import GATHERED, OTHER_NAMES, hint_for
from clipper.errors import ClipperError, ConfigError

Answer = Callable[[str, Sequence[str]], str]


def renamed(name: str) -> Answer:
    """The same value under our name."""
    return lambda value, _: f"--{name} {value}".rstrip()


def instead(text: str) -> Answer:
    """Whatever the value is."""
    return lambda _value, _args: text


def number(text: str) -> float | None:
    """As written, or None; also for what is not finite."""
    with suppress(ValueError):
        found = float(text.replace("_", ""))
        return found if math.isfinite(found) else None
    return None


def value_weight(value: str, args: Sequence[str]) -> str:
    """CleanRL's loss has ½ in it; Stable-Baselines3's has not."""
    given = number(value)
    return f"--value-coef {value}" if given is None else f"--value-coef {value}, or {given / 2:g} where it is CleanRL's"


def annealed(value: str, args: Sequence[str]) -> str:
    """A learning rate that ends at 0."""
    return f"--learning-rate 'linear({said('--learning-rate', args) or '2.5e-4'})'"


def in_minibatches(value: str, args: Sequence[str]) -> str:
    """How many parts of such a size there are."""
    size = number(value)
    if not size or size < 1:
        return "--minibatches N, the number of parts instead of their size: num_envs × horizon / batch_size"
    envs, rows = first(args, "--num-envs", "--n-envs"), first(args, "--horizon", "--num-steps", "--n-steps")
    with suppress(ClipperError):
        words = [word for word in args[:2] if not word.startswith("-")]
        own = train_defaults(words or ["CartPole-v1"])[0]
        envs, rows = envs or own.num_envs, rows or getattr(own.algorithm, "horizon", None)
    if not envs or not rows:
        return "--minibatches N, the number of parts instead of their size"
    return f"--minibatches {max(1, -(-int(envs * rows) // int(size)))} ({envs:g} × {rows:g} / {size:g})"


def first(args: Sequence[str], *flags: str) -> float | None:
    """The number behind the first of some flags that is there."""
    return next((found for flag in flags if (found := number(said(flag, args) or "")) is not None), None)


def epsilon(value: str, args: Sequence[str]) -> str:
    """ε along a line."""
    start, end, until = (
        said(flag, args) or usual
        for flag, usual in (("--start-e", "1"), ("--end-e", "0.05"), ("--exploration-fraction", "0.5"))
    )
    return f"--exploration 'epsilon_greedy(annealed({start},{end},{until}))'"


def each_steps(value: str, args: Sequence[str]) -> str:
    """Gradient steps for a decision."""
    steps = number(value)
    return f"--update-ratio {1 / steps:g}" if steps else "--update-ratio R, gradient steps for each decision"


ANSWERS: dict[str, Answer] = {
    "env-id": lambda value, _: f"clipper train {value}", "gym-id": lambda value, _: f"clipper train {value}",
    "env-name": lambda value, _: f"clipper train {value}",
    "algo": lambda value, _: f"clipper train ENVIRONMENT {value}",
    "total-timesteps": renamed("total-steps"), "n-timesteps": renamed("total-steps"),
    "num-steps": renamed("horizon"), "n-steps": renamed("horizon"), "n-envs": renamed("num-envs"),
    "num-minibatches": renamed("minibatches"), "batch-size": in_minibatches, "minibatch-size": in_minibatches,
    "update-epochs": renamed("epochs"), "n-epochs": renamed("epochs"), "gae-lambda": renamed("lam"),
    "clip-coef": renamed("clip"), "clip-range": renamed("clip"), "ent-coef": renamed("entropy-coef"),
    "vf-coef": value_weight, "anneal-lr": annealed,
    "no-anneal-lr": instead("nothing: the learning rate is constant unless it is linear(α)"),
    "norm-adv": instead("--advantages standardised, which is the default"),
    "normalize-advantage": instead("--advantages standardised, which is the default"),
    "no-norm-adv": instead("--advantages raw"),
    "clip-vloss": lambda _, args: f"--value-loss 'clipped_mse({said('--clip-coef', args) or '0.2'})'",
    "clip-range-vf": lambda value, _: f"--value-loss 'clipped_mse({value})'",
    "no-clip-vloss": instead("--value-loss mse, which is the default"),
    "cuda": instead("--device cuda"), "no-cuda": instead("--device cpu"),
    "no-track": instead("nothing: no run is sent anywhere"),
    "no-capture-video": instead("nothing: a run films nothing"),
    "no-autotune": instead("--alpha 0.2, a number, which stays"),
    "no-torch-deterministic": instead("nothing: a seed repeats a run bit for bit"),
    "torch-deterministic": instead("nothing: a seed repeats a run bit for bit"),
    "exp-name": lambda value, _: f"--run-dir runs/{value}".rstrip(),
    "track": instead("--run-dir RUN, whose folder TensorBoard reads, or loggers= in Python"),
    "capture-video": instead("clipper play RUN --video FILE.mp4, after training"),
    "tensorboard-log": renamed("run-dir"),
    "buffer-size": renamed("capacity"), "policy-frequency": renamed("policy-delay"),
    "policy-lr": renamed("learning-rate"), "q-lr": renamed("critic-learning-rate"),
    "policy-noise": renamed("target-noise"),
    "exploration-noise": lambda value, _: f"--distribution 'deterministic({value or '0.1'})'",
    "train-frequency": each_steps, "train-freq": each_steps,
    "start-e": epsilon, "end-e": epsilon, "exploration-fraction": epsilon,
    "autotune": instead("--alpha 'entropy_target()', which is the default"),
}  # fmt: skip
"""CleanRL's and Stable-Baselines3's flags whose value can be said in ours."""
OFF = ("false", "0", "no", "off")
SWITCHES = {name.removeprefix("no-") for name in ANSWERS if name.startswith("no-")}
"""Those that may be turned off by such a value, or by a ``no-`` before their name."""


def check_flags(args: Sequence[str], own: set[str]) -> None:
    """Raise ``ConfigError`` for flags that another library, or an earlier version, has under other names: one line.

    It is none where the algorithm itself has a field of its ``own`` by that name.
    """
    told = dict[str, str]()
    for i, word in enumerate(args):
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("_", "-")
        field = name.replace("-", "_")
        if not flag.startswith("--") or field in SHORT_FLAGS | own:
            continue
        if not equals and i + 1 < len(args) and not is_flag(args[i + 1]):
            value = args[i + 1]
        if value.lower() in OFF and name in SWITCHES:
            name = f"no-{name}"
        if name in ANSWERS:
            told[f"{flag} {value}".rstrip()] = ANSWERS[name](value, args)
        elif field in GATHERED:
            target, _, text = GATHERED[field]
            raise ConfigError(f"there is no {flag}. Here it is --{target.replace('_', '-')} '{text}'")
        elif field in OTHER_NAMES:
            meant = OTHER_NAMES[field]
            raise ConfigError(f"there is no {flag}.{hint_for(field, [meant])} (--{meant.replace('_', '-')})")
    if told:
        lines = "; ".join(f"{given} is {ours}" for given, ours in told.items())
        raise ConfigError(f"other libraries' flags: {lines}")


def is_flag(word: str) -> bool:
    """Is it a flag, and no negative number?"""
    return word.startswith("-") and number(word) is None
