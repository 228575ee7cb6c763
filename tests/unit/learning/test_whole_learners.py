"""A learner stays whole: what it moves stays where it is moved, and what is saved comes back or is called damaged."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import small_policy
from torch import Tensor, nn

import clipper
from clipper.errors import ConfigError, CorruptCheckpointError
from clipper.learning.gradient_step import accumulate, gradient_step, step
from clipper.learning.learner import Learner
from clipper.learning.optimizers import Adam, RMSProp, RMSPropTF
from clipper.learning.parts import make_part
from clipper.runs.run import Run
from clipper.storage import checkpoint

SMALL = clipper.PolicyOptions(hidden=(8,))
PLAN: Any = {"policy": SMALL, "num_envs": 2, "vector": "serial"}


def loss_of(policy: Any) -> Tensor:
    kind = next(policy.parameters()).dtype
    return policy.value(torch.ones(2, 3, dtype=kind)).mean.square().mean()


def numbers(policy: nn.Module) -> Tensor:
    return torch.cat([x.detach().flatten().double() for x in policy.parameters()])


def in_three_steps(between: Callable[[Learner], Any], separate: bool = False) -> Tensor:
    policy = small_policy("categorical")
    learner = Learner(policy, seed=0, separate=separate)
    for _ in range(3):
        gradient_step(learner, loss_of(policy), 1e-2, 0.5, "critic" if separate else "")
        between(learner)
    return numbers(policy)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize(
    "between",
    [
        lambda learner: learner.policy.zero_grad(),
        lambda learner: learner.policy.zero_grad(set_to_none=False),
        lambda learner: [own.optimizer.zero_grad() for own in learner.parts.values()],
    ],
    ids=["policy", "policy in place", "optimizer"],
)
def test_gradients_that_somebody_takes_away_come_back(between: Callable[[Learner], Any], separate: bool) -> None:
    assert torch.equal(in_three_steps(between, separate), in_three_steps(lambda learner: None, separate))


@pytest.mark.parametrize(
    "change",
    [
        lambda learner: learner.policy.double(),
        lambda learner: learner.policy.head.double(),
        lambda learner: learner.parts.update(head=make_part(learner.policy.head.parameters(), Adam())),
        lambda learner: setattr(next(learner.policy.parameters()), "data", torch.zeros(1)),
    ],
    ids=["dtype", "head's dtype", "second part", "data"],
)
def test_parameters_that_have_left_the_vector_are_an_error(change: Callable[[Learner], Any]) -> None:
    learner = Learner(small_policy("categorical"), seed=0)
    loss = loss_of(learner.policy)
    change(learner)
    with pytest.raises(ConfigError, match="have left the vector in which the learner moves them"):
        gradient_step(learner, loss, 1e-2, 0.5)


def test_copies_of_learners_learn_from_a_loaded_state_alone() -> None:
    learner = copy.deepcopy(Learner(small_policy("categorical"), seed=0))
    with pytest.raises(ConfigError, match="after copying one load its state into a new learner"):
        gradient_step(learner, loss_of(learner.policy), 1e-2, 0.5)


def test_pieces_are_added_up_after_gradients_came_back() -> None:
    ends = []
    for curious in (False, True):
        policy = small_policy("categorical")
        learner = Learner(policy, seed=0)
        if curious:
            policy.zero_grad()
        for _ in range(2):
            accumulate(learner, loss_of(policy))
        step(learner, 1e-2, 0.5)
        ends.append(numbers(policy))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    "name", ["policy", "adam", "extra", "skipped", "generator", "progress", "running_return", "a.b"]
)
def test_modules_whose_names_would_meet_others_are_refused(name: str) -> None:
    learner = Learner(small_policy("categorical"), seed=0)
    learner.modules[name] = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="cannot be saved by this name"):
        learner.state_dict()


def test_parts_whose_names_would_meet_others_are_refused() -> None:
    for names in (("a.b",), ("a", "a_adam")):
        learner = Learner(small_policy("categorical"), seed=0)
        for name in names:
            learner.parts[name] = make_part(nn.Linear(2, 2).parameters(), Adam())
        learner.modules["a_adam"] = nn.Linear(2, 2)
        with pytest.raises(ConfigError, match="name"):
            learner.state_dict()


class Made:
    """An optimizer of torch's, by its class."""

    def __init__(self, kind: Any, **rest: Any) -> None:
        self.kind, self.rest = kind, rest

    def make(self, parameters: Any) -> torch.optim.Optimizer:
        return self.kind([parameters] if isinstance(parameters, nn.Parameter) else parameters, **self.rest)


class Counting(torch.optim.SGD):
    """One that is made in another way than torch's, and counts its steps in whole numbers."""

    def __init__(self, parameters: Any, name: str) -> None:
        super().__init__(parameters, lr=0.1)
        self.name = name

    def step(self, closure: Any = None) -> None:
        super().step()
        for p in self.param_groups[0]["params"]:
            self.state[p].setdefault("step", torch.zeros((), dtype=torch.int64)).add_(1)


