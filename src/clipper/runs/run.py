"""A training run: its parts, its records, and its state on disk."""

import math
import sys
import time
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, SupportsFloat, cast

import torch

from clipper.algorithms import KNOWN
from clipper.data.values import shown
from clipper.engines import Engine
from clipper.environments.sources import EnvSource
from clipper.errors import ClipperError, ConfigError, CorruptCheckpointError, NonFiniteError
from clipper.former import Renamed
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.ranks.gathered_rollouts import GatheredRollouts
from clipper.ranks.group import Group
from clipper.rollout.evaluation import EVALUATION_SEED, MAX_STEPS, Evaluation, evaluate_policy, left_behind
from clipper.rollout.protocol import Rollouts, abilities, spaces_of
from clipper.rollout.vector_rollouts import VectorRollouts
from clipper.runs.counters import COUNTERS, counter
from clipper.runs.in_effect import settings_now
from clipper.runs.lock import Lock
from clipper.runs.logs import Log
from clipper.runs.of_language import OfLanguage
from clipper.runs.profile import Profile
from clipper.runs.replay_files import ReplayFiles, rows_left_out
from clipper.runs.rows import OWN_METRICS, Row, Waiting, check_metrics, is_number, merged, told_besides
from clipper.runs.summary import Summarised
from clipper.settings.config import Config
from clipper.settings.config_json import to_json
from clipper.spaces.space_json import check_same_spaces, space_to_json
from clipper.storage import checkpoint
from clipper.storage.saved import like, part, plain_state, value_of

Source = EnvSource | Rollouts
OURS = VectorRollouts.load_state_dict, GatheredRollouts.load_state_dict
RECENT = 100  # episodes in the moving average that a run shows


