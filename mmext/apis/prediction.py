"""One picture's predictions, the same shape of answer for every task.

:meth:`Prediction.to_dict` is the documented record that ``mmext infer`` writes. Coordinates are
pixels of the picture as read, x to the right, y down; scores lie in [0, 1]. Every record has
``width``, ``height`` and ``task``; by task it also has

``detection``
    ``detections``: ``label`` (index), ``name``, ``score``, ``bbox`` [x1, y1, x2, y2]
``rotated detection``
    the same, with ``rbox`` [cx, cy, width, height, angle in radians], ``quadrilateral`` [8 numbers,
    four corners in order] and ``bbox`` around it
``instance segmentation``
    the same as detection, with ``mask``, COCO's compressed run-length encoding
``semantic segmentation``
    ``classes``: ``label``, ``name``, ``share`` of the pixels, largest first; :meth:`label_map`
    has the label of every pixel
``panoptic segmentation``
    ``segments``: ``id``, ``label``, ``name``, ``area`` in pixels, ``share``, largest first;
    :meth:`label_map` has the id of every pixel; ``detections`` too if the model gives instances
``classification``
    ``top5``: ``label``, ``name``, ``score``, best first; with a head that localises, ``bbox``
    [x1, y1, x2, y2] of the object
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Prediction:
    """What the model says about one picture, or why it says nothing.

    Attributes:
        source: The path that was given; None for an array.
        index: Position among the inputs, or the frame's number in a video.
        image: The picture as read, HWC, BGR; None when it could not be read.
        sample: The host's data sample (``DetDataSample``, ``SegDataSample``, ``DataSample``) on
            the CPU; None on failure.
        error: Why there is no prediction, or None.
        exception: The exception behind ``error``.
        classes: Class names by label; may be empty.
    """

    source: str | None
    index: int
    image: np.ndarray | None = None
    sample: Any = None
    error: str | None = None
    exception: Exception | None = None
    classes: Sequence[str] = ()
    _draw: Callable[[Prediction, float], np.ndarray] | None = field(default=None, repr=False)

    @property
    def task(self) -> str:
        """Which of the tasks in this module's docstring the sample answers.

        Raises:
            ValueError: If the sample has no prediction of a known kind.
        """
        sample = self.sample
        if 'pred_panoptic_seg' in sample:
            return 'panoptic segmentation'
        if 'pred_sem_seg' in sample:
            return 'semantic segmentation'
        if 'pred_instances' in sample:
            instances = sample.pred_instances
            if 'bboxes' in instances and _box_tensor(instances.bboxes).shape[-1] in (5, 8):
                return 'rotated detection'
            return 'instance segmentation' if 'masks' in instances else 'detection'
        if 'pred_score' in sample or 'pred_label' in sample:
            return 'classification'
        raise ValueError(f'the model predicts none of boxes, masks, label maps and scores; '
                         f'its sample has {", ".join(sample.keys()) or "nothing"}')

    @property
    def caption(self) -> str | None:
        """What a model that writes captions says about the picture."""
        return None if self.sample is None else getattr(self.sample, 'caption', None)

    def above(self, score_thr: float) -> Any:
        """The sample with the instances whose score is at least ``score_thr`` (a copy)."""
        sample = self.sample
        if 'pred_instances' not in sample or 'scores' not in sample.pred_instances:
            return sample
        sample = sample.new()
        instances = self.sample.pred_instances
        sample.pred_instances = instances[instances.scores >= score_thr]
        return sample

    def draw(self, score_thr: float = 0.3) -> np.ndarray:
        """The picture with the predictions drawn by the config's own visualizer.

        Args:
            score_thr: Instances below this score are left out.

        Returns:
            HWC, BGR, uint8.
        """
        if self.error is not None or self._draw is None:
            raise ValueError(f'nothing to draw: {self.error or "no visualizer"}')
        return self._draw(self, score_thr)

    def label_map(self) -> np.ndarray | None:
        """Label (semantic) or segment id (panoptic) of every pixel, HW, int64; else None."""
        if 'pred_panoptic_seg' in self.sample:
            return _array(self.sample.pred_panoptic_seg.sem_seg).reshape(self._size())
        if 'pred_sem_seg' in self.sample:
            data = self.sample.pred_sem_seg
            # mmseg keeps the map under ``data``, mmdet under ``sem_seg``.
            labels = data.data if 'data' in data else data.sem_seg
            return _array(labels).reshape(self._size())
        return None

    def to_dict(self, score_thr: float = 0.0) -> dict[str, Any]:
        """The record described in this module's docstring; plain Python values only.

        Args:
            score_thr: Instances below this score are left out.

        Raises:
            ValueError: If there is no prediction of a known kind.
        """
        if self.error is not None:
            raise ValueError(f'no prediction: {self.error}')
        height, width = self._size()
        task = self.task
        record: dict[str, Any] = dict(width=width, height=height, task=task)
        if task == 'classification':
            record['top5'] = self._top5()
            if 'pred_box' in self.sample:
                from .seen_region import to_picture
                record['bbox'] = _rounded(to_picture(self.sample.pred_box, self.sample, (height, width))[0])
            return record
        if self.caption:
            record['caption'] = self.caption
        if 'pred_instances' in self.sample:
            record['detections'] = self._detections(self.above(score_thr).pred_instances)
        if task == 'semantic segmentation':
            record['classes'] = self._shares()
        elif task == 'panoptic segmentation':
            record['segments'] = self._segments()
        return record

    def _size(self) -> tuple[int, int]:
        assert self.image is not None
        return self.image.shape[0], self.image.shape[1]

    def _name(self, label: int) -> str:
        return self.classes[label] if 0 <= label < len(self.classes) else f'class {label}'

    def _entry(self, label: int) -> dict[str, Any]:
        return dict(label=label, name=self._name(label))

    def _top5(self) -> list[dict[str, Any]]:
        if 'pred_score' not in self.sample:
            labels = _array(self.sample.pred_label).reshape(-1)[:5]
            return [self._entry(int(label)) for label in labels]
        scores = np.asarray(_array(self.sample.pred_score, float)).reshape(-1)
        best = np.argsort(-scores, kind='stable')[:5]
        return [dict(self._entry(int(label)), score=round(float(scores[label]), 5))
                for label in best]

    def _detections(self, instances: Any) -> list[dict[str, Any]]:
        labels = _array(instances.labels).reshape(-1)
        scores = _array(instances.scores, float) if 'scores' in instances else np.ones(len(labels))
        records = [dict(self._entry(int(label)), score=round(float(score), 5))
                   for label, score in zip(labels, scores, strict=True)]
        if 'bboxes' in instances:
            for record, geometry in zip(records, _geometry(instances.bboxes), strict=True):
                record.update(geometry)
        if 'masks' in instances:
            for record, mask in zip(records, _array(instances.masks, bool), strict=True):
                record['mask'] = _run_lengths(mask)
        return records

    def _shares(self) -> list[dict[str, Any]]:
        labels, counts = _counts(self.label_map())
        order = np.argsort(-counts, kind='stable')
        return [dict(self._entry(int(labels[i])), share=round(counts[i] / counts.sum(), 6))
                for i in order]

    def _segments(self) -> list[dict[str, Any]]:
        from mmdet.evaluation import INSTANCE_OFFSET
        ids, counts = _counts(self.label_map())
        total, segments = counts.sum(), []
        for i in np.argsort(-counts, kind='stable'):
            label = int(ids[i]) % INSTANCE_OFFSET
            if self.classes and label >= len(self.classes):
                continue  # void: no class
            segments.append(dict(id=int(ids[i]), **self._entry(label), area=int(counts[i]),
                                 share=round(counts[i] / total, 6)))
        return segments


def _array(value: Any, dtype: type | None = int) -> np.ndarray:
    """A tensor, box type or array as a numpy array."""
    value = value.detach().cpu().numpy() if hasattr(value, 'detach') else np.asarray(value)
    return value.astype(np.int64 if dtype is int else dtype)


def _counts(labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The values in a label map and how many pixels each has."""
    assert labels is not None
    values, counts = np.unique(labels, return_counts=True)
    return values, counts


