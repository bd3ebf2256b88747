"""One COCO evaluation, three implementations of it: hotcoco (Rust), faster-coco-eval (C++), pycocotools.

All three give the same arrays (a test compares them on random data); they differ in speed by up to 90.
"""
from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import UserError, did_you_mean
from .columns import Detections, Truth
from .summary import AREA_RANGES, CocoTables


def _hotcoco(truth: Truth, found: Detections, iou_type: str, thresholds: list[float], limits: list[int]
             ) -> dict[str, Any]:
    import hotcoco

    masks = iou_type == 'segm'
    images = [dict(id=i, height=height, width=width)
              for i, (height, width) in enumerate(truth.sizes.tolist(), 1)]
    categories = [dict(id=i, name=name) for i, name in enumerate(truth.category_names, 1)]
    objects = hotcoco.COCO.from_arrays(
        images, categories, truth.image + 1, truth.category + 1, truth.boxes, area=truth.area,
        iscrowd=truth.crowd.astype(np.int64), segmentation=truth.segmentations if masks else None)
    rows = np.column_stack([found.image + 1, found.boxes, found.scores, found.category + 1])
    results = objects.load_res(rows, segmentation=found.masks if masks else None)
    if masks:  # load_res takes the area of the box
        results.update_anns(ids=np.arange(1, len(found) + 1), area=_areas(found))
    evaluation = hotcoco.COCOeval(objects, results, iou_type)
    _set(evaluation.params, thresholds, limits)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval or {}


def _faster_coco_eval(truth: Truth, found: Detections, iou_type: str, thresholds: list[float],
                      limits: list[int]) -> dict[str, Any]:
    from faster_coco_eval import COCO, COCOeval_faster

    objects, results = _as_dicts(truth, found, iou_type)
    evaluation = COCOeval_faster(COCO(objects), COCO(results), iou_type)
    _set(evaluation.params, thresholds, limits)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval


def _pycocotools(truth: Truth, found: Detections, iou_type: str, thresholds: list[float],
                 limits: list[int]) -> dict[str, Any]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    sides = []
    with contextlib.redirect_stdout(io.StringIO()):
        for content in _as_dicts(truth, found, iou_type):
            side = COCO()
            side.dataset = content
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, iou_type)
        _set(evaluation.params, thresholds, limits)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval


def _set(params: Any, thresholds: list[float], limits: list[int]) -> None:
    params.iouThrs = thresholds
    params.maxDets = limits
    params.areaRng = [list(one) for one in AREA_RANGES.values()]
    params.areaRngLbl = list(AREA_RANGES)


def _areas(found: Detections) -> np.ndarray:
    from pycocotools import mask
    masks = found.masks or []
    # not more at once: pycocotools 2.0.11 counts them in 8 bits
    parts = [mask.area(masks[start:start + 255]) for start in range(0, len(masks), 255)]
    return np.concatenate([np.zeros(0), *parts])


def _as_dicts(truth: Truth, found: Detections, iou_type: str) -> tuple[dict, dict]:
    """Both sides as the content of COCO files; ids count from 1, as pycocotools needs it."""
    masks = iou_type == 'segm'
    shared = dict(
        images=[dict(id=i, height=height, width=width)
                for i, (height, width) in enumerate(truth.sizes.tolist(), 1)],
        categories=[dict(id=i, name=name) for i, name in enumerate(truth.category_names, 1)])
    objects = [
        dict(id=i, image_id=image, category_id=category, bbox=box, area=area, iscrowd=crowd)
        for i, (image, category, box, area, crowd) in enumerate(zip(
            (truth.image + 1).tolist(), (truth.category + 1).tolist(), truth.boxes.tolist(),
            truth.area.tolist(), truth.crowd.astype(int).tolist()), 1)
    ]
    areas = _areas(found) if masks else found.boxes[:, 2] * found.boxes[:, 3]
    results = [
        dict(id=i, image_id=image, category_id=category, bbox=box, area=area, score=score, iscrowd=0)
        for i, (image, category, box, area, score) in enumerate(zip(
            (found.image + 1).tolist(), (found.category + 1).tolist(), found.boxes.tolist(),
            areas.tolist(), found.scores.tolist()), 1)
    ]
    for rows, segmentations in ((objects, truth.segmentations), (results, found.masks)):
        if masks and segmentations is not None:
            for row, segmentation in zip(rows, segmentations):
                row['segmentation'] = segmentation
    return dict(shared, annotations=objects), dict(shared, annotations=results)


BACKENDS: dict[str, Callable[..., dict[str, Any]]] = {
    'hotcoco': _hotcoco,
    'faster_coco_eval': _faster_coco_eval,
    'pycocotools': _pycocotools,
}
"""The backends by module name, the fastest first."""


def choose_backend(name: str) -> str:
    """The backend that ``name`` means: itself, or for 'auto' the fastest that is installed.

    Raises:
        UserError: If there is no such backend, or it is not installed.
    """
    if name == 'auto':
        return next(one for one in BACKENDS if importlib.util.find_spec(one) is not None)
    if name not in BACKENDS:
        raise UserError(f"backend '{name}': expected auto, {', '.join(BACKENDS)}"
                        f'{did_you_mean(name, ["auto", *BACKENDS])}')
    if importlib.util.find_spec(name) is None:
        raise UserError(f"backend '{name}' is not installed: pip install {name.replace('_', '-')}, or "
                        "backend='auto'")
    return name


def evaluate(truth: Truth, found: Detections, iou_type: str, thresholds: Sequence[float] | np.ndarray,
             limits: Sequence[int], backend: str = 'auto') -> CocoTables:
    """Precision and recall of ``found``, for every threshold, category, area and limit.

    Args:
        truth: The ground truth; for 'segm' with RLEs (:meth:`Truth.with_rles`).
        found: The detections; for 'segm' with masks. None at all score 0.
        iou_type: 'bbox' or 'segm'.
        thresholds: T IoU thresholds.
        limits: M numbers of detections per image and category that count, in ascending order.
        backend: 'auto' or one of :data:`BACKENDS`.

    Raises:
        UserError: If the backend is unknown or not installed.
    """
    thresholds, limits = [float(one) for one in thresholds], [int(one) for one in limits]
    raw = BACKENDS[choose_backend(backend)](truth, found, iou_type, thresholds, limits)
    shape = (len(thresholds), -1, len(truth.category_ids), len(AREA_RANGES), len(limits))
    recall_shape = (shape[0], *shape[2:])
    return CocoTables(
        precision=np.asarray(raw['precision'], np.float64).reshape(shape),
        recall=np.asarray(raw['recall'], np.float64).reshape(recall_shape),
        scores=np.asarray(raw['scores'], np.float64).reshape(shape),
        thresholds=np.array(thresholds), limits=limits, names=truth.category_names)
