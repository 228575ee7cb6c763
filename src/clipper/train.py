"""The training loop, and what is around it: making a run, resuming one."""

import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from torch import Generator, nn

from clipper import checkpoint, files
from clipper.algorithms import PPO, Algorithm, PPOApart, PPOPenalty
from clipper.config import Config, config_for, to_json
from clipper.critic_targets import Polyak
from clipper.critics import PopArt, TwoHot
from clipper.engines import choose
from clipper.environments.make import EnvSource
from clipper.environments.serial import Serial
from clipper.environments.vector import vectorise
from clipper.environments.workers import Workers
from clipper.errors import ConfigError, DeviceMemoryError, NonFiniteError, SaveError
from clipper.load import check_size
from clipper.logs import Log
from clipper.nets import PolicyOptions, make_policy
from clipper.optim import Metrics
from clipper.plot import plot_run
from clipper.profile import Profile, part
from clipper.rollout import CollectState, start
from clipper.run import Row, Run, read_config, read_rows
from clipper.value_losses import CrossEntropy

Callback = Callable[[Run], bool | None]
"""Called after each iteration; a run stops where one returns False, and is saved also where one raises."""
LONG_ITERATION = 5.0  # seconds; what takes longer is saved each time, so that to end a run never costs much


class Settings(TypedDict, total=False):
    """The fields of ``Config`` that ``train`` takes as keywords."""

    total_steps: int
    num_envs: int
    seed: int
    device: str
    threads: int
    engine: Literal["auto", "torch", "cpu"]
    vector: Literal["auto", "serial", "workers", "native"]
    env_timeout: float
    on_env_error: Literal["raise", "restart"]
    max_restarts: int
    eval_every: int
    eval_episodes: int
    until_solved: bool
    checkpoint_every: int
    keep_checkpoints: int
    max_skipped_steps: int


def train(
    env: EnvSource | Config | None = None,
    algorithm: Algorithm | None = None,
    *,
    policy: PolicyOptions | nn.Module | None = None,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    callback: Callback | Sequence[Callback] = (),
    profile: bool = False,
    **settings: Unpack[Settings],
) -> Run:
    """Train a policy and return the run.

    ``env`` is an environment id, a factory of environments, a ready ``gymnasium.vector.VectorEnv``, or a whole
    ``Config`` (``clipper.recipes.cartpole()``). ``policy`` is a ``PolicyOptions`` or a module of your own that follows
    ``clipper.nets.Policy``. ``run_dir`` is where metrics, curve and checkpoints go; nothing is written without it.
    ``resume=run_dir`` goes on with a run that was interrupted; a factory or vector environment, and a policy of your
    own, must be given again. ``profile=True`` keeps in ``run.profile`` and the metrics where the time goes. The other
    keywords are the fields of ``Config``.
    """
    threads, watched = torch.get_num_threads(), Profile()
    try:
        if resume is not None:
            run = restore(Path(resume), env, policy, settings)
        elif env is None:
            raise ConfigError("train needs an environment: an id, a factory, a vector environment or a Config")
        else:
            config, source = configure(env, algorithm, policy, settings)
            run = build(config, source, policy if isinstance(policy, nn.Module) else None, run_dir)
        if profile:
            run.profile = watched
            watch(run, watched)
        return go_on(run, [callback] if callable(callback) else list(callback))
    finally:
        watched.close()
        torch.set_num_threads(threads)


def watch(run: Run, profile: Profile) -> None:
    """Time the methods between which an iteration's time divides."""
    profile.watch(run.env, "step", "environment")
    profile.watch(run.engine, "collect", "acting")
    profile.watch(run.engine, "update", "update")
    for owner in (run.engine, type(run.config.algorithm)):  # an engine may have its own way to make them
        if hasattr(owner, "targets"):
            profile.watch(owner, "targets", "targets")


