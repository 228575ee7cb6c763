"""A run before its first iteration, made from what the user said."""

import dataclasses
import difflib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypedDict

import torch
from gymnasium.vector import VectorEnv
from torch import Generator, nn

from clipper.algorithms import KNOWN, PPO, PPOEWMA, Algorithm, PPOPenalty, PPOSeparate, held_by
from clipper.data.field_names import OTHER_NAMES, check_names, in_parts
from clipper.data.values import shown
from clipper.engines import choose
from clipper.environments.checks import describe
from clipper.environments.closing import close
from clipper.environments.ids import called
from clipper.environments.sources import SingleSource, check_vector
from clipper.environments.vector.stepping import Vector, vectorise
from clipper.errors import ConfigError, SaveError, UnknownFieldError
from clipper.learning.advantages import Standardised
from clipper.learning.learner import Learner
from clipper.learning.of_agents import learner_of
from clipper.learning.value_losses import CrossEntropy
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import TwoHot
from clipper.networks.fit import check_spaces
from clipper.networks.make_policy import make_policy
from clipper.networks.of_agents import PolicyOfAgents
from clipper.networks.own_policy import check_answers
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.protocol import ignored_by, mask_key_of
from clipper.ranks.columns import OwnColumns
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.ranks.group import COMPILING, Group
from clipper.rollout.protocol import Rollouts, abilities
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.devices import check_device
from clipper.runs.forked import check_threads
from clipper.runs.load import check_policy
from clipper.runs.memory_limits import check_memory
from clipper.runs.of_agents import with_agents
from clipper.runs.of_language import language_of, name_of_source
from clipper.runs.run import Run, Source
from clipper.runs.together import check_settings_agree, columns_of
from clipper.settings.config import Config
from clipper.settings.config_json import elsewhere, settings_json, short_name, to_json
from clipper.settings.defaults import config_for, usual
from clipper.storage import files


class Settings(TypedDict, total=False):
    """The fields of ``Config`` that ``train`` takes as keywords."""

    total_steps: int
    num_envs: int
    seed: int
    device: str
    threads: int
    engine: Literal["auto", "torch", "cpu", "compile"]
    vector: Literal["auto", "serial", "workers", "native", "envpool"]
    env_timeout: float
    on_env_error: Literal["raise", "restart"]
    max_restarts: int
    patience: float
    rank_mode: Literal["data", "gradients"]
    eval_every: int
    eval_episodes: int
    until_solved: bool
    checkpoint_every: int
    keep_checkpoints: int
    max_skipped_steps: int
    log_every: int


def configure(
    env: Source | Config,
    algorithm: Algorithm | None,
    policy: PolicyOptions | nn.Module | None,
    settings: Settings,
) -> tuple[Config, Source]:
    """What the user said → one ``Config``, and what makes the environment."""
    check_given(algorithm, policy)
    check_settings(settings, algorithm)
    changes: dict[str, object] = dict(settings)
    if algorithm is not None:
        changes["algorithm"] = algorithm
    if isinstance(policy, PolicyOptions):
        changes["policy"] = policy
    if isinstance(env, Config):
        return dataclasses.replace(env, **changes), env.env
    if isinstance(env, VectorEnv | Rollouts | list | tuple):
        changes["num_envs"], changes["language"] = number_of(env, settings), language_of(env)
    if isinstance(env, str):
        return dataclasses.replace(config_for(env, algorithm), **changes), env
    return called(Config, env=name_of_source(env), **(usual(algorithm) | changes)), env


def number_of(env: VectorEnv | Rollouts | Sequence[SingleSource], settings: Settings) -> int:
    """How many environments there are where that is settled, since they have been made, or each has its own factory.

    Raises ``ConfigError`` for settings that would change nothing of what has been made.
    """
    if isinstance(env, VectorEnv):
        check_vector(env)
    ready = isinstance(env, VectorEnv | Rollouts)
    count = env.num_envs if ready else len(env)
    kind = "a VectorEnv made ready with" if isinstance(env, VectorEnv) else "Rollouts made ready with"
    given = settings.get("num_envs", count)
    if given != count:
        raise ConfigError(
            f"num_envs is {given}, and {kind if ready else 'the list of factories has'} {count}: leave out num_envs"
        )
    if not count:
        raise ConfigError("the list of factories is empty: give one for each environment")
    if not ready:
        return count
    usual = {"vector": "auto", "env_timeout": 0, "on_env_error": "raise"}
    if any(settings.get(name, x) != x for name, x in usual.items()):
        raise ConfigError(
            f"vector, env_timeout and on_env_error need an id or a factory, not {kind.removesuffix(' with')}"
        )
    return count


