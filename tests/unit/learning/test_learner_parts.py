"""A learner made of parts: batches read piece by piece, parts of several dtypes, and whatever else has a state."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import decisions, make_steps, small_policy
from torch import Generator, Tensor, nn

import clipper
from clipper.algorithms import A2C, PPO, TRPO, Algorithm, PPOPenalty
from clipper.data.steps import Steps, Targets, Value
from clipper.data.trees import each
from clipper.distributions import Categorical
from clipper.engines.eager import Torch
from clipper.errors import ConfigError
from clipper.functional.returns import gae
from clipper.learning.advantages import Standardised, recorded
from clipper.learning.gradient_step import accumulate, gradient_step, step
from clipper.learning.learner import Learner
from clipper.learning.metrics import Metrics
from clipper.learning.optimizers import Adam, RMSProp, RMSPropTF
from clipper.learning.parts import make_part
from clipper.learning.rewards import Raw, Scaled
from clipper.learning.two_steps import Again, targets_then_improve

PIECES = (7, 1, 20, 12)
WHOLE: list[Any] = [
    PPO(advantages=Raw(), entropy_coef=0.01),
    A2C(),
    PPOPenalty(advantages=Raw()),
]


@pytest.mark.parametrize("algorithm", WHOLE, ids=lambda a: type(a).__name__)
def test_pieces_weighed_by_their_decisions_add_up_to_the_whole_gradient(algorithm: Any) -> None:
    policy = small_policy("gaussian").double()
    learner = algorithm.init(policy)
    batch = decisions(algorithm.targets(learner, *make_steps(policy, rows=14, envs=4, seed=0)))
    with torch.no_grad():
        learner.parameters.add_(0.05 * torch.randn(learner.parameters.shape, generator=Generator().manual_seed(1)))
    batch = each(lambda x: x[: sum(PIECES)], batch)
    assert len(batch.advantage) == sum(PIECES)
    accumulate(learner, algorithm.loss(learner, batch)[0])
    expected = learner.parameters.grad.clone()
    norm = step(learner, 0.0, float("inf"))

    before = learner.parameters.detach().clone()
    for rows in torch.arange(sum(PIECES)).split(PIECES):
        loss, _ = algorithm.loss(learner, each(lambda x, rows=rows: x[rows], batch))
        accumulate(learner, len(rows) / sum(PIECES) * loss)
    torch.testing.assert_close(learner.parameters.grad, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(learner.parameters, before), "nothing moves before the step"
    torch.testing.assert_close(step(learner, 1e-3, 0.5), norm, rtol=1e-10, atol=0)
    assert not torch.equal(learner.parameters, before)


def test_one_piece_is_a_gradient_step_bit_for_bit() -> None:
    ends = []
    for apart in (False, True):
        policy = small_policy("categorical")
        learner = PPO().init(policy)
        for seed in range(3):
            loss = policy(torch.randn(9, 3, generator=Generator().manual_seed(seed)))[1].mean.square().mean()
            if apart:
                accumulate(learner, loss)
                step(learner, 1e-2, 0.5)
            else:
                gradient_step(learner, loss, 1e-2, 0.5)
        ends.append(learner.parameters.detach())
    assert torch.equal(*ends)


def test_a_step_without_a_loss_is_an_error() -> None:
    learner = PPO().init(small_policy("categorical"))
    with pytest.raises(AssertionError, match="accumulate a loss first"):
        step(learner, 0.1, 1.0)


def test_a_copy_of_a_learner_learns_nothing_in_secret() -> None:
    learner = deepcopy(PPO().init(small_policy("categorical")))
    with pytest.raises(ConfigError, match="have left the vector"):
        gradient_step(learner, learner.policy.value(torch.ones(2, 3)).mean.sum(), 0.1, 1.0)


@pytest.mark.parametrize("broken", [0, 1])
def test_one_piece_that_is_not_finite_leaves_the_step_out(broken: int) -> None:
    learner = PPO().init(small_policy("categorical"))
    for i in range(2):
        accumulate(learner, learner.parameters.sum() * (torch.nan if i == broken else 1.0))
    step(learner, 0.1, 1.0)
    assert int(learner.skipped) == 1
    assert torch.equal(learner.parameters, PPO().init(small_policy("categorical")).parameters)
    accumulate(learner, learner.parameters.sum())
    step(learner, 0.1, 1.0)
    assert int(learner.skipped) == 1, "the next one begins at 0"


def test_what_others_leave_in_the_gradient_counts_for_nothing() -> None:
    """As where a callback asks what an observation does to an answer."""
    ends = []
    for curious in (False, True):
        policy = small_policy("categorical")
        learner = PPO().init(policy)
        if curious:
            policy.value(torch.ones(1, 3)).mean.sum().backward()
        gradient_step(learner, policy.value(torch.ones(2, 3)).mean.square().mean(), 1e-2, 0.5)
        ends.append(learner.parameters.detach())
    assert torch.equal(*ends)


class Mixed(nn.Module):
    """An actor-critic whose trunk is in bfloat16, and what norms and answers in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.trunk = nn.LayerNorm(6), nn.Linear(4, 6, dtype=torch.bfloat16)
        self.logits, self.last = nn.Linear(6, 2), nn.Linear(6, 1)
        generator = Generator().manual_seed(0)
        for p in self.parameters():
            p.data.copy_(0.3 * torch.randn(p.shape, generator=generator))

    def features(self, obs: Tensor) -> Tensor:
        return self.norm(self.trunk(obs.bfloat16()).float())

    def act(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> Any:
        return Categorical(self.logits(self.features(obs))), ()

    def value(self, obs: Any, memory: Any = ()) -> Any:
        return Value(self.last(self.features(obs)).squeeze(-1))

    def forward(self, obs: Any, memory: Any = (), action_mask: Any = ()) -> Any:
        return self.act(obs)[0], self.value(obs)

    def to_env(self, action: Any, action_mask: Any = ()) -> Any:
        return action.numpy()

    def absorb(self, obs: Any, returns: Any) -> None:
        """No statistics."""

    def actor_parameters(self) -> list[nn.Parameter]:
        return [*self.trunk.parameters(), *self.norm.parameters(), *self.logits.parameters()]

    def critic_parameters(self) -> list[nn.Parameter]:
        return list(self.last.parameters())


SHORT: dict[str, Any] = {"horizon": 16, "learning_rate": 0.01}
OF_TWO_DTYPES: dict[str, Algorithm] = {
    "ppo": PPO(**SHORT, epochs=2, minibatches=2),
    "rmsprop": A2C(**SHORT),
    "rmsprop tf": A2C(**SHORT, optimizer=RMSPropTF()),
}


@pytest.mark.parametrize("name", OF_TWO_DTYPES)
def test_a_learner_of_two_dtypes_trains_and_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    algorithm = OF_TWO_DTYPES[name]
    settings: dict[str, Any] = {"num_envs": 2, "total_steps": 320, "vector": "serial", "engine": "torch"}
    whole = clipper.train("CartPole-v1", algorithm, policy=Mixed(), **settings)
    clipper.train(
        "CartPole-v1", algorithm, policy=Mixed(), run_dir=tmp_path / "run",
        callback=lambda run: run.iteration < 4, **settings,
    )  # fmt: skip
    resumed = clipper.train(resume=tmp_path / "run", policy=Mixed())
    states = whole.learner.state_dict(), resumed.learner.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    kept = type(whole.learner.optimizer).__name__.lower()
    dtypes = {x.dtype for name, x in states[0].items() if name.startswith(f"{kept}.") and name.endswith(("sq", "avg"))}
    assert dtypes == {torch.bfloat16, torch.float32}
    first = Mixed().state_dict()
    assert not any(torch.equal(first[k], x) for k, x in whole.policy.state_dict().items()), "all of it has moved"
    assert whole.learner.parameters.numel() == sum(x.numel() for x in first.values())


def test_the_norm_of_two_dtypes_is_the_joint_one() -> None:
    policy, obs = Mixed(), torch.randn(20, 4, generator=Generator().manual_seed(1))
    ordinary = deepcopy(policy)
    learner = PPO().init(policy)
    for bound in (0.1, 100.0):
        norm = gradient_step(learner, policy.value(obs).mean.square().mean(), 0.0, bound)
        for p in ordinary.parameters():
            p.grad = None
        ordinary.value(obs).mean.square().mean().backward()
        expected = nn.utils.clip_grad_norm_(ordinary.parameters(), bound)
        torch.testing.assert_close(norm, expected.float(), rtol=1e-2, atol=0)
        for ours, theirs in zip(policy.trunk.parameters(), ordinary.trunk.parameters(), strict=True):
            assert ours.grad is not None
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=2e-2, atol=1e-4)


