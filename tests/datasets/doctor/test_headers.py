"""Image headers: equal to Pillow's and OpenCV's, whatever is in the file."""
from __future__ import annotations

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmext.datasets.doctor.headers import Header, read_header

from .builders import picture


@pytest.mark.parametrize('suffix, options', [
    ('.jpg', {}), ('.jpg', dict(progressive=True)), ('.jpg', dict(comment=b'\xff\xd8 no image')),
    ('.png', {}), ('.bmp', {}), ('.tif', {}), ('.webp', {})])
def test_size(tmp_path, suffix, options):
    path = tmp_path / f'image{suffix}'
    picture(path, (37, 21), **options)
    assert read_header(str(path)) == Header(37, 21)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_as_opencv_turns_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[271], exif[274] = 'a camera', orientation
    path = tmp_path / 'image.jpg'
    picture(path, (37, 21), exif=exif)
    shown = cv2.imread(str(path))
    assert shown is not None
    assert read_header(str(path)).shown == shown.shape[1::-1]


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_cut_off(tmp_path, suffix):
    path = tmp_path / f'image{suffix}'
    picture(path, (200, 150))
    content = path.read_bytes()
    path.write_bytes(content[:-500])
    assert read_header(str(path)) == Header(200, 150, fault='truncated')
    path.write_bytes(content + b'\0' * 10000)  # padding after the end is no fault
    assert read_header(str(path)) == Header(200, 150)


def test_no_image(tmp_path):
    path = tmp_path / 'image.jpg'
    assert read_header(str(path)).fault == 'missing'
    assert read_header(str(path / 'inside.jpg')).fault == 'missing'
    path.write_bytes(b'')
    assert read_header(str(path)).fault == 'empty'
    path.write_text('404 not found')
    assert read_header(str(path)).fault == 'unreadable'
    assert read_header(str(tmp_path)).fault == 'unreadable'
    assert read_header('a\0b').fault == 'unreadable'


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from([b'', b'\xff\xd8', b'\xff\xd8\xff\xe1', b'\x89PNG\r\n\x1a\n', b'BM', b'II*\0']),
       rest=st.binary(max_size=80))
def test_any_bytes(tmp_path_factory, start, rest):
    path = tmp_path_factory.getbasetemp() / 'any.jpg'
    path.write_bytes(start + rest)
    header = read_header(str(path))
    assert header.fault in ('', 'empty', 'unreadable', 'truncated')
    assert header.fault or (header.width >= 0 and header.height >= 0)
