"""The command line: what each command does."""

import os
import shutil
import textwrap
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from rich.markup import escape

from clipper.cli import quick_help
from clipper.cli.arguments import (
    ALGORITHMS,
    fields_named,
    nearest,
    own_algorithm,
    reach_own_code,
    said,
    train_defaults,
)
from clipper.cli.command_options import (
    CheckExercise,
    Compare,
    Completion,
    Episodes,
    Evaluate,
    Export,
    Play,
    Plot,
    Resume,
    Train,
    Unroll,
    parse,
    with_spellings,
)
from clipper.cli.export import export_command
from clipper.cli.foreign_flags import check_flags
from clipper.cli.help_lines import NARROWEST
from clipper.cli.language_options import TrainLanguage
from clipper.cli.short_help import help_for
from clipper.environments.atari import described, is_atari
from clipper.environments.from_file import env_of_file
from clipper.environments.processes import end_with_starter
from clipper.errors import ClipperError, ConfigError, visible
from clipper.rollout.evaluation import Evaluation
from clipper.runs.config_file import read_config
from clipper.runs.folders import new_folder, runs_in, seeds_below
from clipper.runs.terminal import Terminal, write_source
from clipper.settings.config import Config
from clipper.storage.files import for_output, from_user, replace

MOST_SEEDS = 10_000


def train_command(args: Sequence[str]) -> int:
    """``clipper train``."""
    own = fields_named(args)
    for word in args:
        reach_own_code(word)
    check_flags(args, own)
    default, rest = train_defaults(args)
    prog, more = f"clipper train ENVIRONMENT-OR-RECIPE [{'|'.join(ALGORITHMS)}]", ""
    if is_atari(default.env):
        more = f" After an Atari game's id, separated by commas, may follow: {described()}."
    begun = Train(config=default)
    if {"-h", "--help"} & set(rest):
        print_help(help_for("train", begun, ", ".join(ALGORITHMS)), more.strip())
        return 0
    options = parse(Train, ["--help" if word == "--help-all" else word for word in rest], prog, begun, more)
    config = with_spellings(options)
    folder = options.run_dir or new_run_dir(config)
    reach_own_code(config.env)
    if options.resume is not None and options.run_dir is None:
        raise ConfigError("--resume auto goes on with the run in a folder, or begins it there: name it with --run-dir")
    if options.seeds > 1 and ("TORCHELASTIC_RUN_ID" in os.environ or options.resume is not None):
        raise ConfigError("--seeds trains runs side by side, each alone: leave out torchrun and --resume, or --seeds")
    if not 1 <= options.seeds <= MOST_SEEDS:
        raise ConfigError(f"--seeds must be from 1 to {MOST_SEEDS:,}, not {options.seeds}")
    if options.seeds > 1:
        from clipper.cli.seeds import train_seeds  # noqa: PLC0415

        return train_seeds(args, config, options.seeds, folder)
    from clipper.cli.session import train_and_show  # noqa: PLC0415

    return train_and_show(config, folder, options.profile, options.resume)


def print_help(text: str, more: str = "") -> None:
    """Print help, and ``more``."""
    further = f"\n\n{textwrap.fill(more, quick_help.width())}" if more else ""
    print(text + further)


def new_run_dir(config: Config) -> Path:
    """Of the environment, the algorithm, the seed and the time."""
    env = config.env.rpartition(":")[2].replace("/", "-")
    algorithm = type(config.algorithm).__name__.lower()
    return new_folder(f"{env}-{algorithm}", config.seed)


def train_language(args: Sequence[str]) -> int:
    """``clipper train-language``."""
    from clipper.cli.language import train_language_command  # noqa: PLC0415

    return train_language_command(args)


def on_prompts(args: Sequence[str]) -> bool:
    """Is a run on prompts named? Then the command has other options."""
    with suppress(ClipperError, OSError):  # which the command itself reports
        named = [from_user(word) for word in args if not word.startswith("-")]
        folders = [run for x in named for run in (seeds_below(x) or [x])]
        return any(read_config(x).language is not None for x in folders if (x / "config.json").is_file())
    return False


