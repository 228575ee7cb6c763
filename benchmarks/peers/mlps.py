"""Networks for libraries that have theirs made by the user."""

from torch import nn


def mlp(inputs: int, hidden: list[int], outputs: int) -> nn.Sequential:
    """Tanh layers, and a linear one."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))
