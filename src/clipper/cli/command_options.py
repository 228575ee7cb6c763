"""The options of each command. Every flag is a field of a dataclass: its docstring is the help."""

import dataclasses
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from clipper.cli.help_lines import command_help
from clipper.cli.mistakes import said_in_short
from clipper.cli.quick_help import bold, width
from clipper.cli.short_help import command_of
from clipper.environments.ids import called
from clipper.errors import ConfigError
from clipper.learning.action_parts import Joint, PerPart
from clipper.learning.kl import KLStop
from clipper.learning.rewards import Scaled
from clipper.rollout.evaluation import EVALUATION_SEED
from clipper.settings.config import Config
from clipper.settings.option_text import register_option_types

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a policy: clipper train ENVIRONMENT-OR-RECIPE [ALGORITHM] [options]."""

    config: Config
    preset: str | None = None
    """Another library's settings, which flags outweigh: cleanrl, cleanrl-continuous, cleanrl-atari, sb3, sb3-a2c,
    sb3-trpo, spinning-up, spinning-up-vpg, baselines, andrychowicz, rl-zoo (the row for this environment); sb3-sac,
    sb3-td3, sb3-ddpg, sb3-dqn, cleanrl-sac, cleanrl-td3, cleanrl-ddpg, cleanrl-dqn, spinning-up-sac, spinning-up-td3,
    spinning-up-ddpg, bester-pdqn, bester-mpdqn; ppo-pytorch, ten-tricks, di-engine-hybrid."""
    run_dir: Path | None = None
    """Folder for metrics, curve and checkpoints; a new one below runs/ where none is named."""
    resume: Literal["auto"] | None = None
    """auto: go on with the run in --run-dir if there is one, otherwise begin it; for programs that are started again,
    as by torchrun --max-restarts."""
    seeds: int = 1
    """Train this many seeds, from --seed upwards, side by side on the available cores."""
    profile: bool = False
    """Print at the end where the time went, part by part; it is in the metrics, too."""
    target_kl: Annotated[float | None, tyro.conf.arg(metavar="KL")] = None
    """A spelling of --stop klstop(KL)."""
    scale_rewards: bool = False
    """A spelling of --rewards scaled."""
    ratio: Literal["joint", "per_part"] | None = None
    """A spelling of --parts joint, or --parts per_part."""


def with_spellings(options: "Train | Unroll") -> Config:
    """The settings, with what short flags say of the algorithm's values."""
    algorithm: Any = options.config.algorithm
    given = {"stop": options.target_kl, "rewards": options.scale_rewards or None, "parts": options.ratio}
    for field, flag in {"stop": "target-kl", "rewards": "scale-rewards", "parts": "ratio"}.items():
        if given[field] is not None and not hasattr(algorithm, field):
            raise ConfigError(f"--{flag} sets {field}, which {type(algorithm).__name__} does not have: leave it out")
    changes: dict[str, Any] = {}
    if options.target_kl is not None:
        changes["stop"] = dataclasses.replace(algorithm.stop or KLStop(), target=options.target_kl)
    if options.scale_rewards and not isinstance(algorithm.rewards, Scaled):
        changes["rewards"] = Scaled()
    if options.ratio is not None:
        changes["parts"] = (PerPart if options.ratio == "per_part" else Joint)(algorithm.parts.entropy)
    algorithm = dataclasses.replace(algorithm, **changes) if changes else algorithm  # one of your own is no dataclass
    return dataclasses.replace(options.config, algorithm=algorithm)


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a run that was interrupted."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    env: str | None = None
    """The environment once more, where it is code of your own (my_package:MyEnv-v0)."""
    algorithm: str | None = None
    """The algorithm once more, where it or a part of it is code of your own: a class or a value (my_package:Mine)."""
    total_steps: int | None = None
    """Train longer than was planned; where a schedule follows the plan, the run no longer counts as exact."""
    device: str | None = None
    """Where the policy computes, once more, where that was not the cpu."""
    engine: Literal["auto", "torch", "cpu", "compile"] | None = None
    """What computes, once more, where that was compile, which starts this machine's compiler."""
    profile: bool = False
    """Print at the end where the time went, part by part."""


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Whole episodes with a trained policy."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    episodes: int = 1
    """Episodes to play."""
    seed: int = EVALUATION_SEED
    """Seed of the environments and, where --stochastic, of the actions; the default lies far from training's."""
    best: bool = False
    """The best policy that an evaluation found during training, instead of the last one."""
    stochastic: bool = False
    """Sample actions instead of taking the most likely one."""
    env: str | None = None
    """The environment once more, where it is code of your own."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Episodes):
    """Play whole episodes with a trained policy and print its return."""

    episodes: int = 100


@dataclass(frozen=True, kw_only=True)
class Play(Episodes):
    """Watch a trained policy, in a window or as a video."""

    video: Path | None = None
    """Write this .mp4 or .gif instead of opening a window."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the learning curves of runs, seeds as a mean with its interval; with --diagnostics, how updates went."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or of seeds; those that differ in their seed alone are one curve."""
    output: Path | None = None
    """The picture; where none is named, curves.png or suite.png, or with --diagnostics diagnostics.png in each run's
    folder."""
    suite: bool = False
    """Compare algorithms over tasks: curves, interquartile mean with its interval, performance profiles, and the
    probability that one beats another."""
    diagnostics: bool = False
    """Draw KL, clip fraction, largest ratio, entropy, explained variance, advantages per batch and minibatch, gradient
    norm and losses over time: one picture for each run."""


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Compare settings by their seeds: final returns, differences, and the probability that one beats the first."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or of seeds; those that differ in their seed alone are one group, and the first is the
    baseline."""
    output: Path | None = None
    """The picture of their curves; compare.png where none is named."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trained policy as an ONNX file, which runs without Clipper and torch, or for Stable-Baselines3."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    onnx: Path | None = None
    """The file; policy.onnx in the run's folder, or policy_masked.onnx, where none is named."""
    best: bool = False
    """The best policy that an evaluation found during training, instead of the last one."""
    masked: bool = False
    """Let the file take action masks, too; those of a Box, and of a single choice, may be left out."""
    sb3: bool = False
    """Write an archive that Stable-Baselines3 loads instead, policy_sb3.zip in the run's folder; prints how."""


