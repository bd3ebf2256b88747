"""H-GKD: the common Distiller, set up for a masked autoencoder and a sparse convolutional student."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmext.errors import UserError
from mmext.registry import MODELS

from ..distiller import Distiller
from .masks import has_masks, with_masks
from .student import HGKDStudent
from .teacher import HGKDTeacher


@MODELS.register_module()
class HGKD(Distiller):
    """A CNN, run sparsely on the visible part of an image, learns what its teacher infers of the rest.

    One mask is drawn for both, on the student's coarsest grid (7 x 7 for 224 pixels), unless the data
    samples bring one each (``mask``, True where masked).
    The state dict has the student and the projector; ``student.backbone`` is what fine-tuning starts from.

    Args:
        student: Settings of :class:`mmext.HGKDStudent` (``type`` may be left out).
        teacher: ``dict(model=<settings of mmext.HGKDTeacher>, checkpoint=FILE)`` and the other keys of a
            Distiller's teacher. Any other network can teach by a map that it makes of the *whole* image:
            then give ``module`` (default 'backbone') and ``channels`` if it does not tell its width.
        projector: From the student's map to the teacher's width: 'linear' (a 1x1 convolution) or 'mlp'.
        loss: Settings of :class:`mmext.MaskedMapLoss`.
        rec_weight: Weight of SparK's pixel loss; if not 0, the student needs its ``head``.
        **kwargs: As for :class:`mmext.Distiller`.

    Raises:
        UserError: If the two do not fit each other.

    Example:
        >>> model = dict(type='mmext.HGKD', student=student,
        ...              teacher=dict(model=teacher, checkpoint='mae_with_decoder.pth'))
    """

    def __init__(self, student: dict[str, Any], teacher: Mapping[str, Any], projector: str = 'linear',
                 loss: dict[str, Any] | None = None, rec_weight: float = 0.0, **kwargs: Any) -> None:
        if rec_weight < 0:
            raise UserError(f'HGKD: rec_weight={rec_weight} must not be negative')
        teacher = dict(teacher)
        channels, module = teacher.pop('channels', None), teacher.pop('module', None)
        super().__init__({'type': 'mmext.HGKDStudent', **student}, dict(teacher=teacher), records={},
                         losses={}, task_loss=rec_weight or None, student_call='tensor', **kwargs)
        if not isinstance(self.student, HGKDStudent):
            raise UserError(f'HGKD: expected student=dict(type="mmext.HGKDStudent"), not '
                            f'{type(self.student).__name__}')
        if bool(rec_weight) != self.student.with_head:
            raise UserError(f'HGKD: rec_weight={rec_weight}, but the student has '
                            f'{"a" if self.student.with_head else "no"} head: give both or neither')
        network = self.networks['teacher'].module
        masked = isinstance(network, HGKDTeacher)
        backbone: Any = getattr(network, 'backbone', None)
        if masked:
            channels = network.neck.decoder_pos_embed.shape[-1]
            self._check_grid(backbone.patch_resolution, backbone.img_size)
        elif channels is None:
            channels = getattr(backbone, 'embed_dims', None)
            if not isinstance(channels, int):
                raise UserError(f'HGKD: teacher ({type(network).__name__}) does not tell its width: give '
                                'teacher.channels')
        self._add_records(dict(
            student=dict(net='student', module='hidden'),
            teacher=dict(net='teacher', module=('' if masked else 'backbone') if module is None else module)))
        self._add_connector('to_teacher', dict(input='student', layer=dict(
            type='mmext.TokenProjector', in_channels=self.student.channels, out_channels=channels,
            kind=projector)))
        self._add_loss('loss_hidden', dict(
            loss={'type': 'mmext.MaskedMapLoss', **(loss or {})}, pred='to_teacher', target='teacher'),
            'none')

    def _check_grid(self, patches: Any, size: Any) -> None:
        pixels, stride = self.student.input_size, self.student.stride
        if tuple(size) != (pixels, pixels) or patches[0] * stride != pixels:
            raise UserError(
                f'HGKD: the teacher has {patches[0]}x{patches[1]} patches of images of {size[0]}x{size[1]}, '
                f'the student a map of {pixels // stride}x{pixels // stride} of images of {pixels}x{pixels}: '
                "give both the same image size, and the student the teacher's patch size as stride")

    def loss(self, inputs: Any, data_samples: Any = None) -> dict[str, Any]:
        """See :meth:`Distiller.loss`; masks are drawn where the samples bring none."""
        if not has_masks(data_samples):
            masks = ~self.student.mask(inputs.shape, 'cpu').squeeze(1)
            data_samples = with_masks(data_samples, masks)
        return super().loss(inputs, data_samples)
