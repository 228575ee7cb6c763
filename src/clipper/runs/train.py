"""The training loop: collect, update, record, until there is a reason to stop."""

import gc
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import Unpack

import torch
from torch import nn

from clipper.algorithms import Algorithm, quota_of
from clipper.data.steps import Steps
from clipper.errors import ClipperError, ConfigError, DeviceMemoryError, NonFiniteError, SaveError
from clipper.learning.learner import Learner
from clipper.learning.replay import Replay
from clipper.networks.policy_options import PolicyOptions
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.ranks.group import Group, joined
from clipper.rollout.collected import check_collected
from clipper.rollout.evaluation import held
from clipper.rollout.protocol import abilities
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.callbacks import Callback, Callbacks, says_stop
from clipper.runs.curve import plot_run
from clipper.runs.devices import gradients
from clipper.runs.labels import settings_of
from clipper.runs.lock import locked
from clipper.runs.logs import Log, Logger, logger_list
from clipper.runs.make_run import Settings, begin, build, check_settings, configure, making
from clipper.runs.metrics_file import replace_last
from clipper.runs.of_bonus import check_primed, warn_unlearned
from clipper.runs.on_screen import on_screen
from clipper.runs.profile import Profile
from clipper.runs.restore import as_planned, is_there, restore
from clipper.runs.rows import Row
from clipper.runs.run import Run, Source
from clipper.runs.together import agree, folder_of_first, of_first
from clipper.settings.config import Config
from clipper.settings.config_json import read_settings
from clipper.storage.files import from_user_kept

LONG_ITERATION = 5.0  # seconds; what takes longer is saved each time, so that to end a run never costs much
LARGE_REWARD = 1e15  # sums of these, squared, come near to what float32 holds
CHECKED = VectorRollouts, GatheredRollouts  # they have looked at what they collect


