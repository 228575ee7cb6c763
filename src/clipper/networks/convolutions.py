"""Convolutional networks: images ``[B, channels, height, width]`` → ``[B, features]``; weights start orthogonal."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.networks.initialisation import OrthogonalConv2d, OrthogonalLinear

GAIN = 2**0.5  # of ReLU


def nature_cnn(shape: tuple[int, int, int], features: int, generator: Generator) -> nn.Sequential:
    """Three convolutions and a linear layer, ReLU after each (Mnih et al. 2015, doi:10.1038/nature14236, "Model").

    Images with a side shorter than 36, which these would shrink to nothing, get three 3 × 3 convolutions that are
    padded by 1 and halve the image while its shorter side is longer than 6.
    """
    channels, height, width = shape
    layers: list[nn.Module] = []
    if min(height, width) >= 36:
        plan = [(32, 8, 4, 0), (64, 4, 2, 0), (64, 3, 1, 0)]
    else:
        strides, side = [], min(height, width)
        for _ in range(3):
            strides.append(2 if side > 6 else 1)
            side = -(-side // strides[-1])
        plan = [(outputs, 3, stride, 1) for outputs, stride in zip((32, 64, 64), strides, strict=True)]
    for outputs, kernel, stride, padding in plan:
        layers += [OrthogonalConv2d(channels, outputs, kernel, stride, padding, GAIN, generator), nn.ReLU()]
        channels = outputs
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
    return finished(layers, channels * height * width, features, generator)


class Residual(nn.Module):
    """x + conv(ReLU(conv(ReLU(x)))) with 3 × 3 convolutions (He et al. 2016, arXiv:1603.05027)."""

    def __init__(self, channels: int, generator: Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            OrthogonalConv2d(channels, channels, 3, 1, 1, GAIN, generator),
            nn.ReLU(),
            OrthogonalConv2d(channels, channels, 3, 1, 1, GAIN, generator),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x + self.body(x)


def impala_cnn(
    shape: tuple[int, int, int], features: int, generator: Generator, widths: Sequence[int] = (16, 32, 32)
) -> nn.Sequential:
    """Per width a convolution, a pooling that halves, and two residual blocks (arXiv:1802.01561, figure 3)."""
    channels, height, width = shape
    layers: list[nn.Module] = []
    for outputs in widths:
        layers += [
            OrthogonalConv2d(channels, outputs, 3, 1, 1, GAIN, generator),
            nn.MaxPool2d(3, 2, 1),
            Residual(outputs, generator),
            Residual(outputs, generator),
        ]
        channels, height, width = outputs, -(-height // 2), -(-width // 2)
    return finished([*layers, nn.ReLU()], channels * height * width, features, generator)


def finished(layers: list[nn.Module], flat: int, features: int, generator: Generator) -> nn.Sequential:
    """The layers, flattened, and a linear one with ReLU."""
    return nn.Sequential(*layers, nn.Flatten(), OrthogonalLinear(flat, features, GAIN, generator), nn.ReLU())
