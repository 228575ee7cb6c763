"""A run as it was left, from its folder: settings, what is handed over anew, and the latest whole checkpoint."""

import dataclasses
from pathlib import Path

import torch
from gymnasium.vector import VectorEnv
from torch import nn

from clipper.algorithms import Algorithm
from clipper.environments.from_file import env_of_file
from clipper.environments.ids import called
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError
from clipper.learning.replay import Replay
from clipper.networks.policy_options import PolicyOptions
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.ranks.group import Group
from clipper.rollout.protocol import Rollouts
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.config_file import read_config
from clipper.runs.counters import steps_taken
from clipper.runs.exactness import NOT_LEARNED_FROM, why_inexact
from clipper.runs.labels import differences, settings_of
from clipper.runs.load import check_finite, check_fit, check_size, weights_of
from clipper.runs.make_run import (
    Settings,
    build,
    check_all_there,
    check_given,
    check_settings,
    number_of,
    write_config,
)
from clipper.runs.metrics_file import cut_after
from clipper.runs.of_bonus import check_same_bonus
from clipper.runs.of_language import language_of, name_of_source
from clipper.runs.replay_files import ReplayFiles, begin_anew, read_rows
from clipper.runs.run import Run, Source
from clipper.settings.config import Config
from clipper.settings.config_json import name_of, read_settings, same, same_name, to_json
from clipper.settings.old import checkpoint_as_now
from clipper.storage import checkpoint


def restore(
    folder: Path,
    env: Source | Config | None,
    algorithm: Algorithm | None,
    policy: object,
    settings: Settings,
    group: Group | None = None,
) -> Run:
    """A run as its latest whole checkpoint left it; what is handed over is used, and recorded where it differs."""
    planned = read_config(folder)
    if planned.language is not None and not isinstance(env, Rollouts):
        raise ConfigError(
            "this run is on prompts: go on with clipper.train_language(model, prompts, reward, resume=…), or clipper "
            "resume RUN"
        )
    check_given(algorithm, policy)
    check_settings(settings, planned.algorithm)
    changes: dict[str, object] = dict(settings)
    if isinstance(env, VectorEnv | Rollouts | list | tuple):
        changes["num_envs"], changes["language"] = number_of(env, settings), language_of(env)
    config = called(dataclasses.replace, planned, **changes, **handed_over(planned, env, algorithm, policy))
    assert isinstance(config, Config)
    check_all_there(config, isinstance(policy, nn.Module))
    source = env_of_file(config.env, None if isinstance(env, Config) else env)
    check_asked(config, settings)
    module = policy if isinstance(policy, nn.Module) else None
    if not any((folder / name).exists() for name in ("checkpoint.safetensors", "metrics.jsonl")):
        run = build(config, source, module, folder, insist="engine" in settings, group=group)
        run.path = folder
        write_config(run)  # the run was ended before it began
        return run
    tensors, values = checkpoint_as_now(*checkpoint.load_latest(folder))
    taken = steps_taken(values)
    if config.total_steps != planned.total_steps and config.total_steps <= taken:
        raise ConfigError(
            f"this run has taken {taken} steps already: to go on, total_steps must be more than that, not "
            f"{config.total_steps}"
        )
    if values.get("custom_policy") is False and module is not None:
        raise ConfigError("this run made its policy itself, and goes on with it: leave out policy=")
    if values.get("custom_policy") and not isinstance(policy, nn.Module):
        raise ConfigError("this run trained a policy module of your own: pass it again with policy=")
    if module is not None:
        check_fit(module, weights_of(tensors))
    check_size(config, tensors, values)
    tensors = read_rows(folder, tensors, planned.save_replay)
    run = build(config, source, module, folder, insist="engine" in settings, group=group)
    run.path = folder
    try:
        return go_back(run, planned, tensors, values)
    except CorruptCheckpointError as error:
        run.close()
        raise misfit(error, run, planned, given_anew(planned, env, algorithm, settings)) from error
    except BaseException:
        run.close()
        raise


def asked_for(config: Config) -> dict[str, str]:
    """The settings of how a run computes that a file alone does not decide, where they are not the usual ones."""
    usual = {"device": ("cpu",), "engine": ("auto", "torch", "cpu")}
    return {name: getattr(config, name) for name, words in usual.items() if getattr(config, name) not in words}


def check_asked(config: Config, settings: Settings) -> None:
    """Raise ``ConfigError`` where a file names another device than the cpu, or the compiler, and nobody else does."""
    for name, given in asked_for(config).items():
        if name not in settings:
            raise ConfigError(
                f"this run's {name} is {given}: name it again with {name}= (--{name} {given}), or another one, since "
                "none but the cpu's is used because a file says so"
            )


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
    check_agents(run.rollouts, tensors)
    same_number = run.config.num_envs == planned.num_envs
    if not same_number and not isinstance(run.rollouts, VectorRollouts | GatheredRollouts):
        raise ConfigError(
            f"this run's rollouts have {planned.num_envs} environments, and those handed over {run.config.num_envs}: "
            "hand over as many"
        )
    restored = run.load_state_dict(tensors, values, environments=same_number)
    replay = run.learner.modules.get("replay")
    if isinstance(replay, Replay) and replay.columns not in (None, run.rollouts.num_envs):
        raise ConfigError(
            f"this run's replay holds rows of {replay.columns} environments, and {run.rollouts.num_envs} were asked "
            "for: leave out num_envs"
        )
    kept = not begin_anew(run.learner)
    run.replay_files = ReplayFiles.of_folder(folder, run.learner)
    check_finite(run.policy, folder)
    found = read_settings(run.settings)
    why = why_inexact(run.config, found, planned, run.policy, run.rollouts, went_back=restored, kept=kept)
    run.exact = run.exact and not why
    run.inexact = "; ".join(dict.fromkeys([*filter(None, [run.inexact, why])]))
    run.history = cut_after(folder, run.iteration)
    if not same(run.settings, to_json(planned)):
        write_config(run)
    return run


