"""Head of CGG: Mask2Former's, classifying by text, with grounding and generation of captions.

Shapes: L decoder outputs, B images, Q queries, D text channels, T tokens, K classes known by name.
"""
from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import Mask2FormerHead
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import UserError, did_you_mean
from ...registry import MODELS
from ..language import LanguageModel, WordEmbeddings


@MODELS.register_module()
class CGGHead(Mask2FormerHead):
    """Mask2Former's head whose linear classifier leads into the space of word embeddings.

    ``forward`` therefore returns query embeddings ``(B, Q, D)`` where the host's returns logits.
    Training compares them with the base classes; :meth:`logits` with any others.

    Args:
        *args: See :class:`mmdet.Mask2FormerHead`.
        classes: K names the model is asked for, things first.
        base_classes: Those with masks in the training data, in the order of their labels. None: all.
        num_things_classes: How many of ``base_classes`` are things, if it is to be checked.
        num_stuff_classes: How many of ``classes`` (and of ``base_classes``) are stuff, at the end.
        text_dims: D.
        temperature: Divides the logits in training; in inference they stay as they are, as in the
            authors' code.
        pred_emb_norm: Scale query embeddings to length 1.
        language: Config of a :class:`mmext.models.language.LanguageModel` for the embeddings of the
            names; for captions a :class:`mmext.WordEmbeddings`. Read in :meth:`init_weights` and for
            names that a checkpoint does not hold. None: the weights are those of a checkpoint.
        num_tokens: Size of the vocabulary of captions.
        caption_length: T.
        loss_cls: Loss of the classification by text.
        loss_grounding: Config of :class:`mmext.GroundingLoss`; None: captions are not grounded.
        caption_generator: Config of :class:`mmext.CaptionTransformer`; None: no captions.
        loss_caption: Weight of the generator's loss.
        loss_aux_weight: Weight of all losses of the decoder outputs before the last.
        loss_only_last: Only the last decoder output has losses.

    Raises:
        UserError: If a base class is none of ``classes``, or a name is there twice.
        ValueError: If ``num_things_classes`` is not the number of base classes that are things.
    """

    def __init__(self,
                 *args: Any,
                 classes: Sequence[str],
                 base_classes: Sequence[str] | None = None,
                 num_things_classes: int | None = None,
                 num_stuff_classes: int = 0,
                 text_dims: int = 768,
                 temperature: float = 10.,
                 pred_emb_norm: bool = False,
                 language: dict | None = None,
                 num_tokens: int = 30522,
                 caption_length: int = 35,
                 loss_cls: dict | None = None,
                 loss_grounding: dict | None = None,
                 caption_generator: dict | None = None,
                 loss_caption: float = 2.,
                 loss_aux_weight: float = 1.,
                 loss_only_last: bool = False,
                 **kwargs: Any) -> None:
        classes = tuple(classes)
        base = tuple(classes if base_classes is None else base_classes)
        _check_names(classes, base)
        if num_things_classes not in (None, len(base) - num_stuff_classes):
            raise ValueError(f'num_things_classes={num_things_classes}, but base_classes has '
                             f'{len(base) - num_stuff_classes} things: leave it out')
        if loss_cls is None:
            loss_cls = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=2.,
                            class_weight=[1.] * len(base) + [0.1])
        # The host reads its configs' keys as attributes.
        kwargs = {key: ConfigDict(value) if isinstance(value, dict) else value
                  for key, value in kwargs.items()}
        super().__init__(*args, num_things_classes=len(base) - num_stuff_classes,
                         num_stuff_classes=num_stuff_classes, loss_cls=ConfigDict(loss_cls), **kwargs)
        self.cls_embed = nn.Linear(self.query_feat.embedding_dim, text_dims)
        self.classes, self.base_classes = classes, base
        self.temperature, self.pred_emb_norm = temperature, pred_emb_norm
        self.language_cfg = copy.deepcopy(language)
        self._language: LanguageModel | None = None
        self.caption_length = caption_length
        self.loss_caption, self.loss_aux_weight = loss_caption, loss_aux_weight
        self.loss_only_last = loss_only_last
        self.register_buffer('class_embeddings', torch.zeros(len(classes), text_dims))
        self.register_buffer('base_rows', torch.tensor([classes.index(name) for name in base]),
                             persistent=False)
        self.loss_grounding = None if loss_grounding is None else MODELS.build(loss_grounding)
        self.caption_generator = None
        if caption_generator is not None:
            self.caption_generator = MODELS.build({
                'type': 'mmext.CaptionTransformer', 'embed_dims': text_dims, 'num_tokens': num_tokens,
                'max_length': caption_length, **caption_generator})
        self.with_caption = self.loss_grounding is not None or self.caption_generator is not None
        if self.with_caption:
            # In the checkpoint, as the authors have it: what is trained is useless without.
            self.register_buffer('word_embeddings', torch.zeros(num_tokens, text_dims))

    @property
    def language(self) -> LanguageModel:
        """What embeds names.

        Raises:
            UserError: If there is none.
        """
        if self._language is None:
            if self.language_cfg is None:
                raise UserError('CGGHead has no language=dict(...): it knows no embedding of a name')
            found = MODELS.build(self.language_cfg)
            if found.dim != self.class_embeddings.shape[1]:
                raise UserError(f'CGGHead: text_dims={self.class_embeddings.shape[1]}, but language='
                                f'{dict(self.language_cfg)} gives {found.dim} numbers')
            self._language = found
        return self._language

    def init_weights(self) -> None:
        """The host's initialisation, and the embeddings of words and names."""
        super().init_weights()
        if self.language_cfg is None:
            return
        self.class_embeddings.copy_(self.language.embed(self.classes))
        if self.with_caption:
            table = self.words.table
            if len(table) != len(self.word_embeddings):
                raise UserError(f'CGGHead: num_tokens={len(self.word_embeddings)}, but {self.words.path} has '
                                f'{len(table)}')
            self.word_embeddings.copy_(table)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """A checkpoint's embeddings are of the names that it was trained with: those of ours are made anew.

        Without a language, or where its file is not there, the checkpoint's are taken.
        """
        key = f'{prefix}class_embeddings'
        if key in state_dict and self.language_cfg is not None:
            try:
                state_dict = {**state_dict, key: self.language.embed(self.classes).to(state_dict[key])}
            except UserError as error:
                print_log(f'the embeddings of the classes are those of the checkpoint, whatever their names '
                          f'were: {error}', logger='current', level=logging.WARNING)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def words(self) -> WordEmbeddings:
        """The language, which must know single words."""
        if not isinstance(self.language, WordEmbeddings):
            raise UserError("captions need language=dict(type='mmext.WordEmbeddings', path=...); for other "
                            'languages set loss_grounding and caption_generator to None')
        return self.language

    def set_classes(self, classes: Sequence[str]) -> None:
        """Ask for other classes from now on, by name.

        Raises:
            UserError: If there is none, a name is there twice, or one has no embedding.
        """
        _check_names(tuple(classes), ())
        embeddings = self.language.embed(classes).to(self.cls_embed.weight.device)
        self.classes = tuple(classes)
        self.register_buffer('class_embeddings', embeddings)
        rows = [row for row, name in enumerate(classes) if name in self.base_classes]
        self.base_rows = torch.tensor(rows, dtype=torch.long, device=embeddings.device)

    def logits(self, queries: Tensor, embeddings: Tensor) -> Tensor:
        """Of classes ``(K, D)`` for queries ``(..., D)``; the last one, 'no object', is always 0.

        Returns:
            ``(..., K + 1)``.
        """
        return F.pad(queries @ embeddings.t(), (0, 1))

    def _forward_head(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        queries, *others = super()._forward_head(*args, **kwargs)
        return (F.normalize(queries, dim=-1) if self.pred_emb_norm else queries, *others)

    def loss_by_feat(self, all_cls_scores: Sequence[Tensor], all_mask_preds: Sequence[Tensor],
                     batch_gt_instances: Any, batch_img_metas: list[dict]) -> dict[str, Tensor]:
        """Losses of all decoder outputs.

        Args:
            all_cls_scores: L query embeddings ``(B, Q, D)``.
            all_mask_preds: L mask logits ``(B, Q, h, w)``.
            batch_gt_instances: Labels and masks of each image.
            batch_img_metas: Of each image; with captions as :class:`mmext.LoadCaption` loads them.

        Returns:
            The host's ``loss_cls``, ``loss_mask`` and ``loss_dice``, and where there are captions
            ``loss_grounding`` and ``loss_caption``; with the prefix ``d0.`` and so on before the last.
        """
        if self.loss_only_last:
            all_cls_scores, all_mask_preds = all_cls_scores[-1:], all_mask_preds[-1:]
        queries = torch.stack(list(all_cls_scores))
        base = self.class_embeddings[self.base_rows]
        losses = super().loss_by_feat(self.logits(queries, base) / self.temperature, all_mask_preds,
                                      batch_gt_instances, batch_img_metas)
        if self.with_caption:
            losses.update(self._caption_losses(queries, batch_img_metas))
        if self.loss_aux_weight != 1:
            losses = {name: loss * self.loss_aux_weight if name.startswith('d') else loss
                      for name, loss in losses.items()}
        return losses

    def _caption_losses(self, queries: Tensor, metas: list[dict]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if self.loss_grounding is not None:
            ids, mask = self._padded('noun_ids', metas)
            found['loss_grounding'] = self.loss_grounding(queries, self.word_embeddings[ids], mask)
        if self.caption_generator is not None:
            ids, mask = self._padded('caption_ids', metas)
            found['loss_caption'] = self.loss_caption * self.caption_generator.loss(
                self.word_embeddings[ids], ids, mask, queries)
        last = len(queries) - 1
        return {name if index == last else f'd{index}.{name}': loss
                for name, losses in found.items() for index, loss in enumerate(losses)}

    def _padded(self, key: str, metas: list[dict]) -> tuple[Tensor, Tensor]:
        """Ids ``(B, T)`` filled up with padding, and which of them are real."""
        ids = torch.zeros(len(metas), self.caption_length, dtype=torch.long)
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for row, meta in enumerate(metas):
            if key not in meta:
                raise UserError(f"the images have no '{key}': put dict(type='mmext.LoadCaption', ...) into "
                                "the training pipeline and its keys into the meta_keys of PackDetInputs")
            own = torch.as_tensor(meta[key], dtype=torch.long)[:self.caption_length]
            ids[row, :len(own)], mask[row, :len(own)] = own, True
        device = self.word_embeddings.device
        return ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)

    def caption(self, queries: Tensor, beam_width: int = 7, alpha: float = 0.7) -> str:
        """The caption of an image.

        Args:
            queries: ``(Q, D)``, embeddings of the last decoder output.
            beam_width: Captions followed at a time.
            alpha: Exponent of the length that divides a caption's log probability.

        Raises:
            UserError: If the model generates no captions or its vocabulary is not there.
        """
        if self.caption_generator is None:
            raise UserError('this model has no caption_generator')
        tokenizer = self.words.tokenizer
        return tokenizer.decode(self.caption_generator.generate(
            queries, self.word_embeddings, tokenizer.start, tokenizer.end, beam_width, alpha))


def _check_names(classes: tuple[str, ...], base: tuple[str, ...]) -> None:
    for names in (classes, base):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UserError(f"the class '{twice[0]}' is there more than once")
    if not classes:
        raise UserError('an empty list of classes')
    for name in base:
        if name not in classes:
            raise UserError(f"base class '{name}' is none of the classes{did_you_mean(name, classes)}")
