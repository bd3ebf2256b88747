"""How a rotated DETR writes a box: the one place that knows.

A box is ``(cx / W, cy / H, w / W, h / H, angle / factor)``; (H, W) is the image before padding. Decoder,
head, denoising generator and costs get this object, so that the convention stands once per config.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import inverse_sigmoid
from torch import Tensor

from ...errors import did_you_mean
from .rotated_geometry import canonical

ANGLES = ('add', 'fresh', 'wrap')
SAMPLINGS = ('official', 'exact', 'none')


class RotatedBoxSpace:
    """Representation, refinement and sampling of rotated boxes.

    Args:
        angle: How a layer's angle comes from its output. ``'add'``: added to the logit of the last
            layer's (Rotated DINO, RHINO, O2-RTDETR); ``'fresh'``: each layer predicts it anew
            (Rotated Deformable-DETR); ``'wrap'``: (t + tanh(output) / 2) mod 1, which crosses the
            ends of the range, as no published model does.
        sampling: Where cross-attention looks. ``'official'`` multiplies offsets with the rotated
            half diagonal, component-wise, which is no rotation but what published weights need;
            ``'exact'`` turns them with the box, in pixels; ``'none'`` ignores the angle.
        width_longer: Width is the longer side; see :func:`.canonical`.
        start_angle: Lower end of the range of angles, in degrees: 0.
        angle_factor: Angle that the fifth number's 1 stands for, in radians.

    Raises:
        ValueError: For an unknown choice, or a range of angles that [0, 1) does not hold.
    """

    def __init__(self, angle: str = 'wrap', sampling: str = 'exact', width_longer: bool = True,
                 start_angle: float = 0., angle_factor: float = math.pi) -> None:
        for name, value, known in (('angle', angle, ANGLES), ('sampling', sampling, SAMPLINGS)):
            if value not in known:
                raise ValueError(f"box_space.{name}='{value}'{did_you_mean(value, known)} "
                                 f'Expected one of {", ".join(known)}')
        extent = math.pi if width_longer else math.pi / 2
        if start_angle != 0 or angle_factor < extent - 1e-6:
            raise ValueError(
                f'box_space: angles from {start_angle} degrees over {math.degrees(extent):.0f} degrees with '
                f'angle_factor={angle_factor:.4g} leave [0, 1], where a sigmoid cannot follow. Use '
                'start_angle=0 and angle_factor=pi; datasets of any angle version are converted')
        if angle == 'wrap' and abs(angle_factor - math.pi) > 1e-6:
            raise ValueError("box_space.angle='wrap' needs angle_factor=pi, the period of an angle")
        self.angle = angle
        self.sampling = sampling
        self.width_longer = width_longer
        self.angle_factor = angle_factor

    @property
    def dims(self) -> int:
        """Numbers of a reference between two decoder layers."""
        return 4 if self.angle == 'fresh' else 5

    def factor(self, img_shape: Sequence[int], like: Tensor) -> Tensor:
        """``(5, )``, by which a normalised box becomes one in pixels and radians."""
        height, width = img_shape[:2]
        return like.new_tensor([width, height, width, height, self.angle_factor])

    def canonical(self, boxes: Any) -> Tensor:
        """``RotatedBoxes`` or a tensor ``(n, 5)`` of any angle version, in the model's."""
        boxes = getattr(boxes, 'tensor', boxes)
        if boxes.shape[-1] != 5:
            raise ValueError(
                f'ground truth has {boxes.shape[-1]} numbers per box, expected 5 (cx, cy, w, h, angle): add '
                "dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')) to the "
                'pipeline and boxtype2tensor=False to the data_preprocessor')
        return canonical(boxes, self.width_longer)

    def encode(self, boxes: Any, img_shape: Sequence[int]) -> Tensor:
        """Boxes of any version in pixels to normalised ones."""
        boxes = self.canonical(boxes)
        return boxes / self.factor(img_shape, boxes)

    def decode(self, boxes: Tensor, img_shape: Sequence[int]) -> Tensor:
        """Normalised boxes to pixels and radians."""
        return boxes * self.factor(img_shape, boxes)

    def refine(self, reference: Tensor, delta: Tensor, eps: float = 1e-5) -> Tensor:
        """A box from a reference and a head's output.

        Args:
            reference: ``(..., 2)``, ``(..., 4)`` or ``(..., 5)`` in [0, 1]; what it lacks is predicted
                anew.
            delta: ``(..., 5)``.
            eps: Of the inverse sigmoid.

        Returns:
            ``(..., 5)`` in [0, 1].
        """
        known = reference.shape[-1]
        if self.angle == 'wrap' and known == 5:
            box = (delta[..., :4] + inverse_sigmoid(reference[..., :4], eps)).sigmoid()
            return torch.cat((box, self._turn(reference[..., 4:], delta[..., 4:])), -1)
        start = inverse_sigmoid(reference, eps)
        return torch.cat((delta[..., :known] + start, delta[..., known:]), -1).sigmoid()

    def from_logits(self, start: Tensor, delta: Tensor) -> Tensor:
        """As :meth:`refine`, from logits ``(..., 5)``, which may be infinite."""
        if self.angle != 'wrap':
            return (start + delta).sigmoid()
        box = (start[..., :4] + delta[..., :4]).sigmoid()
        return torch.cat((box, self._turn(start[..., 4:].sigmoid(), delta[..., 4:])), -1)

    @staticmethod
    def _turn(t: Tensor, delta: Tensor) -> Tensor:
        return (t + delta.tanh() / 2) % 1

    @staticmethod
    def proposal_channel(proposals: Tensor) -> Tensor:
        """Proposals ``(B, S, 4)`` with an angle: logit 0 (the middle of the range), +inf where invalid."""
        channel = torch.zeros_like(proposals[..., :1])
        return torch.cat((proposals, channel.masked_fill(proposals[..., :1].isinf(), torch.inf)), -1)
