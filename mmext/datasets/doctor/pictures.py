"""Pictures of what the doctor found."""
from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .finding import DatasetReport, Example

_PER_FINDING = 8
_MARGIN = 40  # grey border in which boxes outside the image can be seen
_LARGEST = 1600
_RED, _GREY = (40, 40, 230), (90, 90, 90)


def draw(reports: Sequence[DatasetReport], folder: str) -> list[str]:
    """Draw the examples of all findings that have a picture.

    Args:
        reports: What was found.
        folder: Where the pictures go: ``PLACE_KIND_IMAGE.png``.

    Returns:
        The files, in the order of the findings.
    """
    written = []
    for report in reports:
        for finding in report.findings:
            drawable = [one for one in finding.examples if one.image]
            by_image: dict[str, list[Example]] = {}
            for example in drawable:
                by_image.setdefault(example.image or '', []).append(example)
            for image, examples in list(by_image.items())[:_PER_FINDING]:
                canvas = _draw_one(image, examples, f'{finding.kind}: {os.path.basename(image)}')
                if canvas is None:
                    continue
                place = report.path.replace('_dataloader.dataset', '')
                name = re.sub(r'[^\w.-]+', '_', f'{place}_{finding.kind}_{Path(image).stem}.png')
                ok, data = cv2.imencode('.png', canvas)
                if ok:
                    os.makedirs(folder, exist_ok=True)
                    path = os.path.join(folder, name)
                    Path(f'{path}.part').write_bytes(data.tobytes())
                    os.replace(f'{path}.part', path)
                    written.append(path)
    return written


def _draw_one(file: str, examples: Sequence[Example], title: str) -> np.ndarray | None:
    picture = _read(file)
    if picture is None:
        return None
    scale = min(1.0, _LARGEST / max(picture.shape[:2]))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = cv2.copyMakeBorder(picture, _MARGIN, _MARGIN, _MARGIN, _MARGIN, cv2.BORDER_CONSTANT,
                                value=_GREY)
    bound = 4 * max(canvas.shape[:2])
    for example in examples:
        for polygon in example.polygons:
            points = np.array(polygon).reshape(-1, 2) * scale + _MARGIN
            points = np.clip(points, -bound, bound).round().astype(np.int32)
            cv2.polylines(canvas, [points], True, _RED, 2, cv2.LINE_AA)
    cv2.putText(canvas, title, (6, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def _read(file: str) -> np.ndarray | None:
    """The image in colours; label maps with their values spread over the greys."""
    try:
        picture = cv2.imread(file, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if picture is None:
        return None
    if picture.ndim == 2:
        top = max(1, int(picture.max()))
        picture = cv2.applyColorMap((picture * (255.0 / top)).astype(np.uint8), cv2.COLORMAP_TURBO) \
            if top < 256 else (picture // 256).astype(np.uint8)
    if picture.ndim == 2 or picture.shape[2] == 1:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    return np.ascontiguousarray(picture[..., :3].astype(np.uint8))
