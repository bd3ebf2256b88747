"""The head of Relation-DETR: DINO's with many-to-one targets for a second set of queries.

Shapes: B images, N queries (denoising ones first), M hybrid queries, K classes, C channels.
"""
from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.dense_heads.deformable_detr_head import DeformableDETRHead
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...registry import MODELS
from ..layers.relation_transformer import EPS, init_linear

_LOSS_CLS = dict(type='mmext.DetachedVarifocalLoss')
_LOSS_BBOX = dict(type='mmdet.L1Loss', loss_weight=5.0)
_LOSS_IOU = dict(type='mmdet.GIoULoss', loss_weight=2.0)
_MATCHER = dict(
    assigner=dict(
        type='mmdet.HungarianAssigner',
        match_costs=[
            dict(type='mmdet.FocalLossCost', weight=2.0, alpha=0.25, gamma=2.0, eps=1e-6),
            dict(type='mmdet.BBoxL1Cost', weight=5.0, box_format='xywh'),
            dict(type='mmdet.IoUCost', iou_mode='giou', weight=2.0),
        ]))


@MODELS.register_module()
class RelationDETRHead(DINOHead):
    """Class and box heads of every decoder layer and of the encoder, and their losses.

    Args:
        num_classes: K.
        hybrid_assign: Queries of the hybrid branch that each ground-truth box is matched with; 0: no
            such branch. Set by the detector.
        loss_cls: See :class:`mmdet.DETRHead`; with :class:`.DetachedVarifocalLoss` or
            ``mmdet.QualityFocalLoss`` targets are IoUs.
        loss_bbox: See :class:`mmdet.DETRHead`.
        loss_iou: See :class:`mmdet.DETRHead`.
        train_cfg: Has ``assigner``; the authors' by default.
        test_cfg: ``max_per_img``, at most so many boxes (300 by default), and ``clip_border``, whether
            boxes are cut at the image's border (the authors do not: false by default).
    """

    def __init__(self,
                 num_classes: int,
                 *args: Any,
                 hybrid_assign: int = 0,
                 loss_cls: dict[str, Any] = _LOSS_CLS,
                 loss_bbox: dict[str, Any] = _LOSS_BBOX,
                 loss_iou: dict[str, Any] = _LOSS_IOU,
                 train_cfg: dict[str, Any] | None = None,
                 test_cfg: dict[str, Any] | None = None,
                 sync_cls_avg_factor: bool = True,
                 **kwargs: Any) -> None:
        self.hybrid_assign = hybrid_assign
        super().__init__(
            num_classes, *args, loss_cls=loss_cls, loss_bbox=loss_bbox, loss_iou=loss_iou,
            train_cfg=copy.deepcopy(_MATCHER) if train_cfg is None else train_cfg,
            test_cfg=dict(max_per_img=300) if test_cfg is None else test_cfg,
            sync_cls_avg_factor=sync_cls_avg_factor, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        if self.hybrid_assign:
            self.hybrid_cls_branch = copy.deepcopy(self.cls_branches[-1])
            self.hybrid_reg_branch = copy.deepcopy(self.reg_branches[-1])

    def init_weights(self) -> None:
        """The authors' initialisation: unlike DINO's, Xavier in the box heads' hidden layers."""
        init_linear(self.reg_branches, zero_bias=True)
        super().init_weights()
        if self.hybrid_assign:
            self.hybrid_cls_branch.bias.data.copy_(self.cls_branches[-1].bias.data)
            init_linear(self.hybrid_reg_branch, zero_bias=True)
            nn.init.zeros_(self.hybrid_reg_branch[-1].weight)

    def forward(self, hidden_states: Tensor, references: Tensor,
                **_: Any) -> tuple[Tensor, Tensor]:
        """Logits and boxes of every layer.

        Args:
            hidden_states: ``(layers, B, N, C)``.
            references: ``(layers, B, N, 4)``, cxcywh in [0, 1].

        Returns:
            ``(layers, B, N, K)`` and ``(layers, B, N, 4)``, cxcywh in [0, 1].
        """
        logits, boxes = [], []
        for index, (state, reference) in enumerate(zip(hidden_states, references)):
            logits.append(self.cls_branches[index](state))
            boxes.append((self.reg_branches[index](state) + inverse_sigmoid(reference, EPS)).sigmoid())
        return torch.stack(logits), torch.stack(boxes)

    def loss(self,
             hidden_states: Tensor,
             references: Tensor,
             enc_outputs_class: Tensor,
             enc_outputs_coord: Tensor,
             batch_data_samples: SampleList,
             dn_meta: dict[str, int],
             hybrid: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """DINO's losses, and with the prefix ``hybrid.`` those of the hybrid branch.

        Args:
            hidden_states: ``(layers, B, N, C)``.
            references: ``(layers, B, N, 4)``.
            enc_outputs_class: ``(B, queries, K)`` of the selected tokens.
            enc_outputs_coord: ``(B, queries, 4)``.
            batch_data_samples: With ``gt_instances`` in pixels.
            dn_meta: Number of denoising queries and groups.
            hybrid: The first four of the hybrid branch, M for N.

        Returns:
            Weighted losses; their sum is the loss.
        """
        _warn_of_lost_boxes(batch_data_samples, enc_outputs_class.shape[1])
        losses = super().loss(hidden_states, references, enc_outputs_class, enc_outputs_coord,
                              batch_data_samples, dn_meta)
        if hybrid is not None:
            losses.update(self._hybrid_loss(batch_data_samples, **hybrid))
        return losses

    def _hybrid_loss(self, batch_data_samples: SampleList, hidden_states: Tensor, references: Tensor,
                     enc_outputs_class: Tensor, enc_outputs_coord: Tensor) -> dict[str, Tensor]:
        """Every ground-truth box is there ``hybrid_assign`` times."""
        metas = [sample.metainfo for sample in batch_data_samples]
        repeated = [_repeat(sample.gt_instances, self.hybrid_assign) for sample in batch_data_samples]
        logits, boxes = self(hidden_states, references)
        losses = super(DeformableDETRHead, self).loss_by_feat(logits, boxes, repeated, metas)
        of_encoder = self.loss_by_feat_single(enc_outputs_class, enc_outputs_coord, repeated, metas)
        losses.update(zip(('enc_loss_cls', 'enc_loss_bbox', 'enc_loss_iou'), of_encoder))
        return {f'hybrid.{name}': value for name, value in losses.items()}

    def _predict_by_feat_single(self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict[str, Any],
                                rescale: bool = True) -> InstanceData:
        """The best pairs of query and class: ``(N, K)`` and ``(N, 4)`` to boxes in pixels."""
        count = min(self.test_cfg.get('max_per_img', 300), cls_score.numel())
        scores, indices = cls_score.sigmoid().flatten().topk(count)
        height, width = img_meta['img_shape'][:2]
        boxes = bbox_cxcywh_to_xyxy(bbox_pred[indices // self.num_classes])
        boxes = boxes * boxes.new_tensor([width, height, width, height])
        if self.test_cfg.get('clip_border', False):
            boxes[:, 0::2].clamp_(0, width)
            boxes[:, 1::2].clamp_(0, height)
        if rescale:
            boxes = boxes / boxes.new_tensor(img_meta['scale_factor']).repeat(2)
        return InstanceData(bboxes=boxes, scores=scores, labels=indices % self.num_classes)


def _repeat(instances: InstanceData, times: int) -> InstanceData:
    """Boxes and what each of them has as one number (label, weight), all ``times`` times in a row."""
    numbers = {key: value.repeat(times) for key, value in instances.items()
               if isinstance(value, Tensor) and value.ndim == 1}
    return InstanceData(bboxes=instances.bboxes.repeat(times, 1), **numbers)


def _warn_of_lost_boxes(samples: SampleList, queries: int) -> None:
    for sample in samples:
        lost = len(sample.gt_instances) - queries
        if lost > 0:
            warnings.warn(f'{sample.get("img_path", "an image")} has {lost + queries} boxes and the model '
                          f'{queries} queries: {lost} boxes are not learned from (raise num_queries)',
                          stacklevel=2)
