"""LSTM and GRU on the compiled engine: passes through time against torch's cells in float64, and whole updates."""

import copy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from batches import ACTIONS, OBSERVATIONS
from torch import Generator, Tensor

import clipper
from clipper.algorithms import A2C, PPO, VPG, Algorithm, PPOPenalty, PPOSeparate, Reinforce
from clipper.data.trees import each
from clipper.engines.cpu import sequences as sequences_of
from clipper.engines.cpu import threads as team
from clipper.engines.cpu.engine import CPU
from clipper.engines.cpu.passes import Fitted
from clipper.engines.cpu.sequence_passes import SequenceStepper
from clipper.engines.cpu.sequences import Segment
from clipper.engines.eager import Torch
from clipper.errors import ConfigError
from clipper.learning.advantages import Standardised
from clipper.learning.critic_targets import NStep, Periodic
from clipper.learning.kl import Exact, KLStop
from clipper.learning.minibatches import whole
from clipper.networks.memory import GRU, LSTM

MEMORIES = {"lstm": LSTM(5), "gru": GRU(5)}


class Ends(gymnasium.Env):
    """Noise, in episodes that end after 3 to 12 decisions, every other one truncated."""

    observation_space = OBSERVATIONS

    def __init__(self, action_space: gymnasium.Space) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(3, 13))
        return self.np_random.standard_normal(3).astype(np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.left -= 1
        obs, reward = self.np_random.standard_normal(3).astype(np.float32), float(self.np_random.standard_normal())
        return obs, reward, self.left == 0 and reward > 0, self.left == 0 and reward <= 0, {}


def policy_of(memory: Any, kind: Any = "categorical", **options: Any) -> clipper.ActorCritic:
    """An actor-critic whose parameters are all different from 0."""
    generator = Generator().manual_seed(1)
    given: dict[str, Any] = {"hidden": (6,), "memory": memory} | options
    made = clipper.make_policy(OBSERVATIONS, ACTIONS[kind], clipper.PolicyOptions(**given), generator)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator))
    return made


def rollouts(kind: Any = "categorical", n: int = 5) -> clipper.VectorRollouts:
    return clipper.VectorRollouts(clipper.make_env(lambda: Ends(ACTIONS[kind]), n), 0)


