"""Images: there, whole, and of the size that is stated."""
from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from ...errors import nearest
from .finding import MAX_EXAMPLES, Example, Finding, counted
from .headers import Header
from .scan import Scan

_FAULTS = {
    'missing': 'not there',
    'empty': 'empty files',
    'unreadable': 'not readable as images',
    'truncated': 'cut off: the end of the file is missing',
}


def check_images(scan: Scan, paths: Sequence[str], stated: Mapping[str, tuple[Any, Any]],
                 what: str = 'image') -> Iterator[Finding]:
    """Check ``paths`` by their headers, and ``stated`` sizes (width, height) against them."""
    headers = scan.headers(paths)
    for fault, words in _FAULTS.items():
        broken = [path for path in headers if headers[path].fault == fault]
        if broken:
            yield Finding(
                f'{what.replace(" ", "-")}-{fault}', f'{counted(len(broken), what, len(headers))} '
                f'{words}', count=len(broken),
                suggestion=_near(broken[0], headers) if fault == 'missing' else '',
                examples=tuple(Example(path, path if fault == 'truncated' else None)
                               for path in broken[:MAX_EXAMPLES]))
    other: list[str] = []
    turned: list[str] = []
    for path, size in stated.items():
        header = headers[path]
        if header.fault in ('', 'truncated') and header.width and header.shown != tuple(size):
            (turned if header.turned and size == (header.width, header.height) else other).append(path)
    yield from _sizes('image-size', other, headers, stated, 'error', 'of another size than stated')
    yield from _sizes('image-turned', turned, headers, stated, 'warning',
                      'annotated as stored, but turned by their EXIF tag when loaded')


def _sizes(kind: str, paths: Sequence[str], headers: Mapping[str, Header],
           stated: Mapping[str, tuple[Any, Any]], severity: str, words: str) -> Iterator[Finding]:
    if paths:
        examples = []
        for path in paths[:MAX_EXAMPLES]:
            width, height = headers[path].shown
            examples.append(Example(f'{path} is {width} x {height}, stated '
                                    f'{stated[path][0]} x {stated[path][1]}', path))
        yield Finding(kind, f'{counted(len(paths), "image", len(headers))} {words}', severity,
                      len(paths), examples=tuple(examples))


def _near(path: str, known: Container[str]) -> str:
    """What the folder of a missing file has instead, files of other samples left out."""
    folder = os.path.dirname(path) or '.'
    if not os.path.isdir(folder):
        return f"there is no folder '{folder}'"
    names = [name for name in os.listdir(folder) if os.path.join(folder, name) not in known]
    near = nearest(os.path.basename(path), names[:2000], 1)
    return f"did you mean '{near[0]}'?" if near else ''