def test_a_step_that_is_not_finite_leaves_all_dtypes_as_they_were() -> None:
    for optimizer in (Adam(), RMSProp(), RMSPropTF()):
        learner = Learner(Mixed(), seed=0, optimizer=optimizer)
        total = [p.float().sum() for p in learner.policy.parameters()]
        gradient_step(learner, torch.stack(total).sum(), 0.01, 1.0)
        before = {name: x.clone() for name, x in learner.state_dict().items()}
        total = [p.float().sum() * torch.inf for p in learner.policy.parameters()]
        gradient_step(learner, torch.stack(total).sum(), 0.01, 1.0)
        after = learner.state_dict()
        assert int(after["skipped"]) == 1
        assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("skipped"))


def test_where_the_actor_moves_as_one_vector_it_has_one_dtype() -> None:
    with pytest.raises(ConfigError, match="one dtype"):
        clipper.train("CartPole-v1", TRPO(horizon=16), policy=Mixed(), num_envs=2, total_steps=64)


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        PPO().init(small_policy("categorical").requires_grad_(False))


class Counter:
    """What has a state, and is no module."""

    def __init__(self) -> None:
        self.seen = torch.zeros(3, dtype=torch.int64)

    def state_dict(self) -> dict[str, Tensor]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.seen = state["seen"].clone()


