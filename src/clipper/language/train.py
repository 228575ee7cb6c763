"""Training a language model: the same run and the same loop, on prompts."""

import dataclasses
import inspect
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, cast

from clipper.algorithms import A2C, GRPO, KNOWN, PPO, VPG, Algorithm, PairwisePPO, PPOPenalty, PPOSeparate, Reinforce
from clipper.data.values import shown
from clipper.environments.ids import called
from clipper.errors import ConfigError
from clipper.language.generate import check_sampling
from clipper.language.models import Loaded, copy_of, eos_of, load_model
from clipper.language.policy import TokenPolicy
from clipper.language.prompts import Prompts, Source, make_prompts
from clipper.language.rollouts import LanguageRollouts, Reward
from clipper.language.shaping import Shaping
from clipper.learning.baselines import BatchStandardised, GreedyResponse, GroupMean, GroupStandardised, LeaveOneOut
from clipper.learning.kl import Exact
from clipper.runs.callbacks import Callback
from clipper.runs.config_file import read_config
from clipper.runs.devices import check_device
from clipper.runs.load import load
from clipper.runs.logs import Logger
from clipper.runs.make_run import Settings, check_given, check_settings
from clipper.runs.restore import is_there
from clipper.runs.run import Run
from clipper.runs.train import train
from clipper.settings.config import Config
from clipper.settings.config_json import name_of, same_name
from clipper.settings.language import LanguageConfig
from clipper.storage.files import from_user_kept

if TYPE_CHECKING:
    from clipper.language.models import Model

RESPONSES = 64
"""In an iteration, where nobody says how many."""
LEARN_TOKENS = (PPO, PPOSeparate, PPOPenalty, A2C, VPG, Reinforce, GRPO, PairwisePPO)
"""The algorithms that ask for nothing but log-probabilities and V of the tokens that were sampled."""


class OfResponses(TypedDict, total=False):
    """What ``train_language`` takes beside the settings of every run."""

    name: str
    critic: Literal["own", "shared"] | None
    shaping: Shaping | None
    responses: int | None
    responses_per_prompt: int
    max_tokens: int
    temperature: float
    eos: int | Collection[int] | None
    micro_batch: int | None


class LanguageSettings(Settings, OfResponses, total=False):
    """All keywords of ``train_language``."""


def train_language(
    model: "Model",
    prompts: Source | Prompts,
    reward: Reward,
    algorithm: Algorithm | None = None,
    *,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    callback: Callback | Sequence[Callback] = (),
    loggers: Logger | Sequence[Logger] = (),
    profile: bool = False,
    progress: bool | None = None,
    **settings: Unpack[LanguageSettings],
) -> Run:
    """Train a causal language model on scores of its responses, and return the run.

    ``model`` is a folder that ``save_pretrained`` wrote, a ``transformers`` model, alone or as (model, tokenizer), or
    its configuration, which ``seed`` makes a model of. It stays as it is, and is the reference of the KL; a copy
    learns. ``prompts`` are a list of texts or of tokens, a file of JSON lines, or a function (count, generator).
    ``reward`` is called with (prompts, responses), and gives a number for each response.

    In an iteration ``responses`` (64) are collected, ``responses_per_prompt`` (1) to each prompt, of at most
    ``max_tokens`` (64) tokens, which is the algorithm's horizon; of an algorithm that asks for whole episodes they are
    as many as these. ``critic`` is "own", "shared" or None. ``shaping`` has a KL in the rewards of 0.05 a nat, or none
    where the algorithm has one of its own (``GRPO``, ``PairwisePPO``). ``eos`` are the tokens that end a response, the
    model's own where none is named; ``temperature`` (1) divides logits; ``micro_batch`` bounds the responses in the
    model at once. A step is a token, and ``total_steps`` counts them. ``name`` is what the settings call the model.

    What else a run has is as in ``clipper.train``. ``resume`` asks for the same model, prompts and reward once more;
    what is not named stays as it was, and what is named anew is used from there on, and the run no longer exact.
    """
    check_sampling(settings)
    check_given(algorithm, None)
    check_learns_tokens(algorithm)
    if not callable(reward):
        raise ConfigError(f"the reward is {shown(reward)}: give a function of (prompts, responses)")
    folder = None if run_dir is None else from_user_kept(run_dir)
    if resume == "auto":
        resume = folder if is_there(folder, None) else None
    given = cast(OfResponses, {name: settings.pop(name) for name in OfResponses.__annotations__ if name in settings})
    planned = None if resume is None else read_config(from_user_kept(resume))
    decided = planned.algorithm if algorithm is None and planned is not None else algorithm
    check_settings(cast(Settings, settings), decided, "train_language", tuple(OfResponses.__annotations__))
    check_device(settings.get("device", "cpu"))
    seed = settings.get("seed", 1 if planned is None else planned.seed)
    loaded = load_model(model, seed)
    if planned is None:
        algorithm = algorithm or PPO(gamma=1.0, epochs=4, learning_rate=1e-5)
        language, responses = begun(algorithm, loaded, given), responses_given(given, responses_of(algorithm))
    else:
        language, responses = changed(planned, given)
        if algorithm is None and planned.language != language:
            algorithm = planned.algorithm
    if dataclasses.is_dataclass(algorithm) and hasattr(algorithm, "horizon"):
        algorithm = cast(Algorithm, dataclasses.replace(algorithm, horizon=language.max_tokens))
    language = dataclasses.replace(language, **names_of(model, prompts, reward, None if planned is None else language))
    learning = algorithm if planned is None or algorithm is not None else planned.algorithm
    rollouts = rollouts_of(loaded, language, prompts, reward, learning, responses, seed, settings.get("device", "cpu"))
    policy = TokenPolicy(copy_of(loaded.lm), language.critic, language.temperature, language.micro_batch)
    return train(
        rollouts, algorithm, policy=policy, run_dir=run_dir, resume=resume,
        callback=callback, loggers=loggers, profile=profile, progress=progress, **cast(Settings, settings),
    )  # fmt: skip


