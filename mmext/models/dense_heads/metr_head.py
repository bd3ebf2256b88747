"""The head of METR: one yes-or-no logit per query and category, matched within the category.

Shapes: L layers, B images, k kept categories, Q queries of each (P denoising ones first), N the others,
K classes, G ground-truth boxes of the batch, C channels.
"""
from __future__ import annotations

import copy
import math
import warnings
from typing import Any, NamedTuple

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.layers import inverse_sigmoid
from mmdet.models.task_modules.assigners.match_cost import BBoxL1Cost, FocalLossCost, IoUCost
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps, bbox_xyxy_to_cxcywh
from mmdet.utils import reduce_mean
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ...registry import MODELS, TASK_UTILS
from ..layers.category_extraction import SimilarityClassifier
from ..layers.relation_transformer import EPS, init_linear

_LOSS_CLS = dict(type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=2.0)
_LOSS_BBOX = dict(type='mmdet.L1Loss', loss_weight=5.0)
_LOSS_IOU = dict(type='mmdet.GIoULoss', loss_weight=2.0)
_MATCHER = dict(
    assigner=dict(
        type='mmdet.HungarianAssigner',
        match_costs=[
            dict(type='mmdet.FocalLossCost', weight=2.0, alpha=0.25, gamma=2.0, eps=1e-8),
            dict(type='mmdet.BBoxL1Cost', weight=5.0, box_format='xywh'),
            dict(type='mmdet.IoUCost', iou_mode='giou', weight=2.0),
        ]))
NORMALIZERS = ('boxes', 'queries', 'none')
DN_MODES = ('per_category', 'official')


class Truth(NamedTuple):
    """Ground truth of a batch, box after box.

    Attributes:
        image: ``(G, )``.
        label: ``(G, )``, in the joint label space.
        box: ``(G, 4)``, cxcywh in [0, 1].
        pixels: ``(G, 4)``, the image's width, height, width, height.
        place: ``(G, )``, the box's number within its image.
        slot: ``(G, )``, which of the kept categories; -1: its category was not kept.
    """

    image: Tensor
    label: Tensor
    box: Tensor
    pixels: Tensor
    place: Tensor
    slot: Tensor


