"""Decoder of rotated DETRs: mmdet's layers, references with an angle.

Shapes: B images, N queries, C channels, L levels, P points, D numbers of a reference (2, 4 or 5).
"""
from __future__ import annotations

from typing import Any

import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttention,
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from mmdet.models.layers import MLP, DeformableDetrTransformerDecoder, coordinate_to_encoding
from torch import Tensor, nn

from ...registry import MODELS
from ..task_modules.rotated_box_space import RotatedBoxSpace
from ..task_modules.rotated_match_costs import check_choice


def as_component_box(reference: Tensor) -> Tensor:
    """References ``(..., 5)``, angle in radians, as the ``(..., 4)`` that sample officially.

    The published decoders multiply an offset component-wise with the rotated half diagonal; that is
    the horizontal formula for a box whose width and height are twice its components.
    """
    xy, w, h, angle = reference.split((2, 1, 1, 1), -1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((xy, w * cos - h * sin, w * sin + h * cos), -1)


def rotated_locations(reference: Tensor, offsets: Tensor, aspect: float) -> Tensor:
    """Sampling locations that turn with the box.

    Args:
        reference: ``(B, N, L, 5)``, normalised by the padded image, angle in radians.
        offsets: ``(B, N, heads, L, P, 2)``; P is the length of a half side.
        aspect: Width by height of the padded image.

    Returns:
        ``(B, N, heads, L, P, 2)``.
    """
    box = reference[:, :, None, :, None]
    local = offsets / offsets.shape[-2] * box[..., 2:4] / 2
    cos, sin = box[..., 4].cos(), box[..., 4].sin()
    x = local[..., 0] * cos - local[..., 1] * sin / aspect
    y = local[..., 0] * sin * aspect + local[..., 1] * cos
    return box[..., :2] + torch.stack((x, y), -1)


class RotatedDeformableAttention(MultiScaleDeformableAttention):
    """mmcv's attention that also takes references with an angle.

    Args:
        sampling: ``'official'`` or ``'exact'``; see :class:`.RotatedBoxSpace`.
    """

    def __init__(self, *args: Any, sampling: str = 'exact', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampling = sampling

    def forward(self, query: Tensor, *args: Any, reference_points: Tensor, aspect: float = 1.,
                **kwargs: Any) -> Tensor:
        """See mmcv's.

        Args:
            query: ``(B, N, C)``.
            reference_points: ``(B, N, L, D)``; with D = 5 the angle is in radians.
            aspect: Width by height of the padded image.
        """
        if reference_points.shape[-1] == 5:
            if self.sampling == 'exact':
                return self._exact(query, reference_points, aspect, *args, **kwargs)
            reference_points = as_component_box(reference_points)
        return super().forward(query, *args, reference_points=reference_points, **kwargs)

    def _exact(self, query: Tensor, reference: Tensor, aspect: float, key: Tensor | None = None,
               value: Tensor | None = None, identity: Tensor | None = None,
               query_pos: Tensor | None = None, key_padding_mask: Tensor | None = None, *,
               spatial_shapes: Tensor, level_start_index: Tensor, **_: Any) -> Tensor:
        """The parent's forward with other locations."""
        identity = query if identity is None else identity
        value = query if value is None else value
        query = query if query_pos is None else query + query_pos
        if not self.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0)
        value = value.unflatten(-1, (self.num_heads, -1))
        grid = (self.num_heads, self.num_levels, self.num_points)
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        weights = weights.unflatten(-1, grid[1:])
        offsets = self.sampling_offsets(query).unflatten(-1, (*grid, 2))
        locations = rotated_locations(reference, offsets, aspect)
        if value.is_cuda and value.dtype != torch.bfloat16:
            output = MultiScaleDeformableAttnFunction.apply(
                value, spatial_shapes, level_start_index, locations, weights, self.im2col_step)
        else:
            output = multi_scale_deformable_attn_pytorch(value, spatial_shapes, locations, weights)
        output = self.output_proj(output)
        return self.dropout(output if self.batch_first else output.transpose(0, 1)) + identity


class RotatedDecoder(DeformableDetrTransformerDecoder):
    """Decoder of every rotated member.

    Args:
        space: How boxes are written and refined.
        query_pos: Where position queries come from. ``'given'``: an argument of the forward
            (Deformable DETR); ``'sine'``: before every layer from sines of the reference's first
            four numbers (DINO), with C / 2 features each, as the authors have it and mmdet has not;
            ``'mlp5'``: from the five numbers themselves (O2-RTDETR).
        look_forward_twice: Return references with their gradient.
        output_norm: LayerNorm of each layer's output.
        eps: Of the inverse sigmoid in refinement.
        position_relation: Config of :class:`.PositionRelation`: from the second layer on, self-attention
            has a bias from the boxes of the last two layers (Relation-DETR). None: no bias.
        relation: ``'rotated'`` measures offsets along the sides of a query's box, in pixels, so that they
            do not change when a scene turns; ``'horizontal'`` ignores the angles.
    """

    def __init__(self, *args: Any, space: RotatedBoxSpace, query_pos: str = 'sine',
                 look_forward_twice: bool = True, output_norm: bool = True, eps: float = 1e-3,
                 position_relation: dict[str, Any] | None = None, relation: str = 'rotated',
                 **kwargs: Any) -> None:
        check_choice('decoder.relation', relation, ('rotated', 'horizontal'))
        self.space = space
        self.query_pos = query_pos
        self.look_forward_twice = look_forward_twice
        self.output_norm = output_norm
        self.eps = eps
        self.relation_cfg = position_relation
        self.relation = relation
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        dims = self.embed_dims
        if self.space.dims == 5 and self.space.sampling != 'none':
            for layer in self.layers:
                layer.cross_attn = RotatedDeformableAttention(
                    **layer.cross_attn_cfg, sampling=self.space.sampling)
        if self.query_pos == 'sine':
            self.ref_point_head = MLP(2 * dims, dims, dims, 2)
        elif self.query_pos == 'mlp5':
            self.ref_point_head = MLP(5, 2 * dims, dims, 2)
        if self.output_norm:
            self.norm = nn.LayerNorm(dims)
        self.position_relation = None
        if self.relation_cfg is not None:
            heads = self.layers[0].self_attn.num_heads
            self.position_relation = MODELS.build({'num_heads': heads, **self.relation_cfg})

    def forward(self, query: Tensor, value: Tensor, key_padding_mask: Tensor | None,
                reference_points: Tensor, spatial_shapes: Tensor, level_start_index: Tensor,
                valid_ratios: Tensor, reg_branches: nn.ModuleList | None = None,
                query_pos: Tensor | None = None, self_attn_mask: Tensor | None = None,
                aspect: float = 1., **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Refine queries and their boxes.

        Args:
            query: ``(B, N, C)``.
            value: ``(B, S, C)``.
            key_padding_mask: ``(B, S)``, true at padding, or None.
            reference_points: ``(B, N, D)`` in [0, 1].
            spatial_shapes: ``(L, 2)``; level_start_index: ``(L, )``.
            valid_ratios: ``(B, L, 2)``.
            reg_branches: One per layer; None: references stay.
            query_pos: ``(B, N, C)``, with ``query_pos='given'``.
            self_attn_mask: ``(N, N)``, true where attention is forbidden.
            aspect: Width by height of the padded image.

        Returns:
            Outputs ``(layers, B, N, C)`` and the references that the head's next layer starts from, the
            initial ones not among them, ``(layers, B, N, D)``.
        """
        states, references = [], []
        boxes, attn_mask = reference_points.detach(), self_attn_mask
        for index, layer in enumerate(self.layers):
            scaled = self._scaled(reference_points, valid_ratios)
            if self.query_pos == 'sine':
                query_pos = self.ref_point_head(coordinate_to_encoding(
                    scaled[:, :, 0, :4], num_feats=self.embed_dims // 2))
            elif self.query_pos == 'mlp5':
                query_pos = self.ref_point_head(reference_points)
            query = layer(query, query_pos=query_pos, value=value, key_padding_mask=key_padding_mask,
                          self_attn_mask=attn_mask, spatial_shapes=spatial_shapes,
                          level_start_index=level_start_index, valid_ratios=valid_ratios,
                          reference_points=scaled, aspect=aspect, **kwargs)
            state = self.norm(query) if self.output_norm else query
            start = following = reference_points
            if reg_branches is not None:
                following = self.space.refine(reference_points, reg_branches[index](query), self.eps)
                following = following[..., :self.space.dims]
                reference_points = following.detach()
            states.append(state)
            references.append(following if self.look_forward_twice else reference_points)
            if (self.position_relation is None or reg_branches is None or index + 1 == len(self.layers)):
                continue
            # In full precision: a cast made here, without gradient, would be autocast's for the heads too.
            with torch.no_grad(), torch.autocast(query.device.type, enabled=False):
                latest = self.space.refine(start.float(), reg_branches[index](state.float()), self.eps)
            # Points, or boxes without an angle, are no boxes to start from.
            previous = boxes if boxes.shape[-1] == 5 else latest
            attn_mask = self.position_relation(
                self._geometry(previous, valid_ratios, aspect), self._geometry(latest, valid_ratios, aspect),
                self_attn_mask).flatten(0, 1)
            boxes = latest
        return torch.stack(states), torch.stack(references)

    def _geometry(self, boxes: Tensor, valid_ratios: Tensor, aspect: float) -> Tensor:
        """What the relation sees of boxes ``(B, N, 5)``: all lengths in heights of the image."""
        if self.relation == 'horizontal':
            return boxes[..., :4]
        ratio = (aspect * valid_ratios[:, 0, 0] / valid_ratios[:, 0, 1])[:, None]
        x, y, w, h, t = boxes.unbind(-1)
        return torch.stack((x * ratio, y, w * ratio, h, t * self.space.angle_factor), -1)

    def _scaled(self, reference: Tensor, valid_ratios: Tensor) -> Tensor:
        """References of each level, relative to the padded image; ``(B, N, L, 2, 4 or 5)``."""
        known = min(reference.shape[-1], 4)
        ratios = valid_ratios.repeat(1, 1, known // 2)[:, None]
        scaled = reference[:, :, None, :known] * ratios
        if reference.shape[-1] < 5 or self.space.sampling == 'none':
            return scaled
        angle = reference[:, :, None, 4:] * self.space.angle_factor
        return torch.cat((scaled, angle.expand(-1, -1, scaled.shape[2], -1)), -1)
