"""Settings of Cycle Self-Training: their defaults, and what cannot be."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...errors import UserError, did_you_mean

#: See :class:`.CycleSelfTraining`.
TRAIN_CFG: dict[str, Any] = dict(
    burn_in_iters=2000, sup_weight=1.0, unsup_weight=4.0, pseudo_label_initial_score_thr=0.5,
    rpn_pseudo_thr=0.7, cls_pseudo_thr=0.7, reg_pseudo_thr=None, jitter_times=10, jitter_scale=0.06,
    weight_rpn=False, bg_weight=None, min_pseudo_bbox_wh=(1e-2, 1e-2), cross=True, sup_split=False,
    consistency=dict(type='mmext.DistributionConsistency'))
TEST_CFG: dict[str, Any] = dict(
    predict_on='teacher1', ensemble=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
#: Of detectors with an RoI head only.
_OF_REGIONS = ('weight_rpn', 'bg_weight', 'reg_pseudo_thr')


def merged(kind: str, defaults: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """``defaults`` with what is given.

    Raises:
        UserError: For a setting that does not exist.
    """
    for name in given or {}:
        if name not in defaults:
            raise UserError(f"CycleSelfTraining: {kind} has no '{name}'{did_you_mean(name, defaults)}")
    return {**defaults, **(given or {})}


def check_options(cfg: Mapping[str, Any], detector: nn.Module) -> None:
    """Refuse settings that contradict each other or the detector.

    Args:
        cfg: ``semi_train_cfg``, whole.
        detector: One of the four.

    Raises:
        UserError: Names the setting.
    """
    weight = cfg['bg_weight']
    if weight not in (None, 'teacher'):
        raise UserError(f"CycleSelfTraining: bg_weight cannot be '{weight}'"
                        f"{did_you_mean(str(weight), ['teacher'])} (choose from teacher, None)")
    if cfg['jitter_times'] < 2 or not cfg['jitter_scale'] > 0:
        raise UserError('CycleSelfTraining: expected jitter_times >= 2 and jitter_scale > 0, got '
                        f"{cfg['jitter_times']} and {cfg['jitter_scale']}")
    for name in _OF_REGIONS:
        if cfg[name] not in (None, False) and not hasattr(detector, 'roi_head'):
            raise UserError(f'CycleSelfTraining: {name} is for detectors with an RoI head, '
                            f'{type(detector).__name__} has none; leave it out')
    if cfg['weight_rpn'] and cfg['consistency'] is None:
        raise UserError('CycleSelfTraining: weight_rpn has nothing to weigh by, consistency is None')