def three_parts(seed: int) -> Learner:
    """Actor, critic, and a predictor with an optimizer of its own; beside them what counts."""
    learner = Learner(small_policy("categorical", seed=seed), seed=seed, separate=True)
    predictor = nn.Linear(3, 2)
    predictor.weight.data.copy_(torch.randn(2, 3, generator=Generator().manual_seed(seed)))
    learner.modules["predictor"] = predictor
    learner.parts["predictor"] = make_part(predictor.parameters(), RMSProp())
    learner.modules["counter"] = Counter()
    return learner


def move(learner: Learner, seed: int) -> None:
    """A step of each part."""
    obs = torch.randn(8, 3, generator=Generator().manual_seed(seed))
    modules: dict[str, Any] = learner.modules
    accumulate(learner, modules["predictor"](obs).square().mean(), "predictor")
    gradient_step(learner, -learner.policy.act(obs)[0].entropy().mean(), 0.01, 1.0)
    accumulate(learner, modules["predictor"](obs + 1).square().mean(), "predictor")
    gradient_step(learner, learner.policy.value(obs).mean.square().mean(), 0.02, 1.0, "critic")
    step(learner, 0.03, 1.0, "predictor")
    modules["counter"].seen += seed


def test_three_parts_and_what_else_has_a_state_are_kept() -> None:
    learner, other = three_parts(1), three_parts(2)
    for seed in range(3):
        move(learner, seed)
    move(other, 7)
    saved = {name: x.clone() for name, x in learner.state_dict().items()}
    assert {name.split(".")[0] for name in saved} == {
        "policy", "adam", "critic_adam", "predictor", "predictor_rmsprop", "counter", "skipped", "skipped_in_a_row",
        "generator", "progress",
    }  # fmt: skip
    other.load_state_dict(saved)
    for one in (learner, other):
        move(one, 5)
    left, right = learner.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert left["counter.seen"].tolist() == [8, 8, 8]


def test_a_part_s_loss_moves_that_part_alone() -> None:
    """Also where it reads what others answer, as an actor's does that climbs a critic."""
    learner = three_parts(1)
    predictor: Any = learner.modules["predictor"]
    before = {name: x.clone() for name, x in learner.state_dict().items()}
    accumulate(learner, predictor(torch.ones(4, 3)).square().mean(), "predictor")
    gradient = predictor.weight.grad.clone()
    obs = torch.randn(4, 3, generator=Generator().manual_seed(0))
    dist = learner.policy.act(obs)[0]
    loss = (dist.entropy() * predictor(obs).sum(-1)).mean() + learner.policy.value(obs).mean.sum()
    gradient_step(learner, loss, 0.1, 1.0)
    after = learner.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k]) and k.startswith(("policy.", "predictor."))}
    assert moved
    assert all(name.startswith(("policy.actor", "policy.head")) for name in moved)
    assert torch.equal(predictor.weight.grad, gradient), "what waits for its own step"


def test_parts_of_one_vector_take_their_steps_by_turns() -> None:
    learner = three_parts(1)
    accumulate(learner, learner.policy.value(torch.ones(2, 3)).mean.sum(), "critic")
    with pytest.raises(AssertionError, match="by turns"):
        accumulate(learner, learner.policy.act(torch.ones(2, 3))[0].entropy().mean())


def test_what_is_no_plain_tensor_stays_where_it_is() -> None:
    """As a sharded one."""

    class Shard(Tensor):
        pass

    plain = nn.Parameter(torch.ones(2))
    shards = [nn.Parameter(torch.ones(3).as_subclass(Shard)) for _ in range(2)]
    part = make_part([plain, *shards], Adam())
    assert [p.numel() for p in part.parameters] == [2, 3, 3]
    assert all(ours is theirs for ours, theirs in zip(part.parameters[1:], shards, strict=True))
    assert len(part.gradients) == 3


