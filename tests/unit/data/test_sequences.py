"""Columns that are whole responses: where their decisions lie, and that a prompt's responses stay together."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from clipper.data.sequences import Layout, Responses, flat_decisions, group_minibatches, groups_of, layout_of
from clipper.data.steps import Steps, Targets
from clipper.data.trees import Tree
from clipper.errors import ConfigError


class Memory(NamedTuple):
    group: Tensor
    rows: Tree = ()


LENGTHS, GROUPS = [1, 3, 2, 3, 0, 1, 2], [7, 2, 7, 2, 2, 5, 5]


def targets() -> Targets:
    mask = torch.arange(4)[:, None] < torch.tensor(LENGTHS)
    number = torch.arange(4)[:, None] * 10 + torch.arange(len(LENGTHS))  # row and column of each
    x = number.double()
    steps = Steps(number, number, x, x, mask, mask, mask, memory=Memory(torch.tensor([GROUPS])))
    return Targets(steps, x, x, x)


def test_flat_decisions_know_their_columns() -> None:
    flat = flat_decisions(targets()).steps
    layout = layout_of(flat)
    assert isinstance(flat.memory, Responses)
    assert layout.column.tolist() == (flat.action % 10).tolist()
    assert layout.group.tolist() == GROUPS
    assert flat.mask.all()
    whole = layout_of(targets().steps)
    assert isinstance(whole, Layout)
    assert whole.column.tolist() == layout.column.tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_prompts_responses_stay_together(count: int) -> None:
    seen = []
    for batch in group_minibatches(targets(), 2, count, torch.Generator().manual_seed(0)):
        columns = (batch.steps.action % 10).unique()
        prompts = {GROUPS[n] for n in columns}
        assert set(columns.tolist()) == {n for n, g in enumerate(GROUPS) if g in prompts and LENGTHS[n]}
        assert set(layout_of(batch.steps).group.tolist()) == prompts
        seen += batch.steps.action.tolist()
    assert len(seen) == 2 * sum(LENGTHS)
    assert set(seen) == set(targets().steps.action[targets().steps.mask].tolist())


def test_steps_that_are_no_responses_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Steps\.memory\.group"):
        groups_of(targets().steps._replace(memory=()))
