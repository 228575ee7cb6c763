"""The command line on language models: train, resume, evaluate."""

import dataclasses
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table
from rich.text import Text

from clipper.cli.arguments import nearest, reach_own_code, said, without
from clipper.cli.command_options import parse
from clipper.cli.language_algorithms import BETA, CHOICES, for_task
from clipper.cli.language_options import EvaluateLanguage, OfRun, ResumeLanguage, TrainLanguage
from clipper.cli.seeds import MOST_SEEDS, resume_seeds, side_by_side, write_plan
from clipper.cli.session import show
from clipper.errors import ConfigError
from clipper.language.evaluation import Scored, evaluate_responses
from clipper.language.models import save_model
from clipper.language.prompts import Source
from clipper.language.rollouts import Reward
from clipper.language.tasks import TASKS
from clipper.language.train import saved_policy, shaping_for, train_language
from clipper.runs.config_file import read_config
from clipper.runs.folders import new_folder, seeds_below
from clipper.runs.lock import locked
from clipper.runs.terminal import Terminal
from clipper.settings.language import LanguageConfig, Shaping
from clipper.settings.option_text import named_value


class Given(NamedTuple):
    """What a run on prompts is made of."""

    model: Any
    prompts: Source
    reward: Reward


def train_language_command(args: Sequence[str]) -> int:
    """``clipper train-language``."""
    model, name, options = parsed(args)
    folder = options.run_dir or new_folder(f"{Path(model).name}-{name}", options.seed)
    if (folder / "config.json").exists():
        raise ConfigError(f"{folder} already holds a run: resume it, or name another folder")
    if options.seeds != 1:
        return train_seeds(args, model, options, folder)
    given = task_given(model, options, folder) if model in TASKS else folder_given(model, options)
    named = {"name": model} if model in TASKS else {}
    return show(arguments_of(options, given, folder) | named, train_language)