def places(learner: Any) -> dict[str, slice]:
    """Where each parameter stands in the learner's vector."""
    flat = learner.parameters
    first = {name: (p.data_ptr() - flat.data_ptr()) // 4 for name, p in learner.policy.named_parameters()}
    return {
        name: slice(at, at + p.numel())
        for (name, at), p in zip(first.items(), learner.policy.parameters(), strict=True)
    }


def relative(x: Tensor, expected: Tensor) -> float:
    return float((x.double() - expected).abs().max() / expected.abs().max())


def unrolled(policy: Any, obs: Tensor, state: Tensor, segment: Segment, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What the memories recall ``[T, n, …]``, and their last states, by the definition's single steps."""
    recalled, last, at, begins = [], [], 0, torch.from_numpy(segment.begins)[:, columns]
    cells = [(policy.actor, policy.memory.actor), (policy.critic, policy.memory.critic)]
    for trunk, cell in cells[: 1 if policy.memory.shared else 2]:
        own = tuple(state[:, at + k * cell.size : at + (k + 1) * cell.size] for k in range(cell.leaves))
        at += cell.leaves * cell.size
        outputs = []
        for x, begin in zip(trunk(policy.encoder(obs)), begins, strict=True):
            out, own = cell.step(x, tuple(torch.where(begin[:, None], 0, s) for s in own))
            outputs.append(out)
        recalled.append(torch.stack(outputs))
        last += own
    return torch.cat(recalled, -1), torch.cat(last, -1)


@pytest.mark.parametrize("size", [5, 16, 64])
@pytest.mark.parametrize("shape", [(1, 4, 4), (23, 2, 5), (40, 9, 12)], ids=["step", "few", "many"])
@pytest.mark.parametrize("memory", [LSTM, GRU])
def test_through_time_is_torch_s_in_float64(memory: Any, shape: tuple[int, int, int], size: int) -> None:
    """Columns in any order, rows that are no decision, resets in mid segment; trunks of no layer, too."""
    (steps, n, environments), rng = shape, np.random.default_rng(size)
    policy = policy_of(memory(size), hidden=() if size == 16 else (6,), shared=size == 5)
    engine = CPU(PPO().init(policy), PPO())
    cells, kernels = engine.sequences, engine.kernels
    assert cells is not None
    begins = rng.random((steps, environments)) < 0.2
    present = np.ones_like(begins)
    present[:-1] = ~begins[1:]
    obs = rng.standard_normal((steps * environments, 3)).astype(np.float32)
    state = rng.standard_normal((environments, cells.state_width)).astype(np.float32)
    segment = Segment(obs, begins, present, present, state)
    columns, slopes = rng.permutation(environments)[:n], rng.standard_normal((steps, n, cells.width)).astype(np.float32)
    slopes *= present[:, columns, None]
    recalled, after = np.full((len(obs), cells.width), np.nan, np.float32), np.full_like(state, np.nan)
    gradient = np.zeros_like(engine.gradient)
    cells.lay_out()
    for k, cell in enumerate(cells.cells):
        tape, rows = cells.tape(k, 0, steps * n, n), (obs, begins, present, columns)
        first, size_of = (cells.nets[k], cell, engine.works[0], tape), cell.value
        kernels.recall(*first, *rows, state, after, recalled, 0, steps, 0, n)
        tape.value.slopes.fill(0)
        place = tape.value.slopes.reshape(steps, n, size_of.width)
        place[..., : size_of.size] = slopes[..., size_of.recalled : size_of.recalled + size_of.size]
        kernels.pull_back(*first, gradient, *rows, 0, steps, 0, n)
    own, errors = torch.from_numpy(present)[:, columns], []
    for dtype in (torch.float64, torch.float32):
        other, index = copy.deepcopy(policy).to(dtype), torch.from_numpy(columns)
        seen = torch.from_numpy(obs).to(dtype).view(steps, environments, 3)[:, index]
        told, last = unrolled(other, seen, torch.from_numpy(state).to(dtype)[index], segment, index)
        (told * torch.from_numpy(slopes).to(dtype)).sum().backward()
        expected = torch.zeros(len(gradient), dtype=dtype)
        for (_, p), place in zip(other.named_parameters(), places(engine.learner).values(), strict=True):
            expected[place] = 0 if p.grad is None else p.grad.flatten()
        errors.append((told.detach()[own], last.detach(), expected))
    ours = torch.from_numpy(recalled).view(steps, environments, -1)[:, columns][own], torch.from_numpy(after[columns])
    for x, exact, single in zip((*ours, torch.from_numpy(gradient)), *errors, strict=True):
        assert relative(x, exact) < max(2e-6, 2 * relative(single, exact))


ALGORITHMS = {
    "ppo": PPO(epochs=3, minibatches=2, learning_rate=3e-3, entropy_coef=0.01),
    "exact": PPO(epochs=3, kl=Exact(), stop=KLStop(0.02, "epoch"), advantages=Standardised("batch"), recompute=True),
    "stop": PPO(epochs=8, minibatches=3, stop=KLStop(0.003), value_loss=clipper.value_losses.ClippedMSE(0.2)),
    "a2c": A2C(critic_target=NStep(3, lag=Periodic(2))),
    "separate": PPOSeparate(epochs=4, value_epochs=3, minibatches=2, value_minibatches=2),
    "penalty": PPOPenalty(epochs=3, minibatches=2),
    "vpg": VPG(value_epochs=3, advantages=Standardised("trajectories")),
    "reinforce": Reinforce(entropy_coef=0.01),
}


POLICIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "lstm": ("lstm", "categorical", {}),
    "gru-shared": ("gru", "gaussian", {"shared": True}),
    "gru-normalised": ("gru", "several", {"normalise_obs": True, "normalise_returns": True}),
    "lstm-burnt-in": ("lstm burnt in", "gaussian", {}),
}
OFTEN = {("gru-shared", "ppo"), ("gru-normalised", "exact"), ("lstm-burnt-in", "stop"), ("lstm-burnt-in", "reinforce")}
"""Beside every algorithm with an LSTM; the others are run with full counts."""


def every_pair() -> list[Any]:
    """Each policy with each algorithm, those of the long run marked."""
    pairs = [(policy, name) for policy in POLICIES for name in ALGORITHMS]
    marks = {pair: () if pair[0] == "lstm" or pair in OFTEN else pytest.mark.long for pair in pairs}
    return [pytest.param(*POLICIES[pair[0]], pair[1], marks=marks[pair], id="-".join(pair)) for pair in pairs]


@pytest.mark.parametrize(("memory", "kind", "options", "name"), every_pair())
@pytest.mark.parametrize("threads", [1, pytest.param(3, marks=pytest.mark.long)])
def test_five_iterations_are_the_definition_s(
    name: str, memory: str, kind: Any, options: dict, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm: Algorithm = ALGORITHMS[name]
    if options.get("shared") and name in ("separate", "vpg"):
        pytest.skip("these move actor and critic apart")
    if threads > 1:
        if memory != "lstm":
            pytest.skip("one memory will do")
        monkeypatch.setattr(team, "PAYS", 1.0)
    monkeypatch.setattr(sequences_of, "ROWS", 64)  # several groups of columns
    value = LSTM(5, burn_in=4) if memory.endswith("in") else MEMORIES[memory]
    learners = [algorithm.init(policy_of(value, kind, **options), seed=5) for _ in range(2)]
    engines = CPU(learners[0], algorithm, threads), Torch(learners[1], algorithm)
    source = rollouts(kind)
    for _ in range(5):
        steps, last = source.collect(
            learners[1].policy, **({"episodes": 12} if name == "reinforce" else {"horizon": 31})
        )
        ours, theirs = (engine.update(steps, last) for engine in engines)
        assert {name: float(x) for name, x in ours.items()} == pytest.approx(
            {name: float(x) for name, x in theirs.items()}, 1e-3, 1e-4
        )
    a, b = (learner.state_dict() for learner in learners)
    for key, x in a.items():
        torch.testing.assert_close(x, b[key], rtol=2e-3, atol=2e-5, msg=key)


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_loss_s_gradient_is_the_definition_s_in_float64(memory: str) -> None:
    algorithm = PPO(minibatches=1, value_loss=clipper.value_losses.Huber(1.0))
    policy = policy_of(MEMORIES[memory], "gaussian")
    engine = CPU(algorithm.init(policy), algorithm)
    steps, last = rollouts("gaussian").collect(policy_of(MEMORIES[memory], "gaussian"), horizon=30)
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=Generator().manual_seed(3)))
    targets = engine.targets(steps, last)
    rows, keep = engine.rows(targets), np.flatnonzero(steps.mask.numpy())
    stepper = engine.stepper(engine.plan.climb, keep, steps)
    assert isinstance(stepper, SequenceStepper)
    stepper.bind(Fitted(rows, engine.loss(rows, keep, steps)))
    stepper.shuffle()
    stepper.shares.add_up_columns(stepper.shares.minibatches[0])
    found = []
    for dtype in (torch.float64, torch.float32):
        learner = algorithm.init(copy.deepcopy(policy).to(dtype))
        batch = each(lambda x, dtype=dtype: x.to(dtype) if x.is_floating_point() else x, targets)
        loss, _ = algorithm.loss(learner, whole(batch, Generator()))
        loss.backward()
        found.append(learner.parameters.grad)
    assert relative(torch.from_numpy(engine.gradient), found[0]) < max(1e-5, 2 * relative(found[1], found[0]))


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("many", [{"horizon": 40}, {"episodes": 60}], ids=["horizon", "episodes"])
def test_segments_are_the_definition_s(memory: str, many: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded and what is carried on, row by row, the critic's memory too."""
    monkeypatch.setattr("clipper.engines.cpu.segment.AT_FIRST", 32)  # so that the storage has to grow
    policy = policy_of(MEMORIES[memory])
    engine, state, expected_state = CPU(PPO().init(policy), PPO()), rollouts(), rollouts()
    for _ in range(3):
        steps, _ = state.collect(engine.actor, **many)
        expected, _ = expected_state.collect(policy, **many)
        for name in ("obs", "action", "terminated", "done", "mask"):
            assert torch.equal(getattr(steps, name), getattr(expected, name)), name
        torch.testing.assert_close(steps.log_prob[steps.mask], expected.log_prob[steps.mask], rtol=0, atol=1e-5)
        past, expected_past = steps.memory, expected.memory
        assert torch.equal(past.begins, expected_past.begins)
        assert torch.equal(past.burn_in, expected_past.burn_in)
        for x, y in zip(past.state, expected_past.state, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=1e-5)
        if "horizon" in many:
            assert len(state.memory) == len(expected_state.memory)
            for x, y in zip(state.memory, expected_state.memory, strict=True):
                torch.testing.assert_close(x, y, rtol=0, atol=1e-5)


def trained(path: Path | None, **settings: Any) -> Any:
    plan = {"total_steps": 480, "num_envs": 4, "engine": "cpu", "policy": clipper.PolicyOptions(memory=LSTM(8))}
    return clipper.train("CartPole-v1", PPO(horizon=30, epochs=2), run_dir=path, **plan | settings)


def test_a_run_repeats_itself_bit_for_bit_and_resumes_exactly(tmp_path: Path) -> None:
    whole_run, again = trained(None), trained(None)
    assert whole_run.engine.description == "cpu (compiled kernels)"
    trained(tmp_path / "run", checkpoint_every=240, callback=lambda run: run.iteration < 2)
    resumed = clipper.train(resume=tmp_path / "run")
    assert resumed.exact
    for run in (again, resumed):
        ours, theirs = whole_run.state_dict()[0], run.state_dict()[0]
        assert ours.keys() == theirs.keys()
        for name, x in ours.items():
            assert torch.equal(x, theirs[name]), name


@pytest.mark.parametrize("algorithm", [clipper.TRPO(horizon=16), PPO(horizon=16, clip=lambda progress: 0.2)])
def test_what_kernels_cannot_learn_they_still_act_for(algorithm: Any) -> None:
    settings = {"total_steps": 64, "num_envs": 4, "policy": clipper.PolicyOptions(memory=GRU(4)), "engine": "cpu"}
    run = clipper.train("CartPole-v1", algorithm, **settings)
    assert run.engine.name == "cpu"
    assert "updates by torch" in run.engine.description


def test_a_transformer_is_torch_s_with_the_reason() -> None:
    policy = clipper.PolicyOptions(memory=clipper.memory.Transformer(8, window=4, heads=2))
    with pytest.raises(ConfigError, match="the policy has a memory, a Attentive, that kernels do not know"):
        clipper.train("CartPole-v1", PPO(horizon=16), total_steps=64, num_envs=4, policy=policy, engine="cpu")


def test_steps_without_a_past_are_refused() -> None:
    policy = policy_of(LSTM(5))
    engine = CPU(PPO().init(policy), PPO())
    steps, last = rollouts().collect(policy, horizon=9)
    with pytest.raises(ConfigError, match=r"steps\.memory is a tuple, but this policy's update reads a Past"):
        engine.update(steps._replace(memory=()), last)
    short = steps.memory._replace(begins=steps.memory.begins[1:])
    with pytest.raises(ConfigError, match=r"steps\.memory\.begins is torch\.bool of shape \(8, 5\)"):
        engine.update(steps._replace(memory=short), last)
