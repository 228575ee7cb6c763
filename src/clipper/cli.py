"""The command line. Every flag is a field of a dataclass: its docstring is the help."""

import dataclasses
import difflib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from rich.console import Console
from rich.markup import escape

from clipper.algorithms import A2C, NPG, PPO, TRPO, VPG, Algorithm, ImportanceSampling, PPOApart, PPOPenalty, Reinforce
from clipper.config import Config, config_for
from clipper.environments.atari import described, is_atari
from clipper.errors import ClipperError, ConfigError
from clipper.option_text import register_option_types
from clipper.presets import PRESETS
from clipper.recipes import RECIPES

ALGORITHMS: dict[str, type[Algorithm]] = {
    "ppo": PPO, "ppo-apart": PPOApart, "ppo-penalty": PPOPenalty, "reinforce": Reinforce,
    "importance-sampling": ImportanceSampling, "vpg": VPG, "a2c": A2C, "npg": NPG, "trpo": TRPO,
}  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a policy: clipper train ENVIRONMENT-OR-RECIPE [ALGORITHM] [options]."""

    config: Config
    preset: str | None = None
    """Another library's settings, which flags outweigh: cleanrl, cleanrl-continuous, cleanrl-atari, sb3, sb3-a2c,
    sb3-trpo, spinning-up, spinning-up-vpg, baselines, andrychowicz, rl-zoo (the row for this environment)."""
    run_dir: Path | None = None
    """Folder for metrics, curve and checkpoints; a new one below runs/ where none is named."""
    seeds: int = 1
    """Train this many seeds, from --seed upwards, side by side on the cores at hand."""
    profile: bool = False
    """Print at the end where the time went, part by part; it is in the metrics, too."""


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a run that was interrupted."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    env: str | None = None
    """The environment once more, where it is code of your own (my_package:MyEnv-v0)."""
    total_steps: int | None = None
    """Train longer than was planned; schedules are planned anew, and the run no longer counts as exact."""
    profile: bool = False
    """Print at the end where the time went, part by part."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Play whole episodes with a trained policy and print its return."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    episodes: int = 100
    """Episodes to play."""
    seed: int = 0
    """Seed of the environments and, where --stochastic, of the actions."""
    best: bool = False
    """The best policy that an evaluation found during training, instead of the last one."""
    stochastic: bool = False
    """Sample actions instead of taking the most likely one."""
    env: str | None = None
    """The environment once more, where it is code of your own."""


@dataclass(frozen=True, kw_only=True)
class Play:
    """Watch a trained policy, in a window or as a video."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    video: Path | None = None
    """Write this .mp4 or .gif instead of opening a window."""
    episodes: int = 1
    """Episodes to play."""
    seed: int = 0
    """Seed of the environment."""
    best: bool = False
    """The best policy that an evaluation found during training, instead of the last one."""
    stochastic: bool = False
    """Sample actions instead of taking the most likely one."""
    env: str | None = None
    """The environment once more, where it is code of your own."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Draw the learning curves of runs, seeds as a mean with its interval; with --diagnostics, how updates went."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs."""
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
class Export:
    """Write a trained policy as an ONNX file, which runs without Clipper and without torch."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    onnx: Path | None = None
    """The file; policy.onnx in the run's folder where none is named."""
    best: bool = False
    """The best policy that an evaluation found during training, instead of the last one."""
    masked: bool = False
    """Let the file take action masks, too."""


@dataclass(frozen=True, kw_only=True)
class Unroll:
    """Print one standalone file of exactly what a recipe runs."""

    recipe: tyro.conf.Positional[str]
    """Name of a recipe."""
    output: Path | None = None
    """Write the file here instead of printing it."""


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


def parse(kind: type[T], args: Sequence[str], prog: str, default: T | None = None, more: str = "") -> T:
    """Command line arguments → a dataclass; prints help or the nearest right flag, and exits, where asked or wrong.

    The help says ``more`` than the class does.
    """
    extra: dict[str, Any] = {} if default is None else {"default": default}
    marks = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)
    return tyro.cli(
        kind,
        args=list(args),
        prog=prog,
        config=marks,
        registry=register_option_types(),
        description=f"{kind.__doc__}{more}",
        **extra,
    )