def train(
    env: Source | Config | None = None,
    algorithm: Algorithm | None = None,
    *,
    policy: PolicyOptions | nn.Module | None = None,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    callback: Callback | Sequence[Callback] = (),
    loggers: Logger | Sequence[Logger] = (),
    profile: bool = False,
    progress: bool | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Train a policy and return the run.

    ``env`` is an environment id, a factory of environments, a list of such (each makes one environment, so that their
    arguments may differ), a ready ``gymnasium.vector.VectorEnv``, or a whole ``Config``
    (``clipper.recipes.cartpole()``). ``policy`` is a ``PolicyOptions`` or a module of your own that follows
    ``clipper.networks.protocol.Policy``. A module is trained itself, so its weights change: hand over
    ``copy.deepcopy(policy)`` to keep them. What is not given has its default, or for an Atari game's id what is usual
    there (``clipper.settings.defaults.config_for``).

    ``run_dir`` is where metrics, curve and checkpoints go; nothing is written without it.
    ``resume=run_dir`` goes on with a run that was interrupted; a factory or vector environment, and a policy of your
    own, must be given again. Where it is another run than one that nobody interrupted, ``run.inexact`` says why.
    ``resume="auto"`` goes on with the run in ``run_dir`` if there is one, and otherwise begins it: the same line then
    serves a program that is started again and again. ``callback`` is called with the run after each iteration, and
    where it has a method ``on_step(run, infos)`` after each step of the environments; ``run.note(name, number)`` puts a
    number of your own into the metrics. ``loggers`` are called with each row of these, a dict of numbers by name.
    ``profile=True`` keeps in ``run.profile`` and the metrics where the time goes. The other keywords are the fields of
    ``Config``.

    In a terminal or a notebook the run is shown while it trains, and Ctrl-C ends it after the current iteration;
    ``progress=False`` shows nothing, and True shows it elsewhere, too.

    Under torchrun, ``torchrun --nproc-per-node 4 program.py``, all processes train one run: ``num_envs`` is divided
    among them, and the first one evaluates, logs, calls ``loggers`` and saves. Callbacks are called in each, which
    ``run.rank`` tells apart; what ``run.note`` is given counts in the first one.
    """
    threads, watched, first = torch.get_num_threads(), Profile(), gc.get_freeze_count() == 0
    run, own, records = None, Callbacks(callback), logger_list(loggers)
    lock, group = ExitStack(), joined()
    try:
        lock.enter_context(gradients())
        folder = None if run_dir is None else from_user_kept(run_dir)
        auto = resume == "auto"
        if auto:
            resume = folder if is_there(folder, group) else None
        if resume is not None:
            run = resumed(from_user_kept(resume), folder, lock, (env, algorithm, policy, settings, group), auto)
        else:
            run = begun(folder, lock, (env, algorithm, policy, settings, group))
        if profile:
            run.profile = watched
            watch(run, watched)
        if first:
            gc.freeze()  # what imports left is no garbage; to look through it stops a run for a tenth of a second
        with on_screen(progress, run.rank) as shown, held(run.rollouts), own.hearing_steps(run):
            own.of_iterations = [*shown, *own.of_iterations]
            return go_on(run, own, records)
    except BaseException as error:
        if group is not None:
            group.leave(error)
        raise
    finally:  # what belongs to the process first: to close environments may fail
        if first:
            gc.unfreeze()
        watched.close()
        torch.set_num_threads(threads)
        lock.close()
        if run is not None:
            run.lock = None
            run.close()


Given = tuple[Source | Config | None, Algorithm | None, PolicyOptions | nn.Module | None, Settings, Group | None]
"""What ``train`` was given: env, algorithm, policy and the settings; and the processes that train together."""


def resumed(folder: Path, named: Path | None, lock: ExitStack, given: Given, auto: bool) -> Run:
    """The run in a folder, which is locked; what was given goes for what it had.

    ``auto``: what was given begins the run, too, and may be a ``Config``.
    """
    if named is not None and named.resolve() != folder.resolve():
        raise ConfigError(f"a run goes on in its own folder, {folder}: leave out run_dir, or copy the folder first")
    env, algorithm, policy, settings, group = given
    first = group is None or group.rank == 0
    held = lock.enter_context(locked(folder)) if first and folder.is_dir() else None
    with folder_of_first(folder, group) as here:
        env = as_planned(env, here, settings) if auto and isinstance(env, Config) else env
        run = restore(here, env, algorithm, policy, settings, group)
    run.lock, run.path = held, folder if first else None
    return run


def begun(folder: Path | None, lock: ExitStack, given: Given) -> Run:
    """A new run, and its folder, where it has one, locked."""
    env, algorithm, policy, settings, group = given
    if env is None:
        check_settings(settings, algorithm)
        raise ConfigError("train needs an environment: an id, a factory, a vector environment or a Config")
    config, source = configure(env, algorithm, policy, settings)
    check_primed(config)
    module = policy if isinstance(policy, nn.Module) else None
    run = build(config, source, module, folder, group=group)
    try:
        if run.path is not None:
            with making(run.path):
                run.path.mkdir(parents=True, exist_ok=True)
            run.lock = lock.enter_context(locked(run.path))
        return begin(run)
    except BaseException:
        run.close()
        raise


def watch(run: Run, profile: Profile) -> None:
    """Time the methods between which an iteration's time divides."""
    env = abilities(run.rollouts).env
    if env is not None:
        profile.watch(env, "step", "environment")
    profile.watch(run.rollouts, "collect", "acting")
    profile.watch(run.engine, "update", "update")
    for owner in (run.engine, type(run.config.algorithm)):  # an engine may have its own way to make them
        if hasattr(owner, "targets"):
            profile.watch(owner, "targets", "targets")


def go_on(run: Run, callbacks: Callbacks, loggers: Sequence[Logger] = ()) -> Run:
    """The loop: collect, update, record, until the budget is spent, the task solved, or a callback says stop.

    An iteration is a collect and an update; a row of metrics is of one iteration, or of as many as ``log_every``
    decisions take. Nothing but rows waits for that. An evaluation closes the row, and so does saving: no row that is
    written then covers iterations from before a checkpoint and after it.
    """
    config, learner, rollouts, engine, going = run.config, run.learner, run.rollouts, run.engine, True
    timed, own = nullcontext if run.profile is None else run.profile.part, not isinstance(rollouts, CHECKED)
    begin_records(run, loggers)
    end, quota, first = config.total_steps, quota_of(config.algorithm), next(iter(learner.parts.values()))
    began = run.waiting.began = time.perf_counter()
    try:
        while going and rollouts.steps - run.earlier < end and not (config.until_solved and run.solved):
            learner.advance((rollouts.steps - run.earlier) / end)
            run.phase = "collecting"
            before, answer = int(rollouts.steps), rollouts.collect(engine.actor, **quota)
            steps, last_obs = check_collected(rollouts, before, answer, first.vectors[0].dtype) if own else answer
            run.phase = "updating"
            torch.set_grad_enabled(True)  # also where an environment or a callback has switched gradients off
            run.waiting.rounds.append(engine.update(steps, last_obs))
            run.waiting.episodes += rollouts.episodes
            run.iteration, run.learned = run.iteration + 1, int(rollouts.steps) - run.earlier
            evaluates = run.learned >= run.next_evaluation or (config.eval_every and run.learned >= end)
            due = run.learned >= min(run.recorded + config.log_every, run.next_checkpoint, end)
            try:
                row = run.record(write=due or bool(evaluates))
            except NonFiniteError as error:
                raise naming_rewards(error, steps, learner) from error
            run.phase = ""
            if evaluates:
                with timed("evaluation"):
                    evaluate_now(run, row)
            with timed("callbacks"):
                going = (
                    not any(
                        x is False or (x is not None and x is not True and says_stop(x))
                        for x in [callback(run) for callback in callbacks.of_iterations]
                    )
                    and callbacks.going
                )
            if row:
                with timed("logging"):
                    run.write(row)
            saves = run.learned >= run.next_checkpoint or time.perf_counter() - began > LONG_ITERATION
            if run.group is not None:
                going, saves = agree(run.group, learner, going, saves)
            if saves:
                run.next_checkpoint += config.checkpoint_every * (run.learned >= run.next_checkpoint)
                save_or_warn(run)
            began = time.perf_counter()
            run.waiting.began = run.waiting.began if run.waiting.rounds else began
        run.record_rest()
    except BaseException as error:
        give_up(run, error)
        raise
    else:
        save_at_end(run)
    finally:
        run.close_log()
        plot_or_warn(run)
    return run


def naming_rewards(error: NonFiniteError, steps: Steps, learner: Learner) -> NonFiniteError:
    """Losses are not finite: say how large the rewards are that they are computed from, if these may be why."""
    replay, seen = learner.modules.get("replay"), [(steps.reward, steps.mask)]
    if isinstance(replay, Replay) and replay.kept is not None:
        seen.append((replay.kept.reward[: replay.size], replay.kept.mask[: replay.size]))
    largest = max(float(reward.masked_fill(~mask, 0).abs().amax()) for reward, mask in seen)
    if largest <= LARGE_REWARD:
        return error
    return NonFiniteError(
        f"{error}. Rewards are as large as {largest:.2g}, and losses are squares of sums of them, beyond what float32 "
        "holds: wrap the environment so that it gives smaller ones"
    )


def begin_records(run: Run, loggers: Sequence[Logger]) -> None:
    """What there is to do and to write before the first iteration; of several processes the first one logs."""
    if run.history and "eval/return" not in run.history[-1] and evaluation_is_due(run):
        make_up(run)
    if run.iteration == 0:
        save_or_warn(run)
    # As they were written: an object of the user's own may have gained what no file holds.
    written = {} if run.settings is None else settings_of(read_settings(run.settings))
    own = loggers if run.rank == 0 else ()
    run.log = Log(run.path, run.history, own, {path: x.text for path, x in written.items()})


def give_up(run: Run, error: BaseException) -> None:
    """Save what was learned: where collecting fails, or the device's memory is spent, to go on with fresh episodes.

    An update that fails otherwise may have broken the policy; the checkpoint before stays. So it does where several
    processes train: it holds the environments of all, so that a run that is started anew goes on exactly.
    """
    exhausted = isinstance(error, torch.OutOfMemoryError)
    if run.group is not None:  # the others cannot take part any more, so the checkpoint before stays
        run.group.leave(error)
        return
    with suppress(ClipperError):  # which may be the error itself
        run.record_rest()
    if run.phase != "updating" or exhausted:
        save_or_warn(run, environments=run.phase not in ("collecting", "updating"))
    if run.phase == "updating" and exhausted:
        raise DeviceMemoryError(
            f"{run.config.device} is out of memory in the update of iteration {run.iteration + 1}, on "
            f"{run.steps - run.learned:,} decisions: raise minibatches, or lower num_envs, horizon or the network's "
            f"width; what was learned is {f'saved in {run.path}' if run.path else 'still in the policy'}. torch says: "
            f"{error}"
        ) from error


def save_at_end(run: Run) -> None:
    """Save the run; raises ``SaveError`` where that cannot be, or where what was written before has been deleted.

    What has learned nothing costs a warning.
    """
    warn_unlearned(run)
    try:
        with nullcontext() if run.profile is None else run.profile.part("checkpoints"):
            run.save()
    except OSError as error:
        raise SaveError(f"the end of the run, {run.steps} steps, cannot be saved: {error}") from error
    for name in ("config.json", "metrics.jsonl"):
        if run.path is not None and not (run.path / name).is_file():
            raise SaveError(f"{run.path / name} was deleted while the run trained, which cannot be loaded without it")


def save_or_warn(run: Run, environments: bool = True) -> None:
    """Save in mid-run. Where the disk is full, a warning says so, training goes on and the checkpoint before stays.

    So does it where somebody has broken the policy.
    """
    if not run.learner.parameters.detach().isfinite().all():
        return
    try:
        with nullcontext() if run.profile is None else run.profile.part("checkpoints"):
            run.save(environments)
    except OSError as error:
        warnings.warn(f"no checkpoint after {run.steps} steps, the one before stays: {error}", stacklevel=2)


def plot_or_warn(run: Run) -> None:
    """Draw the curve, which is worth a warning where it fails, and not the run."""
    try:
        run.check_folder()
        plot_run(run)
    except Exception as error:  # whatever matplotlib and the disk may raise
        warnings.warn(f"curve.png cannot be drawn: {error}", stacklevel=2)


def make_up(run: Run) -> None:
    """The evaluation during which the run was ended."""
    evaluate_now(run, run.history[-1])
    if run.path is not None:
        replace_last(run.path, run.history[-1])


def evaluation_is_due(run: Run) -> bool:
    """Does the plan ask for one now?"""
    config = run.config
    return run.steps >= run.next_evaluation or bool(config.eval_every and run.steps >= config.total_steps)


def evaluate_now(run: Run, row: Row) -> None:
    """Evaluate, keep the best policy, and note whether the task is solved."""
    config = run.config
    run.phase = "evaluating"
    numbers: list[float | None] = [0.0, 0.0, None]
    try:
        # The same initial states every time: evaluations of one run are compared with each other.
        if run.rank == 0:
            evaluation = run.evaluate(config.eval_episodes, seed=config.seed + 1_000_000)
            numbers = [evaluation.mean, evaluation.std, evaluation.success_rate]
    finally:
        run.phase = ""
    mean, std, success_rate = numbers if run.group is None else of_first(run.group, numbers)
    assert mean is not None
    run.next_evaluation += config.eval_every
    row["eval/return"], row["eval/std"] = mean, std
    if success_rate is not None:
        row["eval/success_rate"] = success_rate
    threshold = abilities(run.rollouts).threshold
    run.solved = threshold is not None and mean >= threshold
    if mean > run.best:
        run.best = mean
        try:
            run.save_best()
        except OSError as error:
            warnings.warn(f"the best policy so far is not saved: {error}", stacklevel=2)
