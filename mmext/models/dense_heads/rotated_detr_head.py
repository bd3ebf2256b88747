"""Heads of rotated DETRs: mmdet's with five numbers per box.

Shapes: B images, N queries, K classes, C channels.
"""
from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import torch
from mmdet.models.dense_heads import DeformableDETRHead, DINOHead
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps
from mmdet.utils import InstanceList, reduce_mean
from mmengine.structures import InstanceData
from mmrotate.structures.bbox import RotatedBoxes, rbbox_overlaps
from torch import Tensor, nn

from ...registry import MODELS
from ..task_modules.rotated_assigner import RotatedHungarianAssigner, assign_groups
from ..task_modules.rotated_box_space import RotatedBoxSpace
from ..task_modules.rotated_geometry import elongation, prob_iou
from ..task_modules.rotated_match_costs import check_choice

_FOCAL = dict(type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0)
_L1 = dict(type='mmext.RBoxL1Loss', loss_weight=5.0)
_KLD = dict(type='mmext.GaussianLoss', loss_weight=5.0)
_ASSIGNER = dict(
    assigner=dict(
        type='mmext.RotatedHungarianAssigner',
        match_costs=[
            dict(type='mmdet.FocalLossCost', weight=2.0),
            dict(type='mmext.ChamferCost', weight=5.0),
            dict(type='mmext.GDCost', weight=5.0),
        ]))


# For the type checker a mixin is what it is mixed into.
if TYPE_CHECKING:
    from mmdet.models.dense_heads import DeformableDETRHead as _Head
else:
    _Head = object