@dataclass(slots=True, repr=False)
class Run(Summarised):
    """What ``train`` returns: the policy and everything around it."""

    config: Config
    source: Source
    """What makes the environments: an id, a factory, a ready vector environment or rollouts."""
    learner: Learner
    rollouts: Rollouts
    """Where its decisions come from."""
    engine: Engine
    """What acts and updates."""
    path: Path | None = None
    """The run's folder; None where nothing is written."""
    settings: dict[str, object] | None = None
    """``config`` as JSON, where there is a folder, of when the run was built: objects of the user's own may change."""
    profile: Profile | None = None
    """Where the time goes, if that was asked for."""
    group: Group | None = None
    """The processes that it trains in, where there are several; the first of them evaluates, logs and saves."""
    at_end: tuple[dict[str, torch.Tensor], dict[str, object]] | None = None
    """What the rollouts' state was when they were closed."""
    owned: bool = False
    """The environments were made for this run, which closes them."""
    stepping: str = ""
    """For people: how the environments are stepped, and why."""
    custom_policy: bool = False
    """The policy was given as a module, so that the settings alone cannot rebuild it."""
    earlier: int = 0
    """Decisions that its rollouts had collected before the run began."""
    iteration: int = 0
    learned: int = 0
    """Decisions that an update has seen."""
    recorded: int = 0
    """Decisions that rows of metrics cover."""
    seconds: float = 0.0
    """Wall-clock time spent training, over all resumptions."""
    exact: bool = True
    """False once it went on as another run than the uninterrupted one, bit for bit; ``inexact`` says why."""
    inexact: str = ""
    best: float = -math.inf
    """Highest mean return of an evaluation."""
    solved: bool = False
    """An evaluation reached the environment's reward threshold."""
    next_evaluation: float = math.inf
    """Decisions after which the policy is evaluated next."""
    next_checkpoint: float = math.inf
    """Decisions after which the run is saved next."""
    phase: Literal["", "collecting", "updating", "evaluating"] = ""
    """What is under way: while collecting and evaluating the learner is left alone, and may be broken off."""
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Returns of the latest training episodes."""
    history: list[Row] = field(default_factory=list)
    """One row per iteration, or per ``log_every`` decisions, as in ``metrics.jsonl``."""
    waiting: Waiting = field(default_factory=Waiting)
    """What the next row will tell."""
    notes: dict[str, list[float]] = field(default_factory=dict)
    """Numbers that the next row will have beside the run's own."""
    noted: dict[str, float] = field(default_factory=dict)
    """The latest number by each of these names."""
    replay_files: ReplayFiles = field(default_factory=ReplayFiles)
    """What of a replay lies beside the checkpoints."""
    log: Log | None = None
    """Where rows are written, while it trains."""
    lock: Lock | None = None
    """What keeps other processes from training in the folder, while this one does."""
    state, env = Renamed("rollouts"), Renamed("rollouts.env")  # which go on working
    generate, score = OfLanguage("generate", with_policy=True), OfLanguage("score")

    @property
    def policy(self) -> Any:
        """The policy, with ``predict(obs)``."""
        return self.learner.policy

    @property
    def rank(self) -> int:
        """Which of several processes that train it this is; 0 where there is one."""
        return 0 if self.group is None else self.group.rank

    @property
    def steps(self) -> int:
        """Decisions since the start."""
        return int(self.rollouts.steps) - self.earlier

    def evaluate(
        self, episodes: int = 100, *, seed: int = EVALUATION_SEED, deterministic: bool = True,
        num_envs: int | None = None, max_steps: int = MAX_STEPS,
    ) -> Evaluation:  # fmt: skip
        """Play whole episodes with the current policy, apart from training, by default in 20 environments at a time.

        What ``seed`` and ``max_steps`` are by default ``evaluate_policy`` says. Raises ``ConfigError`` during
        training where the run was given its environments ready made: to play in them would break off the episodes that
        it learns from.
        """
        if isinstance(self.source, Rollouts):
            raise ConfigError("this run learns from rollouts: name an environment, clipper.evaluate(run.policy, env)")
        threads = torch.get_num_threads()
        torch.set_num_threads(min(threads, self.config.threads))  # as training does: more make small networks slower
        try:
            return evaluate_policy(
                self.policy,
                self.source,
                episodes=episodes,
                seed=seed,
                deterministic=deterministic,
                num_envs=num_envs,
                max_steps=max_steps,
                device=self.config.device,
            )
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None:
        """Close the environments that were made for this run; those that were given ready stay open.

        Where they stand is kept, so that the run can still be saved. Where an error is on its way, another one that
        comes of closing is a warning.
        """
        if not self.owned or self.at_end is not None:
            return
        failing = sys.exc_info()[0] is not None
        try:
            self.close_rollouts()
        except Exception as error:
            if not failing:
                raise
            warnings.warn(f"closing the environments has failed, too: {error}", stacklevel=2)

    def close_rollouts(self) -> None:
        """Keep where they stand, without the environments where these cannot tell, and close them in any case."""
        try:
            self.at_end = self.state_of_rollouts()
        except Exception as error:
            self.at_end = self.state_of_rollouts(episodes=False)
            if not isinstance(error, ClipperError | OSError):  # else they have failed, and are closed already
                raise
        finally:
            self.rollouts.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def note(self, name: str, number: object) -> None:
        """Add a number of your own to the next row of metrics, and so to TensorBoard, loggers and the terminal.

        A callback may do so, for the row of its iteration. Of several numbers by one name the row has the mean, of
        several processes the first one's. A name without ``/``, or that the row has already, gets ``custom/`` before
        it. Raises ``ConfigError`` for what is no number, and for a name as a run's own are called.
        """
        if not isinstance(name, str):
            raise ConfigError(f"run.note is given {shown(name)} as a name: it must be a text")
        name = name if "/" in name else f"custom/{name}"
        if name.partition("/")[0] in OWN_METRICS:
            raise ConfigError(f"run.note calls a number {name!r}, which a run's own are called: rename it")
        if not is_number(number):
            raise ConfigError(f"run.note gives {name} as {shown(number)}, which is no single number")
        try:
            self.noted[name] = float(cast(SupportsFloat, number))
        except OverflowError:
            raise ConfigError(f"run.note gives {name} as {shown(number)}, which no float can hold") from None
        self.notes.setdefault(name, []).append(self.noted[name])

    def write(self, row: Row) -> None:
        """Write a row of the history, with what was noted for it."""
        for name, numbers in self.notes.items():
            row[f"custom/{name}" if name in row else name] = sum(numbers) / len(numbers)
        self.notes = {}
        if self.log is not None:
            self.log.write(row, settings_now(self.config.algorithm, self.learner))

    def close_log(self) -> None:
        """Write the rows that are not written, since their evaluation or a callback failed, and close the log."""
        if self.log is not None:
            for row in self.history[self.log.written :]:
                self.write(row)
            self.log.close()
            self.log = None

    def record_rest(self) -> None:
        """The iterations that are in no row yet as one more, where there are any: checkpoints hold no part of a row."""
        if self.waiting.rounds:
            self.write(self.record())

    def record(self, write: bool = True) -> Row:
        """The iterations that wait as one more row of the history, or none yet, {}, where it is not to ``write``.

        Raises ``NonFiniteError`` before a broken policy is saved.
        """
        waiting, learner, metrics = self.waiting, self.learner, Metrics()
        if type(self.config.algorithm) not in KNOWN:
            check_metrics(self.config.algorithm, waiting.rounds[-1])
        if not write and all(own.looks_sound(self.config.max_skipped_steps) for own in learner.parts.values()):
            return {}
        if write:
            metrics = waiting.rounds[0] if len(waiting.rounds) == 1 else merged(waiting.rounds)
        vectors = [x.detach() for own in learner.parts.values() for x in own.vectors]
        whole = torch.stack([x.sum().to(learner.skipped) for x in vectors]).isfinite().all()
        stuck = [own.skipped_in_a_row.to(learner.skipped) for own in learner.parts.values()]
        counts = (x.to(torch.float32) for x in (learner.skipped, torch.stack(stuck).amax(), whole))
        watched = (x if isinstance(x, torch.Tensor) else torch.tensor(float(x)) for x in metrics.values())
        *values, in_a_row, whole = torch.stack([*watched, *counts]).tolist()
        whole = whole or all(bool(x.isfinite().all()) for x in vectors)  # a sum of large weights may overflow
        if in_a_row >= self.config.max_skipped_steps or not whole:
            skipped = f"{in_a_row:.0f} steps in a row had a loss or gradient that is not finite"
            raise NonFiniteError(
                f"{skipped if whole else 'weights are not finite'}, by iteration {self.iteration}: the last checkpoint "
                "is still good; lower the learning rate, or scale rewards and observations"
            )
        if not write:
            return {}
        totals, lengths = [float(e.total) for e in waiting.episodes], [int(e.length) for e in waiting.episodes]
        before, self.recorded, seconds = self.recorded, self.learned, time.perf_counter() - waiting.began
        self.recent.extend(totals)
        self.seconds += seconds
        row: Row = {
            "iteration": self.iteration,
            "steps": self.learned,
            "episode/count": len(totals),
            "episode/return": sum(totals) / len(totals) if totals else None,
            "episode/length": sum(lengths) / len(totals) if totals else None,
            "episode/recent_return": sum(self.recent) / len(self.recent) if self.recent else None,
            **dict(zip([*metrics, "update/skipped_steps"], values, strict=True)),
        }
        row |= told_besides(self.rollouts, row) if self.rollouts.metrics else {}
        row |= {} if self.profile is None else self.profile.row()
        row |= {"time/seconds": self.seconds, "time/steps_per_second": (self.learned - before) / seconds}
        self.waiting = Waiting(began=time.perf_counter())
        self.history.append(row)
        return row

    def save(self, environments: bool = True) -> None:
        """Write the checkpoint from which the run can be resumed; those before it stay beside it."""
        if self.path is None and self.group is None:
            return
        self.record_rest()
        with rows_left_out(self.learner):
            tensors, values = self.state_dict(environments)  # of several processes all take part in it
        if self.path is not None:
            self.check_folder()
            if self.config.save_replay:
                self.replay_files.save(self.path, self.learner, self.config.keep_checkpoints)
            checkpoint.save(self.path / "checkpoint.safetensors", tensors, values, self.config.keep_checkpoints)

    def check_folder(self) -> None:
        """While it trains: raise ``OSError`` where its folder was deleted, or is another one now."""
        if self.lock is not None:
            self.lock.check()

    def save_best(self) -> None:
        """Write the policy alone, as the best so far."""
        if self.path is not None:
            self.check_folder()
            tensors = {f"policy.{k}": v for k, v in self.policy.state_dict().items()}
            told = {"return": self.best, "masked": abilities(self.rollouts).masked}
            checkpoint.save(self.path / "best.safetensors", tensors, self.identity() | told)

    def identity(self) -> dict[str, object]:
        """What must agree between a checkpoint and the environment that it is loaded into."""
        spaces = {kind: space_to_json(space) for kind, space in spaces_of(self.rollouts).items()}
        return {
            "config": to_json(self.config) if self.settings is None else self.settings,
            "spaces": spaces,
            "steps": self.steps,
            "custom_policy": self.custom_policy,
        }

    def state_dict(self, environments: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        """Everything that the next iteration depends on, as named tensors and JSON.

        Without ``environments`` they are left out, and start afresh where the run is resumed; so are the decisions
        since the last iteration, from which nothing was learned.
        """
        learned = self.learner.state_dict()
        if isinstance(self.rollouts, GatheredRollouts):
            learned = self.rollouts.whole_columns(learned)
        tensors = {f"learner.{k}": v for k, v in learned.items()}
        tensors["recent"] = torch.tensor(list(self.recent), dtype=torch.float64)
        values = self.identity() | {name: getattr(self, name) for name in COUNTERS}
        went_on = self.at_end is not None and self.at_end[1]["steps"] != self.rollouts.steps  # closed, but used
        if not environments or went_on or left_behind(self.rollouts):
            own, kept = self.state_of_rollouts(episodes=False)
        else:
            own, kept = self.at_end or self.state_of_rollouts()
        if not environments:
            values["steps"], kept = self.learned, kept | {"steps": self.learned + self.earlier}
        return tensors | {f"rollouts.{k}": v for k, v in own.items()}, values | {"rollouts": kept}

    def state_of_rollouts(self, episodes: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        """What they say of themselves, copied; ``ConfigError`` where that cannot be kept, or not be read back."""
        return plain_state(self.rollouts.state_dict(episodes), f"state_dict of {type(self.rollouts).__name__}")

    def load_state_dict(
        self, tensors: dict[str, torch.Tensor], values: Mapping[str, object], environments: bool = True
    ) -> bool:
        """Go back to a saved state; False where the environments could not be restored and start afresh.

        Without ``environments`` they always do.
        """
        try:
            check_same_spaces(value_of("spaces", dict, values), spaces_of(self.rollouts))
            self.learner.load_state_dict(part(tensors, "learner."))
            recent = like("recent", torch.zeros(min(len(tensors["recent"]), RECENT), dtype=torch.float64), tensors)
            if not recent.isfinite().all():
                raise ValueError("recent has returns that are not finite")
            unknown = [name for name in tensors if name != "recent" and not name.startswith(("learner.", "rollouts."))]
            if unknown:
                raise ValueError(f"it holds {unknown[0]}, which nothing reads")
            self.recent = deque(recent.tolist(), RECENT)
            for name in COUNTERS:
                setattr(self, name, counter(name, {"earlier": 0, **values}))
            self.learned = self.recorded = int(counter("steps", values))
            told: dict[str, object] = dict(value_of("rollouts", dict, values))
            told |= {} if environments else {"environments": None}
            if told.get("steps") != self.learned + self.earlier:
                raise ValueError(f"its rollouts are at {told.get('steps')} steps, and the run at {self.learned}")
            carried, n = self.learner.running_return, self.rollouts.num_envs
            if environments and carried is not None and carried.shape != (n,):
                raise TypeError(f"running_return is of shape {list(carried.shape)}, not {[n]}")
        except ClipperError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CorruptCheckpointError(f"the checkpoint does not fit its own settings: {error}") from error
        restored = self.load_rollouts(part(tensors, "rollouts."), told)
        if not restored:  # then no episode goes on
            self.learner.running_return = None
        return restored

    def load_rollouts(self, tensors: dict[str, torch.Tensor], values: dict[str, object]) -> bool:
        """Bring the rollouts where the checkpoint left them; a mistake in the user's own passes unchanged."""
        own = type(self.rollouts)
        try:
            restored = self.rollouts.load_state_dict(tensors, values, self.engine.actor)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if isinstance(error, ClipperError) or own.load_state_dict not in OURS:
                raise
            raise CorruptCheckpointError(f"the checkpoint does not fit its own settings: {error}") from error
        if restored is None:
            wanted = "True where it has gone back to the state that it was given, False where new episodes begin"
            raise ConfigError(f"load_state_dict of {own.__name__} answers None: it must return {wanted}")
        if self.rollouts.steps != self.learned + self.earlier:
            raise ConfigError(
                f"load_state_dict of {own.__name__} leaves steps at {self.rollouts.steps}, and the checkpoint is of "
                f"{self.learned + self.earlier}: set it to values['steps']"
            )
        return bool(restored)
