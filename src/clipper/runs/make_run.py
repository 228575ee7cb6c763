"""A run before its first iteration: made from what the user said, or restored from a checkpoint."""

import dataclasses
import difflib
import json
import math
from pathlib import Path
from typing import Literal, TypedDict

import torch
from gymnasium.vector import VectorEnv
from torch import Generator, nn

from clipper.algorithms import KNOWN, PPO, Algorithm, PPOPenalty, PPOSeparate, quota_of
from clipper.data.field_names import OTHER_NAMES, check_names, in_parts
from clipper.data.values import shown
from clipper.engines import choose
from clipper.environments.ids import called
from clipper.environments.vector.stepping import Vector, vectorise
from clipper.errors import ConfigError, UnknownFieldError
from clipper.learning.advantages import Standardised
from clipper.learning.learner import Learner
from clipper.learning.value_losses import CrossEntropy
from clipper.networks.actor_critic import ActorCritic
from clipper.networks.critics import TwoHot
from clipper.networks.make_policy import make_policy
from clipper.networks.policy_options import PolicyOptions
from clipper.networks.protocol import mask_key_of
from clipper.rollout.protocol import Rollouts, abilities
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.load import check_fit, check_policy, check_size, weights_of
from clipper.runs.run import Run, Source, read_config, read_rows
from clipper.settings.config import Config
from clipper.settings.config_json import elsewhere, name_of, same, same_name, settings_json, short_name, to_json
from clipper.settings.defaults import config_for, usual
from clipper.settings.old import checkpoint_as_now
from clipper.storage import checkpoint, files


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
    if isinstance(env, VectorEnv | Rollouts):
        check_ready(env, settings)
        changes["num_envs"] = env.num_envs
    if isinstance(env, str):
        return dataclasses.replace(config_for(env, algorithm), **changes), env
    return called(Config, env=describe_source(env), **(usual(algorithm) | changes)), env


def check_ready(env: VectorEnv | Rollouts, settings: Settings) -> None:
    """Raise ``ConfigError`` for settings that would change nothing, since what they are about has been made."""
    kind = "a VectorEnv" if isinstance(env, VectorEnv) else "Rollouts"
    given = settings.get("num_envs", env.num_envs)
    if given != env.num_envs:
        raise ConfigError(f"num_envs is {given}, and {kind} made ready with {env.num_envs}: leave out num_envs")
    usual = {"vector": "auto", "env_timeout": 0, "on_env_error": "raise"}
    if any(settings.get(name, x) != x for name, x in usual.items()):
        raise ConfigError(f"vector, env_timeout and on_env_error need an id or a factory, not {kind} made ready")


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
    check_policy(policy)