def check_learns_tokens(algorithm: object) -> None:
    """Raise ``ConfigError`` for an algorithm that asks for more than a language model can give."""
    if isinstance(getattr(algorithm, "kl", None), Exact):
        raise ConfigError(
            "an exact KL needs all probabilities of every token, [T, N, V]: use kl=clipper.kl.Sampled('k3')"
        )
    name = type(algorithm).__name__
    if type(algorithm) in KNOWN and not isinstance(algorithm, LEARN_TOKENS):
        raise ConfigError(
            f"{name} does not learn from responses: take clipper.PPO, PPOSeparate, Reinforce, GRPO or PairwisePPO"
        )


def rollouts_of(
    loaded: Loaded, language: LanguageConfig, prompts: Source | Prompts, reward: Reward, algorithm: object,
    responses: int, seed: int, device: str,
) -> LanguageRollouts:  # fmt: skip
    """What gives the run its Steps; the model as it was loaded is their reference."""
    reference = TokenPolicy(copy_of(loaded.lm), None, language.temperature, language.micro_batch)
    return LanguageRollouts(
        reference.to(device).requires_grad_(False),
        make_prompts(prompts),
        reward,
        language,
        tokenizer=loaded.tokenizer,
        responses=responses,
        greedy=isinstance(algorithm, GRPO) and isinstance(algorithm.baseline, GreedyResponse),
        seed=seed,
    )


def check_groups(algorithm: object, language: LanguageConfig) -> None:
    """Raise ``ConfigError`` for one response to a prompt where several are compared: nothing would be learned."""
    baseline = algorithm.baseline if isinstance(algorithm, GRPO) else None
    centred = isinstance(baseline, BatchStandardised) and baseline.centred
    compares = centred or isinstance(baseline, LeaveOneOut | GroupMean | GroupStandardised)
    if compares and language.responses_per_prompt < 2:
        raise ConfigError(
            f"{type(algorithm).__name__} compares responses to one prompt, and there is one: give "
            "responses_per_prompt=8, or another baseline"
        )


def saved_policy(
    run_dir: str | Path, model: "Model", prompts: Source | Prompts, reward: Reward
) -> tuple[LanguageRollouts, TokenPolicy]:
    """The policy of a run's folder, on the cpu, and rollouts that can answer and score with it.

    Model, prompts and reward are handed over once more; prompts may be others.
    """
    planned = read_config(from_user_kept(run_dir))
    language = language_of(planned)
    loaded = load_model(model, planned.seed)
    rollouts = rollouts_of(loaded, language, prompts, reward, None, language.responses_per_prompt, planned.seed, "cpu")
    policy = TokenPolicy(copy_of(loaded.lm), language.critic, language.temperature, language.micro_batch)
    return rollouts, load(run_dir, policy=policy)