def test_a_state_that_a_run_never_had_is_said_to_be_missing(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"num_envs": 2, "total_steps": 64, "vector": "serial", "engine": "torch"}
    clipper.train("CartPole-v1", Kept(), run_dir=tmp_path / "run", **settings)
    assert clipper.train(resume=tmp_path / "run", algorithm=Kept(), total_steps=192).steps >= 192
    with pytest.raises(ConfigError, match="needs a counter state, which this run never had"):
        clipper.train(resume=tmp_path / "run", algorithm=Kept(counts=True), total_steps=1000)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An algorithm without a base class, in two steps; its second is A2C's."""

    horizon: int = 16
    counts: bool = False
    gamma: float = 0.9
    lam: float = 0.9
    update = targets_then_improve

    @torch.no_grad()
    def targets(self, learner: Learner, steps: Steps, last_obs: Any, again: bool = False) -> Targets:
        seen, _ = recorded(learner, steps, last_obs, self.gamma, again)
        advantage = gae(*seen, self.lam)
        return Targets(steps, advantage, advantage + seen.value[:-1], seen.value[:-1])

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        learner = Learner(policy, seed=seed)
        if self.counts:
            learner.modules["counter"] = Counter()
        return learner

    def improve(self, learner: Learner, targets: Targets, again: Again = None) -> Metrics:
        return A2C(learning_rate=1e-3, optimizer=Adam()).improve(learner, targets)


class Curious(PPO):
    """PPO whose targets count half a point more for each step; all else is PPO's."""

    def targets(self, learner: Learner, steps: Steps, last_obs: Any, again: bool = False) -> Targets:  # pyright: ignore[reportIncompatibleMethodOverride]
        more = steps._replace(reward=steps.reward + 0.5)
        return PPO.targets(self, learner, more, last_obs, again)


@pytest.mark.parametrize("recompute", [False, True])
def test_an_algorithm_may_replace_its_targets_alone(recompute: bool) -> None:
    settings: dict[str, Any] = {
        "epochs": 3, "minibatches": 2, "recompute": recompute, "rewards": Scaled(), "learning_rate": 0.01,
    }  # fmt: skip
    ends = []
    for kind, more in ((Curious, 0.0), (PPO, 0.5)):
        policy = small_policy("categorical")
        algorithm = kind(**settings)
        learner = algorithm.init(policy, seed=1)
        told = []
        for seed in range(2):
            steps, last = make_steps(policy, rows=20, envs=3, seed=seed)
            told.append(algorithm.update(learner, steps._replace(reward=steps.reward + more), last))
        ends.append((learner.state_dict(), told[-1]))
    (left, one), (right, other) = ends
    assert all(torch.equal(left[name], right[name]) for name in left | right)
    assert all(torch.equal(one[name], other[name]) for name in one | other)


def test_targets_of_one_s_own_run_on_the_definition() -> None:
    run = clipper.train("CartPole-v1", Curious(horizon=16), num_envs=2, total_steps=64, vector="serial")
    assert isinstance(run.engine, Torch)


def test_an_improvement_by_itself_needs_no_steps_that_lead_to_it() -> None:
    """Targets that others have made, and nothing that makes them anew."""
    policy = small_policy("categorical")
    algorithm = PPO(epochs=2, minibatches=2, recompute=True)
    learner = algorithm.init(policy)
    steps, last = make_steps(policy, rows=12, envs=3, seed=0)
    before = learner.parameters.detach().clone()
    metrics = algorithm.improve(learner, algorithm.targets(learner, steps, last))
    assert not torch.equal(learner.parameters, before)
    assert metrics.keys() == algorithm.update(learner, steps, last).keys()


def test_the_kernels_improve_towards_targets_of_anyone_s_making() -> None:
    """The same steps from the definition's targets, standardised or not, as from their own."""
    engine = pytest.importorskip("clipper.engines.cpu.engine")
    for advantages in (Standardised("batch"), Standardised("minibatch"), Standardised("trajectories"), Raw()):
        algorithm = PPO(epochs=2, minibatches=2, advantages=advantages, learning_rate=0.01)
        ends = []
        for own in (False, True):
            policy = small_policy("gaussian")
            learner = algorithm.init(policy, seed=1)
            steps, last = make_steps(policy, rows=20, envs=3, seed=0)
            cpu = engine.CPU(learner, algorithm)
            cpu.improve(cpu.targets(steps, last) if own else algorithm.targets(learner, steps, last))
            ends.append(learner.parameters.detach())
        torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-6)
