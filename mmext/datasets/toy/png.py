"""PNG files whose bytes depend on the pixels alone."""
from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

_BLOCK = 0xFFFF


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """An 8-bit PNG, grey for ``(H, W)`` pixels and RGB for ``(H, W, 3)``.

    The deflate stream is made of stored blocks: what a compressor makes of the same pixels changes
    between versions and builds of zlib, and these files have to be byte-identical everywhere.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)  # every row starts with filter type 0
    rows[:, 1:] = pixels.reshape(height, -1)
    data = rows.tobytes()
    blocks = [data[start:start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    stream = b'\x78\x01' + b''.join(
        struct.pack('<BHH', block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block
        for block in blocks) + struct.pack('>I', zlib.adler32(data))
    header = struct.pack('>IIBBBBB', width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', stream), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        for kind, body in chunks)