def check_given(algorithm: object, policy: object) -> None:
    """Raise ``ConfigError`` for what is no algorithm or no policy, with what to write instead."""
    if isinstance(algorithm, str):
        near = difflib.get_close_matches(algorithm.lower(), [kind.__name__.lower() for kind in KNOWN], n=1)
        kind = next((k.__name__ for k in KNOWN if [k.__name__.lower()] == near), "PPO")
        raise ConfigError(f"the algorithm is the text {algorithm!r}: write algorithm=clipper.{kind}()")
    if isinstance(algorithm, type):
        raise ConfigError(f"the algorithm is the class {algorithm.__name__}: write {algorithm.__name__}()")
    if all(hasattr(algorithm, name) for name in ("targets", "improve")) and not hasattr(algorithm, "update"):
        raise ConfigError(
            f"{type(algorithm).__name__} has targets and improve, but no update: write into the class "
            "update = clipper.learning.two_steps.targets_then_improve"
        )
    if algorithm is not None and not all(hasattr(algorithm, name) for name in ("init", "update")):
        raise ConfigError(f"{shown(algorithm)} is no algorithm: write algorithm=clipper.PPO(…)")
    check_policy(policy, learns=True)


def check_settings(settings: Settings, algorithm: object, caller: str = "train", also: Sequence[str] = ()) -> None:
    """Raise ``UnknownFieldError`` for a keyword of the algorithm, the policy, or of nothing; ``also`` are some of the
    ``caller``, which was called.
    """
    known = [f.name for f in dataclasses.fields(Config) if f.name not in ("env", "algorithm", "policy", "language")]
    algorithm = PPO() if algorithm is None else algorithm
    places: tuple[tuple[str, object], ...] = (
        (f"algorithm={'clipper.' * (type(algorithm) in KNOWN)}{short_name(algorithm)}", algorithm),
        ("policy=clipper.PolicyOptions", None if also else PolicyOptions),
    )
    for name, given in settings.items():
        meant = OTHER_NAMES.get(name, name)
        if name in known or meant in known:
            continue
        if meant == "env":
            raise UnknownFieldError(f"{caller} has no argument {name!r}: write {caller}({shown(given)}) or env=…")
        for place, owner in places:
            own = [f.name for f in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
            for field in (name, meant):
                if field in own:
                    raise UnknownFieldError(
                        f"{caller} has no argument {name!r}: write {place}({field}=…){in_parts(name)}"
                    )
    own = ("callback", "loggers", "profile", "progress", "resume", "run_dir")  # what train itself takes
    check_names(caller, settings, [*known, *own, *also])


def build(
    config: Config, source: Source, policy: nn.Module | None, folder: Path | None, insist: bool = True,
    group: Group | None = None,
) -> Run:  # fmt: skip
    """Make the environment, the policy and the learner; every error in the settings shows here.

    ``insist`` on the engine that the settings name; a resumed run may lack what it began with. Nothing is written.
    """
    if group is not None:
        check_settings_agree(group, config)
    check(config, source)
    check_all_there(config, policy is not None)
    # What a file cannot hold is refused before anything is made, and before anything can change.
    settings = None if folder is None else settings_json(config)
    check_threads(config.threads)
    torch.set_num_threads(config.threads)  # before the first weights: their last bits depend on it
    encoder = config.policy.encoder
    seen = (encoder.mask_key, encoder.ignore) if policy is None else (mask_key_of(policy), ignored_by(policy))
    rollouts, vector, stepping = make_rollouts(config, source, *seen, group)
    config = dataclasses.replace(config, vector=vector)
    try:
        return build_on(rollouts, config, source, policy, folder, settings, insist, stepping, group)
    except BaseException:
        if is_owned(source):
            rollouts.close()
        raise


def is_owned(source: Source) -> bool:
    """Are environments made from this, for the run? Those that are given ready stay the user's."""
    return not isinstance(source, VectorEnv | Rollouts)


def make_rollouts(
    config: Config, source: Source, mask_key: str, ignore: tuple[str, ...], group: Group | None
) -> tuple[Rollouts, Vector, str]:
    """What gives the run its Steps, how a resumed run asks for it, and the same for people."""
    if group is not None and isinstance(source, VectorEnv | Rollouts):
        raise ConfigError(
            "training in several processes divides the environments among them, and these were made ready for one: "
            "hand over an id, a factory or a list of factories"
        )
    if isinstance(source, Rollouts):
        return source, "auto", f"in {type(source).__name__}"
    num_envs, columns = config.num_envs, None
    if group is not None:
        columns, num_envs = columns_of(group.rank, group.size, num_envs)
        source = source[columns.first :][:num_envs] if isinstance(source, list | tuple) else source
    env, vector, stepping = vectorise(
        source,
        num_envs,
        config.vector,
        total_steps=config.total_steps,
        env_timeout=config.env_timeout,
        max_restarts=config.max_restarts if config.on_env_error == "restart" else 0,
        ignore=ignore,
        first=None if columns is None else columns.first,
    )
    try:
        if columns is None or group is None:
            return VectorRollouts(env, config.seed, config.device, mask_key), vector, stepping
        own = OwnColumns(env, columns, lambda rows: group.largest(rows)[0], config.seed, config.device, mask_key)
        own.name_part(f" in rank {group.rank}")
        rollouts = GatheredRollouts(own, group, data=config.rank_mode == "data")
        return rollouts, vector, f"divided among {group.size} ranks, each {stepping}"
    except BaseException:
        if is_owned(source):
            close(env, describe(env))
        raise


def build_on(
    rollouts: Rollouts, config: Config, source: Source, policy: nn.Module | None, folder: Path | None,
    settings: dict[str, object] | None, insist: bool, stepping: str, group: Group | None,
) -> Run:  # fmt: skip
    """The rest of ``build``, on rollouts that are there."""
    generator = Generator().manual_seed(config.seed)
    own = False
    if isinstance(policy, ActorCritic):
        check_spaces(policy, rollouts.single_observation_space, rollouts.single_action_space, critic=True)
    if isinstance(policy, ActorCritic) and policy.options is not None:
        own = made_by(policy, policy.options, rollouts)
        config = dataclasses.replace(config, policy=policy.options) if own else config
    config = with_agents(config, rollouts, group is not None)
    if policy is None or own:
        check_critic(config)
    check_memory(config, rollouts, None if policy is not None else config.policy)
    spaces = rollouts.single_observation_space, rollouts.single_action_space
    module = make_policy(*spaces, config.policy, generator) if policy is None else policy
    learner = learner_of(config.algorithm, module.to(config.device), config.seed)
    if not isinstance(learner, Learner):
        raise ConfigError(f"init of {short_name(config.algorithm)} must return a Learner(policy), not {shown(learner)}")
    if not isinstance(module, ActorCritic | PolicyOfAgents) and isinstance(rollouts, VectorRollouts):
        check_answers(module, spaces[1], rollouts.obs, rollouts.action_mask, rollouts.num_envs, config.device)
    if isinstance(module, ActorCritic):
        module.masked = abilities(rollouts).masked
    if isinstance(rollouts, GatheredRollouts):
        rollouts.join(learner)
        rollouts.group.wait_for(COMPILING)
    if group is not None and group.rank > 0:  # with the engine that the first has chosen, and compiled where need be
        config, insist = dataclasses.replace(config, engine=bytes(group.from_first()).decode()), True
    engine = choose(learner, config, rollouts, insist)
    if group is not None and group.rank == 0:
        group.from_first(engine.name.encode())
    if group is not None:
        group.wait_for(config.patience)
    if engine.name == "cpu":
        torch.set_num_threads(1)  # torch's helpers would spin for a while after each operation, on the kernels' cores
    config = dataclasses.replace(config, engine=engine.name)
    kept = {"engine": engine.name, "vector": config.vector, "policy": to_json(config.policy)}  # by a resumed run
    run = Run(
        config,
        source,
        learner,
        rollouts,
        engine,
        folder if group is None or group.rank == 0 else None,
        settings and settings | kept,
        group=group,
        owned=is_owned(source),
        stepping=stepping,
        custom_policy=policy is not None and not own,
    )
    run.next_evaluation, run.next_checkpoint = config.eval_every or math.inf, config.checkpoint_every
    run.earlier = int(rollouts.steps)
    return run


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Raise ``SaveError`` where a run's folder cannot be made or written to."""
    try:
        yield
    except OSError as error:
        raise SaveError(
            f"the run's folder {folder} cannot be made: {error.strerror}. Name another one with run_dir= (--run-dir)"
        ) from error


def begin(run: Run) -> Run:
    """A new run, its settings written where it has a folder."""
    if run.path is not None:
        with making(run.path):
            if (run.path / "config.json").exists():
                raise ConfigError(f"{run.path} already holds a run: resume it, or name another folder")
            write_config(run)
    return run


def made_by(policy: ActorCritic, options: PolicyOptions, rollouts: Rollouts) -> bool:
    """Would the options make this policy, but for its weights? Nobody may have changed it since they made it."""
    again = make_policy(rollouts.single_observation_space, rollouts.single_action_space, options, Generator())
    shapes = ({name: x.shape for name, x in p.state_dict().items()} for p in (policy, again))
    return repr(policy) == repr(again) and next(shapes) == next(shapes)


def write_config(run: Run) -> None:
    """The settings, as ``config.json``."""
    assert run.path is not None
    files.replace(run.path / "config.json", (json.dumps(run.settings, indent=2) + "\n").encode())


def check(config: Config, source: Source) -> None:
    """Raise ``ConfigError`` for combinations that cannot work."""
    algorithm = held_by(config.algorithm)
    if isinstance(algorithm, PPO | PPOSeparate | PPOPenalty | PPOEWMA):
        decisions = config.num_envs * algorithm.horizon
        if decisions < algorithm.minibatches:
            raise ConfigError(
                f"num_envs × horizon = {decisions} decisions cannot be split into {algorithm.minibatches} "
                "minibatches: raise num_envs or horizon, or lower minibatches"
            )
        if config.policy.memory is not None and config.num_envs < algorithm.minibatches:
            raise ConfigError(
                f"with a memory, minibatches are whole environments: {config.num_envs} cannot be split into "
                f"{algorithm.minibatches}; raise num_envs, or lower minibatches"
            )
        advantages = algorithm.advantages
        standardises = isinstance(advantages, Standardised) and advantages.over == "minibatch"
        if standardises and decisions // algorithm.minibatches < 2:
            raise ConfigError(
                f"{decisions} decisions in {algorithm.minibatches} minibatches leave some with one, whose "
                'standardised advantage is 0: lower minibatches, or set advantages to Standardised("batch") or Raw()'
            )
    if config.until_solved and not config.eval_every:
        raise ConfigError("until_solved needs evaluations: set eval_every")
    if config.eval_every and isinstance(source, VectorEnv | Rollouts):
        raise ConfigError(
            "eval_every needs an id or a factory, to make environments apart from the one that trains: leave it out, "
            "and call clipper.evaluate(run.policy, ENV_ID) in a callback"
        )
    check_device(config.device)


def check_critic(config: Config) -> None:
    """Raise ``ConfigError`` where the algorithm cannot fit the critic that the policy's options make."""
    critic, algorithm = config.policy.critic, held_by(config.algorithm)
    loss = getattr(algorithm, "value_loss", None)
    if critic is None and loss is not None:
        raise ConfigError(
            f"{type(algorithm).__name__} fits V, which a policy with critic=None has not: leave out critic"
        )
    if isinstance(critic, TwoHot) != isinstance(loss, CrossEntropy):
        has, needs = (type(x).__name__ if x is not None else "none" for x in (critic, loss))
        raise ConfigError(
            f"the critic is {has} and value_loss is {needs}: a TwoHot critic is fitted by CrossEntropy, and that "
            "fits no other (--critic two_hot --value-loss cross_entropy)"
        )


def check_all_there(config: Config, custom_policy: bool) -> None:
    """Raise ``ConfigError`` where settings hold a part that is not here and has not been handed over again."""
    for path, part in elsewhere(config):
        if part.misfit:
            raise ConfigError(
                f"{part.misfit}: to go on, hand over an algorithm that fits with algorithm= (--algorithm)"
            )
        if not (custom_policy and path.startswith("policy")):
            keyword = path.partition(".")[0]
            raise ConfigError(
                f"this run's {path} is {part.name}, which is code of your own: hand it over again with {keyword}="
                f"{' (--algorithm MODULE:NAME, all of it)' * (keyword == 'algorithm')}, so that nothing is imported "
                "because a file says so"
            )