@dataclass(frozen=True, kw_only=True)
class Unroll:
    """Print one standalone file of exactly what some settings run: of a recipe, of what train takes, or of a run."""

    config: Config
    preset: str | None = None
    """Another library's settings, as train takes them."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Write the file here instead of printing it."""
    target_kl: Annotated[float | None, tyro.conf.arg(metavar="KL")] = None
    """A spelling of --stop klstop(KL)."""
    scale_rewards: bool = False
    """A spelling of --rewards scaled."""
    ratio: Literal["joint", "per_part"] | None = None
    """A spelling of --parts joint, or --parts per_part."""


@dataclass(frozen=True, kw_only=True)
class CheckExercise:
    """Check your answer to an exercise of the documentation; without a name, list the exercises."""

    name: tyro.conf.Positional[Annotated[str | None, tyro.conf.arg(metavar="NAME")]] = None
    """Name of an exercise; alone, its task is printed."""
    file: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="FILE.py")]] = None
    """Your file, which is run."""
    start: bool = False
    """Write the file to begin from, with the task in it; under the function's name where no file is named."""
    language: Literal["terminal", "en", "zh"] = "terminal"
    """Language of what is printed."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script with which a shell completes the command line, as in: eval "$(clipper completion bash)"."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """bash, zsh (after compinit) or fish (clipper completion fish | source)."""


def check_not_empty(args: Sequence[str]) -> None:
    """Raise ``ConfigError`` for an empty word, as a variable leaves that is not set: the path "" would be where one is.

    The key of masks may be empty.
    """
    for before, word in zip(["", *args], args, strict=False):
        flag, equals, value = word.partition("=")
        of, empty = (flag, equals and not value) if flag.startswith("--") else (before, not word)
        if empty and not of.endswith(("mask-key", "mask_key")):
            what = f"{of} is followed by" if of.startswith("--") else "there is"
            raise ConfigError(f"{what} an empty word: name a folder, a file or a value, or leave it out")


def parse(kind: type[T], args: Sequence[str], prog: str, default: T | None = None, more: str = "") -> T:
    """Command line arguments → a dataclass; prints help or what is wrong, and exits, where asked or wrong.

    The help says ``more`` than the class does.
    """
    check_not_empty(args)
    if default is None and {"-h", "--help"} & set(args):
        sys.stdout.write(f"{command_help(prog.removeprefix('clipper '), command_of(kind), width(), bold)}\n")
        raise SystemExit(0)
    extra: dict[str, object] = {} if default is None else {"default": default}
    short = nullcontext() if "--help" in args else said_in_short(" ".join(prog.split()[:2]))
    marks = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)
    with warnings.catch_warnings(), short:
        warnings.filterwarnings("ignore", "The field .* is annotated")  # with a protocol, and holds a user's own value
        return called(
            tyro.cli,
            kind,
            args=list(args),
            prog=prog,
            config=marks,
            registry=register_option_types(),
            description=f"{kind.__doc__}{more}",
            **extra,
        )
