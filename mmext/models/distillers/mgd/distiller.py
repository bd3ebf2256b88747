"""The distiller of MGD: labelled and unlabelled images, CutMix, any number of teachers."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmext.errors import UserError
from mmext.registry import MODELS

from ..frozen_network import FrozenNetwork, TeacherOwner
from .cutmix import CutMixBoxes, mix
from .multi_granularity_loss import Views

BRANCHES = ('sup', 'unsup0', 'unsup1')


def _classifying_head(name: str, segmentor: Any) -> Any:
    """The decode head whose ``conv_seg`` makes the logits."""
    head: Any = getattr(segmentor, 'decode_head', None)
    if isinstance(head, nn.ModuleList):
        head = head[-1]
    if not hasattr(head, 'conv_seg'):
        raise UserError(f"MultiGranularityDistiller: {name} is a {type(segmentor).__name__} without a "
                        'decode_head.conv_seg; expected an mmseg EncoderDecoder with a per-pixel head')
    if head.out_channels < 2:
        raise UserError(f'MultiGranularityDistiller: {name} has one output channel; set out_channels=2 in '
                        'its decode head')
    return head


@contextmanager
def _recorded(head: Any) -> Iterator[dict[str, Tensor]]:
    """Feature and logits of the next forward pass, while the context lasts."""
    record: dict[str, Tensor] = {}

    def keep_feature(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        record['feature'] = inputs[0]

    def keep_logits(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        record['logits'] = output

    # dropout, if there is one, comes between the feature and the classifier
    source = head.conv_seg if getattr(head, 'dropout', None) is None else head.dropout
    handles = [source.register_forward_pre_hook(keep_feature),
               head.conv_seg.register_forward_hook(keep_logits)]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


@MODELS.register_module()
class MultiGranularityDistiller(TeacherOwner, BaseModel):
    """A light segmentor learns from labelled and unlabelled images under frozen teachers.

    Batches have the branches ``sup``, ``unsup0`` and ``unsup1`` (see :class:`mmext.SemiSegDataset` and
    :class:`mmext.BranchDataPreprocessor`). The unlabelled images are mixed by CutMix; what each
    network finds in them, mixed alike, is what the others learn. Prediction is the student's. The
    state dict has the student's weights only (``student.*``).

    The student also sees the unlabelled images before they are mixed, without gradient: its batch
    statistics learn from them, as in the authors' code.

    Args:
        student: Config of an mmseg segmentor.
        teachers: For each name ``dict(model=<config or path of one>, checkpoint=FILE)``, or
            ``random=True`` in the place of the checkpoint.
        loss: Settings of :class:`mmext.MultiGranularityLoss`.
        cutmix: ``prop_range`` and ``n_boxes`` of :class:`.CutMixBoxes`.
        teacher_mode: 'eval', or 'train': teachers with the statistics of the batch, as in the authors'
            code, where their running statistics drift. Only 'eval' runs a teacher once for all branches.
        data_preprocessor: By default a :class:`mmext.BranchDataPreprocessor` around the student's.
        init_cfg: As for every mmengine module.

    Raises:
        UserError: If a network is no segmentor with a per-pixel classifier, classes differ or a
            teacher has no weights.

    Example:
        >>> model = dict(type='mmext.MultiGranularityDistiller', student=student, teachers=dict(
        ...     wide=dict(model=wide, checkpoint='wide.pth'), deep=dict(model=deep, checkpoint='deep.pth')),
        ...     loss=dict(lambda_sem=0.002, lambda_region=100.))
    """

    def __init__(self, student: dict[str, Any], teachers: Mapping[str, Mapping[str, Any]],
                 loss: dict[str, Any] | None = None, cutmix: dict[str, Any] | None = None,
                 teacher_mode: str = 'eval', data_preprocessor: dict[str, Any] | None = None,
                 init_cfg: Any = None) -> None:
        # A Runner gives the top level's, which knows no branches.
        kind = str((data_preprocessor or {}).get('type')).rpartition('.')[2]
        given = student.get('data_preprocessor') or data_preprocessor
        if given and kind != 'BranchDataPreprocessor':
            data_preprocessor = dict(type='mmext.BranchDataPreprocessor', data_preprocessor=given)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if teacher_mode not in ('eval', 'train'):
            raise UserError(f"MultiGranularityDistiller: teacher_mode='{teacher_mode}' is neither 'eval' nor "
                            "'train'")
        if not teachers:
            raise UserError('MultiGranularityDistiller needs at least one teacher')
        self.teacher_mode = teacher_mode
        self.cutmix = CutMixBoxes(**(cutmix or {}))
        self.granularities: Any = MODELS.build({'type': 'mmext.MultiGranularityLoss', **(loss or {})})
        self.granularities.check_teachers(tuple(teachers))
        self.student: Any = MODELS.build(student)
        self.networks = {name: FrozenNetwork.from_cfg(name, cfg) for name, cfg in teachers.items()}
        classes = _classifying_head('the student', self.student).out_channels
        for name, network in self.networks.items():
            head = _classifying_head(f"teacher '{name}'", network.module)
            if head.out_channels != classes:
                raise UserError(f"MultiGranularityDistiller: teacher '{name}' has {head.out_channels} "
                                f'classes, the student {classes}')

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """The losses of a batch with branches, otherwise what the student makes of ``inputs``."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode=mode)

    def loss(self, inputs: Mapping[str, Tensor], data_samples: Mapping[str, list]) -> dict[str, Tensor]:
        """The student's own losses on ``sup`` and those of :class:`mmext.MultiGranularityLoss`.

        Args:
            inputs: Images ``(B, 3, H, W)`` of each branch; the unlabelled ones of one size.
            data_samples: Their data samples.

        Raises:
            UserError: If a branch is missing, or the unlabelled branches differ in size.
        """
        missing = [branch for branch in BRANCHES if not isinstance(inputs, Mapping) or branch not in inputs]
        if missing:
            raise UserError(f'MultiGranularityDistiller: the batch has no branch {", ".join(missing)}; give '
                            'train_dataloader.dataset=dict(type=\'mmext.SemiSegDataset\', ...)')
        sup, first, second = (inputs[branch] for branch in BRANCHES)
        if first.shape != second.shape:
            raise UserError(f'MultiGranularityDistiller: unsup0 has the shape {tuple(first.shape)}, unsup1 '
                            f'{tuple(second.shape)}; crop and pad both to one size')
        self.prepare_teachers()
        mask = self.cutmix(len(first), (first.shape[2], first.shape[3])).to(first.device)
        mixed = mix(first, second, mask)
        teachers = {name: self._taught(network.module, sup, first, second, mixed, mask)
                    for name, network in self.networks.items()}
        losses, student = self._learnt(sup, data_samples['sup'], first, second, mixed, mask)
        label = None
        if self.granularities.pixel.constant_terms:
            label = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples['sup']])
        return {**losses, **self.granularities(student, teachers, label)}

    @staticmethod
    def _logits(segmentor: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits at the images' size, and the feature before the classifier."""
        head = _classifying_head('', segmentor)
        with _recorded(head) as record:
            segmentor(images, mode='tensor')
        return _upsampled(record['logits'], images, head), record['feature']

    @torch.no_grad()
    def _taught(self, teacher: Any, sup: Tensor, first: Tensor, second: Tensor, mixed: Tensor,
                mask: Tensor) -> Views:
        """What a teacher makes of the batch."""
        teacher.train(self.teacher_mode == 'train')
        together = self.teacher_mode == 'eval' and sup.shape[1:] == first.shape[1:]
        if together:
            logits, features = self._logits(teacher, torch.cat([sup, first, second, mixed]))
            parts = logits.split([len(sup), len(first), len(second), len(mixed)])
            feature = features[-len(mixed):]
        else:
            outputs = [self._logits(teacher, images) for images in (first, second, sup, mixed)]
            parts = (outputs[2][0], outputs[0][0], outputs[1][0], outputs[3][0])
            feature = outputs[3][1]
        # classes first, then the mask: the same as mixing logits, without another map for each class
        label = mix(parts[1].argmax(1), parts[2].argmax(1), mask)
        return Views(parts[0], parts[3], label, feature)

    def _learnt(self, sup: Tensor, samples: list, first: Tensor, second: Tensor, mixed: Tensor,
                mask: Tensor) -> tuple[dict[str, Tensor], Views]:
        """The student's supervised losses, and what it makes of the batch."""
        with torch.no_grad():
            found = [self._logits(self.student, images)[0].argmax(1) for images in (first, second)]
            label = mix(found[0], found[1], mask)
        logits, feature = self._logits(self.student, mixed)
        head = _classifying_head('the student', self.student)
        with _recorded(head) as record:
            losses = self.student.loss(sup, samples)
        return losses, Views(_upsampled(record['logits'], sup, head), logits, label, feature)


def _upsampled(logits: Tensor, images: Tensor, head: Any) -> Tensor:
    """Logits at the size of the images."""
    return F.interpolate(logits, size=images.shape[-2:], mode='bilinear', align_corners=head.align_corners)
