"""The engine for small networks on the CPU: few compiled kernels in place of PyTorch's many operations.

Parameters, gradient and the optimizer's moments are the learner's own memory, so a checkpoint does not know the engine.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Generator, Tensor

from clipper.algorithms import PPO, Algorithm
from clipper.data import Steps, Tree
from clipper.engines.collecting import Player, collect_segment, flat_mask
from clipper.engines.kernels import loss as losses
from clipper.engines.kernels import optimizer as optimizers
from clipper.engines.kernels import returns, update
from clipper.engines.kernels.tables import CATEGORICAL, GAUSSIAN, Head, Loss, Net, Optimizer, Rows, Work
from clipper.engines.kernels.tiles import LANES
from clipper.engines.network import Network, read_network
from clipper.engines.plan import Plan, read_algorithm
from clipper.engines.team import Team
from clipper.environments import make
from clipper.heads.scales import LOG_STD_BOUNDS
from clipper.nets import PolicyOptions, make_policy
from clipper.objectives import SPO, Clip, DualClip, Objective, Rollback, Unclipped
from clipper.optim import Learner, Metrics
from clipper.optimizers import Adam
from clipper.rollout import CollectState, collect, start
from clipper.schedules import at
from clipper.value_losses import ClippedMSE, Huber, ValueLoss

CHUNK = 384  # rows that pass forward and backward together: the buffers stay in the cache


def is_compiled() -> bool:
    """Has an earlier process left the kernels in Numba's cache?"""
    folder = update.epoch.stats.cache_path
    return folder is not None and any(Path(folder).glob("update.epoch-*.nbc"))


def compile_kernels() -> None:
    """Leave all kernels in Numba's cache: one small iteration for each kind of action space."""
    for env_id in ("CartPole-v1", "Pendulum-v1"):
        env = make(env_id, 2)
        spaces = env.single_observation_space, env.single_action_space
        policy = make_policy(*spaces, PolicyOptions(hidden=(2,)), Generator().manual_seed(0))
        algorithm = PPO(epochs=1, minibatches=1)
        engine = CPU(algorithm.init(policy), algorithm)
        steps, state = engine.collect(env, start(env, 0), horizon=2)
        engine.update(steps, state.obs)
        env.close()


def make_net(learner: Learner, network: Network) -> Net:
    """The learner's own parameters and its normaliser's statistics."""
    normaliser, width = learner.policy.encoder.normaliser, network.features
    return Net(
        theta=learner.parameters.detach().numpy(),
        layers=network.layers,
        shift=np.zeros(width, np.float32) if normaliser is None else normaliser.shift.numpy(),
        scale=np.ones(width, np.float32) if normaliser is None else normaliser.scale.numpy(),
        bound=0.0 if normaliser is None else float(normaliser.bound),
    )


def make_head(network: Network, theta: np.ndarray) -> Head:
    """The head as the kernels have it."""
    learned, size = network.log_std >= 0, 0 if network.sizes else network.outputs
    return Head(
        kind=CATEGORICAL if network.sizes else GAUSSIAN,
        slot=network.head,
        outputs=network.outputs,
        value=network.value,
        sizes=np.array(network.sizes, np.int64),
        log_std=theta[network.log_std : network.log_std + network.outputs] if learned else np.empty(size, np.float32),
        log_std_at=network.log_std,
        low=LOG_STD_BOUNDS[0],
        high=LOG_STD_BOUNDS[1],
    )


def make_work(network: Network) -> Work:
    """Memory for one thread."""
    buffers = np.zeros((3, network.width * (CHUNK + LANES)), np.float32)
    return Work(CHUNK, *buffers, *np.empty((5, CHUNK), np.float32))


