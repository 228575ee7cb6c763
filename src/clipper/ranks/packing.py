"""Tensors and numbers as bytes that another process reads back, whose tensors differ in ``[T, N]`` only."""

import json
import struct
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def packed(tensors: Sequence[Tensor], values: object = None) -> bytearray:
    """Their numbers, one after another, behind JSON of what else there is and of their shapes."""
    arrays = [x.detach().cpu().contiguous().numpy() for x in tensors]
    header = json.dumps([values, [[list(x.shape), x.dtype.str] for x in arrays]]).encode()
    buffer = bytearray(struct.pack("<q", len(header)) + header)
    for x in arrays:
        buffer += x.reshape(-1).view(np.uint8).data
    return buffer


def unpacked(buffer: bytes | memoryview) -> tuple[list[Tensor], object]:
    """The inverse."""
    size = struct.unpack_from("<q", buffer)[0]
    values, shapes = json.loads(bytes(buffer[8 : 8 + size]))
    place, tensors = 8 + size, list[Tensor]()
    for shape, kind in shapes:
        x = np.empty(shape, kind)
        flat = x.reshape(-1).view(np.uint8)
        flat[:] = np.frombuffer(buffer, np.uint8, flat.size, place)
        place += flat.size
        tensors.append(torch.from_numpy(x))
    return tensors, values
