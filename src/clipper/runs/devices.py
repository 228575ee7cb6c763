"""Where a run computes, and what of torch's own settings it needs for that."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def gradients() -> Iterator[None]:
    """Meanwhile torch keeps gradients, also where the program around has switched them off, as for an evaluation.

    Raises ``ConfigError`` where tensors are made elsewhere by default, or of a dtype that nothing is learned in.
    """
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    if device.type != "cpu":
        raise ConfigError(
            f"torch's default device is {device}, and a run makes each tensor where it belongs: write "
            f"torch.set_default_device('cpu'), and name the run's own, device={str(device)!r}"
        )
    if dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"torch's default dtype is {dtype}, in which nothing is learned: write "
            "torch.set_default_dtype(torch.float32); images may be read in bfloat16, EncoderOptions(bfloat16=True)"
        )
    with torch.inference_mode(False), torch.enable_grad():
        yield