def check_settings(settings: Settings, algorithm: object) -> None:
    """Raise ``UnknownFieldError`` for a keyword of ``train`` that belongs to the algorithm, the policy, or nowhere."""
    known = [f.name for f in dataclasses.fields(Config) if f.name not in ("env", "algorithm", "policy")]
    algorithm = PPO() if algorithm is None else algorithm
    places: tuple[tuple[str, object], ...] = (
        (f"algorithm={'clipper.' * (type(algorithm) in KNOWN)}{short_name(algorithm)}", algorithm),
        ("policy=clipper.PolicyOptions", PolicyOptions),
    )
    for name, given in settings.items():
        meant = OTHER_NAMES.get(name, name)
        if name in known or meant in known:
            continue
        if meant == "env":
            raise UnknownFieldError(
                f"train has no argument {name!r}: write train({shown(given)}) or env={shown(given)}"
            )
        for place, owner in places:
            own = [f.name for f in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
            for field in (name, meant):
                if field in own:
                    raise UnknownFieldError(f"train has no argument {name!r}: write {place}({field}=…){in_parts(name)}")
    check_names("train", settings, known)


def describe_source(source: Source) -> str:
    """A name for an environment that was not given by id; for people, never imported."""
    if isinstance(source, VectorEnv) and source.spec is not None:
        return source.spec.id
    name = getattr(source, "__qualname__", type(source).__qualname__)
    return f"<{getattr(source, '__module__', '')}.{name}>"


def build(config: Config, source: Source, policy: nn.Module | None, folder: Path | None, insist: bool = True) -> Run:
    """Make the environment, the policy and the learner; every error in the settings shows here.

    ``insist`` on the engine that the settings name; a resumed run may lack what it began with. Nothing is written.
    """
    check(config, source)
    check_all_there(config, policy is not None)
    # What a file cannot hold is refused before anything is made, and before anything can change.
    settings = None if folder is None else settings_json(config)
    torch.set_num_threads(config.threads)  # before the first weights: their last bits depend on it
    mask_key = config.policy.encoder.mask_key if policy is None else mask_key_of(policy)
    rollouts, vector, stepping = make_rollouts(config, source, mask_key)
    config = dataclasses.replace(config, vector=vector)
    try:
        return build_on(rollouts, config, source, policy, folder, settings, insist, stepping)
    except BaseException:
        if is_owned(source):
            rollouts.close()
        raise


def is_owned(source: Source) -> bool:
    """Are environments made from this, for the run? Those that are given ready stay the user's."""
    return not isinstance(source, VectorEnv | Rollouts)


def make_rollouts(config: Config, source: Source, mask_key: str) -> tuple[Rollouts, Vector, str]:
    """What gives the run its Steps, how a resumed run asks for it, and the same for people."""
    if isinstance(source, Rollouts):
        return source, "auto", f"in {type(source).__name__}"
    env, vector, stepping = vectorise(
        source,
        config.num_envs,
        config.vector,
        total_steps=config.total_steps,
        env_timeout=config.env_timeout,
        max_restarts=config.max_restarts if config.on_env_error == "restart" else 0,
    )
    try:
        return VectorRollouts(env, config.seed, config.device, mask_key), vector, stepping
    except BaseException:
        if is_owned(source):
            env.close()
        raise


def build_on(
    rollouts: Rollouts, config: Config, source: Source, policy: nn.Module | None, folder: Path | None,
    settings: dict[str, object] | None, insist: bool, stepping: str,
) -> Run:  # fmt: skip
    """The rest of ``build``, on rollouts that are there."""
    generator = Generator().manual_seed(config.seed)
    own = False
    if isinstance(policy, ActorCritic) and policy.options is not None:
        own = made_by(policy, policy.options, rollouts)
        config = dataclasses.replace(config, policy=policy.options) if own else config
        settings = settings and settings | {"policy": to_json(config.policy)}
    if policy is None or own:
        check_critic(config)
    if policy is None:
        spaces = rollouts.single_observation_space, rollouts.single_action_space
        module = make_policy(*spaces, config.policy, generator)
    else:
        module = policy
    quota_of(config.algorithm)
    learner = config.algorithm.init(module.to(config.device), seed=config.seed)
    if not isinstance(learner, Learner):
        raise ConfigError(f"init of {short_name(config.algorithm)} must return a Learner(policy), not {shown(learner)}")
    if isinstance(module, ActorCritic):
        module.masked = abilities(rollouts).masked
    engine = choose(learner, config, rollouts, insist)
    if engine.name == "cpu":
        torch.set_num_threads(1)  # torch's helpers would spin for a while after each operation, on the kernels' cores
    config = dataclasses.replace(config, engine=engine.name)
    kept = {"engine": engine.name, "vector": config.vector}  # by a resumed run
    run = Run(
        config,
        source,
        learner,
        rollouts,
        engine,
        folder,
        settings and settings | kept,
        owned=is_owned(source),
        stepping=stepping,
        custom_policy=policy is not None and not own,
    )
    run.next_evaluation, run.next_checkpoint = config.eval_every or math.inf, config.checkpoint_every
    run.earlier = int(rollouts.steps)
    return run


def begin(run: Run) -> Run:
    """A new run, its folder made where it has one."""
    if run.path is not None:
        if (run.path / "config.json").exists():
            raise ConfigError(f"{run.path} already holds a run: resume it, or name another folder")
        run.path.mkdir(parents=True, exist_ok=True)
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
    if isinstance(config.algorithm, PPO | PPOSeparate | PPOPenalty):
        decisions = config.num_envs * config.algorithm.horizon
        if decisions < config.algorithm.minibatches:
            raise ConfigError(
                f"num_envs × horizon = {decisions} decisions cannot be split into {config.algorithm.minibatches} "
                "minibatches: raise num_envs or horizon, or lower minibatches"
            )
        if config.policy.memory is not None and config.num_envs < config.algorithm.minibatches:
            raise ConfigError(
                f"with a memory, minibatches are whole environments: {config.num_envs} cannot be split into "
                f"{config.algorithm.minibatches}; raise num_envs, or lower minibatches"
            )
        advantages = config.algorithm.advantages
        standardises = isinstance(advantages, Standardised) and advantages.over == "minibatch"
        if standardises and decisions // config.algorithm.minibatches < 2:
            raise ConfigError(
                f"{decisions} decisions in {config.algorithm.minibatches} minibatches leave some with one, whose "
                'standardised advantage is 0: lower minibatches, or set advantages to Standardised("batch") or Raw()'
            )
    if config.until_solved and not config.eval_every:
        raise ConfigError("until_solved needs evaluations: set eval_every")
    if config.eval_every and isinstance(source, VectorEnv | Rollouts):
        raise ConfigError(
            "eval_every needs an id or a factory, to make environments apart from the one that trains: leave it out, "
            "and call clipper.evaluate(run.policy, ENV_ID) in a callback"
        )
    try:
        made = torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {config.device!r} cannot be used here: {error}") from error
    if made.is_meta:
        raise ConfigError("device 'meta' holds no numbers, so nothing can be learned there: choose cpu or cuda")


def check_critic(config: Config) -> None:
    """Raise ``ConfigError`` where the algorithm cannot fit the critic that the policy's options make."""
    critic, algorithm = config.policy.critic, config.algorithm
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


def restore(
    folder: Path,
    env: Source | Config | None,
    algorithm: Algorithm | None,
    policy: object,
    settings: Settings,
) -> Run:
    """A run as its latest whole checkpoint left it; what is handed over is used, and recorded where it differs."""
    planned = read_config(folder)
    check_given(algorithm, policy)
    check_settings(settings, planned.algorithm)
    changes: dict[str, object] = dict(settings)
    if isinstance(env, VectorEnv | Rollouts):
        check_ready(env, settings)
        changes["num_envs"] = env.num_envs
    config = called(dataclasses.replace, planned, **changes, **handed_over(planned, env, algorithm, policy))
    assert isinstance(config, Config)
    check_all_there(config, isinstance(policy, nn.Module))
    if env is None and (":" in config.env or config.env.startswith("<")):
        raise ConfigError(
            f"this run's environment is {config.env}, which is code of your own: name it again with env= (--env), so "
            "that nothing is imported because a file says so"
        )
    source = config.env if env is None or isinstance(env, Config) else env
    module = policy if isinstance(policy, nn.Module) else None
    if not any((folder / name).exists() for name in ("checkpoint.safetensors", "metrics.jsonl")):
        run = build(config, source, module, folder, insist="engine" in settings)
        write_config(run)  # the run was ended before it began
        return run
    tensors, values = checkpoint_as_now(*checkpoint.load_latest(folder))
    if config.total_steps != planned.total_steps and config.total_steps <= values["steps"]:
        raise ConfigError(
            f"this run has taken {values['steps']} steps already: to go on, total_steps must be more than that, not "
            f"{config.total_steps}"
        )
    if values.get("custom_policy") is False and module is not None:
        raise ConfigError("this run made its policy itself, and goes on with it: leave out policy=")
    if values.get("custom_policy") and not isinstance(policy, nn.Module):
        raise ConfigError("this run trained a policy module of your own: pass it again with policy=")
    if module is not None:
        check_fit(module, weights_of(tensors))
    check_size(config, tensors, values)
    run = build(config, source, module, folder, insist="engine" in settings)
    try:
        return go_back(run, planned, tensors, values)
    except BaseException:
        run.close()
        raise


def go_back(run: Run, planned: Config, tensors: dict[str, torch.Tensor], values: dict[str, object]) -> Run:
    """The run, brought to where a checkpoint left it."""
    folder = run.path
    assert folder is not None
    for name, module in run.learner.modules.items():
        if module.state_dict() and not any(saved.startswith(f"learner.{name}.") for saved in tensors):
            raise ConfigError(
                f"the algorithm that was handed over needs a {name.replace('_', ' ')} state, which this run never had: "
                "begin a run with policy=clipper.load(…) instead"
            )
    same_number = run.config.num_envs == planned.num_envs
    if not same_number and not isinstance(run.rollouts, VectorRollouts):
        raise ConfigError(
            f"this run's rollouts have {planned.num_envs} environments, and those handed over {run.config.num_envs}: "
            "hand over as many"
        )
    restored = run.load_state_dict(tensors, values, environments=same_number)
    changed = not same(run.settings, to_json(planned))
    run.exact = run.exact and restored and not changed
    run.history = [row for row in read_rows(folder) if (row["iteration"] or 0) <= run.iteration]
    if changed:
        write_config(run)
    return run


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


def handed_over(
    planned: Config, env: Source | Config | None, algorithm: Algorithm | None, policy: object
) -> dict[str, object]:
    """Fields of the settings that change when a run goes on; raises ``ConfigError`` for those that cannot."""
    changes: dict[str, object] = {}
    if isinstance(env, Config):
        raise ConfigError("a run that is resumed has its settings in its folder: name those that change, total_steps=…")
    if env is not None:
        name = env if isinstance(env, str) else describe_source(env)
        changes = {} if name == planned.env else {"env": name}
    has, given = name_of(planned.algorithm), None if algorithm is None else name_of(algorithm)
    if given is not None and not same_name(given, has):
        raise ConfigError(
            f"this run's algorithm is {has}, and {given} cannot go on from its state: begin a run with "
            "policy=clipper.load(…) instead"
        )
    if algorithm is not None:
        changes["algorithm"] = algorithm
    if isinstance(policy, PolicyOptions):
        policy = changes["policy"] = dataclasses.replace(planned, policy=policy).policy
    if isinstance(policy, PolicyOptions) and not same(to_json(policy), to_json(planned.policy)):
        raise ConfigError(
            "this run's policy was made with other PolicyOptions, which its weights fit: leave out policy="
        )
    return changes
