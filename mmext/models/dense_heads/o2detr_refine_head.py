"""The fine-tuned cascade head of O2DETR (F-O2DETR).

The paper (arXiv 2106.03146) says that a head mounted on a trained O2DETR is fine-tuned in a cascade and no
more; what is here is this project's definition. Boxes of the last decoder layer are the proposals; their
targets come from one-to-one matching, so there is no NMS here either.

Shapes: B images, N queries, K classes, C channels.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.utils import InstanceList, reduce_mean
from mmengine.model import BaseModule, ModuleList
from mmengine.structures import InstanceData
from mmrotate.structures.bbox import RotatedBoxes
from torch import Tensor, nn

from ...registry import MODELS, TASK_UTILS
from ..task_modules.rotated_assigner import RotatedHungarianAssigner
from ..task_modules.rotated_geometry import canonical

_ROI_ALIGN = dict(type='RoIAlignRotated', output_size=7, sampling_ratio=2, clockwise=True)
_CODER = dict(
    type='mmrotate.DeltaXYWHTRBBoxCoder', angle_version='le90', edge_swap=True, proj_xy=True,
    use_box_type=False, target_stds=(0.1, 0.1, 0.2, 0.2, 0.1))
_FOCAL = dict(type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0)
_SMOOTH_L1 = dict(type='mmdet.SmoothL1Loss', beta=1.0, loss_weight=1.0)
#: A proposal is pooled as at least so many pixels wide and high; RoIAlign divides by its sides.
_MIN_SIDE = 1.0


class _Stage(BaseModule):
    """Two linear layers on pooled features: logits ``(n, K)`` and deltas ``(n, 5)``."""

    def __init__(self, in_features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.Linear(in_features, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True))
        self.fc_cls = nn.Linear(hidden, num_classes)
        self.fc_reg = nn.Linear(hidden, 5)

    def init_weights(self) -> None:
        """Xavier; classes start rare, boxes where the proposals are."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.constant_(self.fc_cls.bias, -4.595)  # a probability of 0.01
        nn.init.normal_(self.fc_reg.weight, std=0.001)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """``(n, C, 7, 7)`` to logits and deltas."""
        hidden = self.shared(pooled.flatten(1))
        return self.fc_cls(hidden), self.fc_reg(hidden)


