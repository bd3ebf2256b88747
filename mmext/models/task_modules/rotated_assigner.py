"""Hungarian matching that survives non-finite costs, and RHINO's second matching in groups."""
from __future__ import annotations

import warnings
from typing import Any

import torch
from mmdet.models.task_modules.assigners import AssignResult, HungarianAssigner
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ...registry import TASK_UTILS

_WORST = 1e6


@TASK_UTILS.register_module()
class RotatedHungarianAssigner(HungarianAssigner):
    """mmdet's assigner; a cost that is not finite becomes a large one instead of an exception.

    Args:
        match_costs: See :class:`mmdet.HungarianAssigner`.

    Attributes:
        num_nonfinite: How many costs were not finite so far. The first are warned of.
    """

    def __init__(self, match_costs: Any) -> None:
        super().__init__(match_costs)
        self.num_nonfinite = 0

    def cost(self, pred_instances: InstanceData, gt_instances: InstanceData,
             img_meta: dict[str, Any] | None) -> Tensor:
        """Finite costs ``(predictions, ground truth)``, detached, on the CPU."""
        costs = [one(pred_instances=pred_instances, gt_instances=gt_instances, img_meta=img_meta)
                 for one in self.match_costs]
        total = torch.stack(costs).sum(0).detach().cpu()
        wrong = int((~total.isfinite()).sum())
        if wrong:
            if not self.num_nonfinite:
                warnings.warn(f'{wrong} of {total.numel()} matching costs are not finite; they count as '
                              f'{_WORST:g}. Are predictions or boxes NaN?', stacklevel=2)
            self.num_nonfinite += wrong
        return total.nan_to_num(_WORST, _WORST, -_WORST)

    def assign(self, pred_instances: InstanceData, gt_instances: InstanceData,
               img_meta: dict[str, Any] | None = None, **_: Any) -> AssignResult:
        """See :meth:`mmdet.HungarianAssigner.assign`."""
        labels = gt_instances.labels
        inds = labels.new_zeros(len(pred_instances))
        assigned = labels.new_full((len(pred_instances), ), -1)
        if len(gt_instances) and len(pred_instances):
            rows, columns = map(torch.from_numpy, linear_sum_assignment(
                self.cost(pred_instances, gt_instances, img_meta)))
            rows, columns = rows.to(labels.device), columns.to(labels.device)
            inds[rows] = columns + 1
            assigned[rows] = labels[columns]
        return AssignResult(num_gts=len(gt_instances), gt_inds=inds, max_overlaps=None, labels=assigned)


def assign_groups(denoising: Tensor, matching: Tensor) -> Tensor:
    """Which denoising predictions keep a box against the matching ones (RHINO's adaptive denoising).

    Each group competes alone with all matching predictions: one assignment per group gives what one
    over a block-diagonal matrix of all groups gives, in a fraction of its time.

    Args:
        denoising: Costs ``(groups, n, M)`` of each group's positive predictions.
        matching: Costs ``(N, M)`` of the matching predictions.

    Returns:
        ``(groups * n, )``: 0 for a prediction that lost, k + 1 for one that got box k.
    """
    groups, size, _ = denoising.shape
    inds = torch.zeros(groups, size, dtype=torch.long)
    for group, own in zip(inds, denoising):
        rows, columns = map(torch.from_numpy, linear_sum_assignment(torch.cat((own, matching))))
        mine = rows < size
        group[rows[mine]] = columns[mine] + 1
    return inds.flatten()
