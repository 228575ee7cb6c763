"""The engine for small networks on the CPU: few compiled kernels in place of PyTorch's many operations.

Parameters, gradient and Adam's moments are the learner's own memory, so a checkpoint does not know the engine.
"""

import importlib
import math
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from threadpoolctl import ThreadpoolController
from torch import Tensor

from clipper.algorithms import PPO
from clipper.algorithms.ppo import WATCHED
from clipper.data import Steps, Targets, Tree
from clipper.engines.kernels import adam, categorical, gaussian, mlp, ppo
from clipper.engines.network import Network, read_network
from clipper.environments.checks import LARGEST_REWARD, check_finite
from clipper.errors import EnvironmentContractError
from clipper.functional.statistics import explained_variance
from clipper.heads.gaussian import LOG_STD_BOUNDS
from clipper.nets import PolicyOptions, make_policy
from clipper.optim import Learner, Metrics
from clipper.rollout import CollectState, collect, count_episodes, cut_off
from clipper.schedules import at
from clipper.value_losses import ClippedMSE, Huber, ValueLoss

CHUNK = 512  # rows that pass forward and backward together: the buffers stay in the cache
importlib.import_module("scipy.linalg.cython_blas")  # what Numba multiplies with, loaded so that it is found below
BLAS = ThreadpoolController()


def is_compiled() -> bool:
    """Has an earlier process left the kernels in Numba's cache?"""
    folder = mlp.backward.stats.cache_path
    return folder is not None and any(Path(folder).glob("mlp.backward-*.nbc"))


def compile_kernels() -> None:
    """Leave all kernels in Numba's cache: one small update for each kind of action space."""
    box = gymnasium.spaces.Box(-1, 1, (2,))
    for space in (gymnasium.spaces.Discrete(2), box):
        policy = make_policy(box, space, PolicyOptions(hidden=(2,)), torch.Generator().manual_seed(0))
        algorithm = PPO(epochs=1, minibatches=1)
        engine = CPU(algorithm.init(policy), algorithm)
        obs = torch.zeros(3, 2, 2)
        state = CollectState(obs[0], np.zeros(2, bool), torch.Generator(), AutoresetMode.NEXT_STEP)
        act, actions, log_prob = engine.actor(2, 2, state)
        act(obs[0].numpy(), 0)
        rows = [torch.zeros(2, 2), *torch.zeros(3, 2, 2, dtype=torch.bool)]
        steps = Steps(obs[:2], torch.stack(actions), torch.from_numpy(log_prob).fill_(0), *rows)
        engine.update(steps._replace(mask=~steps.mask, action=torch.zeros_like(steps.action)), obs[2])


class Buffers:
    """What the layers give for up to ``capacity`` rows, and the gradients of that."""

    def __init__(self, network: Network, capacity: int, training: bool) -> None:
        self.capacity = capacity
        self.out = np.zeros(network.width * capacity, np.float32)
        self.pre = np.zeros_like(self.out)
        self.slopes = np.zeros_like(self.out) if training else self.out[:0]
        self.scratch = np.zeros(max(network.largest, network.widest * capacity) if training else 0, np.float32)

    def view(self, slot: int, rows: int, width: int, of: np.ndarray | None = None) -> np.ndarray:
        """``[rows, width]`` of one layer's output, or gradient."""
        start = slot * self.capacity
        return (self.out if of is None else of)[start : start + rows * width].reshape(rows, width)


