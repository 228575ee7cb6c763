"""Where a run computes."""

import torch

from clipper.errors import ConfigError


def check_device(device: str) -> None:
    """Raise ``ConfigError`` for a device that is not here, or holds no numbers."""
    try:
        made = torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(f"device {device!r} cannot be used here: {error}") from error
    if made.is_meta:
        raise ConfigError("device 'meta' holds no numbers, so nothing can be learned there: choose cpu or cuda")
