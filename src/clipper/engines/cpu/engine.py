"""The engine for small networks on the CPU: few compiled kernels in place of PyTorch's many operations."""

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clipper.algorithms import Algorithm
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.engines.cpu.action_table import none
from clipper.engines.cpu.calls import Call
from clipper.engines.cpu.kernels import tables
from clipper.engines.cpu.kernels.tables import Loss, Optimizer, Rows
from clipper.engines.cpu.machine import Machine
from clipper.engines.cpu.plan import read_algorithm
from clipper.engines.cpu.sizes import check_targets
from clipper.functional.reduce import trajectory_moments
from clipper.learning.action_parts import PerPart, entropy_coefs
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.objectives import SPO, Clip, DualClip, Objective, Rollback, Unclipped
from clipper.learning.optimizers import Adam
from clipper.learning.schedules import at
from clipper.learning.value_losses import ClippedMSE, Huber, ValueLoss


class CPU(Machine):
    """Collects and updates with compiled kernels."""

    name: Literal["cpu"] = "cpu"

    def __init__(self, learner: Learner, algorithm: Algorithm, threads: int = 1) -> None:
        super().__init__(learner, threads)
        self.plan = read_algorithm(algorithm)
        self.algorithm: Any = algorithm  # one that kernels know, and so with all the fields that they read
        self.description = "cpu (compiled kernels)"

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``algorithm.update``: its two steps."""
        if self.decisions(steps, last_obs) == 0:
            return self.learner.pass_over(steps)
        return self.take_steps(self.targets(steps, last_obs, checked=True))

    def improve(self, targets: Targets) -> Metrics:
        """As ``algorithm.improve``, whoever made the targets; that a batch has standardised them already is undone."""
        if self.decisions(targets.steps) == 0:
            return self.learner.pass_over(targets.steps)
        check_targets(targets)
        return self.take_steps(targets)

    def take_steps(self, targets: Targets) -> Metrics:
        """``improve``, without a look at sizes."""
        self.look()
        rows, steps = self.rows(targets), targets.steps
        keep = np.flatnonzero(steps.mask.numpy())
        loss = self.loss(rows, keep, steps)
        history = self.epochs(rows, loss, keep)
        if loss.actor_weight:
            history[:, 0] *= loss.actor_weight * len(keep)
        if self.network.statistics or self.learner.policy.returns is not None:
            self.learner.absorb(targets)
        return self.summarise(history, rows, keep)

    def targets(self, steps: Steps, last_obs: Tree, checked: bool = False) -> Targets:
        """As ``algorithm.targets``, but for the advantages' standard units, which are ``loss``'s."""
        if not checked:
            self.decisions(steps, last_obs)
        self.look()
        algorithm, plan, learner = self.algorithm, self.plan, self.learner
        t, n = steps.mask.shape
        value, zero = np.empty((t + 1, n), np.float32), np.zeros((t + 1, n), np.float32)
        self.values(self.network.rows.of(steps.obs, (t * n,)), value[:t].reshape(-1))
        self.values(self.network.rows.of(last_obs, (n,)), value[t])
        reward = steps.reward if learner.reward_scaler is None else learner.scale_rewards(steps, algorithm.gamma)
        terminated, done, mask = (x.numpy() for x in (steps.terminated, steps.done, steps.mask))
        advantage, target = np.empty((2, t, n), np.float32)
        lam = 1.0 if plan.whole_returns else algorithm.lam
        expected = zero if plan.whole_returns else value
        self.kernels.gae(
            *map(np.ascontiguousarray, (reward.numpy(), expected, terminated, done, mask)), algorithm.gamma, lam,
            np.zeros(n), advantage, target,
        )  # fmt: skip
        if plan.whole_returns and plan.baseline:
            advantage -= value[:t]
        return Targets(steps, *map(torch.from_numpy, (advantage, target, value[:t])))

    def rows(self, targets: Targets) -> Rows:
        """Steps and targets as flat arrays; advantages in their own units."""
        steps, n = targets.steps, targets.steps.mask.numel()
        (advantage,) = targets.raw or (targets.advantage,)
        actions, mask, legal = self.network.actions, steps.action_mask, self.all_legal
        if not none(mask):
            legal = actions.legal_rows(mask, np.empty((n, actions.legal), bool))
        choice, action = actions.rows_of(steps.action, n)
        return Rows(
            obs=self.network.rows.of(steps.obs, (n,)),
            choice=choice,
            action=action,
            legal=legal,
            log_prob=flat(steps.log_prob, n)[:, 0],
            log_probs=actions.log_prob_rows(steps.log_probs, n),
            advantage=flat(advantage, n)[:, 0],
            value_target=flat(targets.value_target, n)[:, 0],
            value=flat(targets.value, n)[:, 0],
        )

    def loss(self, rows: Rows, keep: np.ndarray, steps: Steps) -> Loss:
        """The loss's numbers at this moment."""
        algorithm, plan, progress = self.algorithm, self.plan, self.learner.progress
        low, high = plan.clip if isinstance(plan.clip, tuple) else (at(plan.clip, progress),) * 2
        objective, number = objective_numbers(plan.objective)
        kind, bound = value_loss_numbers(algorithm.value_loss)  # pyright: ignore[reportAttributeAccessIssue]
        shift, scale = self.return_units()
        mean, factor, trajectories = 0.0, 1.0, int((steps.done & steps.mask).sum())
        if plan.per_batch:
            mean, factor = self.kernels.standard_units(rows.advantage, keep, plan.correction)
        elif plan.per_trajectory:
            advantage = torch.from_numpy(rows.advantage).view_as(steps.reward)
            mean, std = map(float, trajectory_moments(advantage, steps.done, steps.mask))
            factor = 0.0 if std <= 1e-6 * abs(mean) + 1e-8 else 1 / (std + 1e-8)
        return Loss(
            objective=objective,
            number=number,
            low=float(low),
            high=float(high),
            value_loss=kind,
            value_bound=float(bound),
            value_coef=float(algorithm.value_coef),  # pyright: ignore[reportAttributeAccessIssue]
            entropy_coefs=self.entropy_coefs(steps),
            per_part=isinstance(plan.parts, PerPart) and bool(steps.log_probs),
            value_shift=shift,
            value_scale=scale,
            standardise=plan.per_minibatch,
            correction=plan.correction,
            mean=mean,
            factor=factor,
            actor_weight=1 / max(trajectories, 1) if plan.trajectories else 0.0,
        )

    def entropy_coefs(self, steps: Steps) -> np.ndarray:
        """Of each part with a name, or of the whole."""
        otherwise, plan, progress = self.algorithm.entropy_coef, self.plan, self.learner.progress
        names = self.network.actions.names if steps.log_probs else []
        if plan.parts.entropy:
            coefs = list(entropy_coefs(names, plan.parts.entropy, otherwise).values())
        else:
            coefs = [otherwise] * max(len(self.network.actions.names), 1)
        return np.array([at(coef, progress) for coef in coefs], np.float64)

    def epochs(self, rows: Rows, loss: Loss, keep: np.ndarray) -> np.ndarray:
        """Take all steps; returns one row of what is watched for each."""
        plan, learner = self.plan, self.learner
        optimizer, taken_before = self.optimizer()
        counts = np.array([int(taken_before), int(learner.skipped), int(learner.skipped_in_a_row)])
        order, parts = np.empty_like(keep), min(plan.minibatches, len(keep))
        watched = np.empty((parts, tables.NORM + 1 + tables.LEAF_SUMS * len(self.network.actions.names)))
        largest = np.inf if plan.stop is None else 1.5 * plan.stop.target
        after = optimizer, counts, largest, watched, order
        if len(self.pieces(len(keep) // parts)) == 1:
            go_through = self.kernels.epoch.bind(
                self.net, self.head, loss, rows, self.works[0], self.gradient, *after, parts
            )
        else:
            shares = Shares(self, rows, loss, order)
            finish = self.kernels.finish.bind(self.net, rows, self.gradient, shares.sums, *after, 0, 0, 0)
            go_through = partial(self.go_through_in_threads, shares, finish, len(keep), parts)
        history: list[np.ndarray] = []
        for _ in range(plan.epochs):
            order[:] = keep[torch.randperm(len(keep), generator=learner.generator).numpy()]
            taken = go_through()
            history.append(watched[:taken].copy())
            if taken < parts:
                break
        for counter, value in zip((taken_before, learner.skipped, learner.skipped_in_a_row), counts, strict=True):
            counter.fill_(int(value))
        if not any(map(len, history)):  # the first minibatch was too far: what was watched there, and no step
            watched[0, tables.NORM] = 0.0
            return watched[:1]
        return np.concatenate(history)

    def go_through_in_threads(self, shares: "Shares", finish: Call, rows: int, parts: int) -> int:
        """One pass, each minibatch shared among the threads; returns how many steps were taken."""
        size, extra, first = rows // parts, rows % parts, 0
        for i in range(parts):
            last = first + size + (i < extra)
            shares.add_up(first, last)
            if not finish(first, last, i):
                return i
            first = last
        return parts

    def optimizer(self) -> tuple[Optimizer, Tensor]:
        """The learner's optimizer as the kernels have it, and its own count of steps."""
        learner, plan = self.learner, self.plan
        parameters, group = learner.parameters, learner.optimizer.param_groups[0]
        moments = learner.optimizer.state[parameters]
        adam = isinstance(plan.optimizer, Adam)
        names = ("exp_avg", "exp_avg_sq") if adam else ("square_avg",)
        if not moments:  # as torch makes them in the first step
            moments["step"] = torch.zeros((), dtype=torch.float32)
            moments.update({name: torch.zeros_like(parameters) for name in names})
        rate = self.algorithm.learning_rate
        group["lr"] = at(rate, learner.progress)
        beta1, beta2 = group["betas"] if adam else (0.0, group["alpha"])
        return Optimizer(
            kind=tables.ADAM if adam else tables.RMSPROP,
            first=moments[names[0]].detach().numpy(),
            second=moments[names[-1]].detach().numpy(),
            learning_rate=float(group["lr"]),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            max_norm=float(self.algorithm.max_grad_norm),
        ), moments["step"]

    def summarise(self, history: np.ndarray, rows: Rows, keep: np.ndarray) -> Metrics:
        """As ``clipper.learning.metrics.summarise``."""
        plan, kernels = self.plan, self.kernels
        mean, least, largest = history.mean(0), history.min(0), history.max(0)
        summary = dict(zip(plan.watched, mean, strict=False)) | {"loss/gradient_norm": mean[tables.NORM]}
        if plan.objective is not None:
            if len(rows.log_probs):
                by_part = mean[tables.NORM + 1 :].reshape(-1, tables.LEAF_SUMS)
                for name, (entropy, kl, outside) in zip(self.network.actions.names, by_part, strict=True):
                    summary |= {f"policy/entropy/{name}": entropy, f"policy/kl/{name}": kl}
                    summary[f"policy/clip_fraction/{name}"] = outside
            summary["policy/ratio_max"] = largest[tables.RATIO]
            for name, k in (("mean", tables.MEAN), ("std", tables.STD)):
                summary |= {f"advantage/minibatch_{name}_min": least[k], f"advantage/minibatch_{name}_max": largest[k]}
        summary["advantage/mean"], summary["advantage/std"] = kernels.mean_and_std(rows.advantage, keep, 0)
        summary["value/explained_variance"] = kernels.explained_variance(rows.value, rows.value_target, keep)
        return dict(zip(summary, torch.tensor(list(summary.values()), dtype=torch.float32), strict=True))


class Shares:
    """The threads' shares of minibatches of ``order``: each adds up a gradient of its own, which are added then."""

    def __init__(self, engine: CPU, rows: Rows, loss: Loss, order: np.ndarray) -> None:
        kernels = engine.kernels
        self.engine, self.units = engine, kernels.units.bind(loss, rows, order, 0, 0)
        own = list(zip(engine.works, engine.gradients, strict=True))
        self.clear = [kernels.clear.bind(gradient, work) for work, gradient in own]
        self.accumulate = [
            kernels.accumulate.bind(engine.net, engine.head, loss, rows, work, gradient, order, 0, 0, 0.0, 0.0, 0.0)
            for work, gradient in own
        ]
        self.sums = engine.works[0].value.sums

    def add_up(self, first: int, last: int) -> None:
        """Leave the gradient of ``order[first:last]`` in the learner's, and the sums of what is watched in ``sums``."""
        engine, weight = self.engine, 1 / (last - first)
        mean, factor = self.units(first, last)
        pieces = engine.pieces(last - first)

        def work(k: int, piece: slice) -> None:
            self.clear[k]()
            self.accumulate[k](first + piece.start, first + piece.stop, weight, mean, factor)

        engine.team.run(work, pieces)
        for k in range(1, len(pieces)):
            sums, largest = engine.works[k].value.sums, self.sums[tables.RATIO]
            engine.gradient += engine.gradients[k]
            self.sums += sums
            self.sums[tables.RATIO] = max(largest, sums[tables.RATIO])


def flat(x: Tensor, rows: int) -> np.ndarray:
    """``[rows, numbers]``."""
    return np.ascontiguousarray(x.reshape(rows, -1).numpy())


def value_loss_numbers(loss: ValueLoss) -> tuple[int, float]:
    """Which value loss it is for the kernels, and its bound."""
    if isinstance(loss, Huber):
        return tables.HUBER, loss.delta
    return (tables.CLIPPED_MSE, loss.bound) if isinstance(loss, ClippedMSE) else (tables.MSE, 0.0)


def objective_numbers(objective: Objective | None) -> tuple[int, float]:
    """Which objective it is for the kernels, and its own number."""
    if isinstance(objective, DualClip):
        return tables.DUAL_CLIP, float(objective.c)
    if isinstance(objective, Rollback):
        return tables.ROLLBACK, float(objective.alpha)
    kinds = {Clip: tables.CLIP, Unclipped: tables.UNCLIPPED, SPO: tables.SPO}
    return (tables.POLICY_GRADIENT if objective is None else kinds[type(objective)]), 0.0
