"""The one table of what mmext offers.

The registries import a module when its name is first asked for, so they need to know where each
name lives: here. ``mmext list``, the README's table and the model zoo are made from the same rows.
A test holds the table equal to the ``@register_module`` decorators found in the source.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ALL_HOSTS = ('mmdet', 'mmseg', 'mmpretrain', 'mmrotate')


class Paper(NamedTuple):
    """A publication: its title, where to read it, and its year."""

    title: str
    url: str
    year: int


@dataclass(frozen=True)
class Entry:
    """One registered name.

    Attributes:
        name: The class name; configs say ``type='mmext.<name>'``.
        registry: Name of mmengine's root registry ('model', 'hook', 'transform', 'metric', ...).
        kind: Role in a config: 'backbone', 'neck', 'head', 'detector', 'segmentor', 'distiller',
            'layer', 'hook', 'dataset', 'transform', 'metric', ...
        module: Where the class is defined.
        hosts: Hosts whose configs can use it.
        requires: Hosts that must be installed for the module to import.
        summary: What it is, in a few words.
        method: The plug-in it belongs to: its folder under ``configs/`` and its converter's name.
            Empty for parts that are not a published method.
        cites: Key of its paper in ``PAPERS``, if that is not ``method``.
        aliases: Other names under which the same class is registered.
        unreleased: The authors released no weights, or not even code: there is nothing to convert.
    """

    name: str
    registry: str
    kind: str
    module: str
    hosts: tuple[str, ...]
    summary: str
    requires: tuple[str, ...] = ()
    method: str = ''
    cites: str = ''
    aliases: tuple[str, ...] = ()
    unreleased: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name the class answers to."""
        return (self.name, *self.aliases)

    @property
    def paper(self) -> Paper | None:
        """The paper that it is from, or None."""
        return PAPERS.get(self.cites or self.method)

    @property
    def page(self) -> str:
        """The plug-in's page in the repository, or an empty string."""
        return f'configs/{self.method}/README.md' if self.method else ''


