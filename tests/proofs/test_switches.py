"""The 37 details and the 10 tricks, as docs/*/details.md lists them: each field is there, and turning it counts."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import clipper
from clipper import PPO, Config, PolicyOptions
from clipper.distributions import DiagonalGaussian, MultiCategorical
from clipper.environments.atari import Atari  # whose switches tests/unit/environments/test_atari.py turns
from clipper.learning.advantages import Standardised
from clipper.learning.kl import KLStop
from clipper.learning.optimizers import Adam
from clipper.learning.rewards import Normalised, Raw, Scaled
from clipper.learning.schedules import Linear
from clipper.learning.value_losses import ClippedMSE
from clipper.settings.option_text import to_text

DOCS = Path(__file__).parents[2] / "docs"
COUNTS = (13, 9, 9, 5, 1, 4, 10)
OWNERS = {"Config": "", "PPO": "algorithm.", "PolicyOptions": "policy.", "HeadOptions": "policy.head."}
DEFAULT = Config(env="Pendulum-v1")
WAITING = re.compile(r"(waits for|待)")

# Two updates on a few decisions, from a start where clips, bounds and schedules all count.
BASE = Config(
    env="Pendulum-v1",
    algorithm=PPO(horizon=16, epochs=2, minibatches=2, learning_rate=1e-2),
    policy=PolicyOptions(hidden=(8,)),
    num_envs=2,
    total_steps=64,
)
# For each field: what it is turned to, and what else must be on for it to count.
TURNED: dict[str, tuple[Any, dict[str, Any]]] = {
    "Config.num_envs": (3, {}),
    "PPO.horizon": (24, {}),
    "PolicyOptions.orthogonal": (False, {}),
    "PolicyOptions.hidden_gain": (1.0, {}),
    "PolicyOptions.value_gain": (0.5, {}),
    "HeadOptions.action_gain": (1.0, {}),
    "PPO.optimizer": (Adam(1e-8), {}),
    "PPO.learning_rate": (Linear(1e-2), {}),
    "PPO.lam": (1.0, {}),
    "PPO.gamma": (0.9, {}),
    "PPO.minibatches": (4, {}),
    "PPO.epochs": (3, {}),
    "PPO.advantages": (Raw(), {}),
    "PPO.clip": (Linear(0.01), {}),
    "PPO.value_loss": (ClippedMSE(0.01), {}),
    "PPO.value_coef": (1.0, {}),
    "PPO.entropy_coef": (0.1, {}),
    "PPO.max_grad_norm": (float("inf"), {}),
    "PPO.stop": (KLStop(1e-6), {}),
    "PPO.rewards": (Scaled(), {}),
    "PolicyOptions.shared": (True, {}),
    "PolicyOptions.critic_hidden": ((4,), {}),
    "PolicyOptions.activation": ("relu", {}),
    "PolicyOptions.normalise_obs": (True, {}),
    "PolicyOptions.clip_obs": (0.5, {"PolicyOptions.normalise_obs": True}),
    "HeadOptions.initial_log_std": (-1.0, {}),
    "HeadOptions.rescale_action": (False, {}),
}
# Rows that are about a part of a field's value: what the field is turned to, and what else must be on.
PARTS: list[tuple[str, Any, dict[str, Any]]] = [
    ("PPO.rewards", Scaled(0.1), {"PPO.rewards": Scaled()}),
    ("PPO.rewards", Normalised(), {}),
    ("PPO.rewards", Normalised(), {"PPO.rewards": Scaled()}),
    ("PPO.advantages", Standardised("batch"), {}),
    ("PPO.advantages", Standardised("minibatch", correction=0), {}),
    ("PPO.stop", KLStop(1e-6, "epoch"), {"PPO.stop": KLStop(1e-6)}),
    ("PPO.optimizer", Adam(betas=(0.5, 0.9)), {}),
]
CASES = [*((field, *rest) for field, rest in TURNED.items()), *PARTS]


def tables(language: str) -> list[list[list[str]]]:
    """The cells of each table's rows, header aside."""
    found: list[list[list[str]]] = []
    before = ""
    for line in (DOCS / language / "details.md").read_text().splitlines():
        if line.startswith("|---"):
            found.append([])
        elif line.startswith("|") and before.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return found