class CPU:
    """Collects and updates with Numba's kernels."""

    name: Literal["cpu"] = "cpu"

    def __init__(self, learner: Learner, algorithm: Algorithm, threads: int = 1) -> None:
        self.learner, self.algorithm, self.plan = learner, algorithm, read_algorithm(algorithm)
        self.network = read_network(learner.policy, learner.parameters)
        self.description = "cpu (numba)"
        assert learner.parameters.grad is not None
        self.gradient = learner.parameters.grad.numpy()
        self.net = make_net(learner, self.network)
        self.head = make_head(self.network, self.net.theta)
        self.all_legal = np.empty((0, self.network.outputs), bool)
        self.team = Team(threads)
        self.works = [make_work(self.network) for _ in range(threads)]
        self.gradients = [self.gradient, *(np.empty_like(self.gradient) for _ in range(threads - 1))]

    def look_at_plan(self) -> None:
        """Note the present log σ, where it follows a plan; a learned one is the learner's own memory."""
        head = self.learner.policy.head
        if self.head.kind == GAUSSIAN and self.head.log_std_at < 0:
            self.head.log_std[:] = head.log_std(torch.zeros(1)).numpy()

    def collect(self, env: VectorEnv, state: CollectState, **quota: int) -> tuple[Steps, CollectState]:
        """As ``rollout.collect``; for a horizon, the noise of a whole segment is drawn at once."""
        horizon, episodes = quota.get("horizon"), quota.get("episodes")
        if state.mode is not AutoresetMode.NEXT_STEP or len(quota) != 1 or (horizon or episodes or 0) < 1:
            return collect(env, self.learner.policy, state, **quota)
        self.look_at_plan()
        return collect_segment(env, state, horizon, episodes, self.player)

    def player(self, n: int, rows: int, generator: Generator, row_by_row: bool) -> Player:
        """What acts in one segment."""
        return Player(
            self.learner.policy, self.network, self.net, self.head, self.works, self.team, n, rows, generator,
            row_by_row,
        )  # fmt: skip

    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``algorithm.update``."""
        learner, plan = self.learner, self.plan
        self.look_at_plan()
        rows = self.targets(steps, last_obs)
        keep = np.flatnonzero(steps.mask.numpy())
        loss = self.loss(rows, keep, int(np.count_nonzero(steps.done.numpy())))
        history = self.epochs(rows, loss, keep)
        if loss.actor_weight:
            history[:, 0] *= loss.actor_weight * len(keep)
        policy = learner.policy
        if policy.encoder.normaliser is not None or policy.returns is not None:
            target = torch.from_numpy(rows.value_target).view_as(steps.reward)
            policy.absorb(steps.obs[steps.mask], target[steps.mask])
        return summarise(plan, history, rows, keep)

    def targets(self, steps: Steps, last_obs: Tensor) -> Rows:
        """As ``algorithm.targets``, but for the advantages' standard units, which are ``loss``'s."""
        algorithm, plan, learner = self.algorithm, self.plan, self.learner
        t, n = steps.mask.shape
        value, zero = np.empty((t + 1, n), np.float32), np.zeros((t + 1, n), np.float32)
        self.values(flat(steps.obs, t * n), value[:t].reshape(-1))
        self.values(flat(last_obs, n), value[t])
        scaled = learner.reward_scaler is not None
        reward = (learner.scale_rewards(steps, algorithm.gamma) if scaled else steps.reward).numpy()
        terminated, done, mask = (x.numpy() for x in (steps.terminated, steps.done, steps.mask))
        advantage, target = np.empty((2, t, n), np.float32)
        lam = 1.0 if plan.whole_returns else algorithm.lam  # pyright: ignore[reportAttributeAccessIssue]
        expected = zero if plan.whole_returns else value
        returns.gae(
            np.ascontiguousarray(reward), expected, terminated, done, mask, algorithm.gamma, lam, advantage, target
        )
        if plan.whole_returns and plan.baseline:
            advantage -= value[:t]
        return self.rows(steps, advantage, target, value[:t])

    def values(self, obs: np.ndarray, out: np.ndarray) -> None:
        """V of ``obs [B, F]``."""
        network, (shift, scale) = self.network, self.return_units()

        def work(k: int, piece: slice) -> None:
            returns.values(self.net, network.critic, network.value, obs[piece], shift, scale, self.works[k], out[piece])

        self.team.run(work, self.team.pieces(len(obs), network.operations(network.critic)))

    def return_units(self) -> tuple[float, float]:
        """Mean and scale of normalised returns."""
        normaliser = self.learner.policy.returns
        return (0.0, 1.0) if normaliser is None else (float(normaliser.moments.mean), float(normaliser.scale))

    def rows(self, steps: Steps, advantage: np.ndarray, value_target: np.ndarray, value: np.ndarray) -> Rows:
        """Steps and targets as flat arrays."""
        n = steps.mask.numel()
        action, mask = flat(steps.action, n), steps.action_mask
        discrete = self.head.kind == CATEGORICAL
        nothing, legal = np.empty((0, 0), np.float32 if discrete else np.int64), self.all_legal
        if not isinstance(mask, tuple):
            legal = flat_mask(self.learner.policy.head, mask).reshape(n, -1)
        return Rows(
            obs=flat(steps.obs, n),
            choice=action if discrete else nothing,
            action=nothing if discrete else action,
            legal=legal,
            log_prob=flat(steps.log_prob, n)[:, 0],
            advantage=advantage.reshape(n),
            value_target=value_target.reshape(n),
            value=value.reshape(n),
        )

    def loss(self, rows: Rows, keep: np.ndarray, trajectories: int) -> Loss:
        """The loss's numbers at this moment."""
        algorithm, plan, progress = self.algorithm, self.plan, self.learner.progress
        low, high = plan.clip if isinstance(plan.clip, tuple) else (at(plan.clip, progress),) * 2
        objective, number = objective_numbers(plan.objective)
        kind, bound = value_loss_numbers(algorithm.value_loss)  # pyright: ignore[reportAttributeAccessIssue]
        shift, scale = self.return_units()
        mean, factor = losses.standard_units(rows.advantage, keep, plan.correction) if plan.per_batch else (0.0, 1.0)
        return Loss(
            objective=objective,
            number=number,
            low=float(low),
            high=float(high),
            value_loss=kind,
            value_bound=float(bound),
            value_coef=float(algorithm.value_coef),  # pyright: ignore[reportAttributeAccessIssue]
            entropy_coef=float(at(algorithm.entropy_coef, progress)),  # pyright: ignore[reportAttributeAccessIssue]
            value_shift=shift,
            value_scale=scale,
            standardise=plan.per_minibatch,
            correction=plan.correction,
            mean=mean,
            factor=factor,
            actor_weight=1 / max(trajectories, 1) if plan.trajectories else 0.0,
        )

    def epochs(self, rows: Rows, loss: Loss, keep: np.ndarray) -> np.ndarray:
        """Take all steps; returns one row of what is watched for each."""
        plan, learner = self.plan, self.learner
        optimizer, taken_before = self.optimizer()
        counts = np.array([int(taken_before), int(learner.skipped), int(learner.skipped_in_a_row)])
        parts = min(plan.minibatches, len(keep))
        largest = np.inf if plan.target_kl is None else 1.5 * plan.target_kl
        pieces = self.team.pieces(len(keep) // parts, 3 * self.network.operations(self.network.layers))
        history: list[np.ndarray] = []
        for _ in range(plan.epochs):
            order = keep[torch.randperm(len(keep), generator=learner.generator).numpy()]
            watched = np.empty((parts, losses.NORM + 1))
            arguments = rows, loss, order, watched, optimizer, counts, largest
            taken = self.epoch(*arguments) if len(pieces) == 1 else self.epoch_in_threads(*arguments)
            history.append(watched[:taken])
            if taken < parts:
                break
        for counter, value in zip((taken_before, learner.skipped, learner.skipped_in_a_row), counts, strict=True):
            counter.fill_(int(value))
        return np.concatenate(history)

    def epoch(
        self, rows: Rows, loss: Loss, order: np.ndarray, watched: np.ndarray, optimizer: Optimizer,
        counts: np.ndarray, largest: float,
    ) -> int:  # fmt: skip
        """One pass in this thread; returns how many steps were taken."""
        return update.epoch(
            self.net, self.head, loss, rows, order, len(watched), self.works[0], self.gradient, optimizer, counts,
            largest, watched,
        )  # fmt: skip

    def epoch_in_threads(
        self, rows: Rows, loss: Loss, order: np.ndarray, watched: np.ndarray, optimizer: Optimizer,
        counts: np.ndarray, largest: float,
    ) -> int:  # fmt: skip
        """One pass, each minibatch shared among the threads."""
        for i, index in enumerate(np.array_split(order, len(watched))):
            watched[i, : losses.MEAN] = self.share(rows, loss, index)
            watched[i, losses.MEAN : losses.NORM] = losses.mean_and_std(rows.advantage, index, 0)
            if watched[i, 3] > largest:
                return i
            loss_there = float(watched[i, :3].sum())
            watched[i, -1] = optimizers.step(self.net.theta, self.gradient, optimizer, loss_there, counts)
        return len(watched)

    def share(self, rows: Rows, loss: Loss, index: np.ndarray) -> np.ndarray:
        """Leave a minibatch's gradient in the learner's; returns means of what is watched, then the largest ratio."""
        mean, factor = update.units(loss, rows, index)
        pieces = self.team.pieces(len(index), 3 * self.network.operations(self.network.layers))
        sums = np.zeros((len(pieces), losses.RATIO + 1))

        def work(k: int, piece: slice) -> None:
            self.gradients[k][:] = 0
            update.accumulate(
                self.net, self.head, loss, rows, index[piece], 1 / len(index), mean, factor, self.works[k],
                self.gradients[k], sums[k],
            )  # fmt: skip

        self.team.run(work, pieces)
        for k in range(1, len(pieces)):
            self.gradient += self.gradients[k]
        means = sums.sum(0) / len(index)
        means[7], means[losses.RATIO] = means[3], sums[:, losses.RATIO].max()
        return means

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
        rate: Any = self.algorithm.learning_rate  # pyright: ignore[reportAttributeAccessIssue]
        group["lr"] = at(rate, learner.progress)
        beta1, beta2 = group["betas"] if adam else (0.0, group["alpha"])
        return Optimizer(
            kind=optimizers.ADAM if adam else optimizers.RMSPROP,
            first=moments[names[0]].detach().numpy(),
            second=moments[names[-1]].detach().numpy(),
            learning_rate=float(group["lr"]),
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            max_norm=float(self.algorithm.max_grad_norm),  # pyright: ignore[reportAttributeAccessIssue]
        ), moments["step"]


def summarise(plan: Plan, history: np.ndarray, rows: Rows, keep: np.ndarray) -> Metrics:
    """As ``clipper.optim.summarise``."""
    mean, least, largest = history.mean(0), history.min(0), history.max(0)
    summary = dict(zip(plan.watched, mean, strict=False)) | {"loss/gradient_norm": mean[losses.NORM]}
    if plan.objective is not None:
        summary["policy/ratio_max"] = largest[losses.RATIO]
        for name, k in (("mean", losses.MEAN), ("std", losses.STD)):
            summary |= {f"advantage/minibatch_{name}_min": least[k], f"advantage/minibatch_{name}_max": largest[k]}
    summary["advantage/mean"], summary["advantage/std"] = losses.mean_and_std(rows.advantage, keep, 0)
    summary["value/explained_variance"] = returns.explained_variance(rows.value, rows.value_target, keep)
    return dict(zip(summary, torch.tensor(list(summary.values()), dtype=torch.float32), strict=True))


def flat(x: Tensor, rows: int) -> np.ndarray:
    """``[rows, numbers]``."""
    return np.ascontiguousarray(x.reshape(rows, -1).numpy())


def value_loss_numbers(loss: ValueLoss) -> tuple[int, float]:
    """Which value loss it is for the kernels, and its bound."""
    if isinstance(loss, Huber):
        return losses.HUBER, loss.delta
    return (losses.CLIPPED_MSE, loss.bound) if isinstance(loss, ClippedMSE) else (losses.MSE, 0.0)


def objective_numbers(objective: Objective | None) -> tuple[int, float]:
    """Which objective it is for the kernels, and its own number."""
    if isinstance(objective, DualClip):
        return losses.DUAL_CLIP, float(objective.c)
    if isinstance(objective, Rollback):
        return losses.ROLLBACK, float(objective.alpha)
    kinds = {Clip: losses.CLIP, Unclipped: losses.UNCLIPPED, SPO: losses.SPO}
    return (losses.POLICY_GRADIENT if objective is None else kinds[type(objective)]), 0.0