@MODELS.register_module()
class METRHead(DINOHead):
    """Heads shared by all layers, those of the encoder, and their losses.

    Args:
        num_classes: K; the detector gives it.
        embed_dims: C.
        num_pred_layer: L + 1, set by the detector.
        dn_mode: Which denoising queries are positive: 'per_category', those in the set of their own
            category, or 'official', as in the released code: those in the first kept category's set,
            whatever their category is.
        loss_cls: Focal loss; of the K-way encoder output and of the binary ones.
        loss_bbox: See :class:`mmdet.DETRHead`.
        loss_iou: See :class:`mmdet.DETRHead`.
        classifier_layers: Of :class:`.SimilarityClassifier`.
        classifier_skip: Of :class:`.SimilarityClassifier`.
        normalizer: What the losses of the categories' sets and of the denoising queries are divided by:
            the number of 'boxes', that of a set's 'queries', or 'none'. The encoder's: of boxes.
        train_cfg: ``assigner`` whose ``match_costs`` are ``FocalLossCost``, ``BBoxL1Cost`` and ``IoUCost``;
            ``enc_assigner``, if the encoder's costs are others.
        test_cfg: ``max_per_img``, at most so many boxes (100 by default).

    Raises:
        ValueError: If ``dn_mode`` or ``normalizer`` is unknown or there is another match cost.
    """

    def __init__(self,
                 num_classes: int,
                 *args: Any,
                 dn_mode: str = 'per_category',
                 loss_cls: dict[str, Any] = _LOSS_CLS,
                 loss_bbox: dict[str, Any] = _LOSS_BBOX,
                 loss_iou: dict[str, Any] = _LOSS_IOU,
                 classifier_layers: int = 2,
                 classifier_skip: bool = False,
                 normalizer: str = 'boxes',
                 train_cfg: dict[str, Any] | None = None,
                 test_cfg: dict[str, Any] | None = None,
                 **kwargs: Any) -> None:
        if normalizer not in NORMALIZERS:
            raise ValueError(f"normalizer='{normalizer}': expected {', '.join(NORMALIZERS)}")
        if dn_mode not in DN_MODES:
            raise ValueError(f"dn_mode='{dn_mode}': expected {' or '.join(DN_MODES)}")
        self.dn_mode, self.normalizer = dn_mode, normalizer
        self.classifier_cfg: dict[str, Any] = dict(num_layers=classifier_layers, skip=classifier_skip)
        super().__init__(
            num_classes, *args, loss_cls=loss_cls, loss_bbox=loss_bbox, loss_iou=loss_iou,
            train_cfg=copy.deepcopy(_MATCHER) if train_cfg is None else train_cfg,
            test_cfg=dict(max_per_img=100) if test_cfg is None else test_cfg, **kwargs)
        encoder = (self.train_cfg or {}).get('enc_assigner')
        self.enc_assigner = TASK_UTILS.build(encoder) if encoder else self.assigner
        for cost in (*self.assigner.match_costs, *self.enc_assigner.match_costs):
            if not isinstance(cost, (FocalLossCost, BBoxL1Cost, IoUCost)):
                raise ValueError(f'METRHead has no use for {type(cost).__name__} in match_costs: expected '
                                 'FocalLossCost, BBoxL1Cost and IoUCost')

    def _init_layers(self) -> None:
        dims, layers = self.embed_dims, self.num_pred_layer - 1
        self.classifier = SimilarityClassifier(dims, **self.classifier_cfg)
        hidden = [nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, dims), nn.ReLU()]
        boxes = nn.Sequential(*hidden, nn.Linear(dims, 4))
        # The last one is the encoder's.
        self.reg_branches = nn.ModuleList([boxes] * layers + [copy.deepcopy(boxes)])
        self.enc_class = nn.Linear(dims, dims)
        self.enc_bias = nn.Parameter(torch.full((1, ), -math.log(99)))

    def init_weights(self) -> None:
        """The authors' initialisation."""
        init_linear(self.classifier, zero_bias=False)
        for branch in self.reg_branches[-2:]:
            init_linear(branch, zero_bias=True)
            last = branch[-1]  # type: ignore[index]
            nn.init.zeros_(last.weight)
            nn.init.constant_(last.bias.data[2:], -2.)
        nn.init.xavier_uniform_(self.enc_class.weight)
        nn.init.constant_(self.enc_class.bias, -math.log(99))

    def encoder_logits(self, tokens: Tensor, vectors: Tensor, allowed: Tensor | None) -> Tensor:
        """Logits ``(B, S, K)`` of the encoder's tokens, without the bias that its loss has.

        Args:
            tokens: ``(B, S, C)``.
            vectors: ``(B, K, C)`` of all categories.
            allowed: ``(B, K)``; the others get a logit that no gradient comes from.
        """
        logits = self.enc_class(tokens) @ vectors.transpose(1, 2) * tokens.shape[-1]**-0.5
        return logits if allowed is None else logits.masked_fill(~allowed[:, None], -1e4)

    def forward(self, hidden_states: Tensor, references: Tensor, vectors: Tensor,
                **_: Any) -> tuple[Tensor, Tensor]:
        """Logits and boxes of every layer.

        Args:
            hidden_states: ``(L, B, kQ, C)``.
            references: ``(L, B, kQ, 4)``, cxcywh in [0, 1].
            vectors: ``(B, k, C)`` of the kept categories.

        Returns:
            ``(L, B, k, Q)`` and ``(L, B, k, Q, 4)``, cxcywh in [0, 1].
        """
        states = hidden_states.unflatten(2, (vectors.shape[1], -1))
        references = references.unflatten(2, (vectors.shape[1], -1))
        logits = self.classifier(states, vectors[:, :, None])
        boxes = self.reg_branches[0](states) + inverse_sigmoid(references, EPS)
        return logits, boxes.sigmoid()

    def loss(self,
             hidden_states: Tensor,
             references: Tensor,
             vectors: Tensor,
             kept: Tensor,
             valid: Tensor | None,
             enc_outputs_class: Tensor,
             enc_outputs_coord: Tensor,
             dn_meta: dict[str, int],
             batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of all layers, of the encoder and of the denoising queries.

        Args:
            hidden_states: ``(L, B, kQ, C)``.
            references: ``(L, B, kQ, 4)``.
            vectors: ``(B, k, C)``.
            kept: ``(B, k)``, labels of the kept categories.
            valid: ``(B, k)``, false where an image has fewer categories to keep; None: none has.
            enc_outputs_class: ``(B, N, K)`` of the selected tokens, without bias.
            enc_outputs_coord: ``(B, N, 4)``.
            dn_meta: Number of denoising queries and groups.
            batch_data_samples: With ``gt_instances`` in pixels, labels of the joint label space.

        Returns:
            Weighted losses, named as DINO's.
        """
        logits, boxes = self(hidden_states, references, vectors)
        # Costs are of the order of the loss; in half precision too many of them are equal.
        logits, boxes = logits.float(), boxes.float()
        padding = dn_meta['num_denoising_queries']
        truth = _truth(batch_data_samples, kept)
        count = max(float(reduce_mean(logits.new_tensor([len(truth.image)]))), 1.)
        losses: dict[str, Tensor] = {}
        found = self._match(logits[..., padding:], boxes[..., padding:, :], truth)
        for layer in range(len(logits)):
            prefix = '' if layer + 1 == len(logits) else f'd{layer}.'
            one_logits, one_boxes = logits[layer], boxes[layer]
            losses.update(_named(prefix, self._loss(
                one_logits[..., padding:], one_boxes[..., padding:, :], truth, found[layer], valid, count)))
            if padding:
                losses.update(_named(f'{prefix}dn_', self._denoising_loss(
                    one_logits[..., :padding], one_boxes[..., :padding, :], truth, valid, dn_meta, count)))
        enc_logits = (enc_outputs_class + self.enc_bias).float()
        losses.update(_named('enc_', self._encoder_loss(enc_logits, enc_outputs_coord.float(), truth, count)))
        return losses

    def _loss(self, logits: Tensor, boxes: Tensor, truth: Truth, found: tuple[Tensor, Tensor],
              valid: Tensor | None, count: float) -> tuple[Tensor, Tensor, Tensor]:
        """Of one layer, ``(B, k, N)`` and ``(B, k, N, 4)``; ``found``: boxes and their queries."""
        which, query = found
        at = (truth.image[which], truth.slot[which], query)
        count = self._count(count, logits)
        target = torch.ones_like(logits, dtype=torch.long)  # class 0 is yes, 1 the background
        target[at] = 0
        weight = None if valid is None else valid[..., None].expand_as(logits).flatten().to(logits)
        loss_cls = self.loss_cls(logits.reshape(-1, 1), target.flatten(), weight, avg_factor=count)
        return loss_cls, *self._box_losses(boxes[at], truth, which, count)

    def _denoising_loss(self, logits: Tensor, boxes: Tensor, truth: Truth, valid: Tensor | None,
                        dn_meta: dict[str, int], count: float) -> tuple[Tensor, Tensor, Tensor]:
        """Of one layer, ``(B, k, P)`` and ``(B, k, P, 4)``.

        A group has the positive queries of the image with most boxes, then as many negative ones.
        """
        groups = dn_meta['num_denoising_groups']
        half = logits.shape[-1] // groups // 2
        slot = torch.zeros_like(truth.slot) if self.dn_mode == 'official' else truth.slot
        which = (slot >= 0).nonzero().flatten().repeat(groups)
        each = torch.arange(groups, device=logits.device).repeat_interleave(len(which) // groups)
        at = (truth.image[which], slot[which], each * 2 * half + truth.place[which])
        target = torch.ones_like(logits, dtype=torch.long)
        target[at] = 0
        # Images with fewer boxes have empty queries, which mean nothing.
        weight = logits.new_zeros(logits.shape[0], groups, 2, half)
        weight[truth.image, :, :, truth.place] = 1
        full = weight.flatten(1)[:, None].expand_as(logits)
        if valid is not None:
            full = full * valid[..., None]
        count = self._count(count * groups, logits)
        loss_cls = self.loss_cls(logits.reshape(-1, 1), target.flatten(), full.flatten(), avg_factor=count)
        return loss_cls, *self._box_losses(boxes[at], truth, which, count)

    def _count(self, boxes: float, logits: Tensor) -> float:
        """What losses of ``logits`` ``(B, k, Q)`` are divided by."""
        return {'boxes': boxes, 'queries': float(logits.shape[-1]), 'none': 1.}[self.normalizer]

    def _encoder_loss(self, logits: Tensor, boxes: Tensor, truth: Truth,
                      count: float) -> tuple[Tensor, Tensor, Tensor]:
        """Of the selected tokens, ``(B, N, K)`` and ``(B, N, 4)``: DINO's, over all categories."""
        of_label = logits[truth.image, :, truth.label][None]
        cost = self._cost(of_label, boxes[truth.image][None], truth, self.enc_assigner)
        which, query = _assign(cost, truth.image[:, None])[0]
        at = (truth.image[which], query)
        target = torch.full(logits.shape[:2], self.num_classes, dtype=torch.long, device=logits.device)
        target[at] = truth.label[which]
        loss_cls = self.loss_cls(logits.flatten(0, 1), target.flatten(), avg_factor=count)
        return loss_cls, *self._box_losses(boxes[at], truth, which, count)

    def _box_losses(self, boxes: Tensor, truth: Truth, which: Tensor, count: float) -> tuple[Tensor, Tensor]:
        """L1 and IoU loss of predicted boxes ``(M, 4)`` and the ground truth ``which`` (M, )."""
        loss_bbox = self.loss_bbox(boxes, truth.box[which], avg_factor=count)
        if not len(which):
            return loss_bbox, boxes.sum() * 0
        pixels = truth.pixels[which]
        loss_iou = self.loss_iou(bbox_cxcywh_to_xyxy(boxes) * pixels,
                                 bbox_cxcywh_to_xyxy(truth.box[which]) * pixels, avg_factor=count)
        return loss_bbox, loss_iou

    def _match(self, logits: Tensor, boxes: Tensor, truth: Truth) -> list[tuple[Tensor, Tensor]]:
        """For every layer the matched boxes and their queries; only within a category's set."""
        which = (truth.slot >= 0).nonzero().flatten()
        own = Truth(*(part[which] for part in truth))
        cost = self._cost(logits[:, own.image, own.slot], boxes[:, own.image, own.slot], own, self.assigner)
        found = _assign(cost, torch.stack((own.image, own.slot), dim=1))
        lost = len(truth.slot) - len(found[0][0])
        if lost:
            warnings.warn(f'{lost} of {len(truth.slot)} boxes of this batch are not learned from: an image '
                          'has more categories than are kept (raise topk_train) or more boxes of one '
                          f'category than the {logits.shape[-1]} queries (raise num_queries)', stacklevel=3)
        return [(which[boxes_], query) for boxes_, query in found]

    @torch.no_grad()
    def _cost(self, logits: Tensor, boxes: Tensor, truth: Truth, assigner: Any) -> Tensor:
        """``(L, G, N)``: what it costs to match a box with the queries that it may be matched with.

        Args:
            logits: ``(L, G, N)`` of the box's category.
            boxes: ``(L, G, N, 4)``.
            truth: Of the G boxes.
            assigner: Its costs.
        """
        total = torch.zeros_like(logits)
        for cost in assigner.match_costs:
            if isinstance(cost, FocalLossCost):
                p = logits.sigmoid()
                yes = -(p + cost.eps).log() * cost.alpha * (1 - p)**cost.gamma
                no = -(1 - p + cost.eps).log() * (1 - cost.alpha) * p**cost.gamma
                total += cost.weight * (yes - no)
            elif isinstance(cost, BBoxL1Cost):
                total += cost.weight * (boxes - truth.box[:, None]).abs().sum(dim=-1)
            elif len(truth.box):
                pixels = truth.pixels[:, None]
                target = (bbox_cxcywh_to_xyxy(truth.box)[:, None] * pixels).expand_as(boxes)
                overlap = bbox_overlaps((bbox_cxcywh_to_xyxy(boxes) * pixels).reshape(-1, 4),
                                        target.reshape(-1, 4), mode=cost.iou_mode, is_aligned=True)
                total -= cost.weight * overlap.view_as(total)
        return total

    def predict(self,
                hidden_states: Tensor,
                references: Tensor,
                vectors: Tensor,
                kept: Tensor,
                valid: Tensor | None,
                batch_data_samples: SampleList,
                rescale: bool = True) -> list[InstanceData]:
        """Boxes of every image, best first; see :meth:`loss`. Labels are of the joint label space."""
        logits, boxes = self(hidden_states[-1:], references[-1:], vectors)
        scores = logits[0].sigmoid()
        if valid is not None:
            scores = scores.masked_fill(~valid[..., None], -1)
        count = min(self.test_cfg.get('max_per_img', 100), scores[0].numel())
        results = []
        for index, sample in enumerate(batch_data_samples):
            best, places = scores[index].flatten().topk(count)
            places, best = places[best >= 0], best[best >= 0]
            height, width = sample.img_shape[:2]
            found = bbox_cxcywh_to_xyxy(boxes[0, index].flatten(0, 1)[places])
            found = found * found.new_tensor([width, height, width, height])
            if rescale:
                found = found / found.new_tensor(sample.scale_factor).repeat(2)
            results.append(InstanceData(bboxes=found, scores=best,
                                        labels=kept[index][places // scores.shape[-1]]))
        return results


def _named(prefix: str, losses: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    return {f'{prefix}{name}': value for name, value in zip(('loss_cls', 'loss_bbox', 'loss_iou'), losses)}


def _truth(samples: SampleList, kept: Tensor) -> Truth:
    """Ground truth of a batch, on the device of ``kept`` ``(B, k)``."""
    counts = torch.tensor([len(sample.gt_instances) for sample in samples])
    image = torch.repeat_interleave(torch.arange(len(samples)), counts).to(kept.device)
    place = torch.cat([torch.arange(int(count)) for count in counts]).to(kept.device)
    label = torch.cat([sample.gt_instances.labels for sample in samples])
    corners = torch.cat([sample.gt_instances.bboxes for sample in samples]).float()
    sizes = corners.new_tensor([[*sample.img_shape[1::-1], *sample.img_shape[1::-1]] for sample in samples])
    pixels = sizes[image]
    same = kept[image] == label[:, None]
    slot = torch.where(same.any(dim=1), same.long().argmax(dim=1), -1)
    return Truth(image, label, bbox_xyxy_to_cxcywh(corners / pixels), pixels, place, slot)


def _assign(cost: Tensor, group: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Match boxes with queries, by itself in every layer and every group of boxes.

    Args:
        cost: ``(L, G, N)``.
        group: ``(G, M)`` numbers; boxes with the same compete for the same queries.

    Returns:
        For every layer boxes and queries, two index tensors.
    """
    # One transfer for all layers.
    numbers = cost.nan_to_num(nan=1e5, posinf=1e5, neginf=-1e5).cpu().numpy()
    members: dict[tuple[int, ...], list[int]] = {}
    for index, key in enumerate(group.tolist()):
        members.setdefault(tuple(key), []).append(index)
    found = []
    for layer in numbers:
        boxes: list[int] = []
        queries: list[int] = []
        for rows in members.values():
            row, column = linear_sum_assignment(layer[rows])
            boxes.extend(rows[index] for index in row)
            queries.extend(column.tolist())
        found.append((torch.tensor(boxes, dtype=torch.long, device=cost.device),
                      torch.tensor(queries, dtype=torch.long, device=cost.device)))
    return found