OPTIMIZERS: dict[str, Any] = {
    "Adam": Adam(),
    "RMSProp": RMSProp(),
    "RMSPropTF": RMSPropTF(),
    "NAdam": Made(torch.optim.NAdam),
    "ASGD": Made(torch.optim.ASGD),
    "AMSGrad": Made(torch.optim.AdamW, amsgrad=True),
    "SGD": Made(torch.optim.SGD, momentum=0.9),
    "plain SGD": Made(torch.optim.SGD),
    "Rprop": Made(torch.optim.Rprop),
    "Adagrad": Made(torch.optim.Adagrad),
    "own": Made(Counting, name="mine"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_whatever_an_optimizer_keeps_comes_back(name: str) -> None:
    def learner() -> Learner:
        return Learner(small_policy("categorical"), seed=0, optimizer=OPTIMIZERS[name])

    whole, first, second = learner(), learner(), learner()
    for one in (whole, first):
        for _ in range(3):
            gradient_step(one, loss_of(one.policy), 1e-2, 0.5)
    second.load_state_dict({name: x.clone() for name, x in first.state_dict().items()})
    for one in (whole, second):
        for _ in range(3):
            gradient_step(one, loss_of(one.policy), 1e-2, 0.5)
    assert torch.equal(numbers(whole.policy), numbers(second.policy))
    ours, theirs = whole.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nesterov(clipper.PPO):
    """PPO with an optimizer that keeps a single number beside its moments."""

    horizon: int = 16

    def init(self, policy: nn.Module, seed: int = 0) -> Learner:
        return Learner(policy, seed=seed, optimizer=OPTIMIZERS["NAdam"])


def test_a_run_with_an_optimizer_of_one_s_own_goes_on(tmp_path: Path) -> None:
    def stop(run: Run) -> bool:
        return run.iteration < 3

    whole = clipper.train("CartPole-v1", Nesterov(), total_steps=200, run_dir=tmp_path / "whole", **PLAN)
    clipper.train("CartPole-v1", Nesterov(), total_steps=200, run_dir=tmp_path / "cut", callback=stop, **PLAN)
    run = clipper.train(resume=tmp_path / "cut", algorithm=Nesterov())
    assert torch.equal(run.learner.parameters, whole.learner.parameters)


def replaced(name: str, x: Tensor | None) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors.pop(name) if x is None else tensors.update({name: x})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replaced("learner.adam.exp_avg_sq", None), "keeps exp_avg, exp_avg_sq, step, and there is exp_avg, step"),
        (replaced("learner.adam.more", torch.zeros(())), "there is exp_avg, exp_avg_sq, more, step"),
        (replaced("learner.adam.step", torch.tensor(5)), "step is torch.int64"),
        (replaced("learner.adam.step", torch.tensor(float("nan"))), "step is nan"),
        (replaced("learner.adam.step", torch.tensor(-1.0)), "step is -1.0"),
        (replaced("learner.adam.step", torch.zeros(2)), "step is .* of shape"),
        (replaced("learner.adam.exp_avg", torch.zeros(())), "exp_avg is .* of shape"),
    ],
)
@pytest.mark.parametrize("engine", ["torch", "cpu"])
def test_moments_that_are_not_whole_are_damage(change: Any, says: str, engine: Any, tmp_path: Path) -> None:
    algorithm = clipper.PPO(horizon=16, epochs=1, minibatches=1)
    clipper.train("CartPole-v1", algorithm, total_steps=64, run_dir=tmp_path, keep_checkpoints=1, **PLAN)
    tensors, values = checkpoint.load_latest(tmp_path)
    change(tensors)
    checkpoint.save(tmp_path / "checkpoint.safetensors", tensors, values)
    with pytest.raises(CorruptCheckpointError, match=says):
        clipper.train(resume=tmp_path, total_steps=128, engine=engine)


def test_what_is_loaded_lies_where_the_parameters_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counts on the CPU but for optimizers that count where they compute; here the accelerator is torch's meta."""
    sent = list[tuple[tuple[int, ...], str]]()
    learner = Learner(small_policy("categorical"), seed=0, optimizer=Made(torch.optim.NAdam))
    gradient_step(learner, loss_of(learner.policy), 1e-2, 0.5)
    learner.running_return = torch.zeros(4)
    state, to = learner.state_dict(), Tensor.to

    def watched(x: Tensor, *place: Any, **more: Any) -> Tensor:
        sent.append((tuple(x.shape), str(place[0])))
        return to(x, *place, **more)

    monkeypatch.setattr(Tensor, "to", watched)
    monkeypatch.setattr(learner, "skipped", torch.zeros((), device="meta"))
    monkeypatch.setattr(learner.parts[""], "parameters", [nn.Parameter(learner.parameters.detach().to("meta"))])
    sent.clear()
    own = {name.removeprefix("nadam."): x for name, x in state.items() if name.startswith("nadam.")}
    learner.parts[""].load_state_dict(own)
    assert ((), "cpu") in sent  # step
    assert ((), "meta") in sent  # mu_product
    (p,) = learner.parts[""].parameters
    devices = {name: x.device.type for name, x in learner.parts[""].optimizer.state[p].items()}
    assert devices == {"step": "cpu", "mu_product": "meta", "exp_avg": "meta", "exp_avg_sq": "meta"}
