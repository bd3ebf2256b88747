"""METR (2023, arXiv 2304.03580) on mmdet's DINO: detection as yes or no, category by category.

"Language-aware Multiple Datasets Detection Pretraining for DETRs", github.com/isbrycee/METR
(41b4000; no licence file). A category extraction asks the image with text embeddings which
categories it has; every category that is kept gets its own copy of the queries, and boxes are
matched within their category. So data sets with label spaces of their own train one model.

Different from the released code: any batch size (theirs is right for one image only), any number of
taxonomies, no targets in inference, all extraction blocks have a loss, and denoising queries are
positive in their own category's set (``dn_mode='official'`` in the head gives theirs).

Shapes: B images, S tokens, N queries per category, P denoising ones, K categories, k kept, C channels.
"""
from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.detectors import DINO
from mmdet.models.detectors.deformable_detr import DeformableDETR
from mmdet.models.layers import DeformableDetrTransformerEncoder, SinePositionalEncoding
from mmdet.structures import SampleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ...datasets.class_names import dataset_classes
from ...errors import UserError, did_you_mean
from ...registry import MODELS
from ..layers.metr_decoder import METRDecoder
from .relation_detr import RelationDETR

#: Parameters of the authors' R50 model, 80 categories and 512 text channels. Ours has a row less in the
#: embedding of denoising labels, which theirs never reads.
PARAMETERS = {'resnet50': 49_770_699}

_DENOISING = dict(label_noise_scale=0.5, box_noise_scale=1.0,
                  group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=100))