def configure(
    env: EnvSource | Config,
    algorithm: Algorithm | None,
    policy: PolicyOptions | nn.Module | None,
    settings: Settings,
) -> tuple[Config, EnvSource]:
    """What the user said → one ``Config``, and what makes the environment."""
    changes: dict[str, Any] = dict(settings)
    if algorithm is not None:
        changes["algorithm"] = algorithm
    if isinstance(policy, PolicyOptions):
        changes["policy"] = policy
    if isinstance(env, Config):
        return dataclasses.replace(env, **changes), env.env
    if isinstance(env, VectorEnv):
        changes["num_envs"] = env.num_envs
    if isinstance(env, str):
        return dataclasses.replace(config_for(env, algorithm), **changes), env
    return Config(env=describe_source(env), **changes), env


def describe_source(source: EnvSource) -> str:
    """A name for an environment that was not given by id; for people, never imported."""
    if isinstance(source, VectorEnv) and source.spec is not None:
        return source.spec.id
    name = getattr(source, "__qualname__", type(source).__qualname__)
    return f"<{getattr(source, '__module__', '')}.{name}>"


def build(
    config: Config, source: EnvSource, policy: nn.Module | None, run_dir: str | Path | None, insist: bool = True
) -> Run:
    """Make the environment, the policy and the learner; every error in the settings shows here.

    ``insist`` on the engine that the settings name; a resumed run may lack what it began with.
    """
    check(config, source)
    torch.set_num_threads(config.threads)  # before the first weights: their last bits depend on it
    env, vector, stepping = vectorise(
        source,
        config.num_envs,
        config.vector,
        total_steps=config.total_steps,
        env_timeout=config.env_timeout,
        max_restarts=config.max_restarts if config.on_env_error == "restart" else 0,
    )
    generator = Generator().manual_seed(config.seed)
    if policy is None:
        check_critic(config)
        module = make_policy(env.single_observation_space, env.single_action_space, config.policy, generator)
    else:
        module = policy
    learner = config.algorithm.init(module.to(config.device), seed=config.seed)
    state = start(env, config.seed, config.device, config.policy.encoder.mask_key)
    folder = None if run_dir is None else Path(run_dir)
    engine = choose(learner, config, env, insist, masked=state.mask_source is not None)
    config = dataclasses.replace(config, engine=engine.name, vector=vector)  # a resumed run keeps them
    run = Run(config, source, env, learner, state, engine, folder, stepping=stepping, custom_policy=policy is not None)
    run.next_evaluation, run.next_checkpoint = config.eval_every or math.inf, config.checkpoint_every
    if folder is not None:
        if (folder / "config.json").exists():
            raise ConfigError(f"{folder} already holds a run: resume it, or name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        write_config(run)
    return run


def write_config(run: Run) -> None:
    """The settings, as ``config.json``."""
    assert run.path is not None
    files.replace(run.path / "config.json", (json.dumps(to_json(run.config), indent=2) + "\n").encode())


def check(config: Config, source: EnvSource) -> None:
    """Raise ``ConfigError`` for combinations that cannot work."""
    if isinstance(config.algorithm, PPO | PPOApart | PPOPenalty):
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
    if config.until_solved and not config.eval_every:
        raise ConfigError("until_solved needs evaluations: set eval_every")
    if config.eval_every and isinstance(source, VectorEnv):
        raise ConfigError("eval_every needs an id or a factory, to make environments apart from the one that trains")
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {config.device!r} cannot be used here: {error}") from error


def check_critic(config: Config) -> None:
    """Raise ``ConfigError`` where the algorithm cannot fit the critic that the policy's options make."""
    critic, algorithm = config.policy.critic, config.algorithm
    loss = getattr(algorithm, "value_loss", None)
    if isinstance(critic, TwoHot) != isinstance(loss, CrossEntropy):
        has, needs = (type(x).__name__ if x is not None else "none" for x in (critic, loss))
        raise ConfigError(
            f"the critic is {has} and value_loss is {needs}: a TwoHot critic is fitted by CrossEntropy, and that "
            "fits no other (--critic two_hot --value-loss cross_entropy)"
        )
    if isinstance(critic, PopArt) and isinstance(getattr(algorithm, "target_critic", None), Polyak):
        raise ConfigError(
            "PopArt rescales the critic's weights, which an average of old weights cannot follow: use "
            "target_critic=Periodic(...), or normalise_returns"
        )


def restore(folder: Path, env: EnvSource | Config | None, policy: Any, settings: Settings) -> Run:
    """A run as its latest whole checkpoint left it."""
    planned = read_config(folder)
    config = dataclasses.replace(planned, **settings)
    if env is None and (":" in config.env or config.env.startswith("<")):
        raise ConfigError(
            f"this run's environment is {config.env}, which is code of your own: name it again with env= (--env), so "
            "that nothing is imported because a file says so"
        )
    source = config.env if env is None or isinstance(env, Config) else env
    module = policy if isinstance(policy, nn.Module) else None
    if not any((folder / name).exists() for name in ("checkpoint.safetensors", "metrics.jsonl")):
        run = build(config, source, module, None, insist="engine" in settings)
        run.path = folder  # the run was ended before it began
        write_config(run)
        return run
    tensors, values = checkpoint.load_latest(folder)
    check_size(config, tensors, values)
    if values.get("custom_policy") and not isinstance(policy, nn.Module):
        raise ConfigError("this run trained a policy module of your own: pass it again with policy=")
    run = build(config, source, module, None, insist="engine" in settings)
    run.path = folder
    restored = run.load_state_dict(tensors, values)
    if not restored:
        run.state = with_other_episodes(run)
    config = run.config
    run.exact = run.exact and restored and config == planned
    run.history = [row for row in read_rows(folder) if (row["iteration"] or 0) <= run.iteration]
    if config != planned:
        write_config(run)
    return run


def with_other_episodes(run: Run) -> CollectState:
    """The environments reset once more, with seeds of their own: those of the run's beginning were played already."""
    seed = np.random.SeedSequence([run.config.seed, run.state.steps]).generate_state(1)[0]
    state = start(run.env, int(seed), run.config.device)
    state.steps, state.generator = run.state.steps, run.state.generator
    return state


def go_on(run: Run, callbacks: list[Callback]) -> Run:
    """The loop: collect, update, record, until the budget is spent, the task solved, or a callback says stop."""
    config = run.config
    if run.history and "eval/return" not in run.history[-1]:
        evaluate_when_due(run, run.history[-1])  # the run was ended in the midst of it
    if run.iteration == 0:
        save_or_warn(run)
    log = None if run.path is None else Log(run.path, run.history)
    try:
        going = True
        while going and run.state.steps < config.total_steps and not (config.until_solved and run.solved):
            began = time.perf_counter()
            run.learner.advance(run.state.steps / config.total_steps)
            metrics = iterate(run)
            run.iteration += 1
            run.history.append(record(run, metrics, time.perf_counter() - began))
            going = conclude(run, log, callbacks)
            if run.state.steps >= run.next_checkpoint or time.perf_counter() - began > LONG_ITERATION:
                run.next_checkpoint += config.checkpoint_every * (run.state.steps >= run.next_checkpoint)
                save_or_warn(run)
        try:
            with part(run.profile, "checkpoints"):
                run.save()
        except OSError as error:
            raise SaveError(f"the end of the run, {run.state.steps} steps, cannot be saved: {error}") from error
    finally:
        if log is not None:
            log.close()
            plot_or_warn(run)
        if isinstance(run.env, Workers):
            run.env.close()
    return run


def iterate(run: Run) -> Metrics:
    """Collect and update; where either fails, what was learned before is saved, to be resumed with fresh episodes."""
    run.phase = "collecting"
    try:
        batch, run.state = run.engine.collect(run.env, run.state, **run.config.algorithm.quota)
    except BaseException:
        save_or_warn(run, environments=False)
        raise
    run.phase = ""
    try:
        return run.engine.update(batch, run.state.obs)
    except torch.OutOfMemoryError as error:
        save_or_warn(run, environments=False)
        raise DeviceMemoryError(
            f"{run.config.device} is out of memory in the update of iteration {run.iteration + 1}, on "
            f"{batch.mask.numel():,} rows: raise minibatches, or lower num_envs, horizon or the network's width; what "
            f"was learned is {f'saved in {run.path}' if run.path else 'still in the policy'}. torch says: {error}"
        ) from error


def conclude(run: Run, log: Log | None, callbacks: list[Callback]) -> bool:
    """Evaluate, log and call back; says whether to go on. Where one of these fails, the iteration is saved first."""
    try:
        try:
            with part(run.profile, "evaluation"):
                evaluate_when_due(run, run.history[-1])
        finally:
            if log is not None:
                with part(run.profile, "logging"):
                    log.write(run.history[-1])
        with part(run.profile, "callbacks"):
            return not any([callback(run) is False for callback in callbacks])  # noqa: C419 (each must see it)
    except BaseException:
        save_or_warn(run)
        raise


def save_or_warn(run: Run, environments: bool = True) -> None:
    """Save in mid-run. Where the disk is full, a warning says so, training goes on and the checkpoint before stays.

    So does it where somebody has broken the policy.
    """
    if not run.learner.parameters.detach().isfinite().all():
        return
    try:
        with part(run.profile, "checkpoints"):
            run.save(environments)
    except OSError as error:
        warnings.warn(f"no checkpoint after {run.state.steps} steps, the one before stays: {error}", stacklevel=2)


def plot_or_warn(run: Run) -> None:
    """Draw the curve, which is worth a warning where it fails, and not the run."""
    try:
        plot_run(run)
    except Exception as error:  # whatever matplotlib and the disk may raise
        warnings.warn(f"curve.png cannot be drawn: {error}", stacklevel=2)


def record(run: Run, metrics: Metrics, seconds: float) -> Row:
    """One iteration in numbers; raises ``NonFiniteError`` before a broken policy can be saved."""
    before = run.history[-1]["steps"] if run.history else 0
    learner, names = run.learner, [*metrics, "update/skipped_steps"]
    whole = learner.parameters.detach().isfinite().all()
    counts = (x.to(torch.float32) for x in (learner.skipped, learner.skipped_in_a_row, whole))
    *values, in_a_row, whole = torch.stack([*metrics.values(), *counts]).tolist()
    row: Row = dict(zip(names, values, strict=True))
    if in_a_row >= run.config.max_skipped_steps or not whole:
        skipped = f"{in_a_row:.0f} steps in a row had a loss or gradient that is not finite"
        broken = skipped if whole else "weights are not finite"
        raise NonFiniteError(
            f"{broken}, by iteration {run.iteration}: the last checkpoint is still good; lower the learning rate, or "
            "scale rewards and observations"
        )
    episodes = run.state.episodes
    run.recent.extend(e.total for e in episodes)
    run.seconds += seconds
    mean_return = sum(e.total for e in episodes) / len(episodes) if episodes else None
    mean_length = sum(e.length for e in episodes) / len(episodes) if episodes else None
    return {
        "iteration": run.iteration,
        "steps": run.state.steps,
        "episode/count": len(episodes),
        "episode/return": mean_return,
        "episode/length": mean_length,
        "episode/recent_return": sum(run.recent) / len(run.recent) if run.recent else None,
        **row,
        **(
            {"env/restarts": run.env.restarts} if isinstance(run.env, Serial | Workers) and run.env.max_restarts else {}
        ),
        **({} if run.profile is None else run.profile.row()),
        "time/seconds": run.seconds,
        "time/steps_per_second": (run.state.steps - (before or 0)) / seconds,
    }


def evaluate_when_due(run: Run, row: Row) -> None:
    """Evaluate where the plan says so, keep the best policy, and note whether the task is solved."""
    config = run.config
    if run.state.steps < run.next_evaluation and not (config.eval_every and run.state.steps >= config.total_steps):
        return
    run.phase = "evaluating"
    try:
        # The same initial states every time: evaluations of one run are compared with each other.
        evaluation = run.evaluate(config.eval_episodes, seed=config.seed + 1_000_000)
    finally:
        run.phase = ""
    run.next_evaluation += config.eval_every
    row["eval/return"], row["eval/std"] = evaluation.mean, evaluation.std
    if evaluation.success_rate is not None:
        row["eval/success_rate"] = evaluation.success_rate
    threshold = run.env.spec.reward_threshold if run.env.spec is not None else None
    run.solved = threshold is not None and evaluation.mean >= threshold
    if evaluation.mean > run.best:
        run.best = evaluation.mean
        try:
            run.save_best()
        except OSError as error:
            warnings.warn(f"the best policy so far is not saved: {error}", stacklevel=2)
