"""States of an LSTM, and what a rollout buffer that keeps them gives."""

from typing import NamedTuple

import torch

from clipper.compat.sb3.common.type_aliases import TensorDict

__all__ = ["RNNStates", "RecurrentDictRolloutBufferSamples", "RecurrentRolloutBufferSamples"]

State = tuple[torch.Tensor, ...]


class RNNStates(NamedTuple):
    """Hidden and cell states of actor and critic, each ``[layers, N, size]``."""

    pi: State
    vf: State


class RecurrentRolloutBufferSamples(NamedTuple):
    """Sequences of one length, one after another; rows that only fill one up have no ``mask``."""

    observations: torch.Tensor
    actions: torch.Tensor
    old_values: torch.Tensor
    old_log_prob: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    lstm_states: RNNStates
    episode_starts: torch.Tensor
    mask: torch.Tensor


class RecurrentDictRolloutBufferSamples(NamedTuple):
    """The same of Dict observations."""

    observations: TensorDict
    actions: torch.Tensor
    old_values: torch.Tensor
    old_log_prob: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    lstm_states: RNNStates
    episode_starts: torch.Tensor
    mask: torch.Tensor
