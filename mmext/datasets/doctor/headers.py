"""Size of an image, and whether its file is whole, from its header and its last bytes."""
from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

#: How far from the end a file's closing mark may be: cameras append thumbnails and notes.
_TAIL = 4096


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it.

    Attributes:
        width: Pixels as stored; 0 where unknown.
        height: Pixels as stored; 0 where unknown.
        turned: Whether EXIF asks viewers to swap width and height.
        fault: '' or one of 'missing', 'empty', 'unreadable', 'truncated'.
    """

    width: int = 0
    height: int = 0
    turned: bool = False
    fault: str = ''

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height as OpenCV and the hosts' loaders give it: turned as EXIF says."""
        return (self.height, self.width) if self.turned else (self.width, self.height)


def read_header(path: str) -> Header:
    """Header of the image at ``path``; never raises for what the file holds."""
    try:
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return Header(fault='empty')
            header = _parse(file)
            if header is None:
                return _by_pillow(path)
            return header if _has_end(file, size) or _decodes(path) else Header(
                header.width, header.height, header.turned, 'truncated')
    except (FileNotFoundError, NotADirectoryError):
        return Header(fault='missing')
    except (OSError, struct.error, ValueError):
        return Header(fault='unreadable')


def _parse(file: BinaryIO) -> Header | None:
    """Width and height of a PNG or JPEG; None for other formats."""
    start = file.read(26)
    if start[:8] == b'\x89PNG\r\n\x1a\n':
        width, height = struct.unpack('>II', start[16:24])
        return Header(width, height)
    if start[:2] == b'\xff\xd8':
        return _parse_jpeg(file)
    return None


def _parse_jpeg(file: BinaryIO) -> Header:
    """Walk the segments of a JPEG up to its frame header."""
    file.seek(2)
    turned = False
    while True:
        mark = file.read(1)
        while mark and mark != b'\xff':  # garbage between segments is skipped, as decoders do
            mark = file.read(1)
        while mark == b'\xff':
            mark = file.read(1)
        if not mark:
            return Header(fault='unreadable')
        code = mark[0]
        if code in (0x00, 0x01) or 0xd0 <= code <= 0xd8:
            continue
        if code in (0xd9, 0xda):  # the picture ends or starts before its size was given
            return Header(fault='unreadable')
        length = struct.unpack('>H', file.read(2))[0]
        if 0xc0 <= code <= 0xcf and code not in (0xc4, 0xc8, 0xcc):
            height, width = struct.unpack('>xHH', file.read(5))
            return Header(width, height, turned)
        body = file.tell()
        if code == 0xe1:
            turned = turned or _orientation(file.read(length - 2)) in (5, 6, 7, 8)
        file.seek(body + length - 2)


def _orientation(segment: bytes) -> int:
    """Tag 274 of an EXIF segment; 1 (upright) where there is none."""
    if segment[:6] != b'Exif\0\0' or len(segment) < 14:
        return 1
    tiff = segment[6:]
    order = '<' if tiff[:2] == b'II' else '>'
    try:
        offset = struct.unpack(f'{order}I', tiff[4:8])[0]
        for index in range(struct.unpack(f'{order}H', tiff[offset:offset + 2])[0]):
            entry = tiff[offset + 2 + 12 * index:][:12]
            tag, _, _, value = struct.unpack(f'{order}HHIH', entry[:10])
            if tag == 274:
                return int(value)
    except struct.error:
        pass
    return 1


def _has_end(file: BinaryIO, size: int) -> bool:
    """Whether the closing mark of a PNG or JPEG is near the end of the file."""
    file.seek(0)
    mark = b'IEND' if file.read(1) == b'\x89' else b'\xff\xd9'
    file.seek(max(0, size - _TAIL))
    return mark in file.read()


def _decodes(path: str) -> bool:
    """Whether Pillow decodes the whole file: the last word on a file without its closing mark."""
    from PIL import Image
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:  # Pillow's decoders raise what they like
        return False
    return True


def _by_pillow(path: str) -> Header:
    """Header of any other format that Pillow knows."""
    from PIL import Image
    try:
        with Image.open(path) as image:
            width, height = image.size
            return Header(width, height, image.getexif().get(274, 1) in (5, 6, 7, 8))
    except Image.DecompressionBombError:  # large, not broken: aerial pictures are
        return Header()
    except Exception:
        return Header(fault='unreadable')