def names_of(model: object, prompts: object, reward: object, before: LanguageConfig | None) -> dict[str, str]:
    """What a run's settings call them: files by their paths; of a run that goes on, a reward that has another name."""
    function = inspect.isroutine(reward)
    name = f"{reward.__module__}:{reward.__qualname__}" if function else name_of(reward)
    if before is not None:
        return {} if same_name(name, before.reward) else {"reward": name}
    paths = {name: str(x) for name, x in {"model": model, "prompts": prompts}.items() if isinstance(x, str | Path)}
    return paths | {"reward": name}


def language_of(planned: Config) -> LanguageConfig:
    """How a run on prompts answers; raises ``ConfigError`` where it is another run."""
    if planned.language is None:
        raise ConfigError(f"this run is on {planned.env}, not on prompts: go on with clipper.train(resume=…)")
    return planned.language


def responses_given(given: OfResponses, otherwise: int) -> int:
    """Responses of an iteration, as they were given, or as many as there would be; raises ``ConfigError`` below 1."""
    responses = given.get("responses")
    if responses is not None and responses < 1:
        raise ConfigError(f"responses must be at least 1, not {responses}")
    return otherwise if responses is None else responses


def responses_of(algorithm: Algorithm) -> int:
    """Responses of an iteration, where nobody says how many."""
    return algorithm.episodes if isinstance(algorithm, Reinforce) else RESPONSES


def begun(algorithm: Algorithm, loaded: Loaded, given: OfResponses) -> LanguageConfig:
    """The settings of a new run."""
    ends = tokens_that_end(given) if given.get("eos") is not None else eos_of(loaded)
    if not ends and given.get("eos") is None:
        raise ConfigError("no token ends a response, for the model names none: give eos=, or eos=() where none should")
    plain: dict[str, object] = {
        name: x for name, x in given.items() if name not in ("responses", "shaping", "eos", "name")
    }
    plain |= {"model": given.get("name", ""), "eos": ends, "shaping": shaping_for(algorithm, given.get("shaping"))}
    language = called(LanguageConfig, **plain)
    check_groups(algorithm, language)
    return language


def changed(planned: Config, given: OfResponses) -> tuple[LanguageConfig, int]:
    """The settings of a run that goes on, and its responses; raises ``ConfigError`` for those that cannot change."""
    before = language_of(planned)
    responses = responses_given(given, planned.num_envs)
    plain: dict[str, object] = {
        name: x for name, x in given.items() if name not in ("responses", "name") and x is not None
    }
    plain |= {"critic": given["critic"]} if "critic" in given else {}
    plain |= {"eos": tokens_that_end(given)} if given.get("eos") is not None else {}
    language = dataclasses.replace(before, **plain)
    for name, has, named in (
        ("responses", planned.num_envs, responses), ("critic", before.critic, language.critic)
    ):  # fmt: skip
        if has != named:
            raise ConfigError(
                f"this run has {name}={has!r}, which its state fits, and {named!r} was given: leave out {name}="
            )
    shaping_for(planned.algorithm, language.shaping)
    check_groups(planned.algorithm, language)
    return language, responses


def tokens_that_end(given: OfResponses) -> tuple[int, ...]:
    """``eos`` as a tuple."""
    eos = given.get("eos")
    return () if eos is None else (eos,) if isinstance(eos, int) else tuple(sorted(eos))


def shaping_for(algorithm: Algorithm, shaping: Shaping | None) -> Shaping:
    """How scores become rewards; raises ``ConfigError`` where algorithm and rewards would both count the KL."""
    own = (isinstance(algorithm, PairwisePPO) and algorithm.beta > 0) or (
        isinstance(algorithm, GRPO) and algorithm.reference_kl is not None
    )
    if shaping is None:
        return Shaping(beta=0.0) if isinstance(algorithm, GRPO | PairwisePPO) else Shaping()
    if own and shaping.first_beta > 0:
        raise ConfigError(
            f"{type(algorithm).__name__} has a KL to the reference of its own, and shaping has one, too: let one of "
            "them be without, as by Shaping(beta=0), or by reference_kl=None or beta=0 of the algorithm"
        )
    return shaping