class RotatedHeadMixin(_Head):
    """What a host's DETR head needs for rotated boxes; before it among the parents.

    Args:
        box_space: A :class:`.RotatedBoxSpace` or its arguments; the detector sets it.
        eps: Of the inverse sigmoid of references.
        loss_cls, loss_bbox, loss_iou: See :class:`mmdet.DETRHead`; ``loss_bbox`` takes normalised
            boxes, ``loss_iou`` boxes in pixels. A quality loss of mmext takes IoUs as targets.
        train_cfg: Has ``assigner``.
        angle_by_elongation: The angle counts (w^2 - h^2) / (w^2 + h^2) in ``loss_bbox``, w and h of the
            ground truth in pixels. The angle of a disc is arbitrary, and that of a square jumps by a
            quarter turn when its sides swap; at full weight such angles are noise that drowns those
            of long objects.
        test_cfg: ``max_per_img`` (500) and ``clip_border`` (true): centres and sides are cut at the
            image's size, as published models do.
    """

    def __init__(self, *args: Any, box_space: RotatedBoxSpace | dict[str, Any] | None = None,
                 eps: float = 1e-5,
                 angle_by_elongation: bool = False,
                 loss_cls: dict[str, Any] = _FOCAL,
                 loss_bbox: dict[str, Any] = _L1,
                 loss_iou: dict[str, Any] = _KLD,
                 train_cfg: dict[str, Any] | None = None, test_cfg: dict[str, Any] | None = None,
                 **kwargs: Any) -> None:
        self.space = box_space if isinstance(box_space, RotatedBoxSpace) else RotatedBoxSpace(
            **(box_space or {}))
        self.eps = eps
        self.angle_by_elongation = angle_by_elongation
        super().__init__(*args, loss_cls=dict(loss_cls), loss_bbox=dict(loss_bbox), loss_iou=dict(loss_iou),
                         train_cfg=copy.deepcopy(_ASSIGNER) if train_cfg is None else train_cfg,
                         test_cfg=test_cfg or dict(max_per_img=500), **kwargs)
        assigner = getattr(self, 'assigner', None)
        for part in (self.loss_bbox, *getattr(assigner, 'match_costs', ())):
            if hasattr(part, 'angle_factor'):
                part.angle_factor = self.space.angle_factor

    def _init_layers(self) -> None:
        super()._init_layers()
        for branch in {id(branch): branch for branch in self.reg_branches}.values():
            branch[-1] = nn.Linear(self.embed_dims, 5)

    def init_weights(self) -> None:
        """The host's, whose -2 (small boxes at first) also goes to the angle, except with ``'wrap'``."""
        super().init_weights()
        if self.space.angle == 'wrap':
            nn.init.zeros_(self.reg_branches[0][-1].bias.data[4:])

    def forward(self, hidden_states: Tensor, references: Any, **_: Any) -> tuple[Tensor, Tensor]:
        """Logits ``(layers, B, N, K)`` and boxes ``(layers, B, N, 5)`` in [0, 1].

        Args:
            hidden_states: ``(layers, B, N, C)``.
            references: For each layer ``(B, N, 2, 4 or 5)``.
        """
        logits, boxes = [], []
        for index, state in enumerate(hidden_states):
            logits.append(self.cls_branches[index](state))
            boxes.append(self.space.refine(references[index], self.reg_branches[index](state), self.eps))
        return torch.stack(logits), torch.stack(boxes)

    def loss_by_feat(self, all_layers_cls_scores: Tensor, all_layers_bbox_preds: Tensor,
                     enc_cls_scores: Tensor | None, enc_bbox_preds: Tensor | None,
                     batch_gt_instances: InstanceList, batch_img_metas: list[dict[str, Any]],
                     *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The host's losses; ground truth is written in the model's way first, in a copy."""
        gts = [InstanceData(bboxes=self.space.canonical(gt.bboxes), labels=gt.labels)
               for gt in batch_gt_instances]
        queries = all_layers_cls_scores.shape[2]
        for dn_meta in (*args, *kwargs.values()):
            if isinstance(dn_meta, dict):
                queries -= dn_meta['num_denoising_queries']
        for gt, meta in zip(gts, batch_img_metas):
            if not gt.bboxes.isfinite().all():
                raise ValueError(f'{meta.get("img_path", "an image")} has boxes that are not finite')
            if len(gt) > queries:
                warnings.warn(f'{meta.get("img_path", "an image")} has {len(gt)} boxes and the model '
                              f'{queries} queries: {len(gt) - queries} boxes are not learned from '
                              '(raise num_queries)', stacklevel=2)
        return super().loss_by_feat(all_layers_cls_scores, all_layers_bbox_preds, enc_cls_scores,
                                    enc_bbox_preds, gts, batch_img_metas, *args, **kwargs)

    def loss_by_feat_single(self, cls_scores: Tensor, bbox_preds: Tensor, batch_gt_instances: InstanceList,
                            batch_img_metas: list[dict[str, Any]]) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of a layer: class, L1, geometry."""
        targets = self.get_targets(list(cls_scores), list(bbox_preds), batch_gt_instances, batch_img_metas)
        return self._losses(cls_scores, bbox_preds, targets, batch_img_metas)

    def _get_targets_single(self, cls_score: Tensor, bbox_pred: Tensor, gt_instances: InstanceData,
                            img_meta: dict[str, Any]) -> tuple[Tensor, ...]:
        pred = InstanceData(scores=cls_score, bboxes=self.space.decode(bbox_pred, img_meta['img_shape']))
        inds = self.assigner.assign(pred, gt_instances, img_meta).gt_inds
        positive = inds.nonzero()[:, 0]
        return self._targets(len(bbox_pred), positive, inds[positive] - 1, gt_instances, img_meta,
                             (inds == 0).nonzero()[:, 0])

    def _targets(self, count: int, positive: Tensor, matched: Tensor, gt: InstanceData,
                 img_meta: dict[str, Any], negative: Tensor) -> tuple[Tensor, ...]:
        """Targets of ``count`` queries, of which ``positive`` are to be the boxes ``matched``."""
        labels = gt.labels.new_full((count, ), self.num_classes)
        labels[positive] = gt.labels[matched]
        boxes, weights = gt.bboxes.new_zeros(2, count, 5)
        boxes[positive] = self.space.encode(gt.bboxes, img_meta['img_shape'])[matched]
        weights[positive] = 1
        return labels, gt.bboxes.new_ones(count), boxes, weights, positive, negative

    def _losses(self, logits: Tensor, preds: Tensor, targets: tuple[Any, ...],
                img_metas: list[dict[str, Any]], num_pos: int | None = None,
                ) -> tuple[Tensor, Tensor, Tensor]:
        """Class, L1 and geometric loss of queries ``(B, N, ...)``.

        Args:
            logits: ``(B, N, K)``; preds: ``(B, N, 5)``.
            targets: As :meth:`get_targets` gives them.
            img_metas: Of the images.
            num_pos: Divides the box losses; default: the number of positives.
        """
        labels, label_weights, boxes, weights = (torch.cat(part) for part in targets[:4])
        pos, neg = targets[4:]
        if logits.numel() == 0:
            zero = logits.sum() + preds.sum()
            return zero, zero, zero
        flat, pred = logits.flatten(0, 1), preds.flatten(0, 1)
        factors = torch.cat([self.space.factor(meta['img_shape'], pred).expand(len(one), -1)
                             for meta, one in zip(img_metas, preds)])
        average = pos + neg * self.bg_cls_weight
        if self.sync_cls_avg_factor:
            average = reduce_mean(flat.new_tensor([average]))
        average = max(average, 1)
        if hasattr(self.loss_cls, 'quality'):
            quality = self._quality(labels, pred, boxes, factors)
            loss_cls = self.loss_cls(flat, quality, label_weights, avg_factor=average)
        else:
            loss_cls = self.loss_cls(flat, labels, label_weights, avg_factor=average)
        total = reduce_mean(loss_cls.new_tensor([pos if num_pos is None else num_pos])).clamp(min=1)
        pixels = boxes * factors
        loss_iou = self.loss_iou(pred * factors, pixels, weights, avg_factor=total)
        if self.angle_by_elongation:
            weights = torch.cat((weights[:, :4], weights[:, 4:] * elongation(pixels)[:, None]), 1)
        loss_bbox = self.loss_bbox(pred, boxes, weights, avg_factor=total)
        return loss_cls.squeeze(), loss_bbox.squeeze(), loss_iou.squeeze()

    @torch.no_grad()
    def _quality(self, labels: Tensor, pred: Tensor, target: Tensor, factors: Tensor) -> Tensor:
        """Quality ``(n, K)`` of the boxes of positives, in their class."""
        quality = pred.new_zeros(len(labels), self.num_classes)
        rows = (labels < self.num_classes).nonzero()[:, 0]
        pred, target, factors = pred[rows].detach(), target[rows], factors[rows]
        if self.loss_cls.quality == 'hbox_iou':
            iou = bbox_overlaps(bbox_cxcywh_to_xyxy(pred[:, :4]), bbox_cxcywh_to_xyxy(target[:, :4]),
                                is_aligned=True)
        elif self.loss_cls.quality == 'prob_iou':
            iou = prob_iou(pred * factors, target * factors)
        else:
            iou = rbbox_overlaps((pred * factors).float(), (target * factors).float(), is_aligned=True)
        # Without rows mmrotate gives (0, 1).
        quality[rows, labels[rows]] = iou.flatten().to(quality)
        return quality

    def _predict_by_feat_single(self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict[str, Any],
                                rescale: bool = True) -> InstanceData:
        """The best pairs of query and class: ``(N, K)`` and ``(N, 5)`` to boxes in pixels and radians."""
        count = min(self.test_cfg.get('max_per_img', 500), cls_score.numel())
        scores, indices = cls_score.sigmoid().flatten().topk(count)
        height, width = img_meta['img_shape'][:2]
        boxes = self.space.decode(bbox_pred[indices // self.num_classes], (height, width))
        if self.test_cfg.get('clip_border', True):
            boxes[:, 0:4:2].clamp_(0, width)
            boxes[:, 1:4:2].clamp_(0, height)
        if rescale:
            boxes = _rescaled(boxes, img_meta['scale_factor'])
        return InstanceData(bboxes=boxes, scores=scores, labels=indices % self.num_classes)


def _rescaled(boxes: Tensor, scale_factor: tuple[float, float]) -> Tensor:
    """Boxes of the original image; where the two scales differ, a box turns as well."""
    x, y = scale_factor[:2]
    if x == y:
        return torch.cat((boxes[:, :4] / x, boxes[:, 4:]), -1)
    rotated = RotatedBoxes(boxes)
    rotated.rescale_((1 / x, 1 / y))
    return rotated.tensor


@MODELS.register_module()
class RotatedDeformableDETRHead(RotatedHeadMixin, DeformableDETRHead):
    """Head of Rotated Deformable-DETR and O2DETR; arguments of the mixin and of mmdet's head."""

    __doc__ += RotatedHeadMixin.__doc__.split('parents.', 1)[1]  # type: ignore[operator,union-attr]


@MODELS.register_module()
class RotatedDINOHead(RotatedHeadMixin, DINOHead):
    """Head of Rotated DINO, RHINO and O2-RTDETR.

    Args:
        adaptive_dn: RHINO's adaptive denoising: positive denoising queries compete with the matching
            ones for the boxes. ``'phc'``: losers learn background; ``'ph'``: and have no box loss;
            None: DINO's denoising.
    """

    __doc__ += RotatedHeadMixin.__doc__.split('Args:\n', 1)[1]  # type: ignore[operator,union-attr]

    def __init__(self, *args: Any, adaptive_dn: str | None = None, **kwargs: Any) -> None:
        if adaptive_dn is not None:
            check_choice('adaptive_dn', adaptive_dn, ('phc', 'ph'))
        super().__init__(*args, **kwargs)
        self.adaptive_dn = adaptive_dn
        assigner = getattr(self, 'assigner', None)
        if adaptive_dn and assigner is not None and not isinstance(assigner, RotatedHungarianAssigner):
            raise ValueError(f'adaptive_dn needs assigner.type=mmext.RotatedHungarianAssigner, not '
                             f'{type(assigner).__name__}')

    def loss_by_feat(self, all_layers_cls_scores: Tensor, all_layers_bbox_preds: Tensor,
                     enc_cls_scores: Tensor | None, enc_bbox_preds: Tensor | None,
                     batch_gt_instances: InstanceList, batch_img_metas: list[dict[str, Any]],
                     dn_meta: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """See the mixin."""
        if self.adaptive_dn:
            dn_meta = {**dn_meta, 'kept': self._kept(
                all_layers_cls_scores, all_layers_bbox_preds, batch_gt_instances, batch_img_metas, dn_meta)}
        return super().loss_by_feat(all_layers_cls_scores, all_layers_bbox_preds, enc_cls_scores,
                                    enc_bbox_preds, batch_gt_instances, batch_img_metas, dn_meta, **kwargs)

    @torch.no_grad()
    def _kept(self, logits: Tensor, boxes: Tensor, gts: InstanceList, metas: list[dict[str, Any]],
              dn_meta: dict[str, int]) -> list[list[Tensor]]:
        """For each layer and image which positive denoising queries ``(groups * n, )`` keep their box."""
        groups, total = dn_meta['num_denoising_groups'], dn_meta['num_denoising_queries']
        gts = [InstanceData(bboxes=self.space.canonical(gt.bboxes), labels=gt.labels) for gt in gts]
        kept: list[list[Tensor]] = []
        for layer_logits, layer_boxes in zip(logits, boxes):
            kept.append([])
            for scores, preds, gt, meta in zip(layer_logits, layer_boxes, gts, metas):
                if not len(gt):
                    kept[-1].append(gt.labels.new_zeros(0, dtype=torch.bool))
                    continue
                positive = self._positives(len(gt), dn_meta, scores.device)
                rows = torch.cat((positive, torch.arange(total, len(scores), device=scores.device)))
                pred = InstanceData(scores=scores[rows],
                                    bboxes=self.space.decode(preds[rows], meta['img_shape']))
                cost = self.assigner.cost(pred, gt, meta)
                inds = assign_groups(cost[:len(positive)].unflatten(0, (groups, -1)), cost[len(positive):])
                own = torch.arange(1, len(gt) + 1).repeat(groups)
                kept[-1].append((inds == own).to(scores.device))
        return kept

    @staticmethod
    def _positives(count: int, dn_meta: dict[str, int], device: torch.device) -> Tensor:
        """Indices of the positive queries of an image with ``count`` boxes, group-major."""
        groups = dn_meta['num_denoising_groups']
        size = dn_meta['num_denoising_queries'] // groups
        return (torch.arange(groups, device=device)[:, None] * size
                + torch.arange(count, device=device)).flatten()

    def loss_dn(self, all_layers_denoising_cls_scores: Tensor, all_layers_denoising_bbox_preds: Tensor,
                batch_gt_instances: InstanceList, batch_img_metas: list[dict[str, Any]],
                dn_meta: dict[str, Any]) -> tuple[Any, ...]:
        """Losses of the denoising queries of every layer."""
        losses = []
        for index, (logits, boxes) in enumerate(
                zip(all_layers_denoising_cls_scores, all_layers_denoising_bbox_preds)):
            meta = dict(dn_meta)
            if 'kept' in meta:
                meta['kept'] = meta['kept'][index]
            losses.append(self._loss_dn_single(logits, boxes, batch_gt_instances, batch_img_metas, meta))
        return tuple(zip(*losses))

    def _loss_dn_single(self, dn_cls_scores: Tensor, dn_bbox_preds: Tensor, batch_gt_instances: InstanceList,
                        batch_img_metas: list[dict[str, Any]],
                        dn_meta: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        targets = self.get_dn_targets(batch_gt_instances, batch_img_metas, dn_meta)
        if 'kept' not in dn_meta:
            return self._losses(dn_cls_scores, dn_bbox_preds, targets, batch_img_metas)
        labels, label_weights, boxes, weights, pos, neg = targets
        survivors = 0
        for index, kept in enumerate(dn_meta['kept']):
            positive = self._positives(len(batch_gt_instances[index]), dn_meta, kept.device)
            lost = positive[~kept]
            labels[index][lost] = self.num_classes
            if self.adaptive_dn == 'ph':
                weights[index][lost] = 0
            survivors += int(kept.sum())
        targets = (labels, label_weights, boxes, weights, survivors, neg + pos - survivors)
        return self._losses(dn_cls_scores, dn_bbox_preds, targets, batch_img_metas,
                            pos if self.adaptive_dn == 'phc' else survivors)

    def _get_dn_targets_single(self, gt_instances: InstanceData, img_meta: dict[str, Any],
                               dn_meta: dict[str, Any]) -> tuple[Tensor, ...]:
        groups, count = dn_meta['num_denoising_groups'], dn_meta['num_denoising_queries']
        gt_count = len(gt_instances)
        positive = self._positives(gt_count, dn_meta, gt_instances.labels.device)
        matched = torch.arange(gt_count, device=positive.device).repeat(groups)
        return self._targets(count, positive, matched, gt_instances, img_meta,
                             positive + count // groups // 2)