def resume_command(args: Sequence[str]) -> int:
    """``clipper resume``."""
    from clipper.cli.session import resume_and_show  # noqa: PLC0415

    if on_prompts(args):
        from clipper.cli.language import resume_language  # noqa: PLC0415

        return resume_language(args)
    options = parse(Resume, args, "clipper resume")
    reach_own_code(options.env)
    from clipper.cli.seeds import is_set, resume_seeds  # noqa: PLC0415

    if is_set(options.run):
        given = {
            "--env": options.env, "--algorithm": options.algorithm, "--total-steps": options.total_steps,
            "--device": options.device, "--engine": options.engine,
        }  # fmt: skip
        flags = [word for flag, x in given.items() if x is not None for word in (flag, str(x))]
        return resume_seeds(options.run, flags + ["--profile"] * options.profile, options.total_steps)
    named = {"total_steps": options.total_steps, "device": options.device, "engine": options.engine}
    changes: dict[str, object] = {name: x for name, x in named.items() if x is not None}
    if options.algorithm is not None:
        changes["algorithm"] = own_algorithm(options.algorithm)
    return resume_and_show(options.run, options.env, changes, options.profile)


def evaluate_command(args: Sequence[str]) -> int:
    """``clipper evaluate``."""
    from clipper.runs.evaluate import evaluate  # noqa: PLC0415

    if on_prompts(args):
        from clipper.cli.language import evaluate_language  # noqa: PLC0415

        return evaluate_language(args)
    options = parse(Evaluate, args, "clipper evaluate")
    if seeds := seeds_below(options.run):
        from clipper.cli.seeds import evaluate_seeds  # noqa: PLC0415

        return evaluate_seeds(seeds, partial(played, evaluate, options))
    print_episodes(*played(evaluate, options, options.run))
    return 0


def play_command(args: Sequence[str]) -> int:
    """``clipper play``."""
    from clipper.cli.seeds import single  # noqa: PLC0415
    from clipper.pictures.play import play  # noqa: PLC0415

    options = parse(Play, args, "clipper play")
    env, result = played(partial(play, video=options.video), options, single(options.run, "play"))
    print_episodes(env, result, f"  {options.video}" if options.video else "")
    return 0


def played(play: Callable[..., Evaluation], options: Episodes, folder: Path) -> tuple[str, Evaluation]:
    """Play episodes with a run's policy: in which environment, and how they went."""
    from clipper.runs.load import load_with_config  # noqa: PLC0415

    policy, config = load_with_config(folder, best=options.best)
    env = own_environment(config, options.env)
    return env, play(
        policy, env, episodes=options.episodes, seed=options.seed, deterministic=not options.stochastic
    )  # fmt: skip


def print_episodes(env: str, result: Evaluation, more: str = "") -> None:
    """How episodes went, and ``more``."""
    Terminal().print(f"{env}  {result}{more}", soft_wrap=True)


def own_environment(config: Config, named: str | None) -> str:
    """The environment's id; code of the user's own is imported only where the user names it."""
    reach_own_code(named)
    return env_of_file(config.env, named)


def plot_command(args: Sequence[str]) -> int:
    """``clipper plot``."""
    from clipper.pictures.diagnostics import plot_diagnostics  # noqa: PLC0415
    from clipper.pictures.suite import plot_suite  # noqa: PLC0415
    from clipper.runs.curve import plot_runs  # noqa: PLC0415

    options = parse(Plot, args, "clipper plot")
    if not options.runs:
        raise ConfigError("name the folders of one or more runs: clipper plot runs/*")
    if options.suite and options.diagnostics:
        raise ConfigError("--suite looks at many runs, --diagnostics at each: ask for one of them")
    if options.diagnostics:
        if options.output is not None and (len(options.runs) > 1 or len(runs_in(options.runs)) > 1):
            raise ConfigError("--diagnostics draws a picture for each run: name one run, or leave --output out")
        pictures = [plot_diagnostics(folder, options.output) for folder in runs_in(options.runs)]
    elif options.suite:
        pictures = [plot_suite(options.runs, options.output or Path("suite.png"))]
    else:
        pictures = [plot_runs(options.runs, options.output or Path("curves.png"))]
    for picture in pictures:
        Terminal().print(str(picture), soft_wrap=True)
    return 0