class CPU:
    """Collects and updates with Numba's kernels."""

    name: Literal["cpu"] = "cpu"
    description = "cpu (numba)"

    def __init__(self, learner: Learner, algorithm: PPO) -> None:
        self.learner, self.algorithm = learner, algorithm
        self.network = read_network(learner.policy, learner.parameters)
        normaliser = learner.policy.encoder.normaliser
        width = self.network.features
        self.shift = np.zeros(width, np.float32) if normaliser is None else normaliser.shift.numpy()
        self.scale = np.ones(width, np.float32) if normaliser is None else normaliser.scale.numpy()
        self.bound = np.float32(0.0 if normaliser is None else normaliser.bound)
        self.low, self.high = (np.float32(bound) for bound in LOG_STD_BOUNDS)
        self.theta = learner.parameters.detach().numpy()
        assert learner.parameters.grad is not None
        self.gradient = learner.parameters.grad.numpy()
        n, o = self.network.log_std, self.network.outputs
        self.log_std = self.theta[n : n + o] if n >= 0 else None
        self.training = Buffers(self.network, CHUNK, training=True)
        self.acting: Buffers | None = None

    def forward(self, layers: np.ndarray, obs: np.ndarray, index: np.ndarray, buffers: Buffers) -> None:
        """Let ``obs[index]`` pass through the layers."""
        mlp.forward(
            self.theta, layers, obs, index, self.shift, self.scale, self.bound, buffers.out, buffers.pre,
            buffers.capacity,
        )  # fmt: skip

    @BLAS.wrap(limits=1, user_api="blas")
    def collect(self, env: VectorEnv, state: CollectState, **quota: int) -> tuple[Steps, CollectState]:
        """As ``rollout.collect``; the noise of a whole segment is drawn at once."""
        if "horizon" not in quota or state.stale or state.mode is not AutoresetMode.NEXT_STEP:
            return collect(env, self.learner.policy, state, **quota)
        rows, n = quota["horizon"], env.num_envs
        obs = np.empty((rows + 1, n, *state.obs.shape[1:]), np.float32)
        obs[0] = state.obs.numpy()
        reward = np.empty((rows, n), np.float32)
        terminated, truncated, done = np.empty((3, rows, n), bool)
        restarts: list[tuple[int, np.ndarray]] = []
        state.fresh = False
        act, actions, log_prob = self.actor(rows, n, state)
        previous = state.done
        flat, policy = obs.reshape(rows + 1, n, -1), self.learner.policy
        for t in range(rows):
            act(flat[t], t)
            seen, gain, terminated[t], truncated[t], info = env.step(policy.to_env(actions[t]))
            if np.shape(gain) != (n,):
                raise EnvironmentContractError(
                    f"rewards of shape {np.shape(gain)} from {n} environments: each reward must be one number"
                )
            check_finite(env, gain, "reward", state.steps, largest=LARGEST_REWARD)
            check_finite(env, seen, "observation", state.steps)
            if "restarted" in info:
                restarts.append((t, info["restarted"]))
            obs[t + 1], reward[t] = seen, gain
            np.logical_or(terminated[t], truncated[t], out=done[t])
            state.steps += n - int(np.count_nonzero(previous))
            previous = done[t]
        mask = ~np.concatenate([state.done[None], done[:-1]])
        state.obs, state.done = torch.from_numpy(obs[rows].copy()), done[-1].copy()
        arrays = [torch.from_numpy(x) for x in (reward, terminated & mask, done & mask, mask)]
        steps = Steps(torch.from_numpy(obs[:rows]), torch.stack(actions), torch.from_numpy(log_prob), *arrays)
        if restarts:
            cut_off(steps, restarts, state)
        count_episodes(steps, state)
        return steps, state

    def actor(self, rows: int, n: int, state: CollectState) -> Any:
        """A function that acts in row t of a segment, and where it writes actions and log μ(a|s)."""
        if self.acting is None or self.acting.capacity != n:
            self.acting = Buffers(self.network, n, training=False)
        buffers, index, layers = self.acting, np.arange(n), self.network.actor
        out = buffers.view(self.network.head, n, self.network.outputs)
        log_prob = np.empty((rows, n), np.float32)
        if self.log_std is None:
            uniform = torch.rand(rows, n, generator=state.generator).numpy()
            action = torch.empty(rows, n, dtype=torch.int64)

            def act(obs: np.ndarray, t: int) -> None:
                self.forward(layers, obs, index, buffers)
                categorical.sample(out, uniform[t], actions[t], log_prob[t])
        else:
            noise = torch.randn(rows, *out.shape, generator=state.generator).numpy()
            action = torch.empty(rows, *out.shape)

            def act(obs: np.ndarray, t: int) -> None:
                self.forward(layers, obs, index, buffers)
                gaussian.sample(out, self.log_std, self.low, self.high, noise[t], actions[t], log_prob[t])

        actions = action.numpy()
        return act, list(action.unbind(0)), log_prob

    @BLAS.wrap(limits=1, user_api="blas")
    def update(self, steps: Steps, last_obs: Tree) -> Metrics:
        """As ``PPO.update``, whose targets are taken as they are: they cost little beside the epochs."""
        algorithm, learner = self.algorithm, self.learner
        targets = algorithm.targets(learner, steps, last_obs)
        rows = Rows(self, targets)
        keep = steps.mask.flatten().nonzero().squeeze(-1)
        learning_rate = at(algorithm.learning_rate, learner.progress)
        history: list[np.ndarray] = []
        for index in minibatch_indices(keep, algorithm, learner):
            watched = rows.gradient(index, learner.progress)
            if algorithm.target_kl is not None and watched[3] > 1.5 * algorithm.target_kl:
                break
            history.append(np.append(watched, self.step(learning_rate, float(watched[:3].sum()))))
        learner.policy.absorb(steps.obs[steps.mask], targets.value_target[steps.mask])
        explained = explained_variance(targets.value, targets.value_target, steps.mask)
        means = torch.from_numpy(np.mean(history, axis=0, dtype=np.float64)).float()
        names = (*WATCHED, "loss/gradient_norm")
        return dict(zip(names, means, strict=True)) | {"value/explained_variance": explained}

    def step(self, learning_rate: float, loss: float) -> float:
        """``clipper.optim.gradient_step``; returns the gradient's norm."""
        optimizer, parameters = self.learner.optimizer, self.learner.parameters
        moments, group = optimizer.state[parameters], optimizer.param_groups[0]
        if not moments:  # as torch makes them in the first step
            moments["step"] = torch.zeros((), dtype=torch.float32)
            moments["exp_avg"], moments["exp_avg_sq"] = torch.zeros_like(parameters), torch.zeros_like(parameters)
        beta1, beta2 = group["betas"]
        group["lr"] = learning_rate
        norm = adam.step(
            self.theta, self.gradient, moments["exp_avg"].numpy(), moments["exp_avg_sq"].numpy(),
            float(moments["step"]) + 1, learning_rate, beta1, beta2, group["eps"], self.algorithm.max_grad_norm, loss,
        )  # fmt: skip
        in_a_row = self.learner.skipped_in_a_row.numpy()
        if math.isfinite(norm + loss):
            moments["step"] += 1
            in_a_row[()] = 0
        else:
            in_a_row += 1
            self.learner.skipped += 1
        return norm


