"""Results on disk: complete files only, written as they come, never all in memory."""
from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; on success it takes the place of ``path``.

    The suffix stays last, because encoders go by it. Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}.tmp{path.suffix}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_image(path: Path, image: np.ndarray) -> None:
    """Encode and write an image (BGR, grey, or 16-bit grey) by its suffix.

    Raises:
        OSError: If it cannot be encoded or written.
    """
    import cv2
    encoded, data = cv2.imencode(path.suffix, image)
    if not encoded:
        raise OSError(f'cannot encode a picture of shape {image.shape} as {path.suffix}')
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def label_picture(labels: np.ndarray, panoptic: bool) -> np.ndarray:
    """A label map as pixels of a PNG, ready for :func:`write_image`.

    Args:
        labels: HW integers, 0 or more.
        panoptic: Segment ids go into three channels as COCO does it, id = R + 256 G + 65536 B.
            Semantic labels become grey values, 8 bits where they fit, else 16.
    """
    if panoptic:
        channels = [labels >> 16, labels >> 8, labels]  # OpenCV's order is BGR
        return np.stack([channel & 255 for channel in channels], axis=-1).astype(np.uint8)
    return labels.astype(np.uint8 if labels.max(initial=0) <= 255 else np.uint16)


class PredictionsFile:
    """``predictions.json``, written picture by picture and put in place when closed.

    One JSON object: the given header, ``images`` (a record per picture, see
    :mod:`mmext.apis.prediction`, with ``file`` and the paths of what was written for it),
    ``failures`` (``file``, ``reason``) and ``complete``: false when the run was interrupted, in
    which case what was done until then is there. A run that stops before its first result leaves
    an older file alone.

    Args:
        path: Where the file goes.
        header: What is said once, for example config and class names.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._replacing = replacing(path)
        self._temporary = self._replacing.__enter__()
        self._file: IO[str] = self._temporary.open('w', encoding='utf-8')
        self._file.write(json.dumps(dict(header), ensure_ascii=False)[:-1])
        self._file.write(', "images": [' if header else '"images": [')
        self._separator = '\n'
        self._failures: list[dict[str, str]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Append one picture's record."""
        self._file.write(self._separator + json.dumps(record, ensure_ascii=False))
        self._separator = ',\n'

    def fail(self, file: str, reason: str) -> None:
        """Note a file without a result."""
        self._failures.append(dict(file=file, reason=reason))

    def __enter__(self) -> PredictionsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        tail = dict(failures=self._failures, complete=kind is None)
        self._file.write('\n], ' + json.dumps(tail, ensure_ascii=False)[1:] + '\n')
        self._file.close()
        if kind is not None and not self._failures and self._separator == '\n':
            self._temporary.unlink(missing_ok=True)
            return
        self._replacing.__exit__(None, None, None)  # an interrupted run leaves what it has


class VideoWriter:
    """An MP4 file, put in place when closed without an exception.

    Args:
        path: Where it goes, ``.mp4``.
        fps: Frames per second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self._replacing = replacing(path)
        self._temporary = self._replacing.__enter__()
        self._writer: Any = None

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, HWC, BGR, uint8, all of one size.

        Raises:
            OSError: If OpenCV has no encoder.
        """
        import cv2
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._temporary), code, self.fps, size)
            if not self._writer.isOpened():
                raise OSError(f'this OpenCV cannot write {self.path.suffix} videos')
        self._writer.write(frame)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *details: Any) -> None:
        if self._writer is not None:
            self._writer.release()
            self._replacing.__exit__(*details)


def frames_per_second(path: Path) -> float:
    """A video's frame rate; 25 where the file does not say."""
    import cv2
    video = cv2.VideoCapture(str(path))
    try:
        return video.get(cv2.CAP_PROP_FPS) or 25.0
    finally:
        video.release()
