"""Denoising queries of rotated DETRs: DINO's, on boxes with an angle."""
from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from mmdet.models.layers import CdnQueryGenerator, inverse_sigmoid
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from torch import Tensor

from ..task_modules.rotated_box_space import RotatedBoxSpace
from ..task_modules.rotated_match_costs import check_choice

NOISE_MODES = ('only_xyxy', 'only_xywh', 'only_angle', 'all_xyxya')
_GROUP_KEYS = ('dynamic', 'num_groups', 'num_dn_queries')


class RotatedCdnQueryGenerator(CdnQueryGenerator):
    """Noisy ground truth as queries.

    Args:
        num_classes: K; embed_dims: C; num_matching_queries: N; label_noise_scale, box_noise_scale:
            see :class:`mmdet.CdnQueryGenerator`.
        space: How boxes are written.
        noise_mode: What moves. ``'only_xyxy'``: the corners of the box without its angle;
            ``'only_xywh'``: centre and sides; ``'only_angle'``: the angle, in proportion to itself and
            by 10 degrees at most, as published; ``'all_xyxya'``: corners and angle.
        angle_noise_scale: Factor of the angle's noise.
        group_cfg: ``dynamic``, ``num_groups``, ``num_dn_queries``; see mmdet's.
        max_num_groups: At most so many groups. RHINO's configs have it inside ``group_cfg``, where
            nothing reads it, so its published models trained without.

    Raises:
        ValueError: For an unknown mode or an unknown key of ``group_cfg``.
    """

    def __init__(self, *args: Any, space: RotatedBoxSpace, noise_mode: str = 'only_xywh',
                 angle_noise_scale: float = 1., group_cfg: Mapping[str, Any] | None = None,
                 max_num_groups: int | None = None, **kwargs: Any) -> None:
        check_choice('dn_cfg.noise_mode', noise_mode, NOISE_MODES)
        group_cfg = dict(group_cfg or {})
        for key in group_cfg:
            check_choice('dn_cfg.group_cfg', key, _GROUP_KEYS)
        super().__init__(*args, group_cfg=group_cfg, **kwargs)
        self.space = space
        self.noise_mode = noise_mode
        self.angle_noise_scale = angle_noise_scale
        self.max_num_groups = max_num_groups

    def __call__(self, batch_data_samples: SampleList) -> tuple[Tensor, Tensor, Tensor, dict[str, int]]:
        """Queries for the ground truth of a batch.

        Returns:
            Contents ``(B, Q, C)``, logits of boxes ``(B, Q, 5)``, attention mask ``(Q + N, Q + N)``, and
            ``num_denoising_queries`` Q and ``num_denoising_groups``. Without any ground truth Q is 0.
        """
        boxes = [self.space.encode(sample.gt_instances.bboxes, sample.img_shape)
                 for sample in batch_data_samples]
        labels = torch.cat([sample.gt_instances.labels for sample in batch_data_samples])
        counts = [len(one) for one in boxes]
        most = max(counts)
        groups = self.get_num_groups(most)
        content = self.generate_dn_label_query(labels, groups)
        logits = self.generate_dn_bbox_query(torch.cat(boxes), groups)
        image = torch.repeat_interleave(torch.tensor(counts, device=labels.device))
        content, logits = self._collate(content, logits, image, counts, groups)
        mask = self.generate_dn_mask(most, groups, device=labels.device)
        return content, logits, mask, dict(num_denoising_queries=most * 2 * groups,
                                           num_denoising_groups=groups)

    def get_num_groups(self, max_num_target: int | None = None) -> int:
        """See mmdet's; at most ``max_num_groups``."""
        groups = super().get_num_groups(max_num_target)
        if self.dynamic_dn_groups and (max_num_target or 0) > self.num_dn_queries:
            warnings.warn(f'{max_num_target} boxes in an image and num_dn_queries={self.num_dn_queries}: '
                          f'one group of {2 * (max_num_target or 0)} denoising queries is made', stacklevel=2)
        return groups if self.max_num_groups is None else min(groups, self.max_num_groups)

    def generate_dn_bbox_query(self, gt_bboxes: Tensor, num_groups: int) -> Tensor:
        """Logits of noisy boxes.

        Args:
            gt_bboxes: ``(n, 5)`` in [0, 1].
            num_groups: Each has n positives, then n negatives.

        Returns:
            ``(2 n groups, 5)``.
        """
        repeated = gt_bboxes.repeat(2 * num_groups, 1)
        box, t = repeated[:, :4], repeated[:, 4]
        negative = torch.arange(2 * num_groups, device=box.device).repeat_interleave(len(gt_bboxes)) % 2
        if self.noise_mode != 'only_angle':
            size = box[:, 2:].repeat(1, 2) / 2 * self.box_noise_scale
            noise = self._noise(box, negative[:, None]) * size
            if self.noise_mode == 'only_xywh':
                box = box + noise
            else:
                box = bbox_xyxy_to_cxcywh(bbox_cxcywh_to_xyxy(box) + noise)
        if self.noise_mode in ('only_angle', 'all_xyxya'):
            t = t + self._noise(t, negative) * t * self.angle_noise_scale / 18
        return inverse_sigmoid(torch.cat((box, t[:, None]), -1).clamp(0, 1), eps=1e-3)

    @staticmethod
    def _noise(like: Tensor, negative: Tensor) -> Tensor:
        """Uniform in (-1, 1) for positives, with a magnitude in [1, 2) for negatives."""
        sign = torch.randint_like(like, low=0, high=2, dtype=torch.float32) * 2 - 1
        return (torch.rand_like(like) + negative) * sign

    def _collate(self, content: Tensor, logits: Tensor, image: Tensor, counts: list[int],
                 groups: int) -> tuple[Tensor, Tensor]:
        """Group-major queries of all images to ``(B, Q, ...)``; images with fewer boxes are padded."""
        most, device = max(counts), content.device
        place = torch.cat([torch.arange(count, device=device) for count in counts])
        place = (place + most * torch.arange(2 * groups, device=device)[:, None]).flatten()
        where = (image.repeat(2 * groups), place)
        padded = []
        for queries in (content, logits):
            out = queries.new_zeros(len(counts), most * 2 * groups, queries.shape[-1])
            padded.append(out.index_put(where, queries))
        return padded[0], padded[1]