@MODELS.register_module()
class METR(DINO):
    """METR.

    Args:
        backbone: Any backbone of the hosts; neck: as in DINO.
        category_extraction: Arguments of :class:`.CategoryExtraction`; ``num_classes`` and
            ``embed_dims`` are filled in.
        classes: The names of the categories or the data set that has them ('mmdet.CocoDataset'), or
            several taxonomies, ``{name: classes}``: an image is asked for the categories of its own, the
            meta key ``taxonomy`` that :class:`mmext.MultiDataset` writes. A name in two taxonomies is one
            category. In inference an image that has no taxonomy is asked for all of them.
        text_embed: Config of a :class:`mmext.models.language.LanguageModel`, for the initial embeddings
            of ``classes``; read in :meth:`init_weights` only. None: random ones.
        bbox_head: Config of :class:`.METRHead`; needs ``num_classes`` when there are no ``classes``.
        num_queries: N.
        dn_cfg: Of :class:`mmdet.CdnQueryGenerator`.

    Raises:
        ValueError: If the number of classes is not known or said twice differently.
        UserError: While initialising, if there is no embedding of a class or it has another length;
            in a forward pass, if there are several taxonomies and an image has another, or in training none.

    Example:
        >>> cfg = Config.fromfile('configs/metr/metr_r50_2xb1-12e_coco.py')
        >>> model = MODELS.build(cfg.model)
    """

    def __init__(self,
                 *args: Any,
                 category_extraction: dict[str, Any],
                 bbox_head: dict[str, Any],
                 classes: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
                 text_embed: dict[str, Any] | None = None,
                 dn_cfg: dict[str, Any] = _DENOISING,
                 with_box_refine: bool = True,
                 as_two_stage: bool = True,
                 **kwargs: Any) -> None:
        taxonomies, names = _joint(classes)
        said = bbox_head.get('num_classes')
        if said is None and not names:
            raise ValueError('METR needs classes=..., or bbox_head.num_classes')
        if names and said not in (None, len(names)):
            raise ValueError(f'bbox_head.num_classes={said}, but classes has {len(names)} different names: '
                             'leave num_classes out')
        if text_embed is not None and not names:
            raise ValueError('text_embed needs classes=..., the names to embed')
        self.num_classes = said or len(names)
        self.class_names, self.taxonomies = names, list(taxonomies)
        self.text_cfg = copy.deepcopy(text_embed)
        self.category_cfg = dict(category_extraction)
        super().__init__(*args, bbox_head={**bbox_head, 'num_classes': self.num_classes},
                         dn_cfg=copy.deepcopy(dn_cfg), with_box_refine=with_box_refine,
                         as_two_stage=as_two_stage, **kwargs)
        self._init_taxonomies(taxonomies)

    @property
    def classes(self) -> tuple[str, ...]:
        """Every name once, in the order of the taxonomies."""
        return self.class_names

    def _init_layers(self) -> None:
        # Until here these are configs.
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)  # type: ignore[has-type]
        self.encoder = DeformableDetrTransformerEncoder(**self.encoder)  # type: ignore[has-type]
        self.decoder = METRDecoder(**self.decoder)  # type: ignore[has-type]
        dims = self.embed_dims = self.encoder.embed_dims
        if 2 * self.positional_encoding.num_feats != dims:
            raise ValueError(f'positional_encoding.num_feats={self.positional_encoding.num_feats}: expected '
                             f'{dims // 2}, half of the embed_dims {dims}')
        self.query_embedding = nn.Embedding(self.num_queries, dims)
        self.level_embed = nn.Parameter(torch.empty(self.num_feature_levels, dims).normal_())
        self.memory_trans_fc = nn.Linear(dims, dims)
        self.memory_trans_norm = nn.LayerNorm(dims)
        self.category_extraction = MODELS.build({
            'type': 'mmext.CategoryExtraction', **self.category_cfg, 'num_classes': self.num_classes,
            'embed_dims': dims})

    def _init_taxonomies(self, taxonomies: dict[str, tuple[str, ...]]) -> None:
        """Tables between an image's own labels and the joint ones; they go where the model goes.

        The last row is of the joint labels themselves.
        """
        rows = {name: row for row, name in enumerate(self.class_names)}
        label_spaces = [*taxonomies.values(), self.class_names] if taxonomies else []
        longest = max(map(len, label_spaces), default=0)
        to_joint = torch.zeros(len(label_spaces), longest, dtype=torch.long)
        to_own = torch.zeros(len(label_spaces), self.num_classes, dtype=torch.long)
        allowed = torch.zeros(len(label_spaces), self.num_classes, dtype=torch.bool)
        for index, classes in enumerate(label_spaces):
            joint = torch.tensor([rows[name] for name in classes])
            to_joint[index, :len(classes)] = joint
            to_own[index, joint] = torch.arange(len(classes))
            allowed[index, joint] = True
        self._sizes = list(map(len, label_spaces))
        for key, value in dict(to_joint=to_joint, to_own=to_own, allowed=allowed).items():
            self.register_buffer(f'_{key}', value, persistent=False)

    def init_weights(self) -> None:
        """The authors' initialisation, with the classes' text embeddings."""
        for coder in (self.encoder, self.decoder):
            for parameter in coder.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        nn.init.xavier_uniform_(self.memory_trans_fc.weight)
        nn.init.zeros_(self.memory_trans_fc.bias)
        nn.init.xavier_uniform_(self.query_embedding.weight)
        nn.init.normal_(self.level_embed)
        if self.text_cfg is not None:
            self._embed_classes(self.text_cfg)
        # Last, so that weights of a checkpoint stay.
        super(DeformableDETR, self).init_weights()

    def _embed_classes(self, cfg: dict[str, Any]) -> None:
        language = MODELS.build(cfg)
        prompts = self.category_extraction.class_prompts
        if language.dim != prompts.shape[1]:
            raise UserError(f'category_extraction.text_dims={prompts.shape[1]}, but the embeddings of '
                            f'text_embed ({cfg["type"]}) have {language.dim} numbers: set text_dims='
                            f'{language.dim}')
        prompts.data.copy_(language.embed(self.class_names))

    def forward_transformer(self, img_feats: tuple[Tensor, ...],
                            batch_data_samples: SampleList | None = None) -> dict[str, Any]:
        """Inputs of the head from the neck's maps.

        Args:
            img_feats: Maps ``(B, C, H, W)``.
            batch_data_samples: Sizes of the images, in training with ground truth whose labels are
                joint ones.
        """
        encoder_inputs, decoder_inputs = self.pre_transformer(img_feats, batch_data_samples)
        more, head_inputs = self.pre_decoder(**self.forward_encoder(**encoder_inputs),
                                             batch_data_samples=batch_data_samples)
        head_inputs.update(self.forward_decoder(**decoder_inputs, **more))
        return head_inputs

    def pre_decoder(self,
                    memory: Tensor,
                    memory_mask: Tensor | None,
                    spatial_shapes: Tensor,
                    batch_data_samples: SampleList | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Extract the categories and make the queries of each.

        Args:
            memory: ``(B, S, C)``.
            memory_mask: ``(B, S)``, true at padding, or None.
            spatial_shapes: ``(L, 2)``.
            batch_data_samples: See :meth:`forward_transformer`.

        Returns:
            Inputs of :meth:`forward_decoder` and of the head.
        """
        extraction, head = self.category_extraction, self.bbox_head
        which = self._which(batch_data_samples)
        allowed = self._allowed[which] if which else None
        label_logits, vectors = extraction(memory, memory_mask, allowed)
        present = self._present(batch_data_samples, memory.device) if self.training else None
        # The same for any batch of these taxonomies: what an image lacks is filled up and not looked at.
        most = max(self._sizes[index] for index in which) if which else None
        kept = extraction.select(label_logits[-1], present, allowed, most)
        chosen = vectors.gather(1, kept[..., None].expand(-1, -1, vectors.shape[-1]))

        tokens, proposals = self.gen_encoder_output_proposals(memory, memory_mask, spatial_shapes)
        logits, boxes = RelationDETR._select(
            tokens, proposals, lambda x: head.encoder_logits(x, vectors, allowed),  # type: ignore[arg-type]
            head.reg_branches[-1], self.num_queries, 'num_queries')
        query = self.query_embedding.weight + chosen[:, :, None]
        references = boxes.detach()[:, None].expand(-1, kept.shape[1], -1, -1)
        inputs: dict[str, Any] = dict(memory=memory, dn_mask=None, num_categories=kept.shape[1])
        head_inputs: dict[str, Any] = dict(vectors=chosen, kept=kept,
                                           valid=None if allowed is None else allowed.gather(1, kept))
        if self.training:
            dn_query, dn_logits, inputs['dn_mask'], dn_meta = self.dn_query_generator(batch_data_samples)
            # Without ground truth nothing else would give the label embedding a gradient.
            unused = self.dn_query_generator.label_embedding.weight[0, 0] * 0
            shape = (-1, kept.shape[1], -1, -1)
            query = torch.cat((dn_query[:, None].expand(shape), query + unused), dim=2)
            references = torch.cat((dn_logits.sigmoid()[:, None].expand(shape), references), dim=2)
            head_inputs.update(enc_outputs_class=logits, enc_outputs_coord=boxes, dn_meta=dn_meta,
                               label_logits=label_logits, present=present, allowed=allowed)
        inputs.update(query=query.flatten(1, 2), reference_points=references.flatten(1, 2))
        return inputs, head_inputs

    def forward_decoder(self, query: Tensor, memory: Tensor, memory_mask: Tensor | None,
                        dn_mask: Tensor | None = None, **kwargs: Any) -> dict[str, Tensor]:
        """Refine all categories' queries, ``(B, kN, C)``; see :class:`.METRDecoder`."""
        states, references = self.decoder(query=query, value=memory, key_padding_mask=memory_mask,
                                          self_attn_mask=dn_mask, reg_branches=self.bbox_head.reg_branches,
                                          **kwargs)
        return dict(hidden_states=states, references=references)

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of the head, and ``loss_cem``, ``b0.loss_cem`` ... of the category extraction."""
        samples = self._to_joint_labels(batch_data_samples)
        inputs = self.forward_transformer(self.extract_feat(batch_inputs), samples)
        return self.losses(inputs, samples)

    def losses(self, head_inputs: dict[str, Any], batch_data_samples: SampleList) -> dict[str, Tensor]:
        """All losses from what :meth:`forward_transformer` gave in training."""
        inputs = dict(head_inputs)
        extraction = [inputs.pop(name) for name in ('label_logits', 'present', 'allowed')]
        return {**self.bbox_head.loss(**inputs, batch_data_samples=batch_data_samples),
                **self.category_extraction.loss(*extraction)}

    def predict(self, batch_inputs: Tensor, batch_data_samples: SampleList,
                rescale: bool = True) -> SampleList:
        """Boxes of the images; labels are of the image's own taxonomy.

        An image that names none is asked for the categories of all of them, and its labels are joint ones.
        With several taxonomies ``label_names`` say what was found; visualizers draw them.
        """
        samples = super().predict(batch_inputs, batch_data_samples, rescale)
        for index, sample in zip(self._which(samples), samples):
            found = sample.pred_instances
            found.label_names = [self.class_names[label] for label in found.labels.tolist()]
            found.labels = self._to_own[index][found.labels]
        return samples

    def _which(self, samples: SampleList | None) -> list[int]:
        """The taxonomy of every image, in inference the joint one if it has none; empty if there is one."""
        if len(self.taxonomies) < 2:
            return []
        found = []
        for sample in samples or []:
            name = sample.metainfo.get('taxonomy')
            if name is None and not self.training:
                found.append(len(self.taxonomies))
                continue
            if name not in self.taxonomies:
                where = sample.metainfo.get('img_path', 'an image')
                raise UserError(
                    f"{where} has taxonomy '{name}'{did_you_mean(str(name), self.taxonomies)} METR was built "
                    f'with {", ".join(self.taxonomies)}; mmext.MultiDataset says which one an image is of '
                    "(add 'taxonomy' to a data set's pipeline otherwise)")
            found.append(self.taxonomies.index(name))
        return found

    def _to_joint_labels(self, samples: SampleList) -> SampleList:
        """Samples with the same boxes and joint labels; those given are left as they are."""
        joint = []
        which = self._which(samples)
        for place, sample in enumerate(samples):
            labels = sample.gt_instances.labels
            size = self._sizes[which[place]] if which else self.num_classes
            # Numbers on a GPU are not looked at: an index out of range raises there by itself.
            if labels.device.type == 'cpu' and len(labels) and int(labels.max()) >= size:
                raise UserError(f'{sample.metainfo.get("img_path", "an image")} has the label '
                                f'{int(labels.max())}, but METR was built with {size} classes for it')
            if not which:
                joint.append(sample)
                continue
            other = sample.new()
            other.gt_instances = InstanceData(bboxes=sample.gt_instances.bboxes,
                                              labels=self._to_joint[which[place]][labels])
            joint.append(other)
        return joint

    def _present(self, samples: SampleList | None, device: torch.device) -> Tensor:
        """``(B, K)``, true for the categories that an image has boxes of."""
        present = torch.zeros(len(samples or ()), self.num_classes, dtype=torch.bool, device=device)
        for row, sample in zip(present, samples or ()):
            row[sample.gt_instances.labels] = True
        return present


def _joint(classes: Any) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Taxonomies by name, and all names once; see ``classes`` of :class:`METR`."""
    if not classes:
        return {}, ()
    given = classes if isinstance(classes, Mapping) else {'': classes}
    taxonomies = {name: dataset_classes(names) if isinstance(names, str) else tuple(names)
                  for name, names in given.items()}
    for taxonomy, names in taxonomies.items():
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            what = f"has '{twice[0]}' more than once" if twice else 'is empty'
            raise ValueError(f"classes{f'[{taxonomy!r}]' if taxonomy else ''} {what}")
    return taxonomies, tuple(dict.fromkeys(name for names in taxonomies.values() for name in names))
