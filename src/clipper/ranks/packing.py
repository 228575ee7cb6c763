"""Tensors and numbers as bytes that another process reads back, whose tensors differ in ``[T, N]`` only."""

import json
import math
import struct
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

ALIGNED = 8  # bytes, of which every array begins at a multiple: it is read where it lies


def packed(tensors: Sequence[Tensor], values: object = None) -> bytearray:
    """Their numbers, one after another, behind JSON of what else there is and of their shapes."""
    arrays = [x.detach().cpu().contiguous().numpy() for x in tensors]
    header = json.dumps([values, [[x.shape, x.dtype.str] for x in arrays]]).encode()
    header += b" " * (-len(header) % ALIGNED)
    place = ALIGNED + len(header)
    buffer = bytearray(place + sum(x.nbytes + -x.nbytes % ALIGNED for x in arrays))
    buffer[:place] = struct.pack("<q", len(header)) + header
    for x in arrays:
        buffer[place : place + x.nbytes] = x.reshape(-1).view(np.uint8).data
        place += x.nbytes + -x.nbytes % ALIGNED
    return buffer


def unpacked(buffer: bytearray | memoryview) -> tuple[list[Tensor], object]:
    """The inverse; the tensors lie in the buffer, and live as long as it is not written anew."""
    size = struct.unpack_from("<q", buffer)[0]
    place, tensors = ALIGNED + size, list[Tensor]()
    values, shapes = json.loads(bytes(buffer[ALIGNED:place]))
    for shape, kind in shapes:
        x = np.frombuffer(buffer, kind, math.prod(shape), place).reshape(shape)
        tensors.append(torch.from_numpy(x))
        place += x.nbytes + -x.nbytes % ALIGNED
    return tensors, values