def train_defaults(args: Sequence[str]) -> tuple[Config, list[str]]:
    """The environment or recipe and the algorithm that lead the arguments → defaults, and the flags that follow."""
    words = []
    while len(words) < len(args) and len(words) < 2 and not args[len(words)].startswith("-"):
        words.append(args[len(words)])
    name, algorithm = [*words, None, None][:2]
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise ConfigError(f"there is no algorithm {algorithm!r}.{nearest(algorithm, ALGORITHMS)}")
    rest = list(args[len(words) :])
    config = RECIPES[name]() if name in RECIPES else config_for(name or said("--env", rest) or "CartPole-v1")
    preset = said("--preset", rest)
    if preset is not None:
        config = with_preset(config, preset, keep_budget=name in RECIPES)
    if algorithm is not None and not isinstance(config.algorithm, ALGORITHMS[algorithm]):
        if preset is not None:
            raise ConfigError(f"--preset {preset} sets {type(config.algorithm).__name__}, not {algorithm}")
        chosen = ALGORITHMS[algorithm]()
        config = dataclasses.replace(config, algorithm=chosen) if name in RECIPES else config_for(config.env, chosen)
    if name is None and "--env" not in rest and not {"-h", "--help"} & set(rest):
        raise ConfigError("name an environment or a recipe: clipper train CartPole-v1")
    return config, rest


def said(flag: str, args: Sequence[str]) -> str | None:
    """What follows a flag among the arguments, as in ``--flag x`` or ``--flag=x``."""
    for i, argument in enumerate(args):
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
        if argument == flag:
            return "".join(args[i + 1 : i + 2])
    return None


def with_preset(config: Config, name: str, keep_budget: bool) -> Config:
    """A preset's settings for ``config.env``; a recipe keeps its budget and its evaluations."""
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}.{nearest(name, PRESETS)}")
    made = PRESETS[name](config.env)
    if not keep_budget:
        return made
    return dataclasses.replace(config, algorithm=made.algorithm, policy=made.policy, num_envs=made.num_envs)


def nearest(word: str, known: Any) -> str:
    """A hint at the nearest known words."""
    near = difflib.get_close_matches(word, known, n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(known)}."


def train_command(args: Sequence[str]) -> int:
    """``clipper train``."""
    default, rest = train_defaults(args)
    prog, more = f"clipper train ENVIRONMENT-OR-RECIPE [{'|'.join(ALGORITHMS)}]", ""
    if is_atari(default.env):
        more = f" Behind an Atari game's id may stand, after commas: {described()}."
    options = parse(Train, rest, prog, Train(config=default), more)
    folder = options.run_dir or new_run_dir(options.config)
    reach_own_code(options.config.env)
    if options.seeds > 1:
        from clipper.seeds import train_seeds  # noqa: PLC0415

        return train_seeds(args, options.config, options.seeds, folder)
    from clipper.session import train_and_show  # noqa: PLC0415

    return train_and_show(options.config, folder, options.profile)


def new_run_dir(config: Config) -> Path:
    """runs/<environment>-<algorithm>-seed<seed>-<time>, not yet there."""
    env = config.env.rpartition(":")[2].replace("/", "-")
    algorithm = type(config.algorithm).__name__.lower()
    stem = f"{env}-{algorithm}-seed{config.seed}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder, count = Path("runs") / stem, 1
    while folder.exists():
        count += 1
        folder = Path("runs") / f"{stem}-{count}"
    return folder


def resume_command(args: Sequence[str]) -> int:
    """``clipper resume``."""
    from clipper.session import resume_and_show  # noqa: PLC0415

    options = parse(Resume, args, "clipper resume")
    reach_own_code(options.env)
    changes = {} if options.total_steps is None else {"total_steps": options.total_steps}
    return resume_and_show(options.run, options.env, changes, options.profile)


def evaluate_command(args: Sequence[str]) -> int:
    """``clipper evaluate``."""
    from clipper.evaluate import evaluate  # noqa: PLC0415
    from clipper.load import load_with_config  # noqa: PLC0415

    options = parse(Evaluate, args, "clipper evaluate")
    policy, config = load_with_config(options.run, best=options.best)
    result = evaluate(
        policy,
        own_environment(config, options.env),
        episodes=options.episodes,
        seed=options.seed,
        deterministic=not options.stochastic,
    )
    Console().print(f"{config.env}  {result}", highlight=False)
    return 0


def play_command(args: Sequence[str]) -> int:
    """``clipper play``."""
    from clipper.load import load_with_config  # noqa: PLC0415
    from clipper.play import play  # noqa: PLC0415

    options = parse(Play, args, "clipper play")
    policy, config = load_with_config(options.run, best=options.best)
    result = play(
        policy,
        own_environment(config, options.env),
        episodes=options.episodes,
        video=options.video,
        seed=options.seed,
        deterministic=not options.stochastic,
    )
    Console().print(f"{config.env}  {result}" + (f"  {options.video}" if options.video else ""), highlight=False)
    return 0


def reach_own_code(named: str | None) -> None:
    """Let MODULE of a named ``MODULE:…`` lie in the folder where the command runs, behind all that is installed."""
    if named is not None and ":" in named and not {"", str(Path.cwd())} & set(sys.path):
        sys.path.append(str(Path.cwd()))


def own_environment(config: Config, named: str | None) -> str:
    """The environment's id; code of the user's own is imported only where the user names it."""
    reach_own_code(named)
    if named is None and (":" in config.env or config.env.startswith("<")):
        raise ConfigError(f"this run's environment is {config.env}, which is code of your own: name it with --env")
    return named or config.env


