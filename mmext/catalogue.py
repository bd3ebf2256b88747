"""The one table of what mmext offers.

The registries import a module when its name is first asked for, so they need to know where each
name lives: here. ``mmext list``, the README's table and the model zoo are made from the same rows.
A test holds the table equal to the ``@register_module`` decorators found in the source.
"""
from __future__ import annotations

from dataclasses import dataclass

ALL_HOSTS = ('mmdet', 'mmseg', 'mmpretrain', 'mmrotate')


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
        paper: Title of the paper; url: where to read it; year: of publication.
        aliases: Other names under which the same class is registered.
        unreleased: The authors released neither code nor weights: there is nothing to convert.
    """

    name: str
    registry: str
    kind: str
    module: str
    hosts: tuple[str, ...]
    summary: str
    requires: tuple[str, ...] = ()
    method: str = ''
    paper: str = ''
    url: str = ''
    year: int = 0
    aliases: tuple[str, ...] = ()
    unreleased: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Every name the class answers to."""
        return (self.name, *self.aliases)

    @property
    def page(self) -> str:
        """The plug-in's page in the repository, or an empty string."""
        return f'configs/{self.method}/README.md' if self.method else ''


CATALOGUE: tuple[Entry, ...] = (
    Entry(
        name='DSNet',
        registry='model',
        kind='backbone',
        module='mmext.models.backbones.dsnet',
        hosts=ALL_HOSTS,
        summary='backbone of blocks with a local and a global stream, 11M to 49M parameters',
        method='dsnet',
        paper='Dual-stream Network for Visual Recognition',
        url='https://arxiv.org/abs/2105.14734',
        year=2021,
    ),
    Entry(
        name='InterScaleAlignment',
        registry='model',
        kind='layer',
        module='mmext.models.backbones.dsnet',
        hosts=ALL_HOSTS,
        summary='two-way cross attention of a map and a few tokens, from DS-Net',
        method='dsnet',
        paper='Dual-stream Network for Visual Recognition',
        url='https://arxiv.org/abs/2105.14734',
        year=2021,
    ),
    Entry(
        name='DSFPN',
        registry='model',
        kind='neck',
        module='mmext.models.necks.dsfpn',
        hosts=('mmdet', 'mmseg', 'mmrotate'),
        requires=('mmdet', ),
        summary='feature pyramid with a DS-Net block on every level',
        method='dsnet',
        paper='Dual-stream Network for Visual Recognition',
        url='https://arxiv.org/abs/2105.14734',
        year=2021,
    ),
    Entry(
        name='EMOv2',
        aliases=('EMO2', ),
        registry='model',
        kind='backbone',
        module='mmext.models.backbones.emov2',
        hosts=ALL_HOSTS,
        summary='lightweight backbone, 1M to 50M parameters, spanning window attention',
        method='emov2',
        paper='EMOv2: Pushing 5M Vision Model Frontier',
        url='https://arxiv.org/abs/2412.06674',
        year=2024,
    ),
    Entry(
        name='BiFormer',
        aliases=('BiFormer_mm', ),
        registry='model',
        kind='backbone',
        module='mmext.models.backbones.biformer',
        hosts=ALL_HOSTS,
        summary='transformer backbone, 13M to 57M parameters, bi-level routing attention',
        method='biformer',
        paper='BiFormer: Vision Transformer with Bi-Level Routing Attention',
        url='https://arxiv.org/abs/2303.08810',
        year=2023,
    ),
    Entry(
        name='BiFormerSTL',
        registry='model',
        kind='backbone',
        module='mmext.models.backbones.biformer',
        hosts=ALL_HOSTS,
        summary="bi-level routing attention in Swin-T's layout, 28M parameters",
        method='biformer',
        paper='BiFormer: Vision Transformer with Bi-Level Routing Attention',
        url='https://arxiv.org/abs/2303.08810',
        year=2023,
    ),
    Entry(
        name='BiLevelRoutingAttention',
        registry='model',
        kind='layer',
        module='mmext.models.backbones.biformer',
        hosts=ALL_HOSTS,
        summary='attention to the tokens of a few routed regions, channels last',
        method='biformer',
        paper='BiFormer: Vision Transformer with Bi-Level Routing Attention',
        url='https://arxiv.org/abs/2303.08810',
        year=2023,
    ),
    Entry(
        name='BRA',
        aliases=('nchwBRA', ),
        registry='model',
        kind='layer',
        module='mmext.models.backbones.biformer',
        hosts=ALL_HOSTS,
        summary='attention to the tokens of a few routed regions, channels first',
        method='biformer',
        paper='BiFormer: Vision Transformer with Bi-Level Routing Attention',
        url='https://arxiv.org/abs/2303.08810',
        year=2023,
    ),
    Entry(
        name='RawDOTADataset',
        registry='dataset',
        kind='dataset',
        module='mmext.datasets.dota',
        hosts=('mmrotate', ),
        requires=('mmdet', 'mmrotate'),
        summary='DOTA label files as published, headers included; images in the order of names',
    ),
    Entry(
        name='CheckpointHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.checkpoint_hook',
        hosts=ALL_HOSTS,
        summary='checkpoints that a crash at any moment cannot hurt',
    ),
    Entry(
        name='ExactResumeHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.exact_resume_hook',
        hosts=ALL_HOSTS,
        summary='a resumed run equals an undisturbed one, bit for bit',
    ),
    Entry(
        name='NonFiniteHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.nonfinite_hook',
        hosts=ALL_HOSTS,
        summary='names the losses, gradients and images of a step that is not finite',
    ),
    Entry(
        name='PreemptionHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.preemption_hook',
        hosts=ALL_HOSTS,
        summary='saves and leaves on SIGTERM and SIGUSR1',
    ),
    Entry(
        name='DataTimeHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.data_time_hook',
        hosts=ALL_HOSTS,
        summary='says when training waits for its data',
    ),
    Entry(
        name='LoadReportHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.load_report_hook',
        hosts=ALL_HOSTS,
        summary='says what of a checkpoint was loaded, refuses one of another model',
    ),
    Entry(
        name='CocoMetric',
        registry='metric',
        kind='metric',
        module='mmext.evaluation.metrics.coco_metric',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="COCO's metric on arrays: mmdet's numbers, much sooner",
    ),
    Entry(
        name='DOTAMetric',
        registry='metric',
        kind='metric',
        module='mmext.evaluation.metrics.dota_metric',
        hosts=('mmrotate', ),
        requires=('mmrotate', ),
        summary="DOTA's metric: mmrotate's numbers, much sooner; also of merged whole pictures",
    ),
    Entry(
        name='IoUMetric',
        registry='metric',
        kind='metric',
        module='mmext.evaluation.metrics.iou_metric',
        hosts=('mmseg', ),
        requires=('mmseg', ),
        summary="mmseg's IoU, with checked labels, values of each class and a submission archive",
    ),
    Entry(
        name='RelationDETR',
        registry='model',
        kind='detector',
        module='mmext.models.detectors.relation_detr',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary='DINO with memory fusion, position relation and hybrid queries',
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='RelationDETRHead',
        registry='model',
        kind='head',
        module='mmext.models.dense_heads.relation_detr_head',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="head of Relation-DETR: DINO's, with hybrid many-to-one losses",
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='PositionRelation',
        registry='model',
        kind='layer',
        module='mmext.models.layers.position_relation',
        hosts=('mmdet', 'mmrotate'),
        summary='attention bias from the geometry of box pairs, for any DETR decoder',
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='DINOPP',
        registry='model',
        kind='detector',
        module='mmext.models.detectors.relation_detr_pp',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="mmdet's DINO with position relation",
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='DDQDETRPP',
        registry='model',
        kind='detector',
        module='mmext.models.detectors.relation_detr_pp',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="mmdet's DDQ with position relation",
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='DeformableDETRPP',
        registry='model',
        kind='detector',
        module='mmext.models.detectors.relation_detr_pp',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="mmdet's Deformable DETR with position relation",
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='DABDETRPP',
        registry='model',
        kind='detector',
        module='mmext.models.detectors.relation_detr_pp',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="mmdet's DAB-DETR with position relation",
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='DetachedVarifocalLoss',
        registry='model',
        kind='loss',
        module='mmext.models.losses.detached_varifocal',
        hosts=('mmdet', 'mmrotate'),
        requires=('mmdet', ),
        summary='varifocal loss whose weights are constants, for heads that take IoU targets',
        method='relation_detr',
        paper='Relation DETR: Exploring Explicit Position Relation Prior for Object Detection',
        url='https://arxiv.org/abs/2407.11699',
        year=2024,
    ),
    Entry(
        name='CycleSelfTraining',
        unreleased=True,
        registry='model',
        kind='detector',
        module='mmext.models.semi.cycle_self_training',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary='semi-supervised training of any detector, two students and two teachers',
        method='cst',
        paper='Cycle Self-Training for Semi-Supervised Object Detection with Distribution Consistency Reweighting',
        url='https://arxiv.org/abs/2207.05334',
        year=2022,
    ),
    Entry(
        name='DistributionConsistency',
        registry='task util',
        kind='task util',
        module='mmext.models.semi.consistency',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary="weight of a pseudo box from two teachers' agreement",
        method='cst',
        paper='Cycle Self-Training for Semi-Supervised Object Detection with Distribution Consistency Reweighting',
        url='https://arxiv.org/abs/2207.05334',
        year=2022,
    ),
    Entry(
        name='CycleMeanTeacherHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.cycle_mean_teacher_hook',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary='moves the teachers of CST towards their students',
        method='cst',
        paper='Cycle Self-Training for Semi-Supervised Object Detection with Distribution Consistency Reweighting',
        url='https://arxiv.org/abs/2207.05334',
        year=2022,
    ),
    Entry(
        name='CycleValLoop',
        registry='loop',
        kind='loop',
        module='mmext.engine.cycle_val_loop',
        hosts=('mmdet', ),
        requires=('mmdet', ),
        summary='validation of all members of CST',
        method='cst',
        paper='Cycle Self-Training for Semi-Supervised Object Detection with Distribution Consistency Reweighting',
        url='https://arxiv.org/abs/2207.05334',
        year=2022,
    ),
    Entry(
        name='LeaderboardHook',
        registry='hook',
        kind='hook',
        module='mmext.engine.hooks.leaderboard_hook',
        hosts=ALL_HOSTS,
        summary='keeps a record of every evaluation and writes a report after a test',
    ),
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