def _box_tensor(boxes: Any) -> Any:
    """The tensor inside a host's box type, or the tensor itself."""
    return getattr(boxes, 'tensor', boxes)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def _geometry(boxes: Any) -> list[dict[str, list[float]]]:
    """``bbox`` of every box, and of rotated ones ``rbox`` and ``quadrilateral`` too."""
    tensor = _box_tensor(boxes).detach().float().cpu()
    if tensor.shape[-1] == 4:
        return [dict(bbox=_rounded(box)) for box in tensor.numpy()]
    from mmrotate.structures.bbox import qbox2rbox, rbox2qbox
    rotated = tensor if tensor.shape[-1] == 5 else qbox2rbox(tensor)
    corners = (tensor if tensor.shape[-1] == 8 else rbox2qbox(tensor)).reshape(-1, 4, 2).numpy()
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    # Five digits for the angle: a thousandth of a radian already moves a long box by a pixel.
    return [dict(bbox=_rounded(box), rbox=[*_rounded(rbox[:4]), round(float(rbox[4]), 5)],
                 quadrilateral=_rounded(corner.reshape(-1)))
            for box, rbox, corner in zip(boxes, rotated.numpy(), corners, strict=True)]


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """A boolean HW mask as COCO's compressed run-length encoding."""
    from pycocotools import mask as coco
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=[int(side) for side in encoded['size']],
                counts=encoded['counts'].decode('ascii'))
