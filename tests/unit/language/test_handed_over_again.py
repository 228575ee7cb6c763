"""What a run on prompts is handed once more when it goes on: where it is another, the run is not exact, and says so."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import shape_checker
import torch
from small_models import EOS, config_of
from torch import Generator, nn

import clipper
from clipper.errors import ConfigError
from clipper.language.known_again import fingerprint
from clipper.language.train import train_language

Ids = list[list[int]]


class Length:
    """A reward that is an object with settings."""

    def __init__(self, wanted: int, weights: Sequence[float] = (1.0,)) -> None:
        self.wanted, self.weights = wanted, list(weights)

    def __call__(self, prompts: Ids, responses: Ids) -> list[float]:
        return [-abs(len(x) - self.wanted) * self.weights[0] for x in responses]


class Counting(Length):
    """It keeps something that changes what it gives."""

    calls = 0

    def __call__(self, prompts: Ids, responses: Ids) -> list[float]:
        self.calls += 1
        return [float(self.calls)] * len(responses)


class Whitened(nn.Module):
    """Lengths in the units of all lengths so far, which are numbers of its state."""

    def __init__(self, wanted: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("total", torch.full((2,), wanted, dtype=torch.float64))

    def forward(self, prompts: Ids, responses: Ids) -> torch.Tensor:
        lengths = torch.tensor([float(len(x)) for x in responses])
        self.total += torch.tensor([len(lengths), float(lengths.sum())])  # pyright: ignore[reportIndexIssue]
        return lengths - float(self.total[1] / self.total[0])


class Harder:
    """It asks for more with each call, and keeps tensors, lists and numbers."""

    def __init__(self, step: float = 0.25) -> None:
        self.step, self.calls, self.latest, self.table = step, 0, [0.0], torch.zeros(2)

    def score(self, prompts: Ids, responses: Ids) -> list[float]:
        self.calls += 1
        self.table = self.table + torch.tensor([1.0, self.step])
        self.latest = [-abs(len(x) - float(self.table[1])) for x in responses]
        return self.latest

    def state_dict(self) -> dict[str, object]:
        return {"calls": self.calls, "latest": self.latest, "table": self.table.numpy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls, self.latest, self.table = state["calls"], list(state["latest"]), state["table"]


def wanting(wanted: int) -> Callable[[Ids, Ids], list[float]]:
    """A reward that is a closure."""

    def reward(prompts: Ids, responses: Ids) -> list[float]:
        return [-abs(len(x) - wanted) for x in responses]

    return reward


def drawn(count: int, generator: Generator) -> Ids:
    return torch.randint(EOS, (count, 2), generator=generator).tolist()


def drawn_otherwise(count: int, generator: Generator) -> Ids:
    return torch.randint(EOS - 1, (count, 2), generator=generator).tolist()


class InOrder:
    """Prompts one after another, whatever the generator: no file knows how far it is."""

    def __init__(self) -> None:
        self.next = 0

    def __call__(self, count: int, generator: Generator) -> Ids:
        self.next += count
        return [[i % EOS] for i in range(self.next - count, self.next)]


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipper.runs.train.plot_run", lambda run: None)


def train(reward: Any, prompts: Any, **options: Any) -> clipper.Run:
    return train_language(config_of("llama"), prompts, reward, **options)


def begin(folder: Path, reward: Any, prompts: Any) -> None:
    train(
        reward, prompts, algorithm=clipper.PPO(gamma=1.0, epochs=1, minibatches=1), critic="shared", responses=4,
        max_tokens=3, eos=EOS, total_steps=60, run_dir=folder, callback=lambda run: run.iteration < 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "again", "same"),
    [
        (Length(3), Length(3), True),
        (Length(3), Length(2), False),
        (Length(3), Length(3, (2.0,)), False),
        (wanting(3), wanting(3), True),
        (wanting(3), wanting(2), False),
        (functools.partial(Length.__call__, Length(1)), functools.partial(Length.__call__, Length(1)), True),
        (functools.partial(Length.__call__, Length(1)), functools.partial(Length.__call__, Length(2)), False),
        (Length(3).__call__, Length(2).__call__, False),
        (Counting(3), Counting(3), False),
    ],
)
def test_a_reward_of_other_settings(reward: Any, again: Any, same: bool, tmp_path: Path) -> None:
    begin(tmp_path, reward, [[1], [2]])
    run = train(again, [[1], [2]], resume=tmp_path)
    assert run.exact == same
    assert ("the reward, or what it holds" in run.inexact) != same


@pytest.mark.parametrize("make", [Whitened, lambda: Harder().score], ids=["network", "method"])
def test_a_reward_s_state_is_saved_and_given_back(make: Callable[[], Any], tmp_path: Path) -> None:
    """What a run that is resumed scores is what one that nobody interrupted does."""
    whole = train(
        make(), [[1], [2]], algorithm=clipper.PPO(gamma=1.0, epochs=1, minibatches=1), critic="shared", responses=4,
        max_tokens=3, eos=EOS, total_steps=60,
    )  # fmt: skip
    begin(tmp_path, make(), [[1], [2]])
    assert not [x.name for x in tmp_path.iterdir() if x.suffix in (".pt", ".pkl")]
    run = train(make(), [[1], [2]], resume=tmp_path)
    assert run.exact, run.inexact
    assert run.iteration > 2
    assert [row["reward/score"] for row in run.history] == [row["reward/score"] for row in whole.history]
    assert torch.equal(run.learner.parameters, whole.learner.parameters)


def test_another_reward_is_used_as_it_is(tmp_path: Path) -> None:
    begin(tmp_path, Whitened(), [[1], [2]])
    other = Whitened(100.0)
    run = train(other, [[1], [2]], resume=tmp_path)
    assert "the reward, or what it holds" in run.inexact
    assert other.total[0] > 100, "its own numbers went on"  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize(
    ("state", "words"), [([1], "return a dict"), ({"f": print}, "'f' as"), ({1: 2}, "return a dict")]
)
def test_a_state_that_no_file_can_hold(state: object, words: str, tmp_path: Path) -> None:
    class Odd(Length):
        def state_dict(self) -> object:
            return state

        def load_state_dict(self, state: object) -> None: ...

    with pytest.raises(ConfigError, match=words):
        begin(tmp_path, Odd(3), [[1], [2]])


def test_a_state_that_its_reward_does_not_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(tmp_path, Harder().score, [[1], [2]])
    monkeypatch.setattr(Harder, "load_state_dict", lambda self, state: state["nothing"])
    with pytest.raises(ConfigError, match="load_state_dict of the reward Harder fails"):
        train(Harder().score, [[1], [2]], resume=tmp_path)


def test_what_changes_without_a_state_is_said(tmp_path: Path) -> None:
    begin(tmp_path, Counting(3), [[1], [2]])
    assert "kept where it has state_dict" in train(Counting(3), [[1], [2]], resume=tmp_path).inexact


def test_rewards_are_known_by_their_weights_and_what_refers_to_itself_has_an_end() -> None:
    first, second = (nn.Linear(2, 1) for _ in range(2))
    same = nn.Linear(2, 1)
    same.load_state_dict(first.state_dict())
    assert fingerprint(first) == fingerprint(same) != fingerprint(second)
    holder, other = Length(1), Length(1)
    holder.weights, other.weights = [holder, {1, 2}], [other, {2, 1}]  # pyright: ignore[reportAttributeAccessIssue]
    assert fingerprint(holder) == fingerprint(other)
    assert fingerprint(print) != fingerprint(len)


@pytest.mark.parametrize(
    ("prompts", "again", "same"),
    [(drawn, drawn, True), (drawn, drawn_otherwise, False), (InOrder(), InOrder(), False)],
)
def test_another_function_of_prompts(prompts: Any, again: Any, same: bool, tmp_path: Path) -> None:
    reward = Length(3)
    begin(tmp_path, reward, prompts)
    run = train(reward, again, resume=tmp_path)
    assert run.exact == same
    assert ("the function of prompts gives others" in run.inexact) != same


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"algorithm": clipper.TRPO()}, "TRPO does not learn from responses: take clipper.PPO"),
        ({"algorithm": clipper.Exploring()}, "Exploring does not learn from responses"),
        ({"algorithm": clipper.DQN()}, "DQN does not learn from responses"),
        ({"algorithm": "ppo"}, r"write algorithm=clipper\.PPO\(\)"),
        ({"algorithm": clipper.PPO}, r"write PPO\(\)"),
        ({"device": "foo"}, "device 'foo' cannot be used here"),
        ({"reward": 3}, "the reward is 3: give a function"),
        ({"reward": "my_rewards:exact"}, "give a function"),
    ],
)
def test_what_cannot_learn_from_responses_is_said(options: dict[str, Any], words: str) -> None:
    shape_checker.rest()  # annotations forbid some of these
    given = {"reward": Length(3), "prompts": [[1]], "eos": EOS, "responses": 2, "total_steps": 4, "max_tokens": 2}
    with pytest.raises(ConfigError, match=words):
        train(**(given | options))