def in_backticks(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROWS = [row for table in tables("en") for row in table]
FIELDS = sorted({f for row in ROWS for f in in_backticks(row[2]) if f.partition(".")[0] in OWNERS})


def look(config: Config, field: str) -> Any:
    owner, _, name = field.partition(".")
    if owner not in OWNERS:  # a value that some field may have: its own default
        place = clipper.memory if owner == "LSTM" else clipper
        return getattr(Atari() if owner == "Atari" else getattr(place, owner)(), name)
    value: Any = config
    for part in (OWNERS[owner] + name).split("."):
        value = getattr(value, part)
    return value


def turn(config: Any, path: str, value: Any) -> Any:
    """``config`` with the value at a dotted path replaced."""
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: turn(getattr(config, name), rest, value) if rest else value})


def turned(config: Config, changes: dict[str, Any]) -> Config:
    for field, value in changes.items():
        owner, _, name = field.partition(".")
        config = turn(config, OWNERS[owner] + name, value)
    return config


def learnt(config: Config) -> Tensor:
    """The parameters after two updates."""
    return clipper.train(config).learner.parameters.detach().clone()


def test_every_detail_and_trick_has_its_row_in_both_languages() -> None:
    english, chinese = tables("en"), tables("zh")
    assert tuple(map(len, english)) == tuple(map(len, chinese)) == COUNTS
    for ours, theirs in zip(english, chinese, strict=True):
        for number, (row, other) in enumerate(zip(ours, theirs, strict=True), start=1):
            assert len(row) == len(other) == 5
            assert row[0] == other[0] == str(number)
            assert in_backticks(row[2]) == in_backticks(other[2]), row
            assert in_backticks(row[3]) == in_backticks(other[3]), row
            assert bool(WAITING.search(row[2])) == bool(WAITING.search(other[2])) == (not in_backticks(row[2]))


@pytest.mark.parametrize("row", [r for r in ROWS if in_backticks(r[3])], ids=lambda r: f"{r[0]}, {r[1]}")
def test_defaults_are_as_the_table_says(row: list[str]) -> None:
    fields, written = in_backticks(row[2]), in_backticks(row[3])
    assert len(fields) == len(written)
    for field, text in zip(fields, written, strict=True):
        value = look(DEFAULT, field)
        assert text == (f"{value:g}" if isinstance(value, float) else to_text(value)), field


def test_every_field_is_turned() -> None:
    assert set(FIELDS) == set(TURNED)


@pytest.fixture(scope="module")
def plain() -> dict[str, Tensor]:
    """What is learnt before anything is turned, by what else is on."""
    companions = {str(companion): companion for *_, companion in CASES}
    return {name: learnt(turned(BASE, companion)) for name, companion in companions.items()}


def test_the_same_settings_learn_the_same(plain: dict[str, Tensor]) -> None:
    assert torch.equal(learnt(BASE), plain["{}"])


@pytest.mark.parametrize(
    ("field", "value", "companions"), CASES, ids=[f"{i}-{field}" for i, (field, *_) in enumerate(CASES)]
)
def test_turning_a_switch_changes_what_is_learnt(
    field: str, value: Any, companions: dict[str, Any], plain: dict[str, Tensor]
) -> None:
    config = turned(BASE, companions)
    assert look(config, field) != value
    before, after = plain[str(companions)], learnt(turned(config, {field: value}))
    assert before.shape != after.shape or not torch.allclose(before, after, rtol=0, atol=1e-7)


def test_debug_variables_are_recorded() -> None:
    [row] = [row for row in ROWS if row[1] == "Debug variables"]
    run = clipper.train(BASE)
    assert set(in_backticks(row[2])) <= set(run.history[-1])


def test_components_are_independent() -> None:
    rows = [row for row in ROWS if row[1] == "Independent components"]
    expected = [["clipper.distributions.DiagonalGaussian"], ["clipper.distributions.MultiCategorical"]]
    assert [in_backticks(row[2]) for row in rows] == expected
    mean, log_std, action = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    alone = torch.distributions.Normal(mean, log_std.exp()).log_prob(action)
    torch.testing.assert_close(DiagonalGaussian(mean, log_std).log_prob(action), alone.sum(-1))
    logits, choice = mean.unsqueeze(-1) * torch.tensor([0.0, 1.0, -2.0]), (action > 0).long()
    alone = torch.distributions.Categorical(logits=logits).log_prob(choice)
    torch.testing.assert_close(MultiCategorical(logits).log_prob(choice), alone.sum(-1))
