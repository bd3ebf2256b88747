"""From masks and text logits to instances and panoptic segments, as CGG does it."""
from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import INSTANCE_OFFSET
from mmdet.structures.mask import mask2bbox
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from ...registry import MODELS


@MODELS.register_module()
class CGGFusionHead(MaskFormerFusionHead):
    """MaskFormer's, with instances of a subset of the classes and stuff after all things.

    Args:
        num_things_classes: Number of things asked for.
        num_stuff_classes: Number of stuff classes asked for.
        test_cfg: As in the host, and ``stuff_area_limit``: stuff of fewer pixels is void (4096);
            ``filter_low_score`` is for things only, as in the authors' code.

    Shapes: Q queries, K classes; the last logit is 'no object'.
    """

    def instance_postprocess(self, mask_cls: Tensor, mask_pred: Tensor,
                             labels: Sequence[int] | None = None) -> InstanceData:
        """Instances of an image.

        Args:
            mask_cls: ``(Q, K + 1)``.
            mask_pred: ``(Q, h, w)``, logits.
            labels: Which of the K classes there are; the others do not exist. None: all.

        Returns:
            ``labels`` (of the K), ``scores``, ``bboxes`` and ``masks``, at most ``max_per_image``.
        """
        known = torch.arange(self.num_classes, device=mask_cls.device)
        if labels is not None:
            known = known[torch.as_tensor(labels, dtype=torch.long, device=known.device)]
        columns = torch.cat([known, known.new_tensor([self.num_classes])])
        scores = mask_cls[:, columns].softmax(dim=-1)[:, :-1].flatten()
        count = min(self.test_cfg.get('max_per_image', 100), len(scores))
        scores, index = scores.topk(count, sorted=False)
        found, query = known[index % max(len(known), 1)], index // max(len(known), 1)
        thing = found < self.num_things_classes
        scores, found, query = scores[thing], found[thing], query[thing]
        # A query has one mask, however many classes it is found as.
        inside = mask_pred > 0
        quality = (mask_pred.sigmoid() * inside).flatten(1).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
        return InstanceData(labels=found, scores=scores * quality[query], bboxes=mask2bbox(inside)[query],
                            masks=inside[query])

    def panoptic_postprocess(self, mask_cls: Tensor, mask_pred: Tensor) -> PixelData:
        """Panoptic segments of an image: things in the order of the queries, then stuff where there
        is none.

        Args:
            mask_cls: ``(Q, K + 1)``.
            mask_pred: ``(Q, h, w)``, logits.

        Returns:
            ``sem_seg`` (1, h, w) of class + 1000 x instance; K is void.
        """
        scores, labels = mask_cls.softmax(dim=-1).max(dim=-1)
        keep = labels.ne(self.num_classes) & (scores > self.test_cfg.get('object_mask_thr', 0.8))
        labels, masks = labels[keep], mask_pred[keep].sigmoid()
        segments = torch.full(mask_pred.shape[-2:], self.num_classes, dtype=torch.int32,
                              device=mask_pred.device)
        if not len(labels):
            return PixelData(sem_seg=segments[None])
        winner = (scores[keep].view(-1, 1, 1) * masks).argmax(dim=0)
        solid = masks >= 0.5
        areas = torch.bincount(winner.flatten(), minlength=len(labels))
        wholes = solid.flatten(1).sum(1)
        enough = (areas > 0) & (wholes > 0) & (areas / wholes.clamp(min=1)
                                               >= self.test_cfg.get('iou_thr', 0.8))
        order = sorted(enough.nonzero().flatten().tolist(),
                       key=lambda one: int(labels[one] >= self.num_things_classes))
        instance = 0
        for one in order:
            label = int(labels[one])
            mask = winner == one
            if label < self.num_things_classes:
                if self.test_cfg.get('filter_low_score', False):
                    mask &= solid[one]
                instance += 1
                segments[mask] = label + instance * INSTANCE_OFFSET
                continue
            mask &= segments == self.num_classes
            if mask.sum() >= self.test_cfg.get('stuff_area_limit', 4096):
                segments[mask] = label
        return PixelData(sem_seg=segments[None])
