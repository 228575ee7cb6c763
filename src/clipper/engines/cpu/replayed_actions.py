"""How the actions of who learns from a replay lie in it, and as kernels read them. Needs no Numba."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipper.data.steps import Steps
from clipper.data.trees import Tree
from clipper.engines.cpu.action_table import none
from clipper.engines.cpu.sizes import check_array
from clipper.errors import ConfigError
from clipper.learning.replay import Kept, untouched


class Actions(NamedTuple):
    """Numbers, one choice, or a choice with numbers as its arguments."""

    components: int
    """Numbers of an action, those of all choices together."""
    choices: int = 0
    """Choices, of which masks say what is legal; 0 for none."""
    chosen: bool = False
    """Is the choice kept, beside numbers if there are any?"""
    sizes: tuple[int, ...] = ()
    """How many arguments each choice has; () where an action is no choice beside arguments."""

    @property
    def starts(self) -> np.ndarray:
        """Where each choice's arguments begin among all, and where the last one's end."""
        return np.cumsum([0, *self.sizes])

    def choice(self, action: Tree) -> Tensor | None:
        """Of actions, or None where none is kept."""
        choice = action[0] if self.sizes else action
        return choice if self.chosen and isinstance(choice, Tensor) else None

    def arguments(self, action: Tree) -> list[Tensor]:
        """Those of each choice that has some."""
        return [x for x, size in zip(action[1], self.sizes, strict=True) if size]

    def numbers(self, action: Tree) -> Tensor | None:
        """Of actions, side by side, or None where there are none."""
        if self.sizes:
            return torch.cat(self.arguments(action), -1)
        return action if self.components and isinstance(action, Tensor) else None

    def legal(self, mask: Tree) -> Tensor | None:
        """Which choices are, by a tree of masks; None where that says nothing."""
        mask = mask[0] if isinstance(mask, tuple) and not none(mask) else mask
        return mask if self.choices and isinstance(mask, Tensor) else None

    def check(self, rows: Steps, lead: tuple[int, ...]) -> None:
        """Raise ``ConfigError`` unless actions and masks, of anyone's making, are as the kernels read them."""
        if self.sizes:
            check_array("action[0]", rows.action, (0,), torch.int64, lead)
            for k, size in enumerate(self.sizes):
                if size:
                    check_array(f"action[1][{k}]", rows.action, (1, k), torch.float32, (*lead, size))
        elif self.chosen:
            check_array("action", rows.action, (), torch.int64, lead)
        else:
            check_array("action", rows.action, (), torch.float32, (*lead, self.components))
        legal = self.legal(rows.action_mask)
        if legal is not None:
            check_array("steps.action_mask", legal, (), torch.bool, (*lead, self.choices))
        self.check_choice(rows.action)

    def check_choice(self, action: Tree) -> None:
        """Raise ``ConfigError`` for a choice that there is none of."""
        choice = self.choice(action)
        if choice is not None and choice.numel() and not 0 <= int(choice.min()) <= int(choice.max()) < self.choices:
            raise ConfigError(
                f"action holds choices from {int(choice.min())} to {int(choice.max())}, but the policy has "
                f"{self.choices}"
            )

    def side_by_side(self, kept: Kept, used: Tensor) -> tuple[Kept, Tensor | None]:
        """The numbers of all rows in one array, and the rows, whose arguments are views of it; ``used`` ones count."""
        if not self.sizes:
            return kept, self.numbers(kept.action)
        rows, columns = kept.mask.shape
        whole, parts = untouched(torch.empty(1, columns, self.components), rows), list(kept.action[1])
        for k, (first, size) in enumerate(zip(self.starts.tolist(), self.sizes, strict=False)):
            if size:
                view = whole[..., first : first + size]
                view[used] = parts[k][used]
                parts[k] = view
        return kept._replace(action=(kept.action[0], tuple(parts))), whole