def check_agents(rollouts: Rollouts, tensors: dict[str, torch.Tensor]) -> None:
    """Raise ``ConfigError`` where the environments have another number of agents than a checkpoint."""
    teams, saved = getattr(rollouts, "teams", None), tensors.get("rollouts.teams.returns")
    has, had = 1 if teams is None else int(teams.agents), 1 if saved is None else int(saved.numel())
    if has != had:
        raise ConfigError(f"this run's environments have {had} agents, and those handed over {has}: hand over as many")


def given_anew(
    planned: Config, env: Source | Config | None, algorithm: Algorithm | None, settings: Settings
) -> list[str]:
    """What was handed over that a state may not fit, for people."""
    found = [] if env is None or env == planned.env else ["rollouts" if isinstance(env, Rollouts) else "environments"]
    computing = {*NOT_LEARNED_FROM, "engine", "device", "threads"}
    learned = [name for name in settings if name not in computing]
    return [*found, *["algorithm"] * (algorithm is not None), *learned]


def misfit(error: CorruptCheckpointError, run: Run, planned: Config, given: list[str]) -> ClipperError:
    """The error as it is, or, where something was handed over that a whole checkpoint does not fit, one that says so:
    with the settings that differ, and what the state is of.
    """
    if not given:
        return error
    differing = differences(*(settings_of(read_settings(x)) for x in (run.settings, to_json(planned))))
    told = f" ({'; '.join(differing)})" if differing else ""
    return ConfigError(
        f"the checkpoint is whole, and does not fit what was handed over, {' and '.join(given)}{told}: hand over what "
        f"this run was saved with. In particular, {error}"
    )


def handed_over(
    planned: Config, env: Source | Config | None, algorithm: Algorithm | None, policy: object
) -> dict[str, object]:
    """Fields of the settings that change when a run goes on; raises ``ConfigError`` for those that cannot."""
    changes: dict[str, object] = {}
    if isinstance(env, Config):
        raise ConfigError("a run that is resumed has its settings in its folder: name those that change, total_steps=…")
    if env is not None:
        name = env if isinstance(env, str) else name_of_source(env)
        changes = {} if name == planned.env else {"env": name}
    has, given = name_of(planned.algorithm), None if algorithm is None else name_of(algorithm)
    if given is not None and not same_name(given, has):
        raise ConfigError(
            f"this run's algorithm is {has}, and {given} cannot go on from its state: begin a run with "
            "policy=clipper.load(…) instead"
        )
    if algorithm is not None:
        check_same_bonus(planned.algorithm, algorithm)
        changes["algorithm"] = algorithm
    if isinstance(policy, PolicyOptions):
        policy = changes["policy"] = dataclasses.replace(planned, policy=policy).policy
        if policy.agents == "separate" and planned.policy.agents != "shared":  # the file names them
            policy = changes["policy"] = dataclasses.replace(policy, agents=planned.policy.agents)
    if isinstance(policy, PolicyOptions) and not same(to_json(policy), to_json(planned.policy)):
        raise ConfigError(
            "this run's policy was made with other PolicyOptions, which its weights fit: leave out policy="
        )
    return changes


def is_there(folder: Path | None, group: Group | None) -> bool:
    """For ``resume="auto"``: does the folder hold a run to go on with? Of several processes the first one says so."""
    if folder is None:
        raise ConfigError("resume='auto' goes on with the run in a folder, or begins it there: name it with run_dir=")
    there = (folder / "config.json").exists()
    return there if group is None else bool(group.largest(there and group.rank == 0)[0])


AS_FOUND = {"engine", "vector", "total_steps"}
"""Settings that a run's file has as they were found, or that may change."""


def as_planned(config: Config, folder: Path, settings: Settings) -> str:
    """For ``resume="auto"``: the environment of a ``config`` that begins the run in a folder, which goes on.

    Raises ``ConfigError`` where the run has other settings. ``total_steps`` may change.
    """
    given, planned = settings_of(config), settings_of(read_config(folder))
    for path in [path for path in given if path in planned and path.partition(".")[0] not in AS_FOUND]:
        named = path == "policy.agents" and given[path].text == "separate" and planned[path].text != "shared"
        if given[path].text != planned[path].text and not named:
            raise ConfigError(
                f"the run that is there has {path} = {planned[path].text}, not {given[path].text}: name another "
                "folder, or the settings that it has"
            )
    settings.setdefault("total_steps", config.total_steps)
    return config.env
