"""mmdet's DETRs with position relation, "++" in the paper of Relation-DETR (arXiv 2407.11699, table 5).

They are mmdet's detectors, so mmdet's configs, arguments and checkpoints serve them; only ``type`` and,
if wanted, ``position_relation`` change. The authors' own DINO++ is built on their DINO, which is not
quite mmdet's: see :class:`.RelationDETR` for that one. mmdet has no DN-DETR; the decoder of the authors'
is :class:`.RelationTransformerDecoder` with ``shared_norm=False, look_forward_twice=False``.

Shapes: B images, N queries, C channels.
"""
from __future__ import annotations

from typing import Any

import torch
from mmdet.models.detectors import DABDETR, DDQDETR, DINO, DeformableDETR
from torch import Tensor

from ...registry import MODELS
from ..layers.relation_hooks import PositionRelationMixin


@MODELS.register_module()
class DINOPP(PositionRelationMixin, DINO):
    """DINO with position relation.

    Args:
        position_relation: See :class:`.PositionRelationMixin`, as for ``relation_in_attention``; all
            others are those of :class:`mmdet.DINO`.

    Example:
        >>> cfg = Config.fromfile('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py')
        >>> model = MODELS.build({**cfg.model, 'type': 'mmext.DINOPP'})
    """


@MODELS.register_module()
class DDQDETRPP(PositionRelationMixin, DDQDETR):
    """DDQ with position relation; arguments as of :class:`.DINOPP` and :class:`mmdet.DDQDETR`."""

    def _regress(self, index: int, query: Tensor) -> Tensor:
        if not self.training:
            return super()._regress(index, query)
        dense = self.cache_dict['num_dense_queries']
        return torch.cat((self.bbox_head.reg_branches[index](query[:, :-dense]),
                          self.bbox_head.aux_reg_branches[index](query[:, -dense:])), dim=1)


@MODELS.register_module()
class DeformableDETRPP(PositionRelationMixin, DeformableDETR):
    """Deformable DETR with position relation, one-stage or two-stage, with box refinement or without.

    Arguments as of :class:`.DINOPP` and :class:`mmdet.DeformableDETR`.
    """

    reference_eps = 1e-5

    def _normalise(self, query: Tensor) -> Tensor:
        return query


@MODELS.register_module()
class DABDETRPP(PositionRelationMixin, DABDETR):
    """DAB-DETR with position relation; arguments as of :class:`.DINOPP` and :class:`mmdet.DABDETR`.

    The paper's is DAB-Deformable-DETR, which mmdet lacks.
    """

    reference_eps = 1e-5
    mask_name = 'self_attn_masks'

    def _initial_references(self, kwargs: dict[str, Any]) -> Tensor:
        return kwargs['query_pos'].sigmoid()

    def _regress(self, index: int, query: Tensor) -> Tensor:
        return self.bbox_head.fc_reg(query)

    def _normalise(self, query: Tensor) -> Tensor:
        return self.decoder.post_norm(query)

    @property
    def _refines(self) -> bool:
        return True
