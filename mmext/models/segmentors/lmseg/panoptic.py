"""LMSeg for panoptic segmentation, in mmdet."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.detectors import MaskFormer, SingleStageDetector
from mmdet.models.seg_heads.panoptic_fusion_heads import MaskFormerFusionHead
from mmdet.structures import INSTANCE_OFFSET, DetDataSample
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from ....errors import UserError
from ....registry import MODELS
from .guide import LanguageGuide
from .taxonomy import Taxonomy


@dataclass(frozen=True)
class Segment:
    """A segment of a panoptic result.

    Attributes:
        id: From 1, in the segments' map.
        label: Its class.
        thing: Whether its class has instances.
    """

    id: int
    label: int
    thing: bool


@MODELS.register_module()
class LMSegFusionHead(MaskFormerFusionHead):
    """MaskFormer's fusion of masks, for taxonomies whose things are any set of classes.

    Args:
        test_cfg: ``object_mask_thr`` (least score of a query, 0.8; or a dict by taxonomy) and ``iou_thr``
            (least part of a mask that is left beside the others, 0.8).
        init_cfg: See :class:`mmengine.model.BaseModule`.
    """

    def __init__(self, test_cfg: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(num_things_classes=0, num_stuff_classes=0, test_cfg=test_cfg or {},
                         init_cfg=init_cfg)

    def segments(self, mask_cls: Tensor, mask_pred: Tensor,
                 taxonomy: Taxonomy) -> tuple[Tensor, list[Segment]]:
        """Masks to segments.

        Args:
            mask_cls: Class logits ``(Q, K + 1)``.
            mask_pred: Mask logits ``(Q, H, W)``, in the size of the result.
            taxonomy: What the classes are.

        Returns:
            The map of segment ids ``(H, W)``, int32, 0 where there is none; and the segments.
        """
        scores, labels = mask_cls.softmax(-1).max(-1)
        least = self.test_cfg.get('object_mask_thr', 0.8)
        if isinstance(least, Mapping):
            least = least.get(taxonomy.name, 0.8)
        keep = (labels != taxonomy.num_classes) & (scores > least)
        ids = mask_pred.new_zeros(mask_pred.shape[-2:], dtype=torch.int32)
        found: list[Segment] = []
        if not keep.any():
            return ids, found
        masks = mask_pred[keep].sigmoid()
        owner = (scores[keep, None, None] * masks).argmax(0)
        areas = torch.bincount(owner.flatten(), minlength=len(masks))
        wholes = (masks >= 0.5).sum((1, 2))
        # One transfer for all queries, then nothing waits for the device.
        rows = torch.stack((labels[keep], areas, wholes)).t().tolist()
        stuff: dict[int, int] = {}
        table = [0] * len(rows)
        for index, (label, area, whole) in enumerate(rows):
            if not area or not whole or area / whole < self.test_cfg.get('iou_thr', 0.8):
                continue
            if label in stuff:
                table[index] = stuff[label]
                continue
            thing = label in taxonomy.things
            found.append(Segment(len(found) + 1, label, thing))
            table[index] = len(found)
            if not thing:
                stuff[label] = len(found)
        return ids.new_tensor(table)[owner], found

    def predict(self, mask_cls_results: Tensor, mask_pred_results: Tensor,
                batch_data_samples: Sequence[DetDataSample], rescale: bool = False,
                taxonomies: Sequence[Taxonomy] = (), **kwargs: Any) -> list[dict]:
        """Panoptic results in mmdet's form: class + number of the instance * INSTANCE_OFFSET.

        Args:
            mask_cls_results: Class logits ``(B, Q, K + 1)``.
            mask_pred_results: Mask logits ``(B, Q, H, W)`` in the size of the input.
            batch_data_samples: Their ``img_shape`` and ``ori_shape`` are read.
            rescale: Results in the size of the original picture.
            taxonomies: Of each image.
            **kwargs: Not used, as in mmdet.

        Returns:
            ``dict(pan_results=PixelData)`` of each image.
        """
        results = []
        for scores, masks, sample, taxonomy in zip(mask_cls_results, mask_pred_results, batch_data_samples,
                                                   taxonomies):
            ids, segments = self.segments(scores, _resized(masks, sample.metainfo, rescale), taxonomy)
            codes = [taxonomy.num_classes]  # mmdet's code of no segment
            instances = 0
            for segment in segments:
                instances += segment.thing
                codes.append(segment.label + (instances * INSTANCE_OFFSET if segment.thing else 0))
            pixels = ids.new_tensor(codes)[ids.long()]
            results.append(dict(pan_results=PixelData(sem_seg=pixels[None])))
        return results


def _resized(masks: Tensor, meta: Mapping[str, Any], rescale: bool) -> Tensor:
    """Mask logits ``(Q, H, W)`` without the padding, in the original size if ``rescale``."""
    height, width = meta['img_shape'][:2]
    masks = masks[:, :height, :width]
    if not rescale:
        return masks
    return F.interpolate(masks[None], size=tuple(meta['ori_shape'][:2]), mode='bilinear',
                         align_corners=False)[0]


@MODELS.register_module()
class LMSegPanoptic(MaskFormer):
    """Panoptic segmentation of several data sets with label spaces of their own.

    The panoptic variant of :class:`mmext.LMSeg`; taxonomies name their ``things``.

    Args:
        backbone: Its maps go to the head.
        panoptic_head: :class:`.LMSegHead`.
        taxonomies: ``dict(classes=[...], things=[...])`` by taxonomy.
        text_encoder: See :class:`mmext.LMSeg`.
        panoptic_fusion_head: :class:`.LMSegFusionHead`.
        default_taxonomy: Of samples that do not name one; with a single taxonomy that one.
        test_cfg: Of the fusion head.
        data_preprocessor: See :class:`mmdet.models.MaskFormer`.
        init_cfg: See :class:`mmengine.model.BaseModule`.

    Raises:
        UserError: See :class:`mmext.LMSeg`.
    """

    def __init__(self,
                 backbone: dict,
                 panoptic_head: dict,
                 taxonomies: Mapping[str, Any],
                 text_encoder: dict,
                 panoptic_fusion_head: dict | None = None,
                 default_taxonomy: str | None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        # MaskFormer's constructor wants numbers of things and stuff from its head.
        super(SingleStageDetector, self).__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.panoptic_head = MODELS.build(panoptic_head)
        self.panoptic_fusion_head = MODELS.build(
            dict(panoptic_fusion_head or dict(type='mmext.LMSegFusionHead'), test_cfg=test_cfg or {}))
        self.guide = LanguageGuide(taxonomies, text_encoder, self.panoptic_head.decoder.channels,
                                   default_taxonomy)

    @property
    def classes(self) -> tuple[str, ...]:
        """What is looked for in images that name no taxonomy."""
        return self.guide.classes

    def set_classes(self, classes: Sequence[str]) -> None:
        """Look for other things, see :meth:`.LanguageGuide.set_classes`."""
        self.guide.set_classes(classes)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of images ``(B, 3, H, W)`` of one taxonomy."""
        taxonomy = self.guide.of_batch(batch_data_samples)
        targets = [self._targets(sample, taxonomy) for sample in batch_data_samples]
        shape = (batch_inputs.shape[2], batch_inputs.shape[3])
        return self.panoptic_head.loss(self.extract_feat(batch_inputs), self.guide(taxonomy), shape, targets)

    def _targets(self, sample: DetDataSample, taxonomy: Taxonomy) -> InstanceData:
        """One mask for each thing and for each class of stuff that an image has."""
        labels = sample.gt_instances.labels
        masks = sample.gt_instances.masks.to_tensor(dtype=torch.bool, device=labels.device)
        if len(labels) and int(labels.max()) >= taxonomy.num_classes:
            raise _outside(sample, int(labels.max()), taxonomy)
        for label in labels.tolist():
            if label not in taxonomy.things:
                raise UserError(f"{sample.metainfo.get('img_path', 'an image')} has an instance of "
                                f"'{taxonomy.classes[label]}', which is no thing of the taxonomy "
                                f"'{taxonomy.name}': name it in taxonomies.{taxonomy.name}.things")
        if 'gt_sem_seg' in sample:
            seg = sample.gt_sem_seg.sem_seg[0]
            present = [label for label in torch.unique(seg).tolist() if label != 255]
            if present and present[-1] > taxonomy.num_classes:  # num_classes itself is mmdet's void
                raise _outside(sample, present[-1], taxonomy)
            stuff = labels.new_tensor([label for label in present if label < taxonomy.num_classes
                                       and label not in taxonomy.things])
            labels = torch.cat((labels, stuff))
            masks = torch.cat((masks, seg == stuff[:, None, None]))
        return InstanceData(labels=labels, masks=masks.long())

    def predict(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample],
                rescale: bool = True) -> list[DetDataSample]:
        """Segment images; those of a batch may have different taxonomies."""
        groups: dict[str, list[int]] = {}
        for index, taxonomy in enumerate(self.guide.of(batch_data_samples)):
            groups.setdefault(taxonomy.name, []).append(index)
        shape = (batch_inputs.shape[2], batch_inputs.shape[3])
        for name, indices in groups.items():
            taxonomy = self.guide.taxonomies[name]
            some = batch_inputs if len(groups) == 1 else batch_inputs[indices]
            samples = [batch_data_samples[index] for index in indices]
            scores, masks = self.panoptic_head.predict(self.extract_feat(some), self.guide(taxonomy), shape)
            results = self.panoptic_fusion_head.predict(scores, masks, samples, rescale=rescale,
                                                        taxonomies=[taxonomy] * len(samples))
            self.add_pred_to_datasample(samples, results)
        return batch_data_samples

    def _forward(self, batch_inputs: Tensor,
                 batch_data_samples: list[DetDataSample] | None = None) -> tuple[Tensor, Tensor]:
        """Class and mask logits of every decoder layer, see :meth:`.LMSegHead.forward`."""
        taxonomy = self.guide.of_batch(batch_data_samples or [DetDataSample()])
        shape = (batch_inputs.shape[2], batch_inputs.shape[3])
        return self.panoptic_head(self.extract_feat(batch_inputs), self.guide(taxonomy), shape)


def _outside(sample: DetDataSample, label: int, taxonomy: Taxonomy) -> UserError:
    path = sample.metainfo.get('img_path', 'an image')
    return UserError(f"{path} has the label {label}, but the taxonomy '{taxonomy.name}' has "
                     f'{taxonomy.num_classes} classes (0 to {taxonomy.num_classes - 1})')