def minibatch_indices(keep: Tensor, algorithm: PPO, learner: Learner) -> Any:
    """The rows of ``clipper.optim.minibatches``, from the same draws."""
    for _ in range(algorithm.epochs):
        order = torch.randperm(len(keep), generator=learner.generator)
        for part in order.tensor_split(min(algorithm.minibatches, len(keep))):
            yield keep[part].numpy()


def value_loss_numbers(loss: ValueLoss) -> tuple[int, float]:
    """Which value loss it is for the kernels, and its bound."""
    if isinstance(loss, Huber):
        return ppo.HUBER, loss.delta
    return (ppo.CLIPPED_MSE, loss.bound) if isinstance(loss, ClippedMSE) else (ppo.MSE, 0.0)


class Rows:
    """One update's decisions as flat arrays, of which minibatches are indices."""

    def __init__(self, engine: CPU, targets: Targets) -> None:
        self.engine, steps = engine, targets.steps
        n = steps.mask.numel()

        def flat(x: Tensor) -> np.ndarray:
            return np.ascontiguousarray(x.reshape(n, *x.shape[2:]).numpy())

        self.obs = flat(steps.obs).reshape(n, -1)
        self.action, self.log_prob = flat(steps.action), flat(steps.log_prob)
        self.advantage = flat(targets.advantage)
        self.value_target, self.value = flat(targets.value_target), flat(targets.value)
        self.row_log_prob, self.entropy, self.d_log_prob = np.empty((3, CHUNK))
        returns = engine.learner.policy.returns
        self.returns = (0.0, 1.0) if returns is None else (float(returns.moments.mean), float(returns.scale))

    def gradient(self, index: np.ndarray, progress: float) -> np.ndarray:
        """Leave the loss's gradient in the learner's; returns the means of what is watched."""
        engine, algorithm = self.engine, self.engine.algorithm
        engine.gradient[:] = 0
        sums = np.zeros(5)
        standard = algorithm.standardise == "minibatch"
        units = ppo.standard_units(self.advantage, index) if standard else (0.0, 1.0)
        low, high = algorithm.clip if isinstance(algorithm.clip, tuple) else (at(algorithm.clip, progress),) * 2
        weight = 1 / len(index)
        kind, bound = value_loss_numbers(algorithm.value_loss)
        numbers = tuple(float(x) for x in (*units, *self.returns, low, high, algorithm.value_coef, bound, weight))
        d_entropy = -at(algorithm.entropy_coef, progress) * weight
        for start in range(0, len(index), CHUNK):
            self.chunk(index[start : start + CHUNK], numbers, kind, d_entropy, sums)
        return sums * weight

    def chunk(
        self, index: np.ndarray, numbers: tuple[float, ...], kind: int, d_entropy: float, sums: np.ndarray
    ) -> None:
        """Add what some rows contribute."""
        engine, network, buffers = self.engine, self.engine.network, self.engine.training
        n, o = len(index), network.outputs
        engine.forward(network.layers, self.obs, index, buffers)
        out, d_out = buffers.view(network.head, n, o), buffers.view(network.head, n, o, buffers.slopes)
        value = buffers.view(network.value, n, 1)[:, 0]
        d_value = buffers.view(network.value, n, 1, buffers.slopes)[:, 0]
        log_prob, entropy, d_log_prob = self.row_log_prob[:n], self.entropy[:n], self.d_log_prob[:n]
        bounds = engine.log_std, engine.low, engine.high
        if engine.log_std is None:
            categorical.evaluate(out, self.action, index, log_prob, entropy)
        else:
            gaussian.evaluate(out, *bounds, self.action, index, log_prob, entropy)
        ppo.slopes(
            index, log_prob, value, self.log_prob, self.advantage, self.value_target, self.value, numbers,
            kind, d_log_prob, d_value, sums,
        )  # fmt: skip
        sums[2] += entropy.sum()
        if engine.log_std is None:
            categorical.backward(out, self.action, index, entropy, d_log_prob, d_entropy, d_out)
        else:
            d_log_std = engine.gradient[network.log_std : network.log_std + o]
            gaussian.backward(out, *bounds, self.action, index, d_log_prob, d_entropy, d_out, d_log_std)
        mlp.backward(
            engine.theta, engine.gradient, network.layers, n, buffers.out, buffers.pre, buffers.slopes,
            buffers.capacity, buffers.scratch,
        )  # fmt: skip
