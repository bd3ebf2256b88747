"""LMSeg for semantic segmentation, in mmseg."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from ....errors import UserError
from ....registry import MODELS
from .guide import LanguageGuide
from .head import semantic_scores
from .taxonomy import Taxonomy


@MODELS.register_module()
class LMSeg(EncoderDecoder):
    """Semantic segmentation of several data sets with label spaces of their own.

    "LMSeg: Language-guided Multi-dataset Segmentation", ICLR 2023 (arXiv 2302.13495). A sample's label
    space is named by its meta key ``taxonomy`` (:class:`mmext.MultiDataset` sets it). A data set that
    was never trained on needs only an entry in ``taxonomies``.

    Args:
        backbone: Its maps go to the head.
        decode_head: :class:`.LMSegHead`.
        taxonomies: Class names by taxonomy: a list, or ``dict(classes=[...], prompt='a photo of {}')``.
        text_encoder: :class:`.CLIPTextContextEncoder`, :class:`mmext.TextEncoder` or
            :class:`mmext.TextTable`.
        default_taxonomy: Of samples that do not name one; with a single taxonomy that one.
        ignore_index: Label of pixels that belong to no class, in all data sets.
        **kwargs: See :class:`mmseg.models.EncoderDecoder`; without ``auxiliary_head``.

    Raises:
        UserError: If a taxonomy is not valid or there is an ``auxiliary_head``; while training if a batch
            mixes taxonomies, or a label map has a label that its taxonomy lacks.

    Example:
        >>> dict(type='mmext.LMSeg', backbone=dict(type='mmext.CLIPResNet'),
        ...      decode_head=dict(type='mmext.LMSegHead', in_channels=[256, 512, 1024, 2048]),
        ...      text_encoder=dict(type='mmext.CLIPTextContextEncoder'),
        ...      taxonomies=dict(pets=dict(classes=['cat', 'dog'], prompt='a photo of {}')))
    """

    def __init__(self,
                 backbone: dict,
                 decode_head: dict,
                 taxonomies: Mapping[str, Any],
                 text_encoder: dict,
                 default_taxonomy: str | None = None,
                 ignore_index: int = 255,
                 **kwargs: Any) -> None:
        if kwargs.get('auxiliary_head'):
            raise UserError('LMSeg: auxiliary_head is of no use: an auxiliary head has one fixed number of '
                            'classes; take it out (auxiliary_head=None)')
        test_cfg = ConfigDict(kwargs.pop('test_cfg', None) or dict(mode='whole'))
        super().__init__(backbone=backbone, decode_head=decode_head, test_cfg=test_cfg, **kwargs)
        self.ignore_index = ignore_index
        self.guide = LanguageGuide(taxonomies, text_encoder, self.decode_head.decoder.channels,
                                   default_taxonomy)

    def _init_decode_head(self, decode_head: dict) -> None:
        """The head has no number of classes: it is the taxonomy's."""
        self.decode_head = MODELS.build(decode_head)
        self.align_corners = False

    @property
    def classes(self) -> tuple[str, ...]:
        """What is looked for in images that name no taxonomy."""
        return self.guide.classes

    def set_classes(self, classes: Sequence[str]) -> None:
        """Look for other things, see :meth:`.LanguageGuide.set_classes`."""
        self.guide.set_classes(classes)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of images ``(B, 3, H, W)`` of one taxonomy."""
        taxonomy = self.guide.of_batch(data_samples)
        targets = [self._targets(sample, taxonomy) for sample in data_samples]
        shape = (inputs.shape[2], inputs.shape[3])
        losses = self.decode_head.loss(self.extract_feat(inputs), self.guide(taxonomy), shape, targets)
        return {f'decode.{name}': value for name, value in losses.items()}

    def _targets(self, sample: SegDataSample, taxonomy: Taxonomy) -> InstanceData:
        """One mask for each class that an image has."""
        seg = sample.gt_sem_seg.data[0]
        labels = torch.unique(seg).long()
        labels = labels[labels != self.ignore_index]
        if len(labels) and int(labels[-1]) >= taxonomy.num_classes:
            path = sample.metainfo.get('seg_map_path', 'a label map')
            raise UserError(f"{path} has the label {int(labels[-1])}, but the taxonomy '{taxonomy.name}' has "
                            f'{taxonomy.num_classes} classes (0 to {taxonomy.num_classes - 1}; '
                            f'{self.ignore_index} is ignored)')
        return InstanceData(labels=labels, masks=(seg == labels[:, None, None]).long())

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Scores ``(B, K, H, W)`` of images of one taxonomy."""
        taxonomy = self.guide.of([SegDataSample(metainfo=batch_img_metas[0])])[0]
        shape = (inputs.shape[2], inputs.shape[3])
        scores, masks = self.decode_head.predict(self.extract_feat(inputs), self.guide(taxonomy), shape)
        return semantic_scores(scores, masks)

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Segment images; those of a batch may have different taxonomies."""
        if data_samples is None:
            return super().predict(inputs)
        groups: dict[str, list[int]] = {}
        for index, taxonomy in enumerate(self.guide.of(data_samples)):
            groups.setdefault(taxonomy.name, []).append(index)
        for name, indices in groups.items():
            self.out_channels = self.guide.taxonomies[name].num_classes  # sliding windows read it
            some = inputs if len(groups) == 1 else inputs[indices]
            super().predict(some, [data_samples[index] for index in indices])
        return data_samples

    def postprocess_result(self, seg_logits: Tensor,
                           data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """mmseg's; a taxonomy of one class has scores of one class, no threshold."""
        if seg_logits.shape[1] > 1 or data_samples is None:
            return super().postprocess_result(seg_logits, data_samples)
        padded = F.pad(seg_logits, (0, 0, 0, 0, 0, 1), value=-1.0)
        for sample in super().postprocess_result(padded, data_samples):
            sample.seg_logits.data = sample.seg_logits.data[:1]
        return data_samples

    def _forward(self, inputs: Tensor,
                 data_samples: list[SegDataSample] | None = None) -> tuple[Tensor, Tensor]:
        """Class and mask logits of every decoder layer, see :meth:`.LMSegHead.forward`."""
        taxonomy = self.guide.of_batch(data_samples or [SegDataSample()])
        shape = (inputs.shape[2], inputs.shape[3])
        return self.decode_head(self.extract_feat(inputs), self.guide(taxonomy), shape)