def plot_command(args: Sequence[str]) -> int:
    """``clipper plot``."""
    from clipper.plot import plot_runs  # noqa: PLC0415
    from clipper.plot_diagnostics import plot_diagnostics  # noqa: PLC0415
    from clipper.plot_suite import plot_suite  # noqa: PLC0415

    options = parse(Plot, args, "clipper plot")
    if not options.runs:
        raise ConfigError("name the folders of one or more runs: clipper plot runs/*")
    if options.suite and options.diagnostics:
        raise ConfigError("--suite looks at many runs, --diagnostics at each: ask for one of them")
    if options.diagnostics:
        if options.output is not None and len(options.runs) > 1:
            raise ConfigError("--diagnostics draws a picture for each run: name one run, or leave --output out")
        pictures = [plot_diagnostics(folder, options.output) for folder in options.runs]
    elif options.suite:
        pictures = [plot_suite(options.runs, options.output or Path("suite.png"))]
    else:
        pictures = [plot_runs(options.runs, options.output or Path("curves.png"))]
    for picture in pictures:
        Console().print(str(picture), highlight=False, soft_wrap=True)
    return 0


def export_command(args: Sequence[str]) -> int:
    """``clipper export``."""
    from clipper.export import export_onnx  # noqa: PLC0415
    from clipper.load import load_with_config  # noqa: PLC0415

    options = parse(Export, args, "clipper export")
    policy, _ = load_with_config(options.run, best=options.best)
    file = options.onnx or options.run / "policy.onnx"
    inputs, outputs = export_onnx(policy, file, masked=options.masked)
    text = f"{file}: {', '.join(inputs)} → {', '.join(outputs)}; compared with the policy in onnxruntime"
    Console().print(text, highlight=False, soft_wrap=True)
    return 0


def unroll_command(args: Sequence[str]) -> int:
    """``clipper unroll``."""
    from clipper.unroll import unroll  # noqa: PLC0415

    options = parse(Unroll, args, "clipper unroll")
    if options.recipe not in RECIPES:
        raise ConfigError(f"there is no recipe {options.recipe!r}.{nearest(options.recipe, RECIPES)}")
    text = unroll(RECIPES[options.recipe]())
    if options.output is None:
        sys.stdout.write(text)
    else:
        options.output.write_text(text)
    return 0


def check_exercise_command(args: Sequence[str]) -> int:
    """``clipper check-exercise``: 0 where the answer is right, 1 where it is not."""
    from clipper.exercises import command  # noqa: PLC0415

    options = parse(CheckExercise, args, "clipper check-exercise")
    language = command.language() if options.language == "terminal" else options.language
    if options.name is None:
        print(command.overview(language))
        return 0
    known = command.known()
    if options.name not in known:
        raise ConfigError(f"there is no exercise {options.name!r}.{nearest(options.name, known)}")
    exercise = known[options.name]
    if options.start:
        file = options.file or Path(f"{exercise.function}.py")
        command.write_start(exercise, file)
        print(file)
        return 0
    if options.file is None:
        print(command.task(exercise, language))
        return 0
    verdict = command.check(exercise, options.file)
    print(getattr(verdict.words, language))
    return 0 if verdict.right else 1


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], type]] = {
    "train": (train_command, Train),
    "resume": (resume_command, Resume),
    "evaluate": (evaluate_command, Evaluate),
    "play": (play_command, Play),
    "plot": (plot_command, Plot),
    "export": (export_command, Export),
    "unroll": (unroll_command, Unroll),
    "check-exercise": (check_exercise_command, CheckExercise),
}


def overview() -> str:
    """All commands, a line each."""
    lines = [f"  [bold]{name:<15}[/]{escape(kind.__doc__ or '')}" for name, (_, kind) in COMMANDS.items()]
    return "\n".join(
        [
            "[bold]clipper[/] COMMAND …   the PPO library",
            "",
            *lines,
            "",
            f"recipes: {', '.join(RECIPES)}",
            f"presets: {', '.join(PRESETS)}",
            "clipper COMMAND --help explains every option.",
        ]
    )


def run_command(args: Sequence[str]) -> int:
    """The whole command line; returns the exit status. Mistakes are one line on standard error, not a traceback."""
    errors = Console(stderr=True)
    if not args or args[0] in ("-h", "--help", "help"):
        Console().print(overview(), highlight=False)
        return 0
    if args[0] == "--version":
        from clipper import __version__  # noqa: PLC0415

        Console().print(f"clipper {__version__}", highlight=False)
        return 0
    try:
        if args[0] not in COMMANDS:
            raise ConfigError(f"there is no command {args[0]!r}.{nearest(args[0], COMMANDS)}")
        return COMMANDS[args[0]][0](args[1:])
    except ClipperError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130
