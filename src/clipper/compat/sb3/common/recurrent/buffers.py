"""What a model with an LSTM has collected: each row with the states before it."""

from collections.abc import Callable, Iterator
from functools import partial

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from clipper.compat.sb3.common.recurrent.type_aliases import (
    RecurrentDictRolloutBufferSamples,
    RecurrentRolloutBufferSamples,
    RNNStates,
)
from clipper.compat.sb3.common.rollout_buffers import DictRolloutBuffer, RolloutBuffer
from clipper.data.trees import Tree, each

STATES = ("hidden_states_pi", "cell_states_pi", "hidden_states_vf", "cell_states_vf")
Pad = Callable[[np.ndarray], Tensor]


def pad(
    seq_start_indices: np.ndarray, seq_end_indices: np.ndarray, device: torch.device, tensor: np.ndarray,
    padding_value: float = 0.0,
) -> Tensor:  # fmt: skip
    """Rows of some sequences, first and last row of each given, as ``[sequences, longest, ...]``."""
    pairs = zip(seq_start_indices, seq_end_indices, strict=True)
    rows = [torch.tensor(tensor[first : last + 1], device=device) for first, last in pairs]
    return pad_sequence(rows, batch_first=True, padding_value=padding_value)


def pad_and_flatten(
    seq_start_indices: np.ndarray, seq_end_indices: np.ndarray, device: torch.device, tensor: np.ndarray,
    padding_value: float = 0.0,
) -> Tensor:  # fmt: skip
    """The same, sequence after sequence."""
    return pad(seq_start_indices, seq_end_indices, device, tensor, padding_value).flatten(0, 1)


def create_sequencers(
    episode_starts: np.ndarray, env_change: np.ndarray, device: torch.device
) -> tuple[np.ndarray, Pad, Pad]:
    """Where sequences begin in a batch of rows, and ``pad`` and ``pad_and_flatten`` for these."""
    begins = np.logical_or(episode_starts, env_change).flatten()
    begins[0] = True
    first = np.flatnonzero(begins)
    last = np.concatenate([first[1:], [len(begins)]]) - 1
    return first, partial(pad, first, last, device), partial(pad_and_flatten, first, last, device)


class RecurrentRolloutBuffer(RolloutBuffer):
    """Arrays as ``RolloutBuffer``'s, and four of states, ``[buffer_size, layers, n_envs, size]``."""

    def __init__(
        self, buffer_size: int, observation_space: gymnasium.Space, action_space: gymnasium.Space,
        hidden_state_shape: tuple[int, int, int, int], device: torch.device | str = "auto", gae_lambda: float = 1,
        gamma: float = 0.99, n_envs: int = 1,
    ) -> None:  # fmt: skip
        self.hidden_state_shape = hidden_state_shape
        super().__init__(buffer_size, observation_space, action_space, device, gae_lambda, gamma, n_envs)

    def reset(self) -> None:
        super().reset()
        self.hidden_states_pi, self.cell_states_pi, self.hidden_states_vf, self.cell_states_vf = (
            np.zeros(self.hidden_state_shape, np.float32) for _ in STATES
        )

    def add(self, *args: Tree, lstm_states: RNNStates, **kwargs: Tree) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One row, and the states before it."""
        for name, state in zip(STATES, (*lstm_states.pi, *lstm_states.vf), strict=True):
            getattr(self, name)[self.pos] = state.detach().cpu().numpy()
        super().add(*args, **kwargs)

    def get(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, batch_size: int | None = None
    ) -> Iterator[RecurrentRolloutBufferSamples | RecurrentDictRolloutBufferSamples]:
        """All rows once, environment after environment from a random row on, in batches of whole sequences."""
        assert self.full, "Rollout buffer must be full before sampling from it"
        rows = self.buffer_size * self.n_envs
        order, size = np.roll(np.arange(rows), -np.random.randint(rows)), batch_size or rows
        change = np.zeros((self.buffer_size, self.n_envs), np.float32)
        change[0] = 1.0
        for start in range(0, rows, size):
            yield self._get_samples(order[start : start + size], self.swap_and_flatten(change))

    def _get_samples(
        self, batch_inds: np.ndarray, env_change: np.ndarray
    ) -> RecurrentRolloutBufferSamples | RecurrentDictRolloutBufferSamples:
        def rows(array: np.ndarray) -> np.ndarray:
            return self.swap_and_flatten(array)[batch_inds]

        starts = rows(self.episode_starts)
        first, _, flat = create_sequencers(starts, env_change[batch_inds], self.device)
        states = [rows(getattr(self, name).swapaxes(1, 2))[first].swapaxes(0, 1) for name in STATES]
        hidden_pi, cell_pi, hidden_vf, cell_vf = (self.to_torch(np.ascontiguousarray(x)) for x in states)
        actions = flat(rows(self.actions))
        columns = [flat(rows(getattr(self, x)).flatten()) for x in ("values", "log_probs", "advantages", "returns")]
        obs = each(lambda x: flat(rows(x)), self.observations)
        kind: Tree = RecurrentDictRolloutBufferSamples if isinstance(obs, dict) else RecurrentRolloutBufferSamples
        both = RNNStates((hidden_pi, cell_pi), (hidden_vf, cell_vf))
        mask = flat(np.ones(len(batch_inds), np.float32))
        return kind(obs, actions, *columns, both, flat(starts.flatten()), mask)


class RecurrentDictRolloutBuffer(RecurrentRolloutBuffer, DictRolloutBuffer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """The same, of Dict observations."""
