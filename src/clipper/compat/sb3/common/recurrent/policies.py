"""Policies with an LSTM between features and layers, laid out and named as sb3-contrib's."""

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from clipper.compat.sb3.common.distributions import Distribution
from clipper.compat.sb3.common.policies import ActorCriticPolicy, BasePolicy, ForImages, ForParts, Schedule, refuse_pair
from clipper.compat.sb3.common.recurrent.sequences import Sequences, along
from clipper.compat.sb3.common.recurrent.type_aliases import RNNStates, State
from clipper.compat.sb3.common.torch_layers import (
    BaseFeaturesExtractor,
    FlattenExtractor,
    MlpExtractor,
)
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError


class RecurrentActorCriticPolicy(ActorCriticPolicy):
    """Features → an LSTM → layers of the actor and of the critic → a distribution, and a value.

    The critic has an LSTM of its own (``enable_critic_lstm``), the actor's (``shared_lstm``), or a layer instead.
    """

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None, activation_fn: type[nn.Module] = nn.Tanh,
        ortho_init: bool = True, use_sde: bool = False, log_std_init: float = 0.0, full_std: bool = True,
        use_expln: bool = False, squash_output: bool = False,
        features_extractor_class: type[BaseFeaturesExtractor] = FlattenExtractor,
        features_extractor_kwargs: dict[str, Tree] | None = None, share_features_extractor: bool = True,
        normalize_images: bool = True, optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Tree] | None = None, lstm_hidden_size: int = 256, n_lstm_layers: int = 1,
        shared_lstm: bool = False, enable_critic_lstm: bool = True, lstm_kwargs: dict[str, Tree] | None = None,
    ) -> None:  # fmt: skip
        self.lstm_output_dim = lstm_hidden_size
        super().__init__(
            observation_space, action_space, lr_schedule, net_arch, activation_fn, ortho_init, use_sde, log_std_init,
            full_std, use_expln, squash_output, features_extractor_class, features_extractor_kwargs,
            share_features_extractor, normalize_images, optimizer_class, optimizer_kwargs,
        )  # fmt: skip
        self.lstm_kwargs = lstm_kwargs or {}
        check_lstm(self.lstm_kwargs)
        self.shared_lstm, self.enable_critic_lstm = shared_lstm, enable_critic_lstm
        assert not (shared_lstm and enable_critic_lstm), (
            "shared_lstm=True is for enable_critic_lstm=False: the critic has the actor's LSTM, its own, or none"
        )
        assert not (shared_lstm and not share_features_extractor), (
            "shared_lstm=True needs share_features_extractor=True: one LSTM reads one vector of features"
        )

        def lstm() -> nn.LSTM:
            return nn.LSTM(self.features_dim, lstm_hidden_size, num_layers=n_lstm_layers, **self.lstm_kwargs)

        self.lstm_actor, self.lstm_hidden_state_shape = lstm(), (n_lstm_layers, 1, lstm_hidden_size)
        alone = not (shared_lstm or enable_critic_lstm)
        self.critic: nn.Linear | None = nn.Linear(self.features_dim, lstm_hidden_size) if alone else None
        self.lstm_critic: nn.LSTM | None = lstm() if enable_critic_lstm else None
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # pyright: ignore[reportCallIssue]

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor: Tree = MlpExtractor(self.lstm_output_dim, self.net_arch, self.activation_fn, self.device)

    def _get_constructor_parameters(self) -> dict[str, Tree]:
        layers, _, size = self.lstm_hidden_state_shape
        return super()._get_constructor_parameters() | {
            "lstm_hidden_size": size, "n_lstm_layers": layers, "shared_lstm": self.shared_lstm,
            "enable_critic_lstm": self.enable_critic_lstm, "lstm_kwargs": self.lstm_kwargs,
        }  # fmt: skip

    @staticmethod
    def _process_sequence(
        features: Tensor, lstm_states: State, episode_starts: Tensor, lstm: nn.LSTM
    ) -> tuple[Tensor, State]:
        """Rows, sequence after sequence → what the LSTM says of each, and its state after the last ones.

        ``lstm_states`` are ``[layers, sequences, size]``; ``episode_starts`` says before which rows they are emptied.
        """
        count = lstm_states[0].shape[1]
        rows = features.reshape(count, -1, lstm.input_size).transpose(0, 1)
        starts = episode_starts.reshape(count, -1).transpose(0, 1)
        pieces = [(rows, None)] if not starts.any() else zip(rows[:, None], starts, strict=True)
        outputs = []
        for piece, start in pieces:
            if start is not None:
                lstm_states = tuple((1.0 - start.float()).view(1, count, 1) * x for x in lstm_states)
            out, lstm_states = lstm(piece, tuple(x.contiguous() for x in lstm_states))
            outputs.append(out)
        return torch.cat(outputs).transpose(0, 1).flatten(0, 1), lstm_states

    def features_of_both(self, obs: Tree) -> tuple[Tensor, Tensor]:
        """Features for the actor, and for the critic."""
        features = self.extract_features(obs)
        return (features, features) if self.share_features_extractor else features

    def recalled(self, obs: Tree, states: RNNStates, episode_starts: Tensor) -> tuple[Tensor, Tensor, RNNStates]:
        """What layers of actor and critic read, and the states after it."""
        actor, critic = self.features_of_both(obs)
        latent_pi, pi = self._process_sequence(actor, states.pi, episode_starts, self.lstm_actor)
        if self.lstm_critic is not None:
            latent_vf, vf = self._process_sequence(critic, states.vf, episode_starts, self.lstm_critic)
        elif self.critic is not None:
            latent_vf, vf = self.critic(critic), pi
        else:
            latent_vf, vf = latent_pi.detach(), tuple(x.detach() for x in pi)
        extractor = self.mlp_extractor
        return extractor.forward_actor(latent_pi), extractor.forward_critic(latent_vf), RNNStates(pi, vf)

    def latents_along(self, obs: Tree, memory: Sequences) -> tuple[Tensor, Tensor]:
        """What the last layers of actor and critic read of a batch's rows, sequence by sequence."""
        actor, critic = self.features_of_both(obs)
        latent_pi = along(self.lstm_actor, actor, memory.states.pi, memory.begins)
        if self.lstm_critic is not None:
            latent_vf = along(self.lstm_critic, critic, memory.states.vf, memory.begins)
        else:
            latent_vf = latent_pi.detach() if self.critic is None else self.critic(critic)
        return self.mlp_extractor.forward_actor(latent_pi), self.mlp_extractor.forward_critic(latent_vf)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, obs: Tree, lstm_states: RNNStates, episode_starts: Tensor, deterministic: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, RNNStates]:
        """Actions, values ``[B, 1]``, log-probabilities, and the states after."""
        latent_pi, latent_vf, states = self.recalled(obs, lstm_states, episode_starts)
        distribution = self._get_action_dist_from_latent(latent_pi)
        actions = distribution.get_actions(deterministic=deterministic)
        log_prob = distribution.log_prob(actions)
        return actions.reshape((-1, *(self.action_space.shape or ()))), self.value_net(latent_vf), log_prob, states

    def get_distribution(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, obs: Tree, lstm_states: State, episode_starts: Tensor
    ) -> tuple[Distribution, State]:
        """π(·|s), and the actor's state after it."""
        features = BasePolicy.extract_features(self, obs, self.pi_features_extractor)
        latent, states = self._process_sequence(features, lstm_states, episode_starts, self.lstm_actor)
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(latent)), states

    def predict_values(self, obs: Tree, lstm_states: State, episode_starts: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """V(s), ``[B, 1]``, by the critic's state."""
        features = BasePolicy.extract_features(self, obs, self.vf_features_extractor)
        if self.critic is not None:
            latent = self.critic(features)
        else:
            lstm = self.lstm_actor if self.lstm_critic is None else self.lstm_critic
            latent, _ = self._process_sequence(features, lstm_states, episode_starts, lstm)
        return self.value_net(self.mlp_extractor.forward_critic(latent))

    def evaluate_actions(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, obs: Tree, actions: Tensor, lstm_states: RNNStates, episode_starts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log-probabilities and entropies."""
        latent_pi, latent_vf, _ = self.recalled(obs, lstm_states, episode_starts)
        distribution = self._get_action_dist_from_latent(latent_pi)
        return self.value_net(latent_vf), distribution.log_prob(actions), distribution.entropy()

    def _predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, observation: Tree, lstm_states: State, episode_starts: Tensor, deterministic: bool = False
    ) -> tuple[Tensor, State]:
        distribution, states = self.get_distribution(observation, lstm_states, episode_starts)
        return distribution.get_actions(deterministic=deterministic), states

    def predict(
        self, observation: Tree, state: Tree = None, episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Tree]:  # fmt: skip
        """Action(s), and the actor's state to give next time, two arrays ``[layers, N, size]``; None is empty."""
        self.set_training_mode(False)
        refuse_pair(observation)
        obs, vectorized = self.obs_to_tensor(observation)
        count = len(obs[next(iter(obs))]) if isinstance(obs, dict) else len(obs)
        layers, _, size = self.lstm_hidden_state_shape
        if state is None:
            state = (np.zeros((layers, count, size), np.float32),) * 2
        starts = np.zeros(count, bool) if episode_start is None else np.asarray(episode_start, bool).reshape(-1)
        if len(starts) != count or np.shape(state[0]) != (layers, count, size):
            raise ConfigError(
                f"predict was given {count} observations, {len(starts)} episode_start and a state of shape "
                f"{np.shape(state[0])}, which should be {(layers, count, size)}: give back the state that it gave last"
            )
        with torch.no_grad():
            states = tuple(torch.as_tensor(x, dtype=torch.float32, device=self.device) for x in state)
            begins = torch.as_tensor(starts, dtype=torch.float32, device=self.device)
            actions, states = self._predict(obs, states, begins, deterministic)
        return self.as_given(actions, vectorized), tuple(x.cpu().numpy() for x in states)


def check_lstm(options: dict[str, Tree]) -> None:
    """Raise ``ConfigError`` for an LSTM that reads both ways, in another order, or says other than its state."""
    for name in ("bidirectional", "batch_first", "proj_size", "hidden_size", "num_layers", "input_size"):
        if options.get(name):
            raise ConfigError(
                f"lstm_kwargs={{{name!r}: {options[name]!r}}}: the LSTM reads step after step and gives its state; "
                "say lstm_hidden_size and n_lstm_layers for its size"
            )


class RecurrentActorCriticCnnPolicy(ForImages, RecurrentActorCriticPolicy):
    """For images, by ``NatureCNN``."""


class RecurrentMultiInputActorCriticPolicy(ForParts, RecurrentActorCriticPolicy):
    """For Dict observations, by ``CombinedExtractor``."""
