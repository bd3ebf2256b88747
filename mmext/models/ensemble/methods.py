"""Ways to fuse ranked boxes; P-NMS and those that it is compared with, all by one interface.

A method is a function of :class:`Ranked` and its own options. It returns the new boxes and scores and,
for each, the row of the detection that it descends from, whose mask and detector it keeps.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UserError, did_you_mean
from ...ops.pnms import overlaps, suppress
from .averaging import aligned, cluster_means

Merged = tuple[np.ndarray, np.ndarray, np.ndarray]
SOFT = ('linear', 'gaussian')


@dataclass(frozen=True)
class Ranked:
    """N detections in the order in which they are worked through.

    Attributes:
        boxes: (N, 4, 5 or 8) float64.
        scores: (N, ) float64, falling within each image.
        group: (N, ) int64, one number for each image and class.
        detector: (N, ) int64.
        detectors: How many there are.
    """

    boxes: np.ndarray
    scores: np.ndarray
    group: np.ndarray
    detector: np.ndarray
    detectors: int

    def groups(self) -> Iterator[np.ndarray]:
        """Rows of each group, in the order of the ranking."""
        order = np.argsort(self.group, kind='stable')
        return iter(np.split(order, np.flatnonzero(np.diff(self.group[order])) + 1)) if len(order) else \
            iter(())


def p_nms(ranked: Ranked, iou_threshold: float = 0.5, soft: str | None = None, sigma: float = 0.5,
          min_score: float = 1e-3, vote: bool = False) -> Merged:
    """Greedy suppression by refined scores (section 5 of the definition).

    Args:
        iou_threshold: A box goes if its IoU with a better one that stays is over it.
        soft: 'linear' or 'gaussian': boxes stay with a decayed score, as in Soft-NMS.
        sigma, min_score: See :func:`soft_nms`.
        vote: A box becomes the score-weighted mean of itself and those that it suppresses.
    """
    if soft is not None:
        if vote:
            raise UserError('nms: soft suppresses nothing that could vote; leave out soft or vote')
        return soft_nms(ranked, iou_threshold, soft, sigma, min_score)
    owner = suppress(ranked.boxes, ranked.group, iou_threshold)
    rows = np.flatnonzero(owner == np.arange(len(owner)))
    boxes = cluster_means(ranked.boxes, ranked.scores, owner) if vote else ranked.boxes
    return boxes[rows], ranked.scores[rows], rows


def nms(ranked: Ranked, iou_threshold: float = 0.5) -> Merged:
    """Non-maximum suppression."""
    return p_nms(ranked, iou_threshold)


def soft_nms(ranked: Ranked, iou_threshold: float = 0.5, method: str = 'linear', sigma: float = 0.5,
             min_score: float = 1e-3) -> Merged:
    """Soft-NMS (Bodla et al., 2017): a better box lowers the scores of those that it overlaps.

    Args:
        iou_threshold: 'linear' lowers only from this IoU.
        method: 'linear' (by the IoU) or 'gaussian'.
        sigma: Width of the gaussian.
        min_score: Boxes whose score is not over it go.
    """
    if method not in SOFT:
        raise UserError(f"nms: soft '{method}' is not {' or '.join(SOFT)}{did_you_mean(method, SOFT)}")
    scores = ranked.scores.copy()
    for rows in ranked.groups():
        boxes, left, value = ranked.boxes[rows], np.ones(len(rows), bool), scores[rows]
        for _ in range(len(rows) - 1):
            best = int(np.where(left, value, -1).argmax())
            left[best] = False
            others = np.flatnonzero(left)
            ious = overlaps(boxes[best:best + 1], boxes[others])
            if method == 'linear':
                value[others] *= np.where(ious > iou_threshold, 1 - ious, 1)
            else:
                value[others] *= np.exp(-ious**2 / sigma)
        scores[rows] = value
    rows = np.flatnonzero(scores > min_score)
    return ranked.boxes[rows], scores[rows], rows


def nmw(ranked: Ranked, iou_threshold: float = 0.5) -> Merged:
    """Non-maximum weighted (Zhou et al., 2017): boxes are weighted by score and IoU with the best one."""
    owner = suppress(ranked.boxes, ranked.group, iou_threshold, closest=True)
    rows = np.flatnonzero(owner == np.arange(len(owner)))
    weights = ranked.scores * overlaps(ranked.boxes, ranked.boxes[owner])
    return cluster_means(ranked.boxes, weights, owner)[rows], ranked.scores[rows], rows


def wbf(ranked: Ranked, iou_threshold: float = 0.55, weights: Sequence[float] | None = None) -> Merged:
    """Weighted boxes fusion (Solovyev et al., 2021): clusters around running means.

    A cluster's score is the mean of its boxes', times min(detectors, boxes) / detectors: what few
    detectors see counts less.

    Args:
        iou_threshold: A box joins the cluster that it overlaps most if the IoU is over it.
        weights: Of the detectors; equal by default.
    """
    shares = np.ones(ranked.detectors) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (ranked.detectors, ) or not (shares > 0).all():
        raise UserError(f'nms: weights {weights} must be one number over 0 for each of '
                        f'{ranked.detectors} detectors')
    scores = ranked.scores * shares[ranked.detector]
    parts: list[Merged] = []
    for rows in ranked.groups():
        rows = rows[np.argsort(-scores[rows], kind='stable')]
        parts.append(_running_clusters(ranked.boxes[rows], scores[rows], rows, iou_threshold,
                                       ranked.detectors, shares.sum()))
    if not parts:
        return ranked.boxes, ranked.scores, np.zeros(0, np.int64)
    boxes, fused, origin = (np.concatenate(column) for column in zip(*parts))
    return boxes, fused, origin


def _running_clusters(boxes: np.ndarray, scores: np.ndarray, rows: np.ndarray, iou_threshold: float,
                      detectors: int, share: float) -> Merged:
    """Fuse the boxes of one group, given by falling score."""
    means = np.empty_like(boxes)
    sums, mass, size = np.zeros_like(boxes), np.zeros(len(boxes)), np.zeros(len(boxes))
    first = np.zeros(len(boxes), np.int64)
    count = 0
    for row in range(len(boxes)):
        box, place = boxes[row], count
        if count:
            ious = overlaps(means[:count], box[None])
            best = int(ious.argmax())
            if ious[best] > iou_threshold:
                place = best
                box = aligned(box[None], boxes[first[place]][None])[0]
        if place == count:
            first[count] = row
            count += 1
        sums[place] += scores[row] * box
        mass[place] += scores[row]
        size[place] += 1
        means[place] = sums[place] / mass[place] if mass[place] > 0 else boxes[first[place]]
    fused = mass[:count] / size[:count] * np.minimum(detectors, size[:count]) / share
    return means[:count], fused, rows[first[:count]]


METHODS: dict[str, Callable[..., Merged]] = dict(p_nms=p_nms, nms=nms, soft_nms=soft_nms, nmw=nmw, wbf=wbf)