def train_seeds(args: Sequence[str], model: str, options: TrainLanguage, folder: Path) -> int:
    """The same command for several seeds, side by side; what is wrong in it is said before any begins."""
    if options.threads < 1:
        raise ConfigError(f"--threads must be at least 1, not {options.threads}")
    if not 1 <= options.seeds <= MOST_SEEDS:
        raise ConfigError(f"--seeds must be from 1 to {MOST_SEEDS:,}, not {options.seeds}")
    if model not in TASKS:
        folder_given(model, options)
    flags = list(args)
    for flag in ("--seeds", "--run-dir", "--seed"):
        flags = without(flag, flags)
    runs = {folder / f"seed{seed}": str(seed) for seed in range(options.seed, options.seed + options.seeds)}
    commands = {run: ["train-language", *flags, "--seed", seed, "--run-dir", str(run)] for run, seed in runs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    again = ["resume", folder, *(() if options.reward is None else ("--reward", options.reward))]
    with locked(folder):
        write_plan(folder, options.seed, options.seeds)
        return side_by_side(commands, f"{options.seeds} seeds of {model}", folder, options.threads, again)


def parsed(args: Sequence[str]) -> tuple[str, str, TrainLanguage]:
    """The model or task, the algorithm's name, and the options."""
    words = list(takewhile(lambda word: not word.startswith("-"), args[:2]))
    model, positional = [*words, None, None][:2]
    rest = list(args[len(words) :])
    name = positional or said("--algorithm", rest) or "ppo"
    rest = rest if positional else without("--algorithm", rest)
    if name not in CHOICES:
        raise ConfigError(f"there is no algorithm {name!r} for language models.{nearest(name, CHOICES)}")
    if model is None and not {"-h", "--help"} & set(rest):
        raise ConfigError("name a task or a model's folder: clipper train-language sort")
    prog = f"clipper train-language {'|'.join(TASKS)}|FOLDER [{'|'.join(CHOICES)}]"
    options = parse(TrainLanguage, rest, prog, defaults(model, name))
    return model or "", name, options


def defaults(model: str | None, name: str) -> TrainLanguage:
    """What a run on a task, or on a model of the user's, begins from."""
    choice = CHOICES[name]
    more: dict[str, Any] = {"critic": choice.critic, "responses_per_prompt": choice.responses_per_prompt}
    if model not in TASKS:
        return TrainLanguage(algorithm=choice.make(), **more)
    task = TASKS[model]()
    algorithm = for_task(choice)
    if choice.critic != "none":
        more |= {"shaping_beta": BETA, "critic": "own" if name == "ppo-separate" else "shared"}
    return TrainLanguage(
        algorithm=algorithm, responses=256, max_tokens=task.max_tokens, eos=(task.eos,), shaping_cut="end",
        total_steps=100_000, **more,
    )  # fmt: skip


def task_given(name: str, options: TrainLanguage, folder: Path) -> Given:
    """A task's model, which is kept in the run's folder, its prompts and its reward."""
    if options.prompts is not None or options.reward is not None:
        raise ConfigError(f"the task {name} has prompts and a reward of its own: leave out --prompts and --reward")
    task = TASKS[name]()
    lm = task.model(options.seed, options.supervised_steps)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(lm, folder / "model")
    return Given(lm, task.prompts, task.reward)


def folder_given(model: str, options: TrainLanguage) -> Given:
    """A model's folder, a file of prompts and a reward by name."""
    if not Path(model).is_dir():
        raise ConfigError(f"{model} is no task and no folder with a model.{nearest(model, TASKS)}")
    if options.prompts is None or options.reward is None:
        raise ConfigError(
            "a model needs prompts and a reward: clipper train-language FOLDER --prompts p.jsonl --reward "
            "my_rewards:exact"
        )
    return Given(model, options.prompts, reward_named(options.reward))


def reward_named(name: str) -> Reward:
    """The function that ``MODULE:FUNCTION`` is, which the user has named."""
    if ":" not in name:
        raise ConfigError(f"the reward is {name!r}: name it as MODULE:FUNCTION, as in my_rewards:exact")
    reach_own_code(name)
    try:
        found = named_value(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not callable(found):
        raise ConfigError(f"{name} cannot be called: name a function of (prompts, responses)")
    return found  # pyright: ignore[reportReturnType] (what it gives is checked where it is called)


def arguments_of(options: TrainLanguage, given: Given, folder: Path | None) -> dict[str, object]:
    """The options as ``train_language`` takes them."""
    flat = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    shaping = {name.removeprefix("shaping_"): flat.pop(name) for name in list(flat) if name.startswith("shaping_")}
    beta = shaping.pop("beta")
    price = shaping_for(options.algorithm, None).beta if beta is None else beta
    for name in ("prompts", "reward", "run_dir", "supervised_steps", "algorithm", "seeds"):
        flat.pop(name)
    critic = None if options.critic == "none" else options.critic
    return {
        "model": given.model, "prompts": given.prompts, "reward": given.reward, "algorithm": options.algorithm,
        "run_dir": folder, **flat, "critic": critic, "shaping": Shaping(beta=price, **shaping),
    }  # fmt: skip


def given_again(options: OfRun, language: LanguageConfig) -> Given:
    """What a run was made of, once more: by its task, or as the user names it and its files are called."""
    if language.model in TASKS:
        task = TASKS[language.model]()
        prompts = options.prompts or task.prompts
        return Given(
            options.model or options.run / "model",
            prompts,
            task.reward if options.reward is None else reward_named(options.reward),
        )
    if options.reward is None:
        hint = f", which was {language.reward}" * bool(language.reward)
        raise ConfigError(
            f"name the reward again{hint}: --reward MODULE:FUNCTION, since nothing is imported because a file says so"
        )
    model, prompts = options.model or language.model, options.prompts or language.prompts
    for flag, path, kind in (("--model", model, "folder"), ("--prompts", prompts, "file")):
        if not path:
            raise ConfigError(f"this run was handed it in a program: name a {kind} with {flag}")
    return Given(model, Path(prompts), reward_named(options.reward))


def resume_language(args: Sequence[str]) -> int:
    """``clipper resume`` of a run on prompts."""
    options = parse(ResumeLanguage, args, "clipper resume")
    if seeds_below(options.run):
        flags = [word for word in args if Path(word) != options.run]
        return resume_seeds(options.run, flags, options.total_steps)
    config = read_config(options.run)
    assert config.language is not None
    given = given_again(options, config.language)
    named = {"total_steps": options.total_steps, "device": options.device}
    changes = {name: x for name, x in named.items() if x is not None}
    return show({**given._asdict(), "resume": options.run, "profile": options.profile, **changes}, train_language)


def evaluate_language(args: Sequence[str]) -> int:
    """``clipper evaluate`` of a run on prompts: means over fresh responses, and a table of some."""
    options, console = parse(EvaluateLanguage, args, "clipper evaluate"), Terminal()
    if seeds := seeds_below(options.run):
        each = {run.name: scored(dataclasses.replace(options, run=run))["sampled"] for run in seeds}
        console.print(table_of_means({f"sampled, {name}": found for name, found in each.items()}))
        scores = [found.means()["score"] for found in each.values()]
        console.print(f"mean score of {len(scores)} seeds: {sum(scores) / len(scores):.3f}")
        return 0
    both = scored(options)
    console.print(table_of_means(both))
    if options.samples:
        console.print()
        console.print(table_of_samples(both["sampled"], options.samples))
    return 0


def scored(options: EvaluateLanguage) -> dict[str, Scored]:
    """Fresh responses of a run's policy, sampled and the likeliest."""
    config = read_config(options.run)
    assert config.language is not None
    rollouts, policy = saved_policy(options.run, *given_again(options, config.language))
    return {
        word: evaluate_responses(
            rollouts, policy, responses=options.responses, seed=options.seed, greedy=word == "likeliest"
        )
        for word in ("sampled", "likeliest")
    }


def table_of_means(ways: dict[str, Scored]) -> Table:
    """A line for each way to take tokens."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("responses", "score", "KL, nats", "length", "cut"):
        table.add_column(name, justify="left" if name == "responses" else "right")
    for word, scored in ways.items():
        means = scored.means()
        table.add_row(
            f"{len(scored.responses)} {word}", f"{means['score']:.3f} ± {means['score_error']:.3f}",
            f"{means['kl']:.3f}" if word.startswith("sampled") else "", f"{means['length']:.1f}", f"{means['cut']:.1%}",
        )  # fmt: skip
    return table


def table_of_samples(scored: Scored, count: int) -> Table:
    """Prompts, responses and their scores."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("score", "KL", "prompt", "response"):
        table.add_column(name, justify="right" if name in ("score", "KL") else "left", overflow="fold")
    rows = zip(scored.score.tolist(), scored.kl.tolist(), scored.prompts, scored.responses, strict=True)
    for score, kl, prompt, response in list(rows)[:count]:
        table.add_row(f"{score:.3g}", f"{kl:.2f}", Text(text_of(prompt)), Text(text_of(response)))
    return table


def text_of(words: object) -> str:
    """A text, or tokens side by side."""
    if isinstance(words, dict):
        return text_of(words["prompt"])
    return words if isinstance(words, str) else " ".join(map(str, words)) if isinstance(words, list) else str(words)
