"""The PNG writer."""
from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mmext.datasets.toy import png

SHAPES = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda shape: (*shape, 3)))


@settings(max_examples=60, deadline=None)
@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape)))
def test_both_readers_give_the_pixels_back(pixels):
    data = png.encode(pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read[..., ::-1] if pixels.ndim == 3 else read, pixels)


@pytest.mark.parametrize('side', [147, 148, 210])  # around and above one deflate block of 65,535
def test_many_blocks(side):
    pixels = np.arange(side * side * 3, dtype=np.uint64).reshape(side, side, 3).astype(np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.encode(pixels)))), pixels)


def test_nothing_is_compressed():
    """All bytes follow from the pixels: raw rows are found in the file."""
    pixels = np.zeros((9, 11), np.uint8)
    data = png.encode(pixels)
    raw = 9 * (1 + 11)
    assert len(data) == 8 + 25 + 12 + 12 + 2 + 5 + raw + 4
    assert data[41:43] == b'\x78\x01'
    assert struct.unpack('<BHH', data[43:48]) == (1, raw, 0xFFFF ^ raw)