@MODELS.register_module()
class O2DETRRefineHead(BaseModule):
    """Refines rotated boxes by features pooled from the encoder's maps, one stage after another.

    Args:
        num_classes: K.
        in_channels: C of the maps.
        featmap_strides: Strides of the maps, from fine to coarse.
        num_stages: Stages of the cascade; each starts from the last one's boxes.
        fc_channels: Width of the two linear layers of a stage.
        finest_scale: Boxes whose root of the area is less than twice this use the finest map.
        roi_layer: Config of the pooling layer.
        bbox_coder: Config of the coder of deltas.
        loss_cls: Config of a sigmoid classification loss.
        loss_bbox: Config of the loss of deltas.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: For less than one stage.
    """

    def __init__(self, num_classes: int, in_channels: int = 256,
                 featmap_strides: Sequence[int] = (8, 16, 32, 64), num_stages: int = 1,
                 fc_channels: int = 1024, finest_scale: int = 56,
                 roi_layer: dict[str, Any] = _ROI_ALIGN, bbox_coder: dict[str, Any] = _CODER,
                 loss_cls: dict[str, Any] = _FOCAL, loss_bbox: dict[str, Any] = _SMOOTH_L1,
                 init_cfg: Any = None) -> None:
        super().__init__(init_cfg=init_cfg)
        if num_stages < 1:
            raise ValueError(f'num_stages={num_stages}: expected 1 or more')
        self.num_classes = num_classes
        self.extractor = MODELS.build(dict(
            type='mmrotate.RotatedSingleRoIExtractor', roi_layer=dict(roi_layer), out_channels=in_channels,
            featmap_strides=list(featmap_strides), finest_scale=finest_scale))
        size = self.extractor.roi_layers[0].output_size
        features = in_channels * size[0] * size[1]
        self.stages = ModuleList(_Stage(features, fc_channels, num_classes) for _ in range(num_stages))
        self.coder = TASK_UTILS.build(dict(bbox_coder))
        self.loss_cls = MODELS.build(dict(loss_cls))
        self.loss_bbox = MODELS.build(dict(loss_bbox))

    def forward(self, maps: Sequence[Tensor], boxes: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Run all stages.

        Args:
            maps: ``(B, C, H, W)``, from fine to coarse.
            boxes: Proposals ``(B, N, 5)`` in pixels and radians.

        Returns:
            For each stage the boxes it started from ``(B, N, 5)``, logits ``(B, N, K)`` and deltas
            ``(B, N, 5)``.
        """
        outputs: list[tuple[Tensor, Tensor, Tensor]] = []
        boxes = boxes.detach()
        for index, stage in enumerate(self.stages):
            if index:
                boxes = self.decode(outputs[-1][0], outputs[-1][2]).detach()
            image = torch.arange(len(boxes), device=boxes.device).repeat_interleave(boxes.shape[1])
            flat = boxes.flatten(0, 1)
            rois = torch.cat((image[:, None].to(flat), flat[:, :2], flat[:, 2:4].clamp(min=_MIN_SIDE),
                              flat[:, 4:]), 1)
            logits, deltas = stage(self.extractor(maps, rois))
            outputs.append((boxes, logits.unflatten(0, boxes.shape[:2]),
                            deltas.unflatten(0, boxes.shape[:2])))
        return outputs

    def decode(self, boxes: Tensor, deltas: Tensor) -> Tensor:
        """Boxes ``(B, N, 5)``, w >= h and angles in [0, pi), from a stage's boxes and deltas."""
        decoded = self.coder.decode(self._pooled_size(boxes.flatten(0, 1)), deltas.flatten(0, 1))
        return canonical(decoded).unflatten(0, boxes.shape[:2])

    def loss(self, maps: Sequence[Tensor], boxes: Tensor, scores: Tensor, gts: InstanceList,
             img_metas: list[dict[str, Any]], assigner: RotatedHungarianAssigner) -> dict[str, Tensor]:
        """Losses of all stages, ``refine{i}.loss_cls`` and ``refine{i}.loss_bbox``.

        Args:
            maps: See :meth:`forward`.
            boxes: Proposals ``(B, N, 5)`` in pixels.
            scores: Their logits ``(B, N, K)``, for the matching of the first stage.
            gts: ``bboxes`` in pixels, w >= h and angles in [0, pi), and ``labels``.
            img_metas: Of the images.
            assigner: The detector's.
        """
        losses = {}
        for index, (start, logits, deltas) in enumerate(self(maps, boxes)):
            labels = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
            positive, targets = [], []
            for image, (gt, meta) in enumerate(zip(gts, img_metas)):
                pred = InstanceData(scores=scores[image].detach(), bboxes=start[image])
                inds = assigner.assign(pred, gt, meta).gt_inds
                rows = inds.nonzero()[:, 0]
                labels[image, rows] = gt.labels[inds[rows] - 1]
                positive.append(deltas[image, rows])
                targets.append(self._encode(start[image, rows], gt.bboxes[inds[rows] - 1]))
            count = reduce_mean(logits.new_tensor([sum(map(len, positive))])).clamp(min=1)
            losses[f'refine{index}.loss_cls'] = self.loss_cls(
                logits.flatten(0, 1), labels.flatten(), avg_factor=count)
            found = torch.cat(positive)
            # Without any box there is no loss, but still a gradient.
            losses[f'refine{index}.loss_bbox'] = (
                self.loss_bbox(found, torch.cat(targets), avg_factor=count) if len(found)
                else deltas.sum() * 0)
            scores = logits
        return losses

    def predict(self, maps: Sequence[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(B, N, K)`` and boxes ``(B, N, 5)`` in pixels of the last stage."""
        start, logits, deltas = self(maps, boxes)[-1]
        return logits, self.decode(start, deltas)

    def _encode(self, boxes: Tensor, gts: Tensor) -> Tensor:
        """Deltas ``(n, 5)``; sides of ground truth are at least a hundredth of a pixel."""
        gts = torch.cat((gts[:, :2], gts[:, 2:4].clamp(min=0.01), gts[:, 4:]), 1)
        return self.coder.encode(RotatedBoxes(self._pooled_size(boxes)), RotatedBoxes(gts))

    @staticmethod
    def _pooled_size(boxes: Tensor) -> Tensor:
        return torch.cat((boxes[:, :2], boxes[:, 2:4].clamp(min=_MIN_SIDE), boxes[:, 4:]), 1)
