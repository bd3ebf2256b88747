"""Give mmdet's own DETR decoders a position relation, without a copy of their forward passes.

Hooks follow the boxes that a decoder refines and hand every layer after the first its bias. Parameters
of the host keep their names, so its published checkpoints load.

Shapes: B images, N queries, H heads.
"""
from __future__ import annotations

from typing import Any

import torch
from mmdet.models.layers import inverse_sigmoid
from mmengine.model import BaseModel
from torch import Tensor, nn

from ...registry import MODELS
from ..detectors.pretrained import load_again
from .position_relation import RELATION


class PositionRelationMixin(BaseModel):
    """For detectors of mmdet: ``class X(PositionRelationMixin, DINO)``.

    A subclass says how its host refines references: ``reference_eps``, the bound of ``inverse_sigmoid``;
    ``mask_name``, the argument of a decoder layer for the self-attention's mask; and :meth:`_regress`.

    Args:
        position_relation: Config of the relation; its ``num_heads`` are the attention's by default.
            None: the host's detector as it is.
        relation_in_attention: False computes no bias: what the released Deformable-DETR++ amounts to,
            whose decoder forgets to give the bias to its layers.
    """

    reference_eps = 1e-3
    mask_name = 'self_attn_mask'

    def __init__(self,
                 *args: Any,
                 position_relation: dict[str, Any] | None = RELATION,
                 relation_in_attention: bool = True,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.position_relation: nn.Module | None = None
        if position_relation is None:
            return
        heads = self.decoder.layers[0].self_attn.num_heads
        self.position_relation = MODELS.build({'num_heads': heads, **position_relation})
        if not relation_in_attention:
            return
        self._relation = _Progress()
        self.decoder.register_forward_pre_hook(self._start, with_kwargs=True)
        self.decoder.register_forward_hook(self._end)
        for layer in self.decoder.layers:
            layer.register_forward_pre_hook(self._before_layer, with_kwargs=True)
            layer.register_forward_hook(self._after_layer)

    def init_weights(self) -> None:
        """The host's initialisation; a checkpoint's weights stay."""
        super().init_weights()
        load_again(self)

    def _initial_references(self, kwargs: dict[str, Any]) -> Tensor:
        """``(B, N, 2 or 4)`` in [0, 1], from the decoder's arguments."""
        return kwargs['reference_points']

    def _regress(self, index: int, query: Tensor) -> Tensor:
        """``(B, N, 4)``: what the box head of a layer adds to the references' logits."""
        return self.bbox_head.reg_branches[index](query)

    def _normalise(self, query: Tensor) -> Tensor:
        """Queries as the heads see them."""
        return self.decoder.norm(query)

    @property
    def _refines(self) -> bool:
        """Whether a layer's boxes are the next layer's references."""
        return self.with_box_refine

    def _start(self, decoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self._relation.start(self._initial_references(kwargs).detach())

    def _end(self, decoder: nn.Module, args: tuple, output: Any) -> None:
        self._relation = _Progress()

    def _before_layer(self, layer: nn.Module, args: tuple,
                      kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        progress = self._relation
        assert self.position_relation is not None
        if not progress.layer:
            return None
        mask = kwargs.get(self.mask_name)
        shared = mask if mask is not None and mask.dim() == 2 else None
        bias = self.position_relation(progress.previous, progress.latest, shared).flatten(0, 1)
        if mask is not None and shared is None:
            bias = bias.masked_fill(mask, float('-inf'))
        return args, {**kwargs, self.mask_name: bias}

    def _after_layer(self, layer: nn.Module, args: tuple, query: Tensor) -> None:
        progress = self._relation
        index, progress.layer = progress.layer, progress.layer + 1
        if progress.layer == len(self.decoder.layers):
            return
        # In full precision: a cast made here, without gradient, would be autocast's for the heads too.
        with torch.no_grad(), torch.autocast(query.device.type, enabled=False):
            query, reference = query.float(), progress.reference.float()
            start = inverse_sigmoid(reference, self.reference_eps)
            progress.update(self._boxes(index, self._normalise(query), start))
            if self._refines:
                progress.reference = self._boxes(index, query, start)

    def _boxes(self, index: int, query: Tensor, start: Tensor) -> Tensor:
        """Boxes ``(B, N, 4)`` that a layer predicts from logits of points or boxes."""
        delta = self._regress(index, query)
        start = torch.cat((start, delta.new_zeros(*start.shape[:-1], 4 - start.shape[-1])), dim=-1)
        return (delta + start).sigmoid()


class _Progress:
    """Boxes on their way through a decoder."""

    reference: Tensor
    previous: Tensor
    latest: Tensor
    layer = 0

    def start(self, reference: Tensor) -> None:
        self.reference = self.latest = reference
        self.layer = 0

    def update(self, boxes: Tensor) -> None:
        # A detector that starts from points has no boxes before its first layer's.
        self.previous = self.latest if self.latest.shape[-1] == 4 else boxes
        self.latest = boxes
