"""The engine for small networks on the CPU: few compiled kernels in place of PyTorch's many operations."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clipper.algorithms import PPO, Algorithm
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree, each
from clipper.engines.cpu.action_table import none
from clipper.engines.cpu.kernels import tables
from clipper.engines.cpu.kernels.tables import EXACT, Loss, Rows
from clipper.engines.cpu.loss_numbers import objective_numbers, value_loss_numbers
from clipper.engines.cpu.losses_by_torch import LossesByTorch
from clipper.engines.cpu.machine import Machine
from clipper.engines.cpu.natural import NaturalStep
from clipper.engines.cpu.passes import Fitted, Stepper
from clipper.engines.cpu.plan import Passes, read_algorithm
from clipper.engines.cpu.sequence_passes import SequenceStepper
from clipper.engines.cpu.sequences import Segment
from clipper.engines.cpu.sizes import check_targets
from clipper.functional.objectives import adapt_penalty
from clipper.functional.reduce import trajectory_moments
from clipper.functional.returns import total_return
from clipper.learning.action_parts import PerPart, entropy_coefs
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.schedules import at
from clipper.learning.two_steps import Again


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
        targets = self.targets(steps, last_obs, checked=True)
        return self.take_steps(targets, lambda: self.targets(steps, last_obs, checked=True, again=True))

    def improve(self, targets: Targets) -> Metrics:
        """As ``algorithm.improve``, whoever made the targets; that a batch has standardised them already is undone."""
        if self.decisions(targets.steps) == 0:
            return self.learner.pass_over(targets.steps)
        check_targets(targets)
        if targets.old and not isinstance(self.algorithm, PPO):  # π_old is what they say it is
            return LossesByTorch(self.learner, self.algorithm, "", self.team.size).improve(targets)
        return self.take_steps(targets)

    def take_steps(self, targets: Targets, again: Again = None) -> Metrics:
        """``improve``, without a look at sizes."""
        self.look()
        plan, learner, climbed = self.plan, self.learner, targets
        keep, value_loss = np.flatnonzero(targets.steps.mask.numpy()), {}
        if plan.fit is not None and plan.fit_first:
            value_loss = self.fit(plan.fit, targets, keep)
            climbed = again() if again else targets
        rows = self.rows(climbed, keep)
        metrics = (self.natural if plan.natural else self.climb)(rows, climbed.steps, keep, again)
        if plan.fit is not None and not plan.fit_first:
            value_loss = self.fit(plan.fit, targets, keep)
        if plan.penalised:
            metrics |= self.adapt_penalty(rows, targets.steps, keep)
        if self.network.normalises or learner.policy.returns is not None:
            learner.absorb(targets)
        if plan.fit_first:
            told = self.rows(targets)
            explained = self.kernels.explained_variance(told.value, told.value_target, keep)
            metrics["value/explained_variance"] = torch.tensor(explained)
        return metrics | value_loss

    def climb(self, rows: Rows, steps: Steps, keep: np.ndarray, again: Again) -> Metrics:
        """The steps of both, or of the actor alone; what was watched."""
        plan = self.plan
        loss = self.loss(rows, keep, steps)
        stepper = self.stepper(plan.climb, keep, steps)
        stepper.bind(Fitted(rows, loss))
        for epoch in range(plan.climb.epochs):
            if epoch and plan.recompute and again is not None:
                fresh = self.rows(again())._replace(old=rows.old)
                stepper.bind(Fitted(fresh, self.loss(fresh, keep, steps)))
            if stepper.epoch():
                break
        history = stepper.finish()
        if loss.actor_weight:
            history[:, 0] *= loss.actor_weight * len(keep)
        return self.summarise(history, rows, keep)

    def natural(self, rows: Rows, steps: Steps, keep: np.ndarray, _: Again) -> Metrics:
        """The actor's one step along F⁻¹g; what was watched."""
        order = self.shuffled(keep, steps)
        told = NaturalStep(self, self.algorithm, rows, self.loss(rows, keep, steps), order).take()
        return self.told(told, rows, keep)

    def stepper(self, passes: Passes, keep: np.ndarray, steps: Steps) -> Stepper:
        """What takes these steps."""
        norm = self.algorithm.max_grad_norm
        if self.sequences is None:
            return Stepper(self, passes, norm, keep)
        return SequenceStepper(self, self.sequences, self.segment(steps), passes, norm, keep)

    def segment(self, steps: Steps) -> Segment:
        """The rows as memories read them."""
        assert self.sequences is not None
        return self.sequences.of(steps, self.network.rows.of(steps.obs, (steps.mask.numel(),)))

    def shuffled(self, keep: np.ndarray, steps: Steps) -> np.ndarray:
        """All decisions as one minibatch, in an order as the definition draws it."""
        if self.sequences is not None:
            torch.randperm(int(steps.mask.any(0).sum()), generator=self.learner.generator)
            return np.flatnonzero(self.segment(steps).used)
        return keep[torch.randperm(len(keep), generator=self.learner.generator).numpy()]

    def fit(self, passes: Passes, targets: Targets, keep: np.ndarray) -> Metrics:
        """The critic's own steps."""
        rows = self.rows(targets)
        loss = self.loss(rows, keep, targets.steps)._replace(acts=False, judges=True, standardise=False)
        stepper = self.stepper(passes, keep, targets.steps)
        stepper.bind(Fitted(rows, loss))
        for _ in range(passes.epochs):
            stepper.epoch()
        return {"loss/value": torch.tensor(stepper.finish()[:, 1].mean(), dtype=torch.float32)}

    def adapt_penalty(self, rows: Rows, steps: Steps, keep: np.ndarray) -> Metrics:
        """Bring β to the KL that came of the steps."""
        learner, target = self.learner, self.algorithm.kl_target
        loss, work = self.loss(rows, keep, steps), self.works[0]
        order = self.shuffled(keep, steps)
        if self.sequences is not None:
            rows = rows._replace(obs=self.sequences.recall_all(self.segment(steps), [0]))
        self.kernels.weigh(self.actor_net, self.head, loss, rows, work, order)
        kl = torch.tensor(work.value.sums[3] / max(len(order), 1), dtype=torch.float32)
        beta = learner.extra["beta"]
        if target is not None:
            learner.extra["beta"] = adapt_penalty(beta, kl, target)
        return {"policy/kl": kl, "policy/beta": beta.to(kl)}

    def targets(self, steps: Steps, last_obs: Tree, checked: bool = False, again: bool = False) -> Targets:
        """As ``algorithm.targets``, but for the advantages' standard units, which are ``loss``'s."""
        if not checked:
            self.decisions(steps, last_obs)
        self.look()
        algorithm, learner = self.algorithm, self.learner
        value = self.segment_values(steps, last_obs)
        if self.plan.whole_returns:
            return self.whole_returns(steps, value[:-1])
        reward = steps.reward
        if learner.reward_scaler is not None:
            reward = learner.reward_scaler(reward) if again else learner.scale_rewards(steps, algorithm.gamma)
        advantage, target = self.gae(steps, reward, value, algorithm.lam)
        made = Targets(steps, *map(torch.from_numpy, (advantage, target, value[:-1])))
        if algorithm.critic_target is None:
            return made
        seen = torch.from_numpy(value)
        if learner.lag is not None:
            obs = each(lambda rows, last: torch.cat([rows, last[None]]), steps.obs, last_obs)
            seen = learner.lagged_value(obs, steps.memory and steps.memory.extended(steps.mask), again)
        told = algorithm.critic_target(reward, seen, steps.terminated, steps.done, steps.mask, algorithm.gamma)
        return made._replace(value_target=told)

    def whole_returns(self, steps: Steps, value: np.ndarray) -> Targets:
        """Returns to go, and what they, or whole episodes' returns, exceed the baseline by."""
        algorithm = self.algorithm
        returns, _ = self.gae(steps, steps.reward, np.zeros((len(value) + 1, *value.shape[1:]), np.float32), 1.0)
        credit = torch.from_numpy(returns)
        if not algorithm.causal:
            credit = total_return(steps.reward, steps.done, steps.mask, algorithm.gamma)
        judged = torch.from_numpy(value)
        return Targets(steps, credit - judged if algorithm.baseline else credit, torch.from_numpy(returns), judged)

    def gae(self, steps: Steps, reward: Tensor, value: np.ndarray, lam: float) -> tuple[np.ndarray, np.ndarray]:
        """Â, and Â + V; with V = 0 and λ = 1 both are returns to go."""
        flags = (x.numpy() for x in (steps.terminated, steps.done, steps.mask))
        advantage, target = np.empty((2, *steps.mask.shape), np.float32)
        self.kernels.gae(
            *map(np.ascontiguousarray, (reward.numpy(), value, *flags)), self.algorithm.gamma, lam,
            np.zeros(value.shape[1]), advantage, target,
        )  # fmt: skip
        return advantage, target

    def rows(self, targets: Targets, remembered: np.ndarray | None = None) -> Rows:
        """Steps and targets as flat arrays; advantages in their own units, and π in the rows ``remembered``."""
        steps, n = targets.steps, targets.steps.mask.numel()
        (advantage,) = targets.raw or (targets.advantage,)
        actions, mask, legal = self.network.actions, steps.action_mask, self.all_legal
        if not none(mask):
            legal = actions.legal_rows(mask, np.empty((n, actions.legal), bool))
        choice, action = actions.rows_of(steps.action, n)
        rows = Rows(
            obs=self.network.rows.of(steps.obs, (n,)),
            choice=choice,
            action=action,
            legal=legal,
            log_prob=flat(steps.log_prob, n)[:, 0],
            log_probs=actions.log_prob_rows(steps.log_probs, n),
            advantage=flat(advantage, n)[:, 0],
            value_target=flat(targets.value_target, n)[:, 0],
            value=flat(targets.value, n)[:, 0],
            old=np.empty((0, actions.remembered), np.float32),
        )
        if remembered is None or self.plan.kl != EXACT:
            return rows
        old, seen = np.zeros((n, actions.remembered), np.float32), rows
        if self.sequences is not None:
            seen = rows._replace(obs=self.sequences.recall_all(self.segment(steps), [0]))
        self.kernels.remember(self.actor_net, self.head, seen, remembered, self.works[0], old)
        return rows._replace(old=old)

    def loss(self, rows: Rows, keep: np.ndarray, steps: Steps) -> Loss:
        """The loss's numbers at this moment."""
        algorithm, plan, progress = self.algorithm, self.plan, self.learner.progress
        low, high = plan.clip if isinstance(plan.clip, tuple) else (at(plan.clip, progress),) * 2
        objective, number, limit = objective_numbers(plan.objective)
        kind, bound = value_loss_numbers(algorithm.value_loss)
        shift, scale = self.return_units()
        mean, factor, trajectories = 0.0, 1.0, int((steps.done & steps.mask).sum())
        if plan.per_batch:
            mean, factor = self.kernels.standard_units(rows.advantage, keep, plan.correction)
        elif plan.per_trajectory:
            advantage = torch.from_numpy(rows.advantage).view_as(steps.reward)
            mean, std = map(float, trajectory_moments(advantage, steps.done, steps.mask))
            factor = 0.0 if std <= 1e-6 * abs(mean) + 1e-8 else 1 / (std + 1e-8)
        return Loss(
            acts=plan.climb.acts,
            judges=plan.climb.judges,
            objective=objective,
            number=number,
            limit=limit,
            kl=plan.kl,
            kl_coef=float(self.learner.extra["beta"]) if plan.penalised else 0.0,
            low=float(low),
            high=float(high),
            value_loss=kind,
            value_bound=float(bound),
            value_coef=float(plan.value_coef),
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
        plan, progress = self.plan, self.learner.progress
        names = self.network.actions.names if steps.log_probs else []
        if plan.parts.entropy:
            coefs = list(entropy_coefs(names, plan.parts.entropy, plan.entropy_coef).values())
        else:
            coefs = [plan.entropy_coef] * max(len(self.network.actions.names), 1)
        return np.array([at(coef, progress) for coef in coefs], np.float64)

    def summarise(self, history: np.ndarray, rows: Rows, keep: np.ndarray) -> Metrics:
        """As ``clipper.learning.metrics.summarise``."""
        plan = self.plan
        mean, least, largest = history.mean(0), history.min(0), history.max(0)
        summary = {name: mean[k] for name, k in plan.watched.items()} | {"loss/gradient_norm": mean[tables.NORM]}
        if plan.objective is not None:
            if plan.by_part and len(rows.log_probs):
                by_part = mean[tables.NORM + 1 :].reshape(-1, tables.LEAF_SUMS)
                for name, (entropy, kl, outside) in zip(self.network.actions.names, by_part, strict=True):
                    summary |= {f"policy/entropy/{name}": entropy, f"policy/kl/{name}": kl}
                    summary[f"policy/clip_fraction/{name}"] = outside
            summary["policy/ratio_max"] = largest[tables.RATIO]
            for name, k in (("mean", tables.MEAN), ("std", tables.STD)):
                summary |= {f"advantage/minibatch_{name}_min": least[k], f"advantage/minibatch_{name}_max": largest[k]}
        return self.told(summary, rows, keep)

    def told(self, summary: dict[str, float], rows: Rows, keep: np.ndarray) -> Metrics:
        """With what is known of the whole batch, as tensors."""
        kernels = self.kernels
        summary["advantage/mean"], summary["advantage/std"] = kernels.mean_and_std(rows.advantage, keep, 0)
        summary["value/explained_variance"] = kernels.explained_variance(rows.value, rows.value_target, keep)
        return dict(zip(summary, torch.tensor(list(summary.values()), dtype=torch.float32), strict=True))


def flat(x: Tensor, rows: int) -> np.ndarray:
    """``[rows, numbers]``."""
    return np.ascontiguousarray(x.reshape(rows, -1).numpy())