def compare_command(args: Sequence[str]) -> int:
    """``clipper compare``."""
    from clipper.cli.compare import show  # noqa: PLC0415
    from clipper.pictures.compare import comparison_of  # noqa: PLC0415
    from clipper.runs.curve import draw_curves  # noqa: PLC0415

    options = parse(Compare, args, "clipper compare")
    if not options.runs:
        raise ConfigError("name the folders of two runs or more: clipper compare runs/a runs/b")
    comparisons, curves = comparison_of(options.runs)
    console = Terminal()
    show(comparisons, console)
    picture = draw_curves(curves, options.output or Path("compare.png"))
    console.print(f"curves: {picture}", soft_wrap=True)
    return 0


def unroll_defaults(args: Sequence[str]) -> tuple[Config, list[str]]:
    """A run's settings, or what ``train`` would begin with, and the flags that follow."""
    if args and (Path(args[0]) / "config.json").exists():
        config, own = read_config(Path(args[0])), said("--env", args[1:])
        if config.language is not None:
            raise ConfigError("a run on prompts cannot be unrolled: unroll one in an environment")
        own_environment(config, own)
        return config, list(args[1:])
    own_fields = fields_named(args)
    for word in args:
        reach_own_code(word)
    check_flags(args, own_fields)
    return train_defaults(args)


def unroll_command(args: Sequence[str]) -> int:
    """``clipper unroll``."""
    from clipper.unroll import unroll  # noqa: PLC0415

    default, rest = unroll_defaults(args)
    prog = f"clipper unroll RUN | ENVIRONMENT-OR-RECIPE [{'|'.join(ALGORITHMS)}]"
    begun = Unroll(config=default)
    if {"-h", "--help"} & set(rest):
        print_help(help_for("unroll", begun, ", ".join(ALGORITHMS)))
        return 0
    options = parse(Unroll, ["--help" if word == "--help-all" else word for word in rest], prog, begun)
    text = unroll(with_spellings(options))
    if options.output is None:
        write_source(text)
    else:
        output = for_output(options.output)
        output.parent.mkdir(parents=True, exist_ok=True)
        replace(output, text.encode())
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


def completion_command(args: Sequence[str]) -> int:
    """``clipper completion``, where the shell is not named as it should be; otherwise ``quick_help`` answers."""
    parse(Completion, args, "clipper completion")
    return 0


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], type]] = {
    "train": (train_command, Train),
    "train-language": (train_language, TrainLanguage),
    "resume": (resume_command, Resume),
    "evaluate": (evaluate_command, Evaluate),
    "play": (play_command, Play),
    "plot": (plot_command, Plot),
    "compare": (compare_command, Compare),
    "export": (export_command, Export),
    "unroll": (unroll_command, Unroll),
    "check-exercise": (check_exercise_command, CheckExercise),
    "completion": (completion_command, Completion),
}


def run_command(args: Sequence[str]) -> int:
    """The whole command line; returns the exit status. Mistakes are one line on standard error, not a traceback."""
    before, warnings.formatwarning = warnings.formatwarning, one_line
    columns = os.environ.get("COLUMNS")
    if shutil.get_terminal_size().columns < NARROWEST:  # where words break at every letter, help takes minutes
        os.environ["COLUMNS"] = str(NARROWEST)
    end_with_starter()
    try:
        return run_named(args)
    finally:
        warnings.formatwarning = before
        os.environ.pop("COLUMNS", None)
        os.environ |= {} if columns is None else {"COLUMNS": columns}


def one_line(message: Warning | str, *_: object) -> str:
    """A warning as the command line prints it, without the place in the source that gave it."""
    return f"warning: {visible(str(message))}\n"


def run_named(args: Sequence[str]) -> int:
    """The same, whatever it does with warnings."""
    errors = Terminal(stderr=True)
    try:
        if (text := quick_help.text_for(args)) is not None:
            print(text)
            return 0
        if args[0] not in COMMANDS:
            raise ConfigError(f"there is no command {args[0]!r}.{nearest(args[0], COMMANDS)}")
        return COMMANDS[args[0]][0](args[1:])
    except BrokenPipeError:  # whoever read our output has left
        raise
    except (ClipperError, OSError) as error:
        told = str(error) if isinstance(error, ClipperError) else told_of(error)
        errors.print(f"[bold red]error:[/] {escape(told)}", markup=True, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


def told_of(error: OSError) -> str:
    """What the system says of a file or a folder, with its name: files are written aside first, as NAME.part."""
    why = error.strerror or str(error)
    names = [str(name).removesuffix(".part") for name in (error.filename, error.filename2) if name is not None]
    return f"{', '.join(names)}: {why}" if names else why
