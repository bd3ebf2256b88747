"""The head of LMSeg: MaskFormer's, with queries classified by the names of the classes.

Shapes: B images, Q queries, L decoder layers, C channels, K classes without the background, h x w the
size of the mask features, H x W that of the input.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import MaskFormerHead
from mmdet.models.layers import MLP, SinePositionalEncoding
from mmdet.models.layers.pixel_decoder import PixelDecoder
from mmdet.models.task_modules.assigners.match_cost import FocalLossCost
from mmengine.model import BaseModule, caffe2_xavier_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ....registry import MODELS, TASK_UTILS
from .decoder import CategoryGuidedDecoder
from .plain_decoder import PlainDecoder

#: The published matching costs.
ASSIGNER = dict(
    type='mmdet.HungarianAssigner',
    match_costs=[
        dict(type='mmdet.ClassificationCost', weight=1.0),
        dict(type='mmext.MaskFocalCost', weight=20.0),
        dict(type='mmdet.DiceCost', weight=1.0, pred_act=True, eps=1.0),
    ])


@TASK_UTILS.register_module()
class MaskFocalCost(FocalLossCost):
    """mmdet's focal cost of masks, from their logits: it goes on growing where a wrong mask is sure.

    mmdet takes the logarithm of the probability, which is constant beyond a logit of 17.

    Args:
        weight: Of the cost.
        alpha: Weight of the pixels inside, beside 1 - alpha outside.
        gamma: Exponent.
    """

    def __init__(self, weight: float = 1., alpha: float = 0.25, gamma: float = 2.) -> None:
        super().__init__(alpha=alpha, gamma=gamma, binary_input=True, weight=weight)

    def _mask_focal_loss_cost(self, cls_pred: Tensor, gt_labels: Tensor) -> Tensor:
        """``(Q, N)`` of mask logits ``(Q, h, w)`` and masks ``(N, h, w)``."""
        logits, masks = cls_pred.flatten(1), gt_labels.flatten(1).to(cls_pred)
        probability = logits.sigmoid()
        inside = -F.logsigmoid(logits) * self.alpha * (1 - probability)**self.gamma
        outside = -F.logsigmoid(-logits) * (1 - self.alpha) * probability**self.gamma
        return (inside @ masks.t() + outside @ (1 - masks).t()) / logits.shape[1] * self.weight


@MODELS.register_module()
class LMSegHead(MaskFormerHead):
    """Pixel decoder, category-guided decoder, and classification by cosine to text embeddings.

    The number of classes is that of the text given, so one head serves all data sets.

    Args:
        in_channels: Of the maps, from the finest.
        feat_channels: C.
        pixel_channels: Inside the pixel decoder; C by default.
        out_channels: Channels of the mask features.
        num_queries: Q.
        pixel_decoder: 'mmdet.PixelDecoder', 'mmdet.TransformerEncoderPixelDecoder' or
            'mmext.PreNormPixelDecoder'.
        decoder: Arguments of :class:`.CategoryGuidedDecoder` besides ``channels``; with ``guided=False``
            those of :class:`.PlainDecoder`.
        project: Project the map for the decoder also where it has C channels already.
        positional_encoding: Of :class:`mmdet.models.layers.SinePositionalEncoding`; by default C / 2
            numbers an axis, normalised.
        cls_mlp_layers: Layers of an MLP before classification; 0 has none.
        tau_init: Initial temperature; it is learned.
        background_weight: Of the background in the classification loss.
        loss_cls: Classification loss; its class weights are set for every batch.
        loss_mask: Loss of the masks' pixels.
        loss_dice: Loss of the masks' overlap.
        assigner: Matches queries with targets.
        init_cfg: See :class:`mmengine.model.BaseModule`.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 feat_channels: int = 256,
                 pixel_channels: int | None = None,
                 out_channels: int = 256,
                 num_queries: int = 100,
                 pixel_decoder: dict | None = None,
                 decoder: dict | None = None,
                 project: bool = False,
                 positional_encoding: dict | None = None,
                 cls_mlp_layers: int = 0,
                 tau_init: float = 0.07,
                 background_weight: float = 0.1,
                 loss_cls: dict | None = None,
                 loss_mask: dict | None = None,
                 loss_dice: dict | None = None,
                 assigner: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        # mmdet's constructor builds its own decoder and a classifier of fixed size.
        BaseModule.__init__(self, init_cfg)
        self.num_queries, self.background_weight = num_queries, background_weight
        pixel_channels = pixel_channels or feat_channels
        self.pixel_decoder = MODELS.build(dict(
            pixel_decoder or dict(type='mmdet.PixelDecoder'), in_channels=list(in_channels),
            feat_channels=pixel_channels, out_channels=out_channels))
        # The plain pixel decoder hands the last map on; the one with an encoder has projected it.
        memory_channels = in_channels[-1] if type(self.pixel_decoder) is PixelDecoder else pixel_channels
        self.input_proj = nn.Identity() if memory_channels == feat_channels and not project else \
            nn.Conv2d(memory_channels, feat_channels, 1)
        self.decoder_pe = SinePositionalEncoding(
            **(positional_encoding or dict(num_feats=feat_channels // 2, normalize=True)))
        self.query_embed = nn.Embedding(num_queries, feat_channels)
        decoder = dict(decoder or {})
        kind = CategoryGuidedDecoder if decoder.pop('guided', True) else PlainDecoder
        self.decoder: Any = kind(feat_channels, **decoder)
        self.mask_embed = MLP(feat_channels, feat_channels, out_channels, 3)
        self.cls_mlp = MLP(feat_channels, feat_channels, feat_channels, cls_mlp_layers) \
            if cls_mlp_layers else nn.Identity()
        self.tau = nn.Parameter(torch.full((1, ), tau_init))
        self.assigner = TASK_UTILS.build(assigner or ASSIGNER)
        self.sampler = TASK_UTILS.build(dict(type='mmdet.MaskPseudoSampler'))
        self.loss_cls = MODELS.build(
            loss_cls or dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0))
        self.loss_mask = MODELS.build(loss_mask or dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=20.0))
        self.loss_dice = MODELS.build(loss_dice or dict(
            type='mmdet.DiceLoss', use_sigmoid=True, activate=True, naive_dice=True, eps=1.0,
            loss_weight=1.0))

    def init_weights(self) -> None:
        """Initialise as MaskFormer does."""
        self.pixel_decoder.init_weights()
        if isinstance(self.input_proj, nn.Conv2d):
            caffe2_xavier_init(self.input_proj, bias=0)
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Sequence[Tensor], text: Tensor,
                input_shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Predictions of every decoder layer.

        Args:
            x: Maps, from the finest.
            text: ``(K + 1, C)``, the background last.
            input_shape: H, W with the padding: padded places are places like others.

        Returns:
            Class logits ``(L, B, Q, K + 1)`` and mask logits ``(L, B, Q, h, w)``.
        """
        states, mask_features = self.decode(x, text, input_shape)
        masks = torch.einsum('lbqc,bchw->lbqhw', self.mask_embed(states), mask_features)
        return self.classify(states, text), masks

    def decode(self, x: Sequence[Tensor], text: Tensor,
               input_shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The queries after every layer ``(L, B, Q, C)`` and the mask features ``(B, C, h, w)``."""
        batch = len(x[0])
        meta = dict(batch_input_shape=input_shape, img_shape=input_shape)
        mask_features, memory = self.pixel_decoder(x, [meta] * batch)
        memory = self.input_proj(memory)
        position = self.decoder_pe(None, memory[:1])
        memory, position = (one.flatten(2).transpose(1, 2) for one in (memory, position))
        query = self.query_embed.weight.expand(batch, -1, -1)
        return self.decoder(query, memory, position, text[None]), mask_features

    def classify(self, states: Tensor, text: Tensor) -> Tensor:
        """Cosines over the temperature, ``(..., K + 1)``, of queries ``(..., C)`` and text ``(K + 1, C)``."""
        return F.linear(F.normalize(self.cls_mlp(states), dim=-1), F.normalize(text, dim=-1)) / self.tau

    def loss(self, x: Sequence[Tensor], text: Tensor, input_shape: tuple[int, int],
             targets: Sequence[InstanceData]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            x: Maps, from the finest.
            text: ``(K + 1, C)``.
            input_shape: H, W with the padding.
            targets: Of each image; ``labels`` ``(n, )`` and ``masks`` ``(n, H, W)``, int64.
        """
        scores, masks = self(x, text, input_shape)
        # mmdet's loss reads these; they are those of the batch's data set.
        self.num_classes = len(text) - 1
        self.class_weight = [1.0] * self.num_classes + [self.background_weight]
        self.loss_cls.class_weight = self.class_weight
        metas = [dict(batch_input_shape=input_shape, img_shape=input_shape)] * len(targets)
        # In half precision the costs of sure masks are infinite, times 0 no number.
        with torch.autocast(masks.device.type, enabled=False):
            return self.loss_by_feat(scores.float(), masks.float(), list(targets), metas)

    def get_targets(self, cls_scores_list: list[Tensor], mask_preds_list: list[Tensor],
                    batch_gt_instances: list[InstanceData], batch_img_metas: list[dict],
                    return_sampling_results: bool = False) -> tuple[Any, ...]:
        """mmdet's, divided by the number of targets as the authors do: an empty image counts 0, not 1."""
        found = super().get_targets(cls_scores_list, mask_preds_list, batch_gt_instances, batch_img_metas,
                                    return_sampling_results)
        return (*found[:4], sum(len(one.labels) for one in batch_gt_instances), *found[5:])

    def predict(self, x: Sequence[Tensor], text: Tensor,
                input_shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Class logits ``(B, Q, K + 1)`` and mask logits ``(B, Q, H, W)`` of the last layer."""
        states, mask_features = self.decode(x, text, input_shape)
        masks = torch.einsum('bqc,bchw->bqhw', self.mask_embed(states[-1]), mask_features)
        return (self.classify(states[-1], text),
                F.interpolate(masks, size=input_shape, mode='bilinear', align_corners=False))


def semantic_scores(scores: Tensor, masks: Tensor) -> Tensor:
    """Scores of every class at every pixel.

    Args:
        scores: Class logits ``(..., Q, K + 1)``.
        masks: Mask logits ``(..., Q, H, W)``.

    Returns:
        ``(..., K, H, W)``: over the queries, the sum of class probability times mask probability.
    """
    return torch.einsum('...qc,...qhw->...chw', scores.softmax(-1)[..., :-1], masks.sigmoid())
