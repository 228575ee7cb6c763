"""Pictures made smaller: each pixel is the mean over the area that it stands for."""

import numpy as np


class Shrink:
    """From ``[height, width]`` or ``[height, width, 3]`` bytes to ``[size, size]`` or ``[size, size, 3]``.

    Sums run in float32, along rows first, in the order of the pixels: so its pictures equal those of ale-py's vector
    environment, bit for bit.
    """

    def __init__(self, height: int, width: int, size: int) -> None:
        self.down, self.across = shares(height, size), shares(width, size)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        x = picture.astype(np.float32)
        for axis, (index, share) in ((1, self.across), (0, self.down)):
            shape = [1] * x.ndim
            shape[axis] = -1
            parts = [np.take(x, i, axis) * part.reshape(shape) for i, part in zip(index, share, strict=True)]
            x = parts[0]
            for part in parts[1:]:
                x += part
        return np.rint(x).astype(np.uint8)


def shares(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``target`` pixels in a row, which of ``source`` it covers, and with what share: ``[K, target]``.

    Shares sum to 1 over K.
    """
    scale = source / target
    begin = np.arange(target) * scale
    index = np.floor(begin).astype(np.int64) + np.arange(int(np.ceil(scale)) + 1)[:, None]
    covered = np.minimum(index + 1, begin + scale) - np.maximum(index, begin)
    covered[covered < 1e-3] = 0.0  # what rounding leaves
    used = covered.any(axis=1)
    return np.minimum(index, source - 1)[used], (covered / scale).astype(np.float32)[used]
