"""Costs of matching rotated predictions with ground truth, for mmdet's HungarianAssigner.

All take predictions ``bboxes (N, 5)`` and ground truth ``bboxes (M, 5)``, both in pixels and radians and
written in the model's way (see :class:`.RotatedBoxSpace`), and give ``(N, M)``.
"""
from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmengine.structures import InstanceData
from mmrotate.structures.bbox import rbbox_overlaps
from torch import Tensor

from ...errors import did_you_mean
from ...registry import TASK_UTILS
from .rotated_geometry import FUNCTIONS, KINDS, contour, gaussian_distance, point_set_distances


class _RotatedCost(BaseMatchCost):
    """Boxes and image size out of mmdet's structures."""

    @abstractmethod
    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """Cost of all pairs, without its weight; ``factor`` is (W, H, W, H)."""

    def __call__(self, pred_instances: InstanceData, gt_instances: InstanceData,
                 img_meta: dict[str, Any] | None = None, **_: Any) -> Tensor:
        """``(N, M)``."""
        gt = getattr(gt_instances.bboxes, 'tensor', gt_instances.bboxes)
        height, width = (img_meta or {}).get('img_shape', (1, 1))[:2]
        pred = pred_instances.bboxes
        return self.weight * self.pairs(pred, gt, pred.new_tensor([width, height, width, height]))


@TASK_UTILS.register_module()
class RBoxL1Cost(_RotatedCost):
    """L1 distance of the five normalised numbers.

    Args:
        periodic: Take the angle's distance around the circle; False is what published models do.
        angle_factor: Angle that counts 1, in radians; the head sets its box space's.
        weight: Of the cost.
    """

    def __init__(self, periodic: bool = True, angle_factor: float = math.pi, weight: float = 1.) -> None:
        super().__init__(weight)
        self.periodic = periodic
        self.angle_factor = angle_factor

    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """See the class."""
        boxes = torch.cdist(pred[:, :4] / factor, gt[:, :4] / factor, p=1)
        turn = (pred[:, None, 4] - gt[:, 4]).abs() / self.angle_factor
        if self.periodic:
            turn = turn % (math.pi / self.angle_factor)
            turn = torch.minimum(turn, math.pi / self.angle_factor - turn)
        return boxes + turn


@TASK_UTILS.register_module()
class CenterL1Cost(_RotatedCost):
    """L1 distance of the normalised centres."""

    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """See the class."""
        return torch.cdist(pred[:, :2] / factor[:2], gt[:, :2] / factor[:2], p=1)


@TASK_UTILS.register_module()
class GDCost(_RotatedCost):
    """Distance of the boxes' Gaussians in closed form; see :func:`.gaussian_distance`.

    Args:
        loss_type: kld, gwd, jd, kld_symmax or kld_symmin.
        fun: log1p, sqrt or none; tau, alpha, sqrt, normalize: see :func:`.gaussian_distance`.
        weight: Of the cost.
    """

    def __init__(self, loss_type: str = 'kld', fun: str = 'log1p', tau: float = 1., alpha: float = 1.,
                 sqrt: bool = False, normalize: bool = True, weight: float = 1.) -> None:
        super().__init__(weight)
        check_choice('loss_type', loss_type, KINDS)
        check_choice('fun', fun, FUNCTIONS)
        self.kwargs = dict(kind=loss_type, fun=fun, tau=tau, alpha=alpha, sqrt=sqrt, normalize=normalize)

    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """See the class."""
        return gaussian_distance(pred[:, None], gt, **self.kwargs)  # type: ignore[arg-type]


class _PointSetCost(_RotatedCost):
    """Distance of points on the borders.

    Args:
        num_points: Per box, a multiple of 4; 4 are the corners.
        space: ``'pixels'``: points in pixels, divided by sqrt(W H). ``'normalized'``: points of the
            normalised boxes with the angle unchanged, which is sheared unless W = H; published
            models do that, on square images.
        weight: Of the cost.
    """

    def __init__(self, num_points: int = 4, space: str = 'pixels', weight: float = 1.) -> None:
        super().__init__(weight)
        check_choice('space', space, ('pixels', 'normalized'))
        if num_points < 4 or num_points % 4:
            raise ValueError(f'num_points={num_points}: expected a multiple of 4')
        self.num_points = num_points
        self.space = space

    def distances(self, pred: Tensor, gt: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """See :func:`.point_set_distances`."""
        divisor = factor[:2].prod().sqrt().expand(4) if self.space == 'pixels' else factor
        first, second = (contour(torch.cat((box[:, :4] / divisor, box[:, 4:]), -1), self.num_points)
                         for box in (pred, gt))
        return point_set_distances(first, second)


@TASK_UTILS.register_module()
class HausdorffCost(_PointSetCost):
    """Largest distance of a point of one border to the other's points (RHINO, arXiv 2305.07598)."""

    __doc__ += _PointSetCost.__doc__.split('borders.', 1)[1]  # type: ignore[operator,union-attr]

    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """See the class."""
        there, back = self.distances(pred, gt, factor)
        return torch.maximum(there.amax(-1), back.amax(-1))


@TASK_UTILS.register_module()
class ChamferCost(_PointSetCost):
    """Mean distance to the nearest point, both ways (O2-RTDETR, arXiv 2603.15497)."""

    __doc__ += _PointSetCost.__doc__.split('borders.', 1)[1]  # type: ignore[operator,union-attr]

    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """See the class."""
        there, back = self.distances(pred, gt, factor)
        return there.mean(-1) + back.mean(-1)


@TASK_UTILS.register_module()
class RotatedIoUCost(_RotatedCost):
    """Minus the IoU (computed in float32 by mmcv)."""

    def pairs(self, pred: Tensor, gt: Tensor, factor: Tensor) -> Tensor:
        """See the class."""
        return -rbbox_overlaps(pred.detach().float(), gt.float())


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise a ValueError that names the nearest of the known choices."""
    if value not in known:
        raise ValueError(f"{name}='{value}'{did_you_mean(value, known)} Expected one of {', '.join(known)}")