PAPERS: dict[str, Paper] = {
    'dsnet': Paper('Dual-stream Network for Visual Recognition', 'https://arxiv.org/abs/2105.14734', 2021),
    'emov2': Paper('EMOv2: Pushing 5M Vision Model Frontier', 'https://arxiv.org/abs/2412.06674', 2024),
    'biformer': Paper(
        'BiFormer: Vision Transformer with Bi-Level Routing Attention',
        'https://arxiv.org/abs/2303.08810', 2023),
    'o2detr': Paper('Oriented Object Detection with Transformer', 'https://arxiv.org/abs/2106.03146', 2021),
    'deformable_detr': Paper(
        'Deformable DETR: Deformable Transformers for End-to-End Object Detection',
        'https://arxiv.org/abs/2010.04159', 2020),
    'rhino': Paper(
        'Hausdorff Distance Matching with Adaptive Query Denoising for Rotated Detection Transformer',
        'https://arxiv.org/abs/2305.07598', 2023),
    'o2rtdetr': Paper(
        'Real-Time Oriented Object Detection Transformer in Remote Sensing Images',
        'https://arxiv.org/abs/2603.15497', 2026),
    'rtdetr': Paper(
        'DETRs Beat YOLOs on Real-time Object Detection',
        'https://arxiv.org/abs/2304.08069', 2023),
    'deim': Paper(
        'DEIM: DETR with Improved Matching for Fast Convergence',
        'https://arxiv.org/abs/2412.04234', 2024),
    'relation_detr': Paper(
        'Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        'https://arxiv.org/abs/2407.11699', 2024),
    'metr': Paper(
        'Language-aware Multiple Datasets Detection Pretraining for DETRs',
        'https://arxiv.org/abs/2304.03580', 2023),
    'lmseg': Paper(
        'LMSeg: Language-guided Multi-dataset Segmentation',
        'https://arxiv.org/abs/2302.13495', 2023),
    'cgg': Paper(
        'Betrayed by Captions: Joint Caption Grounding and Generation for Open Vocabulary Instance '
        'Segmentation',
        'https://arxiv.org/abs/2301.00805', 2023),
    'prae': Paper(
        'Probabilistic Ranking-Aware Ensembles for Enhanced Object Detections',
        'https://arxiv.org/abs/2105.03139', 2021),
    'cst': Paper(
        'Cycle Self-Training for Semi-Supervised Object Detection with Distribution Consistency Reweighting',
        'https://arxiv.org/abs/2207.05334', 2022),
    'diswot': Paper(
        'DisWOT: Student Architecture Search for Distillation WithOut Training',
        'https://arxiv.org/abs/2303.15678', 2023),
    'guidance': Paper(
        'Training the Untrainable: Introducing Inductive Bias via Representational Alignment',
        'https://arxiv.org/abs/2410.20035', 2025),
    'kd_ci_cam': Paper(
        'Knowledge-guided Causal Intervention for Weakly-supervised Object Localization',
        'https://arxiv.org/abs/2301.01060', 2023),
    'mgd': Paper(
        'Multi-Granularity Distillation Scheme Towards Lightweight Semi-Supervised Semantic Segmentation',
        'https://arxiv.org/abs/2208.10169', 2022),
    'g2sd': Paper(
        'Generic-to-Specific Distillation of Masked Autoencoders',
        'https://arxiv.org/abs/2302.14771', 2023),
    'h_gkd': Paper(
        'Heterogeneous Generative Knowledge Distillation with Masked Image Modeling',
        'https://arxiv.org/abs/2309.09571', 2023),
    'dmt': Paper(
        'DMT: Comprehensive Distillation with Multiple Self-supervised Teachers',
        'https://arxiv.org/abs/2312.11938', 2024),
}


CATALOGUE: tuple[Entry, ...] = (
    Entry('DSNet', 'model', 'backbone', 'mmext.models.backbones.dsnet', ALL_HOSTS,
          'backbone of blocks with a local and a global stream, 11M to 49M parameters', method='dsnet'),
    Entry('InterScaleAlignment', 'model', 'layer', 'mmext.models.backbones.dsnet', ALL_HOSTS,
          'two-way cross attention of a map and a few tokens, from DS-Net', method='dsnet'),
    Entry('DSFPN', 'model', 'neck', 'mmext.models.necks.dsfpn', ('mmdet', 'mmseg', 'mmrotate'),
          'feature pyramid with a DS-Net block on every level', requires=('mmdet', ), method='dsnet'),
    Entry('EMOv2', 'model', 'backbone', 'mmext.models.backbones.emov2', ALL_HOSTS,
          'lightweight backbone, 1M to 50M parameters, spanning window attention', method='emov2',
          aliases=('EMO2', )),
    Entry('SpanningAttention', 'model', 'layer', 'mmext.models.backbones.emov2', ALL_HOSTS,
          'attention in adjacent and dilated windows whose values are the expansion, from EMOv2',
          method='emov2'),
    Entry('BiFormer', 'model', 'backbone', 'mmext.models.backbones.biformer', ALL_HOSTS,
          'transformer backbone, 13M to 57M parameters, bi-level routing attention', method='biformer',
          aliases=('BiFormer_mm', )),
    Entry('BiFormerSTL', 'model', 'backbone', 'mmext.models.backbones.biformer', ALL_HOSTS,
          "bi-level routing attention in Swin-T's layout, 28M parameters", method='biformer'),
    Entry('BiLevelRoutingAttention', 'model', 'layer', 'mmext.models.backbones.biformer', ALL_HOSTS,
          'attention to the tokens of a few routed regions, channels last', method='biformer'),
    Entry('BRA', 'model', 'layer', 'mmext.models.backbones.biformer', ALL_HOSTS,
          'attention to the tokens of a few routed regions, channels first', method='biformer',
          aliases=('nchwBRA', )),
    Entry('O2DETR', 'model', 'detector', 'mmext.models.detectors.o2detr', ('mmrotate', ),
          'rotated DETR with a convolutional encoder', requires=('mmdet', 'mmrotate'), method='o2detr',
          unreleased=True),
    Entry('O2DETRRefineHead', 'model', 'head', 'mmext.models.dense_heads.o2detr_refine_head', ('mmrotate', ),
          'fine-tuned cascade head of O2DETR', requires=('mmdet', 'mmrotate'), method='o2detr',
          unreleased=True),
    Entry('RotatedDeformableDETR', 'model', 'detector', 'mmext.models.detectors.rotated_detr', ('mmrotate', ),
          'Deformable DETR with rotated boxes', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='deformable_detr'),
    Entry('RotatedDINO', 'model', 'detector', 'mmext.models.detectors.rotated_detr', ('mmrotate', ),
          'DINO with rotated boxes; RHINO by its options', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='rhino'),
    Entry('RotatedRTDETR', 'model', 'detector', 'mmext.models.detectors.rotated_rtdetr', ('mmrotate', ),
          'real-time DETR with rotated boxes (O2-RTDETR)', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='o2rtdetr'),
    Entry('RotatedDeformableDETRHead', 'model', 'head', 'mmext.models.dense_heads.rotated_detr_head',
          ('mmrotate', ), 'head of Rotated Deformable-DETR and O2DETR', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='deformable_detr'),
    Entry('RotatedDINOHead', 'model', 'head', 'mmext.models.dense_heads.rotated_detr_head', ('mmrotate', ),
          'head of Rotated DINO, RHINO and O2-RTDETR', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='rhino'),
    Entry('GaussianLoss', 'model', 'loss', 'mmext.models.losses.rotated_losses', ('mmrotate', ),
          'GWD, KLD and kin of rotated boxes, in closed form', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='rhino'),
    Entry('PolygonIoULoss', 'model', 'loss', 'mmext.models.losses.rotated_losses', ('mmrotate', ),
          'IoU loss of rotated boxes that runs on CPU', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='rhino'),
    Entry('RBoxL1Loss', 'model', 'loss', 'mmext.models.losses.rotated_losses', ('mmrotate', ),
          'L1 of rotated boxes with a circular angle', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='rhino'),
    Entry('RTDETRVarifocalLoss', 'model', 'loss', 'mmext.models.losses.rotated_losses', ('mmrotate', ),
          'varifocal loss of RT-DETR', requires=('mmdet', 'mmrotate'), method='rotated_detr', cites='rtdetr'),
    Entry('MatchabilityAwareLoss', 'model', 'loss', 'mmext.models.losses.rotated_losses', ('mmrotate', ),
          'classification loss of DEIM', requires=('mmdet', 'mmrotate'), method='rotated_detr', cites='deim'),
    Entry('RBoxL1Cost', 'task util', 'cost', 'mmext.models.task_modules.rotated_match_costs', ('mmrotate', ),
          'L1 cost of rotated boxes, angle circular by default', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='rhino'),
    Entry('CenterL1Cost', 'task util', 'cost', 'mmext.models.task_modules.rotated_match_costs',
          ('mmrotate', ), 'L1 cost of centres', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='rhino'),
    Entry('GDCost', 'task util', 'cost', 'mmext.models.task_modules.rotated_match_costs', ('mmrotate', ),
          'Gaussian cost of rotated boxes, in closed form', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='rhino'),
    Entry('HausdorffCost', 'task util', 'cost', 'mmext.models.task_modules.rotated_match_costs',
          ('mmrotate', ), 'Hausdorff cost of rotated boxes', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='rhino'),
    Entry('ChamferCost', 'task util', 'cost', 'mmext.models.task_modules.rotated_match_costs', ('mmrotate', ),
          'Chamfer cost of rotated boxes', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='rhino'),
    Entry('RotatedIoUCost', 'task util', 'cost', 'mmext.models.task_modules.rotated_match_costs',
          ('mmrotate', ), 'IoU cost of rotated boxes', requires=('mmdet', 'mmrotate'), method='rotated_detr',
          cites='rhino'),
    Entry('RotatedHungarianAssigner', 'task util', 'assigner', 'mmext.models.task_modules.rotated_assigner',
          ('mmrotate', ), 'Hungarian matching that survives non-finite costs', requires=('mmdet', 'mmrotate'),
          method='rotated_detr', cites='rhino'),
    Entry('RelationDETR', 'model', 'detector', 'mmext.models.detectors.relation_detr', ('mmdet', ),
          'DINO with memory fusion, position relation and hybrid queries', requires=('mmdet', ),
          method='relation_detr'),
    Entry('RelationDETRHead', 'model', 'head', 'mmext.models.dense_heads.relation_detr_head', ('mmdet', ),
          "head of Relation-DETR: DINO's, with hybrid many-to-one losses", requires=('mmdet', ),
          method='relation_detr'),
    Entry('PositionRelation', 'model', 'layer', 'mmext.models.layers.position_relation',
          ('mmdet', 'mmrotate'), 'attention bias from the geometry of box pairs, for any DETR decoder',
          method='relation_detr'),
    Entry('DINOPP', 'model', 'detector', 'mmext.models.detectors.relation_detr_pp', ('mmdet', ),
          "mmdet's DINO with position relation", requires=('mmdet', ), method='relation_detr'),
    Entry('DDQDETRPP', 'model', 'detector', 'mmext.models.detectors.relation_detr_pp', ('mmdet', ),
          "mmdet's DDQ with position relation", requires=('mmdet', ), method='relation_detr'),
    Entry('DeformableDETRPP', 'model', 'detector', 'mmext.models.detectors.relation_detr_pp', ('mmdet', ),
          "mmdet's Deformable DETR with position relation", requires=('mmdet', ), method='relation_detr'),
    Entry('DABDETRPP', 'model', 'detector', 'mmext.models.detectors.relation_detr_pp', ('mmdet', ),
          "mmdet's DAB-DETR with position relation", requires=('mmdet', ), method='relation_detr'),
    Entry('DetachedVarifocalLoss', 'model', 'loss', 'mmext.models.losses.detached_varifocal',
          ('mmdet', 'mmrotate'),
          'varifocal loss whose weights are constants, for heads that take IoU targets', requires=('mmdet', ),
          method='relation_detr'),
    Entry('METR', 'model', 'detector', 'mmext.models.detectors.metr', ('mmdet', ),
          'DINO asked with text which categories an image has; several label spaces', requires=('mmdet', ),
          method='metr'),
    Entry('METRHead', 'model', 'head', 'mmext.models.dense_heads.metr_head', ('mmdet', ),
          'head of METR: one yes-or-no logit per query and category', requires=('mmdet', ), method='metr'),
    Entry('CategoryExtraction', 'model', 'layer', 'mmext.models.layers.category_extraction', ('mmdet', ),
          'finds the categories of an image from their text embeddings', requires=('mmdet', ), method='metr'),
    Entry('LMSeg', 'model', 'segmentor', 'mmext.models.segmentors.lmseg', ('mmseg', ),
          'one segmentor for data sets with different classes, told apart by their names',
          requires=('mmdet', 'mmseg'), method='lmseg'),
    Entry('LMSegPanoptic', 'model', 'detector', 'mmext.models.segmentors.lmseg', ('mmdet', ),
          'panoptic LMSeg', requires=('mmdet', 'mmseg'), method='lmseg'),
    Entry('LMSegHead', 'model', 'head', 'mmext.models.segmentors.lmseg', ('mmdet', 'mmseg'),
          'MaskFormer head whose queries attend to class names and are classified by them',
          requires=('mmdet', 'mmseg'), method='lmseg'),
    Entry('SegTTAModel', 'model', 'segmentor', 'mmext.models.segmentors.tta', ('mmseg', ),
          'test-time augmentation that averages scores as they are', requires=('mmseg', )),
    Entry('LMSegFusionHead', 'model', 'head', 'mmext.models.segmentors.lmseg', ('mmdet', ),
          'fusion of masks where any classes are things', requires=('mmdet', 'mmseg'), method='lmseg'),
    Entry('MaskFocalCost', 'task util', 'cost', 'mmext.models.segmentors.lmseg', ('mmdet', 'mmseg'),
          'focal cost of mask logits', requires=('mmdet', 'mmseg'), method='lmseg'),
    Entry('PreNormPixelDecoder', 'model', 'head', 'mmext.models.segmentors.lmseg', ('mmdet', 'mmseg'),
          "MaskFormer's pixel decoder whose encoder normalises first", requires=('mmdet', 'mmseg'),
          method='lmseg'),
    Entry('CLIPTextContextEncoder', 'model', 'text encoder', 'mmext.models.segmentors.lmseg',
          ('mmdet', 'mmseg'), 'text encoder of CLIP with learned context', requires=('mmdet', 'mmseg'),
          method='lmseg'),
    Entry('CLIPResNet', 'model', 'backbone', 'mmext.models.backbones.clip_resnet', ALL_HOSTS,
          'ResNet of CLIP as a backbone', method='lmseg'),
    Entry('TextTable', 'model', 'text encoder', 'mmext.models.language.text_table', ALL_HOSTS,
          'text embeddings from a file'),
    Entry('TextEncoder', 'model', 'text encoder', 'mmext.models.language.text_encoder', ALL_HOSTS,
          'text embeddings by CLIP, BERT or MiniLM, cached on disk'),
    Entry('CGG', 'model', 'detector', 'mmext.models.detectors.cgg', ('mmdet', ),
          'Mask2Former that learns classes from captions and takes any list of names', requires=('mmdet', ),
          method='cgg'),
    Entry('CGGHead', 'model', 'head', 'mmext.models.dense_heads.cgg_head', ('mmdet', ),
          "Mask2Former's head, classifying by word embeddings", requires=('mmdet', ), method='cgg'),
    Entry('CGGFusionHead', 'model', 'head', 'mmext.models.dense_heads.cgg_fusion_head', ('mmdet', ),
          'instances of any subset of the classes, and panoptic segments', requires=('mmdet', ),
          method='cgg'),
    Entry('GroundingLoss', 'model', 'loss', 'mmext.models.losses.grounding_loss', ('mmdet', ),
          'contrastive loss between nouns of captions and queries of images', requires=('mmdet', ),
          method='cgg'),
    Entry('CaptionTransformer', 'model', 'layer', 'mmext.models.layers.caption_transformer', ('mmdet', ),
          'generates captions from queries', requires=('mmdet', ), method='cgg'),
    Entry('WordEmbeddings', 'model', 'text encoder', 'mmext.models.language.word_embeddings', ALL_HOSTS,
          'word embeddings of BERT, word by word'),
    Entry('Relabel', 'transform', 'transform', 'mmext.datasets.transforms.relabel', ('mmseg', ),
          'other numbers for the classes of a label map'),
    Entry('CaptionCocoDataset', 'dataset', 'dataset', 'mmext.datasets.captions', ('mmdet', ),
          'instances of some classes and captions of everything', requires=('mmdet', )),
    Entry('CaptionCocoPanopticDataset', 'dataset', 'dataset', 'mmext.datasets.captions', ('mmdet', ),
          'panoptic segments of some classes and captions of everything', requires=('mmdet', )),
    Entry('LoadCaption', 'transform', 'transform', 'mmext.datasets.captions', ('mmdet', ),
          'a caption of the image as ids of words, with its nouns', requires=('mmdet', )),
    Entry('MergeClasses', 'transform', 'transform', 'mmext.datasets.transforms.merge_classes', ('mmdet', ),
          'all classes as one, for class-agnostic training', requires=('mmdet', )),
    Entry('OpenVocabularyMetric', 'metric', 'metric', 'mmext.evaluation.metrics.open_vocabulary_metric',
          ('mmdet', ), 'AP50 of base, novel and all classes', requires=('mmdet', )),
    Entry('PanopticDataset', 'dataset', 'dataset', 'mmext.datasets.panoptic', ('mmdet', ),
          'panoptic segments with labels in any order; COCO and Cityscapes files', requires=('mmdet', )),
    Entry('LoadPanoptic', 'transform', 'transform', 'mmext.datasets.panoptic', ('mmdet', ),
          'panoptic segments of an image, without panopticapi', requires=('mmdet', )),
    Entry('PanopticMetric', 'metric', 'metric', 'mmext.evaluation.metrics.panoptic_metric', ('mmdet', ),
          'PQ of all classes and of groups of them, without panopticapi', requires=('mmdet', )),
    Entry('MultiDataset', 'dataset', 'dataset', 'mmext.datasets.multi_dataset', ALL_HOSTS,
          'several data sets with label spaces and pipelines of their own as one'),
    Entry('MultiDatasetSampler', 'data sampler', 'sampler', 'mmext.datasets.samplers.multi_dataset_sampler',
          ALL_HOSTS, 'mixes data sets in given shares, whole batches of one if wanted'),
    Entry('MultiDatasetMetric', 'metric', 'metric', 'mmext.evaluation.metrics.multi_dataset_metric',
          ALL_HOSTS, 'evaluates every data set by its own metrics in one pass'),
    Entry('RawDOTADataset', 'dataset', 'dataset', 'mmext.datasets.dota', ('mmrotate', ),
          'DOTA label files as published, headers included; images in the order of names',
          requires=('mmdet', 'mmrotate')),
    Entry('CheckpointHook', 'hook', 'hook', 'mmext.engine.hooks.checkpoint_hook', ALL_HOSTS,
          'checkpoints that a crash at any moment cannot hurt'),
    Entry('ExactResumeHook', 'hook', 'hook', 'mmext.engine.hooks.exact_resume_hook', ALL_HOSTS,
          'a resumed run equals an undisturbed one, bit for bit'),
    Entry('NonFiniteHook', 'hook', 'hook', 'mmext.engine.hooks.nonfinite_hook', ALL_HOSTS,
          'names the losses, gradients and images of a step that is not finite'),
    Entry('PreemptionHook', 'hook', 'hook', 'mmext.engine.hooks.preemption_hook', ALL_HOSTS,
          'saves and leaves on SIGTERM and SIGUSR1'),
    Entry('DataTimeHook', 'hook', 'hook', 'mmext.engine.hooks.data_time_hook', ALL_HOSTS,
          'says when training waits for its data'),
    Entry('CocoMetric', 'metric', 'metric', 'mmext.evaluation.metrics.coco_metric', ('mmdet', ),
          "COCO's metric on arrays: mmdet's numbers, much sooner", requires=('mmdet', )),
    Entry('DOTAMetric', 'metric', 'metric', 'mmext.evaluation.metrics.dota_metric', ('mmrotate', ),
          "DOTA's metric: mmrotate's numbers, much sooner; also of merged whole pictures",
          requires=('mmrotate', )),
    Entry('IoUMetric', 'metric', 'metric', 'mmext.evaluation.metrics.iou_metric', ('mmseg', ),
          "mmseg's IoU, with checked labels, values of each class and a submission archive",
          requires=('mmseg', )),
    Entry('LeaderboardHook', 'hook', 'hook', 'mmext.engine.hooks.leaderboard_hook', ALL_HOSTS,
          'keeps a record of every evaluation and writes a report after a test'),
    Entry('LoadReportHook', 'hook', 'hook', 'mmext.engine.hooks.load_report_hook', ALL_HOSTS,
          'says what of a checkpoint was loaded, refuses one of another model'),
    Entry('EnsembleDetector', 'model', 'detector', 'mmext.models.ensemble.detector', ('mmdet', 'mmrotate'),
          'several detectors as one model, fused by calibrated scores and P-NMS', requires=('mmdet', ),
          method='prae', unreleased=True),
    Entry('PRAECalibrator', 'task util', 'task util', 'mmext.models.ensemble.calibrator',
          ('mmdet', 'mmrotate'), 'scores replaced by what they were worth on a labelled split',
          method='prae'),
    Entry('PRAEFusion', 'task util', 'task util', 'mmext.models.ensemble.fusion', ('mmdet', 'mmrotate'),
          'P-NMS, NMS, Soft-NMS, NMW and WBF of several detectors by one interface', method='prae'),
    Entry('CycleSelfTraining', 'model', 'detector', 'mmext.models.semi.cycle_self_training', ('mmdet', ),
          'semi-supervised training of any detector, two students and two teachers', requires=('mmdet', ),
          method='cst', unreleased=True),
    Entry('DistributionConsistency', 'task util', 'task util', 'mmext.models.semi.consistency', ('mmdet', ),
          "weight of a pseudo box from two teachers' agreement", requires=('mmdet', ), method='cst'),
    Entry('CycleMeanTeacherHook', 'hook', 'hook', 'mmext.engine.hooks.cycle_mean_teacher_hook', ('mmdet', ),
          'moves the teachers of CST towards their students', requires=('mmdet', ), method='cst'),
    Entry('CycleValLoop', 'loop', 'loop', 'mmext.engine.cycle_val_loop', ('mmdet', ),
          'validation of all members of CST', requires=('mmdet', ), method='cst'),
    Entry('Distiller', 'model', 'distiller', 'mmext.models.distillers.distiller', ALL_HOSTS,
          'any model of any host learns from any teachers; the student is what is saved'),
    Entry('ConvConnector', 'model', 'layer', 'mmext.models.distillers.connectors', ALL_HOSTS,
          "convolution between a student's map and a distillation loss"),
    Entry('LinearConnector', 'model', 'layer', 'mmext.models.distillers.connectors', ALL_HOSTS,
          "linear layer between a student's tokens and a distillation loss"),
    Entry('KLDistillLoss', 'model', 'loss', 'mmext.models.distillers.losses.logits', ALL_HOSTS,
          'KL divergence of softened class scores'),
    Entry('DecoupledKDLoss', 'model', 'loss', 'mmext.models.distillers.losses.logits', ALL_HOSTS,
          'DKD: true class and other classes apart'),
    Entry('FeatureDistillLoss', 'model', 'loss', 'mmext.models.distillers.losses.features', ALL_HOSTS,
          'L1, L2 or smooth L1 of two feature maps'),
    Entry('ChannelWiseDistillLoss', 'model', 'loss', 'mmext.models.distillers.losses.features', ALL_HOSTS,
          'CWD: KL divergence of each channel over the positions'),
    Entry('PKDLoss', 'model', 'loss', 'mmext.models.distillers.losses.features', ALL_HOSTS,
          'PKD: distance of maps standardised per channel'),
    Entry('MaskedGenerativeLoss', 'model', 'loss', 'mmext.models.distillers.losses.features', ALL_HOSTS,
          "the masked map of the student regenerates the teacher's"),
    Entry('RelationalKDLoss', 'model', 'loss', 'mmext.models.distillers.losses.relations', ALL_HOSTS,
          'RKD: distances and angles between samples'),
    Entry('DisWOTScore', 'task util', 'task util', 'mmext.models.distillers.diswot.score', ALL_HOSTS,
          'how well an untrained student would learn from a teacher, for mmext search-student',
          method='diswot', unreleased=True),
    Entry('CIFARResNet', 'model', 'layer', 'mmext.models.backbones.cifar_resnet', ('mmpretrain', ),
          'ResNet for 32 pixel images with any number of blocks in a stage', requires=('mmpretrain', ),
          method='diswot', unreleased=True),
    Entry('NASBench201Net', 'model', 'layer', 'mmext.models.backbones.nas_bench_201', ('mmpretrain', ),
          'networks of NAS-Bench-201 by the operations of their cell', method='diswot', unreleased=True),
    Entry('BatchSimilarityLoss', 'model', 'loss', 'mmext.models.distillers.losses.relations', ALL_HOSTS,
          'distance of batch Gram matrices', method='diswot', unreleased=True),
    Entry('InterChannelCorrelationLoss', 'model', 'loss', 'mmext.models.distillers.losses.relations',
          ALL_HOSTS, 'distance of channel Gram matrices', method='diswot', unreleased=True),
    Entry('FullyConnectedNet', 'model', 'network', 'mmext.models.distillers.guidance.fully_connected',
          ('mmpretrain', ), 'deep or wide fully connected network on whole images', method='guidance',
          unreleased=True),
    Entry('PlainResNet', 'model', 'layer', 'mmext.models.distillers.guidance.plain_resnet', ('mmpretrain', ),
          'ResNet without skip connections', requires=('mmpretrain', ), method='guidance', unreleased=True),
    Entry('GuidanceLoss', 'model', 'loss', 'mmext.models.distillers.losses.guidance', ALL_HOSTS,
          'alignment with the layers of a guide by CKA or RSA', method='guidance', unreleased=True),
    Entry('StudentOptimWrapperConstructor', 'optimizer wrapper constructor', 'optimizer',
          'mmext.engine.student_optim', ALL_HOSTS,
          "layer-wise learning rates and other rules of a host, for a Distiller's student"),
    Entry('DistillScheduleHook', 'hook', 'hook', 'mmext.engine.hooks.distill_schedule_hook', ALL_HOSTS,
          'switches the distillation of a Distiller on and off'),
    Entry('DistillValLoop', 'loop', 'loop', 'mmext.engine.distill_val_loop', ALL_HOSTS,
          "validation of a Distiller's student and teachers"),
    Entry('MultiGranularityDistiller', 'model', 'distiller', 'mmext.models.distillers.mgd.distiller',
          ('mmseg', ), 'semi-supervised segmentor under several teachers: pixel, region and image level',
          requires=('mmseg', ), method='mgd'),
    Entry('MultiGridResNet', 'model', 'layer', 'mmext.models.distillers.mgd.networks', ('mmseg', ),
          'ResNet whose last stage keeps the stride and dilates block by block, also wide',
          requires=('mmpretrain', 'mmseg'), method='mgd'),
    Entry('MultiGridMobileNetV2', 'model', 'layer', 'mmext.models.distillers.mgd.networks', ('mmseg', ),
          'MobileNetV2 whose last three blocks dilate ever more', requires=('mmpretrain', 'mmseg'),
          method='mgd'),
    Entry('CPSDeepLabHead', 'model', 'head', 'mmext.models.distillers.mgd.networks', ('mmseg', ),
          'DeepLabV3+ head of Cross Pseudo Supervision and MGD', requires=('mmpretrain', 'mmseg'),
          method='mgd'),
    Entry('CrossPseudoLoss', 'model', 'loss', 'mmext.models.distillers.mgd.losses', ('mmseg', ),
          'student and teacher learn the labels that the other one gives', method='mgd'),
    Entry('ImageSemanticLoss', 'model', 'loss', 'mmext.models.distillers.mgd.losses', ('mmseg', ),
          'L1 distance of the logits averaged over the image', method='mgd'),
    Entry('RegionContentLoss', 'model', 'loss', 'mmext.models.distillers.mgd.losses', ('mmseg', ),
          'squared difference of the cosines between regions', method='mgd'),
    Entry('MultiGranularityLoss', 'model', 'loss', 'mmext.models.distillers.mgd.multi_granularity_loss',
          ('mmseg', ), 'pixel, region and image level losses of MGD together', method='mgd'),
    Entry('BranchDataPreprocessor', 'model', 'data_preprocessor',
          'mmext.models.distillers.mgd.data_preprocessor', ('mmseg', ),
          'the data preprocessor of a host over every branch of a batch', method='mgd'),
    Entry('SemiSegDataset', 'dataset', 'dataset', 'mmext.datasets.semi_seg', ('mmseg', ),
          'a labelled and two unlabelled images in each sample, for mmseg', method='mgd'),
    Entry('G2SDPretrain', 'model', 'distiller', 'mmext.models.distillers.g2sd.pretrain', ('mmpretrain', ),
          'a small ViT learns the hidden features of a masked autoencoder, without labels',
          requires=('mmpretrain', ), method='g2sd'),
    Entry('G2SDStudent', 'model', 'self-supervisor', 'mmext.models.distillers.g2sd.hidden_mae',
          ('mmpretrain', ), "masked autoencoder that predicts its teacher's hidden features",
          requires=('mmpretrain', ), method='g2sd'),
    Entry('HiddenMAE', 'model', 'self-supervisor', 'mmext.models.distillers.g2sd.hidden_mae',
          ('mmpretrain', ), 'masked autoencoder that gives hidden features, a teacher',
          requires=('mmpretrain', ), method='g2sd'),
    Entry('DistTokenViT', 'model', 'layer', 'mmext.models.distillers.g2sd.dist_token_vit', ('mmpretrain', ),
          'ViT with its distillation token at the end, without a position', requires=('mmpretrain', ),
          method='g2sd'),
    Entry('DistTokenClsHead', 'model', 'head', 'mmext.models.distillers.g2sd.dist_token_vit',
          ('mmpretrain', ), 'class scores of class and distillation token, trainable',
          requires=('mmpretrain', ), method='g2sd'),
    Entry('HiddenFeatureLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.losses', ALL_HOSTS,
          'smooth L1 distance to normalised features', method='g2sd'),
    Entry('QKVRelationLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.losses', ALL_HOSTS,
          'KL divergence of the relations among queries, keys and values', method='g2sd'),
    Entry('HardLabelLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.losses', ALL_HOSTS,
          'cross entropy with the class that a teacher finds', method='g2sd'),
    Entry('NKDLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.losses', ALL_HOSTS,
          'normalised knowledge distillation: target and other classes apart', method='g2sd'),
    Entry('ChannelDistributionLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.losses', ALL_HOSTS,
          "cross entropy of each channel's distribution over the positions (CWD)", method='g2sd'),
    Entry('PixelKLLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.losses', ALL_HOSTS,
          "KL divergence of each pixel's distribution over the classes", method='g2sd'),
    Entry('ViTDet', 'model', 'layer', 'mmext.models.distillers.g2sd.detection', ('mmdet', 'mmrotate'),
          'plain ViT with windowed attention as the backbone of a detector', requires=('mmpretrain', ),
          method='g2sd'),
    Entry('SimpleFeaturePyramid', 'model', 'neck', 'mmext.models.necks.simple_feature_pyramid',
          ('mmdet', 'mmrotate', 'mmseg'), "ViTDet's pyramid of a single map of stride 16", method='g2sd'),
    Entry('ObjectFeatureLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.detection',
          ('mmdet', 'mmrotate'), 'distance of pyramids where the teacher sees objects',
          requires=('mmpretrain', ), method='g2sd'),
    Entry('ObjectnessLoss', 'model', 'loss', 'mmext.models.distillers.g2sd.detection',
          ('mmdet', 'mmrotate'), "cross entropy of two region proposal networks' objectness",
          requires=('mmpretrain', ), method='g2sd'),
    Entry('HGKD', 'model', 'distiller', 'mmext.models.distillers.h_gkd.distiller', ('mmpretrain', ),
          'a sparse CNN learns what a masked autoencoder infers behind the mask, without labels',
          requires=('mmpretrain', ), method='h_gkd', unreleased=True),
    Entry('HGKDStudent', 'model', 'self-supervisor', 'mmext.models.distillers.h_gkd.student',
          ('mmpretrain', ), "SparK that gives its decoder's feature map", requires=('mmpretrain', ),
          method='h_gkd'),
    Entry('HGKDTeacher', 'model', 'self-supervisor', 'mmext.models.distillers.h_gkd.teacher',
          ('mmpretrain', ), "map of a masked autoencoder's decoder under a given mask",
          requires=('mmpretrain', ), method='h_gkd'),
    Entry('MaskedMapLoss', 'model', 'loss', 'mmext.models.distillers.h_gkd.losses', ('mmpretrain', ),
          'distance to a normalised map where an image is masked', requires=('mmpretrain', ),
          method='h_gkd'),
    Entry('DMT', 'model', 'distiller', 'mmext.models.distillers.dmt.distiller', ('mmpretrain', ),
          'a small ViT learns the tokens of several self-supervised ViTs, without labels',
          requires=('mmpretrain', ), method='dmt', unreleased=True),
    Entry('TokenProjector', 'model', 'layer', 'mmext.models.distillers.connectors', ALL_HOSTS,
          "from the student's width to a teacher's, for tokens and maps", method='dmt'),
    Entry('TokenFeatureLoss', 'model', 'loss', 'mmext.models.distillers.dmt.losses', ALL_HOSTS,
          'smooth L1 distance to normalised tokens, of another grid if need be', method='dmt'),
    Entry('TokenRelationLoss', 'model', 'loss', 'mmext.models.distillers.dmt.losses', ALL_HOSTS,
          'KL divergence of how each patch relates to the others', method='dmt'),
    Entry('CICAMHead', 'model', 'head', 'mmext.models.distillers.kd_ci_cam.head', ('mmpretrain', ),
          'weakly supervised localisation: class activation maps with a causal context pool',
          requires=('mmpretrain', ), method='kd_ci_cam'),
    Entry('CICAMClassifier', 'model', 'classifier', 'mmext.models.distillers.kd_ci_cam.classifier',
          ('mmpretrain', ), 'CI-CAM that also learns from its own foreground and background, a teacher',
          requires=('mmpretrain', ), method='kd_ci_cam'),
    Entry('NonLocalVGG16', 'model', 'layer', 'mmext.models.distillers.kd_ci_cam.non_local', ('mmpretrain', ),
          'VGG-16 of stride 16 with non-local blocks', requires=('mmpretrain', ), method='kd_ci_cam'),
    Entry('NonLocalInceptionV3', 'model', 'layer', 'mmext.models.distillers.kd_ci_cam.non_local',
          ('mmpretrain', ), 'Inception v3 of stride 16 with non-local blocks', requires=('mmpretrain', ),
          method='kd_ci_cam'),
    Entry('TemperedKLLoss', 'model', 'loss', 'mmext.models.distillers.kd_ci_cam.losses', ALL_HOSTS,
          "KL divergence at a temperature, as KD-CI-CAM's authors compute it or as it is defined",
          method='kd_ci_cam'),
    Entry('SigmoidMapLoss', 'model', 'loss', 'mmext.models.distillers.kd_ci_cam.losses', ALL_HOSTS,
          'distance of the sigmoids of class activation maps', method='kd_ci_cam'),
    Entry('CAMToBox', 'task util', 'task util', 'mmext.models.distillers.kd_ci_cam.cam_to_box',
          ('mmpretrain', ), 'combines the maps of all classes and puts a box around the object',
          method='kd_ci_cam'),
    Entry('SampleRouter', 'task util', 'task util', 'mmext.models.distillers.kd_ci_cam.router', ALL_HOSTS,
          'which teacher of a Distiller each image goes to', method='kd_ci_cam'),
    Entry('SetRoute', 'transform', 'transform', 'mmext.datasets.transforms.route', ALL_HOSTS,
          'writes into a sample which teacher it is for', method='kd_ci_cam'),
    Entry('LocalizationDataset', 'dataset', 'dataset', 'mmext.datasets.localization', ('mmpretrain', ),
          'images in folders or a list, with a class and boxes (VOC XML, CSV, JSON)',
          requires=('mmpretrain', ), method='kd_ci_cam'),
    Entry('CUBLocalization', 'dataset', 'dataset', 'mmext.datasets.localization', ('mmpretrain', ),
          'CUB-200-2011 with its boxes', requires=('mmpretrain', ), method='kd_ci_cam'),
    Entry('LocalizationMetric', 'metric', 'metric', 'mmext.evaluation.metrics.localization_metric',
          ('mmpretrain', ), 'top-k and GT-known localisation, MaxBoxAcc', method='kd_ci_cam'),
    Entry('CAMVisualizer', 'visualizer', 'visualizer', 'mmext.apis.cam_visualizer', ('mmpretrain', ),
          'draws the map of an object over the picture, and the boxes', requires=('mmpretrain', ),
          method='kd_ci_cam'),
)


def find(name: str, registry: str | None = None) -> Entry | None:
    """The entry that answers to ``name`` (in ``registry``, if given), or None."""
    for entry in CATALOGUE:
        if name in entry.names and registry in (None, entry.registry):
            return entry
    return None


def methods() -> tuple[Entry, ...]:
    """One entry, the main one, for each published method."""
    first: dict[str, Entry] = {}
    for entry in CATALOGUE:
        if entry.method:
            first.setdefault(entry.method, entry)
    return tuple(first.values())
