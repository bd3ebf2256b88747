"""CGG (ICCV 2023, arXiv 2301.00805) on mmdet's Mask2Former: classes learned from captions.

"Betrayed by Captions: Joint Caption Grounding and Generation for Open Vocabulary Instance
Segmentation", github.com/jianzongwu/betrayed-by-captions (CC BY-NC 4.0; written from a description,
no code or weights of theirs). Masks of the base classes teach what an object is; captions teach
the names of the others. In inference any list of names is the list of classes.

Different from the released code: nouns are found beforehand, not while training
(``tools/dataset_converters/caption_nouns.py``); all decoder outputs go through the caption
generator at once and only real words are decoded; beam search returns the best caption; the
linear classifier, whose loss has weight 0 there, is not there at all.

Shapes: B images, Q queries, K classes, D text channels.
"""
from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmdet.models.detectors import MaskFormer
from mmdet.structures import SampleList
from mmengine.config import ConfigDict
from torch import Tensor
from torch.nn import functional as F

from ...registry import MODELS


@MODELS.register_module()
class CGG(MaskFormer):
    """Open-vocabulary instance and open-set panoptic segmentation.

    Args:
        backbone: Any backbone of the hosts.
        neck: Any neck, usually none.
        panoptic_head: Config of :class:`mmext.CGGHead`.
        panoptic_fusion_head: Config of :class:`mmext.CGGFusionHead`; the numbers of classes are
            filled in.
        test_cfg: Of the fusion head; besides ``caption``: True, or a dict with ``beam_width`` and
            ``alpha``, for a caption with every result.

    Besides the host's predictions a result has ``novel_instances`` and ``base_instances``, as if
    only the novel or the base classes existed (the 'constrained' protocols; labels are those of
    all classes), and the meta key ``caption`` where asked for.

    Example:
        >>> cfg = Config.fromfile('configs/cgg/cgg_r50_8xb2-12e_coco-b48n17.py')
        >>> model = MODELS.build(cfg.model)
    """

    def __init__(self,
                 backbone: dict,
                 panoptic_head: dict,
                 panoptic_fusion_head: dict | None = None,
                 neck: dict | None = None,
                 train_cfg: dict | None = None,
                 test_cfg: dict | None = None,
                 **kwargs: Any) -> None:
        stuff = panoptic_head.get('num_stuff_classes', 0)
        fusion = dict(copy.deepcopy(panoptic_fusion_head or dict(type='mmext.CGGFusionHead')),
                      num_things_classes=len(panoptic_head['classes']) - stuff, num_stuff_classes=stuff)
        super().__init__(backbone, neck, ConfigDict(panoptic_head), ConfigDict(fusion),
                         train_cfg=None if train_cfg is None else ConfigDict(train_cfg),
                         test_cfg=ConfigDict(test_cfg or {}), **kwargs)

    @property
    def classes(self) -> tuple[str, ...]:
        """What the model is asked for."""
        return self.panoptic_head.classes

    def set_classes(self, classes: Sequence[str]) -> None:
        """Ask for other things from now on; results are instances.

        Raises:
            UserError: If there is none, a name is there twice, or one has no embedding.
        """
        self.panoptic_head.set_classes(classes)
        fusion = self.panoptic_fusion_head
        fusion.num_things_classes, fusion.num_stuff_classes = len(classes), 0
        fusion.num_classes = len(classes)
        fusion.test_cfg = ConfigDict({**fusion.test_cfg, 'panoptic_on': False, 'instance_on': True})

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList,
                rescale: bool = True) -> SampleList:
        """See the host.

        Args:
            batch_inputs: ``(B, 3, H, W)``.
            batch_data_samples: One for each image.
            rescale: In the size of the original images.

        Returns:
            The samples, with predictions.
        """
        head, fusion = self.panoptic_head, self.panoptic_fusion_head
        queries, masks = head.predict(self.extract_feat(batch_inputs), batch_data_samples)
        logits = head.logits(queries, head.class_embeddings)
        results = fusion.predict(logits, masks, batch_data_samples, rescale=rescale)
        samples = self.add_pred_to_datasample(batch_data_samples, results)
        caption = fusion.test_cfg.get('caption', False)
        options = caption if isinstance(caption, dict) else {}
        for index, sample in enumerate(samples):
            if fusion.test_cfg.get('subsets', True) and fusion.test_cfg.get('instance_on', False):
                mask = _in_original(masks[index], sample.metainfo, rescale)
                base = head.base_rows.tolist()
                novel = sorted(set(range(len(self.classes))) - set(base))
                for name, labels in (('base', base), ('novel', novel)):
                    setattr(sample, f'{name}_instances',
                            fusion.instance_postprocess(logits[index], mask, labels))
            if caption:
                sample.set_metainfo(dict(caption=head.caption(queries[index], **options)))
        return samples


def _in_original(mask: Tensor, meta: dict, rescale: bool) -> Tensor:
    """Mask logits ``(Q, h, w)`` without padding, in the original size if ``rescale``."""
    height, width = meta['img_shape'][:2]
    mask = mask[:, :height, :width]
    if not rescale:
        return mask
    return F.interpolate(mask[:, None], size=tuple(meta['ori_shape'][:2]), mode='bilinear',
                         align_corners=False)[:, 0]
