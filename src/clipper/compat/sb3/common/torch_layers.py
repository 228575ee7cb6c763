"""Networks: what makes features of observations, and layers after it."""

import warnings

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict
from torch import Tensor, nn

from clipper.compat.sb3 import public_names
from clipper.compat.sb3.common.preprocessing import get_flattened_obs_dim, is_image_space
from clipper.compat.sb3.common.utils import get_device
from clipper.data.tree_type import Tree
from clipper.errors import ConfigError


class BaseFeaturesExtractor(nn.Module):
    """Observations as ``preprocess_obs`` gives them → features ``[B, features_dim]``; one's own is derived from it."""

    def __init__(self, observation_space: gymnasium.Space, features_dim: int = 0) -> None:
        super().__init__()
        assert features_dim > 0, f"features_dim must be at least 1, not {features_dim}"
        self._observation_space, self._features_dim = observation_space, features_dim

    @property
    def features_dim(self) -> int:
        """Numbers that it gives."""
        return self._features_dim


class FlattenExtractor(BaseFeaturesExtractor):
    """All numbers in a row."""

    def __init__(self, observation_space: gymnasium.Space) -> None:
        super().__init__(observation_space, get_flattened_obs_dim(observation_space))
        self.flatten = nn.Flatten()

    def forward(self, observations: Tensor) -> Tensor:
        return self.flatten(observations)


class NatureCNN(BaseFeaturesExtractor):
    """The network of Mnih et al. (2015, doi:10.1038/nature14236), and one layer after it."""

    def __init__(
        self, observation_space: gymnasium.Space, features_dim: int = 512, normalized_image: bool = False
    ) -> None:
        assert isinstance(observation_space, Box), (
            f"NatureCNN must be used with a gym.spaces.Box, not {observation_space}"
        )
        super().__init__(observation_space, features_dim)
        assert is_image_space(observation_space, check_channels=False, normalized_image=normalized_image), (
            f"NatureCNN reads images, and {observation_space} holds none: take MlpPolicy or MultiInputPolicy; for "
            "images of floats, policy_kwargs=dict(normalize_images=False)"
        )
        channels = observation_space.shape[0]
        self.cnn = nn.Sequential(
            nn.Conv2d(channels, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        with torch.no_grad():
            size = self.cnn(torch.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(size, features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        return self.linear(self.cnn(observations))


class CombinedExtractor(BaseFeaturesExtractor):
    """Of a Dict: images by ``NatureCNN``, all else flattened, side by side."""

    def __init__(
        self, observation_space: gymnasium.Space, cnn_output_dim: int = 256, normalized_image: bool = False
    ) -> None:
        if not isinstance(observation_space, Dict):
            raise ConfigError(f"MultiInputPolicy reads Dict observations, not {observation_space}: take MlpPolicy")
        parts: dict[str, nn.Module] = {}
        total = 0
        for key, space in observation_space.spaces.items():
            if is_image_space(space, normalized_image=normalized_image):
                parts[key] = NatureCNN(space, cnn_output_dim, normalized_image)
                total += cnn_output_dim
            else:
                parts[key] = nn.Flatten()
                total += get_flattened_obs_dim(space)
        super().__init__(observation_space, total)
        self.extractors = nn.ModuleDict(parts)

    def forward(self, observations: Tree) -> Tensor:
        return torch.cat([own(observations[key]) for key, own in self.extractors.items()], dim=1)


def create_mlp(
    input_dim: int,
    output_dim: int,
    net_arch: list[int],
    activation_fn: type[nn.Module] = nn.ReLU,
    squash_output: bool = False,
    with_bias: bool = True,
    pre_linear_modules: list[type[nn.Module]] | None = None,
    post_linear_modules: list[type[nn.Module]] | None = None,
) -> list[nn.Module]:
    """Layers of these widths, an activation after each, and a last one of ``output_dim`` numbers unless that is −1."""
    before, after = pre_linear_modules or [], post_linear_modules or []
    check_widths(net_arch)
    layers = list[nn.Module]()
    for width in net_arch:
        layers += [each(input_dim) for each in before]  # pyright: ignore[reportCallIssue]
        layers.append(nn.Linear(input_dim, width, bias=with_bias))
        layers += [each(width) for each in after]  # pyright: ignore[reportCallIssue]
        layers.append(activation_fn())
        input_dim = width
    if output_dim > 0:
        layers += [each(input_dim) for each in before]  # pyright: ignore[reportCallIssue]
        layers.append(nn.Linear(input_dim, output_dim, bias=with_bias))
    return [*layers, nn.Tanh()] if squash_output else layers


def check_widths(net_arch: object) -> None:
    """Raise ``ConfigError`` for widths of layers that are no whole numbers."""
    widths = list(net_arch) if isinstance(net_arch, list | tuple) else [net_arch]
    wrong = [x for x in widths if isinstance(x, bool) or not isinstance(x, int | np.integer) or x < 1]
    if wrong:
        raise ConfigError(f"net_arch has a layer of {wrong[0]!r}: widths are whole numbers, as in net_arch=[64, 64]")


class MlpExtractor(nn.Module):
    """Layers of the actor and of the critic, each its own, after the features."""

    def __init__(
        self,
        feature_dim: int,
        net_arch: list[int] | dict[str, list[int]],
        activation_fn: type[nn.Module],
        device: torch.device | str = "auto",
    ) -> None:
        super().__init__()
        widths = net_arch if isinstance(net_arch, dict) else {"pi": net_arch, "vf": net_arch}
        place = get_device(device)
        policy, value = list(widths.get("pi", [])), list(widths.get("vf", []))
        self.policy_net = nn.Sequential(*create_mlp(feature_dim, -1, policy, activation_fn)).to(place)
        self.value_net = nn.Sequential(*create_mlp(feature_dim, -1, value, activation_fn)).to(place)
        self.latent_dim_pi = policy[-1] if policy else feature_dim
        self.latent_dim_vf = value[-1] if value else feature_dim

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        return self.policy_net(features)

    def forward_critic(self, features: Tensor) -> Tensor:
        return self.value_net(features)


def get_actor_critic_arch(net_arch: list[int] | dict[str, list[int]]) -> tuple[list[int], list[int]]:
    """Widths of the actor, and of the Q networks."""
    if isinstance(net_arch, list):
        return net_arch, net_arch
    assert isinstance(net_arch, dict), f"net_arch is a list of widths, or a dict of two, not {net_arch!r}"
    assert "pi" in net_arch, f"net_arch needs the actor's widths at 'pi': {net_arch}"
    assert "qf" in net_arch, f"net_arch needs the critics' widths at 'qf': {net_arch}"
    return net_arch["pi"], net_arch["qf"]


def widths_of(net_arch: object) -> list[int] | dict[str, list[int]]:
    """What a policy makes of ``net_arch``: a list with one dict in it is the former way of writing the dict."""
    if isinstance(net_arch, list) and net_arch and isinstance(net_arch[0], dict):
        warnings.warn(
            "shared layers in the mlp_extractor are not supported anymore since SB3 v1.8.0: use directly a dictionary, "
            "net_arch=dict(vf=..., pi=...)",
            stacklevel=3,
        )
        return dict(net_arch[0])
    if isinstance(net_arch, dict | list | tuple):
        return net_arch if isinstance(net_arch, dict) else list(net_arch)
    raise TypeError(f"net_arch={net_arch!r}: write a list of widths, or dict(pi=[…], vf=[…])")


def __getattr__(name: str) -> object:
    """Names that are refused, in words, when they are used."""
    return public_names.resolve("common.torch_layers", name)
