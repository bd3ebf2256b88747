"""The config check: what it finds, with the exact words, and that it finds nothing else."""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from mmengine.config import Config

from mmext import hosts
from mmext.cli.config import find_config, load_config
from mmext.engine.config_check import Problem, check_config, errors
from mmext.engine.config_check.schedule import check_schedule

from . import host_configs

hosts.repair()
ROOT = Path(__file__).parents[2]
RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'


@pytest.fixture(scope='module')
def retinanet() -> Config:
    """A whole mmdet config; copy before changing."""
    return load_config(RETINANET)


def _found(cfg: Config, **kwargs: Any) -> list[str]:
    return [str(problem) for problem in check_config(cfg, files=False, **kwargs)]


# ------------------------------------------------------------------------------ what it finds

FOUND = {
    # one mistake: key, value -> the problem, word for word
    'argument': (
        'model.bbox_head.loss_cls.gama', 2,
        "model.bbox_head.loss_cls: FocalLoss has no argument 'gama', did you mean 'gamma'?"),
    'argument behind kwargs': (
        'model.bbox_head.num_clases', 80,
        "model.bbox_head: RetinaHead has no argument 'num_clases', did you mean 'num_classes'?"),
    'argument of torch': (
        'optim_wrapper.optimizer.momentun', 0.9,
        "optim_wrapper.optimizer: SGD has no argument 'momentun', did you mean 'momentum'?"),
    'argument of a hook': (
        'default_hooks.logger.intervall', 5,
        "default_hooks.logger: LoggerHook has no argument 'intervall', did you mean 'interval'?"),
    'argument of a transform': (
        'train_dataloader.dataset.pipeline.3.probability', 1,
        "train_dataloader.dataset.pipeline.3: RandomFlip has no argument 'probability'"),
    'argument of a dataloader': (
        'train_dataloader.batchsize', 2,
        "train_dataloader: a dataloader has no argument 'batchsize', did you mean 'batch_size'?"),
    'argument of a loop': (
        'train_cfg.max_epoch', 3,
        "train_cfg: EpochBasedTrainLoop has no argument 'max_epoch', did you mean 'max_epochs'?"),
    'argument of an operator': (
        'model.neck.norm_cfg', dict(type='BN', epss=1),
        "model.neck.norm_cfg: BatchNorm2d has no argument 'epss', did you mean 'eps'?"),
    'nothing to delete': (
        'model.neck.upsample_cfg', dict(type='deconv', _delete_=True, kernel_size=2),
        "model.neck.upsample_cfg: '_delete_' has nothing to delete: no base config has this key, "
        'remove it, or correct the key it stands in'),
    'type': (
        'model.neck.type', 'FPM',
        "model.neck: type 'FPM' is not a model or task util of scope 'mmdet', did you mean 'RFP' "
        "or 'FPN' or 'FPG'?"),
    'type of a dataset': (
        'train_dataloader.dataset.type', 'CocoDatset',
        "train_dataloader.dataset: type 'CocoDatset' is not a dataset of scope 'mmdet', did you "
        "mean 'CocoDataset' or 'RefCocoDataset' or 'CocoSegDataset'?"),
    'type of another host': (
        'model.backbone.type', 'MobileViT',
        "model.backbone: type 'MobileViT' is not a model or task util of scope 'mmdet', write "
        "type='mmpretrain.MobileViT'"),
    "type of mmext's without its prefix": (
        'model.backbone.type', 'EMOv2',
        "model.backbone: type 'EMOv2' is not a model or task util of scope 'mmdet', write "
        "type='mmext.EMOv2'"),
    "mmext's type with a slip": (
        'model.backbone.type', 'mmext.EMOv3',
        "model.backbone: type 'mmext.EMOv3' is not a model or task util of scope 'mmext', did you "
        "mean 'mmext.EMOv2' or 'mmext.EMO2'?"),
    "mmengine's type with a host's prefix": (
        'tta_model', dict(type='mmdet.DetTTAModel'),
        "tta_model: type 'mmdet.DetTTAModel' is not a model of scope 'mmdet', write "
        "type='DetTTAModel' (it is mmengine's)"),
    'package': (
        'model.backbone.type', 'mmcls.MobileViT',
        "model.backbone: type 'mmcls.MobileViT': there is no package 'mmcls', did you mean "
        "'mmpretrain.MobileViT'?"),
    'type of a metric': (
        'val_evaluator.type', 'CoCoMetric',
        "val_evaluator: type 'CoCoMetric' is not a metric of scope 'mmdet', did you mean "
        "'CocoMetric' or 'OVCocoMetric' or 'DODCocoMetric'?"),
    'a model where a hook belongs': (
        'custom_hooks', [dict(type='ResNet', depth=50)],
        "custom_hooks.0: type 'ResNet' is not a hook of scope 'mmdet'"),
    'no type': (
        'custom_hooks', [dict(interval=3)],
        "custom_hooks.0: has no 'type', so it cannot be built"),
    'type that is no name': (
        'model.neck.type', 3, "model.neck: 'type' is 3, neither a name nor a class"),
    'no dict for a part of the model': (
        'model.backbone', 'resnet50', "model.backbone: is 'resnet50', expected a dict with a 'type'"),
    'no dict': (
        'train_dataloader.dataset', 'coco',
        "train_dataloader.dataset: is 'coco', expected a dict with a 'type'"),
    'constructor': (
        'optim_wrapper.constructor', 'LearningRateDecayOptimWraperConstructor',
        "optim_wrapper.constructor: type 'LearningRateDecayOptimWraperConstructor' is not an "
        "optimizer wrapper constructor of scope 'mmdet', did you mean "
        "'LearningRateDecayOptimizerConstructor' or 'DefaultOptimWrapperConstructor'?"),
    'both kinds of loop': (
        'train_cfg.by_epoch', True,
        "train_cfg: has both 'type' and 'by_epoch'; the Runner takes one of them, remove "
        "'by_epoch'"),
    'neither kind of loop': (
        'train_cfg', dict(max_epochs=3),
        "train_cfg: has neither 'type' nor 'by_epoch', add by_epoch=True with max_epochs, or "
        "type='IterBasedTrainLoop' with max_iters"),
    'evaluator': (
        'val_evaluator', None,
        'val_evaluator: is missing, but val_dataloader and val_cfg are set, add it, or set '
        'val_dataloader = val_cfg = None to do without'),
    'milestone': (
        'param_scheduler.1.milestones', [8, 20],
        'param_scheduler.1.milestones: [20] not within the 12 epochs of training: never reached'),
    'start': (
        'param_scheduler.1.begin', 12,
        'param_scheduler.1.begin: 12 is not before the end of training (12 epochs): it never '
        'starts'),
    'epochs in a loop of iterations': (
        'train_cfg', dict(type='IterBasedTrainLoop', max_iters=100),
        'param_scheduler.1: counts epochs, but the training loop counts iterations: it never '
        'steps, set by_epoch=False and give its range in iterations'),
    'workers': (
        'train_dataloader.num_workers', 0,
        'train_dataloader.persistent_workers: needs num_workers above 0, set it to False'),
    'scaling': (
        'auto_scale_lr', dict(enable=True),
        'auto_scale_lr.base_batch_size: is missing while enable=True, set it to the batch size the '
        'learning rate was chosen for'),
    'too few classes': (
        'model.bbox_head.num_classes', 79,
        'model.bbox_head.num_classes: is 79, but the training data (CocoDataset) has 80 classes, '
        'set it to 80'),
    'other classes in the data': (
        'train_dataloader.dataset.metainfo', dict(classes=('cat', 'dog')),
        'model.bbox_head.num_classes: is 80, but the training data (CocoDataset) has 2 classes, '
        'set it to 2'),
    'one class without its comma': (
        'train_dataloader.dataset.metainfo', dict(classes='cat'),
        "train_dataloader.dataset.metainfo.classes: 'cat' is neither a tuple of names nor a file, "
        "for a single class write ('cat', )"),
    'classes in capitals': (
        'train_dataloader.dataset.metainfo', dict(CLASSES=('cat', )),
        "train_dataloader.dataset.metainfo: 'CLASSES' is not read, write 'classes'"),
    'cosine beyond the end': (
        'param_scheduler.1', dict(type='CosineAnnealingLR', T_max=12, begin=1, by_epoch=True),
        'param_scheduler.1.T_max: 12 from 1 on goes beyond the 12 epochs of training: the minimum is '
        'never reached, set it to 11'),
    'cosine that rises again': (
        'param_scheduler.1', dict(type='CosineAnnealingLR', T_max=6, end=12, by_epoch=True),
        'param_scheduler.1.T_max: 6 is over at 6, after which the value rises again until 12 epochs, '
        'set it to 12'),
    'decay beyond the end': (
        'param_scheduler.1', dict(type='PolyLR', end=24, by_epoch=True),
        'param_scheduler.1.end: 24 is beyond the 12 epochs of training: never reached, set it to 12'),
    'no epochs': (
        'train_cfg.max_epochs', 0,
        'train_cfg.max_epochs: is 0, expected a whole number of 1 or more'),
    'half a batch': (
        'train_dataloader.batch_size', 0.5,
        'train_dataloader.batch_size: is 0.5, expected a whole number of 1 or more'),
    'negative workers': (
        'val_dataloader.num_workers', -1,
        'val_dataloader.num_workers: is -1, expected a whole number of 0 or more'),
    'base batch size': (
        'auto_scale_lr.base_batch_size', '16',
        "auto_scale_lr.base_batch_size: is '16', expected a whole number of 1 or more"),
    'evaluation with other classes': (
        'val_dataloader.dataset.metainfo', dict(classes=('cat', 'dog')),
        'val_dataloader.dataset.metainfo.classes: has 2 classes, but the training data has 80, give both '
        'the same metainfo'),
    'evaluation with classes in another order': (
        'val_dataloader.dataset.metainfo',
        dict(classes=('bicycle', 'person', *CocoDataset.METAINFO['classes'][2:])),
        "val_dataloader.dataset.metainfo.classes: calls label 0 'bicycle', but the training data calls it "
        "'person', give both the same metainfo"),
    'a class twice': (
        'train_dataloader.dataset.metainfo', dict(classes=('cat', 'dog', 'cat')),
        "train_dataloader.dataset.metainfo.classes: has 'cat' more than once, leave one out"),
    'too few colours': (
        'train_dataloader.dataset.metainfo', dict(classes=('cat', 'dog'), palette=[(0, 0, 0)]),
        'train_dataloader.dataset.metainfo.palette: has 1 colours for 2 classes, give each class one, or '
        'leave the palette out'),
    'classes of a transform in the preprocessor': (
        'data_preprocessor', dict(type='DetDataPreprocessor', num_classes=7),
        'data_preprocessor.num_classes: is 7, but the training data (CocoDataset) has 80 classes, set it '
        'to 80'),
    'range of angles': (
        'model.bbox_head.bbox_coder.angle_version', 'le45',
        "model.bbox_head.bbox_coder.angle_version: 'le45' is no range of angles, did you mean 'le135'?"),
    'top-level name': (
        'default_hook', dict(logger=dict(type='LoggerHook')),
        "default_hook: is not read by anything, did you mean 'default_hooks'?"),
    'top-level name without its twin': (
        'custom_hook', [],
        "custom_hook: is not read by anything, did you mean 'custom_hooks'?"),
}


@pytest.mark.parametrize('case', FOUND)
def test_found_with_its_place_and_the_fix(retinanet, case):
    key, value, expected = FOUND[case]
    cfg = copy.deepcopy(retinanet)
    assert not _found(cfg)
    *parents, last = key.split('.')
    node = cfg
    for part in parents:
        node = node[int(part) if part.isdigit() else part]
    node[int(last) if last.isdigit() else last] = value
    assert expected in _found(cfg)


def test_all_at_once_errors_first(retinanet):
    cfg = copy.deepcopy(retinanet)
    cfg.param_scheduler[1].milestones = [99]
    cfg.model.neck.type = 'FPM'
    cfg.optim_wrapper.optimizer.lrr = 1
    problems = check_config(cfg, files=False)
    assert [problem.severity for problem in problems] == ['error', 'error', 'warning']
    assert len(errors(problems)) == 2


def test_only_what_runs_is_checked(retinanet):
    cfg = copy.deepcopy(retinanet)
    cfg.optim_wrapper.optimizer.lrr = 1
    assert not _found(cfg, phases=('test', ))
    assert _found(cfg, phases=('train', ))


def test_without_default_scope_one_problem_says_so(retinanet):
    cfg = Config({key: value for key, value in retinanet.to_dict().items()
                  if key != 'default_scope'})
    assert _found(cfg) == ["default_scope: is not set, so 'RetinaNet' is looked up in mmengine "
                           "only, add default_scope = 'mmdet'"]


def test_part_of_a_config():
    assert _found(Config(dict(train_pipeline=[]))) == [
        'model: is missing: this is a part of a config, not a whole one']


@pytest.mark.parametrize('scope, prefix, works', [
    ('mmdet', '', True), ('mmdet', 'mmdet.', True), ('mmrotate', '', False),
    ('mmrotate', 'mmdet.', True), ('mmseg', '', False)])
def test_names_resolve_in_the_default_scope(scope, prefix, works):
    cfg = Config(dict(default_scope=scope, model=dict(
        type='mmdet.FPN', in_channels=[8], out_channels=8, num_outs=1,
        norm_cfg=dict(type=f'{prefix}GIoULoss'))))
    assert bool(_found(cfg)) != works


def test_scope_of_a_base_config_holds_inside_it():
    # _base_ = 'mmdet::...' under another host's default scope marks the model with _scope_.
    model = dict(type='RetinaNet', _scope_='mmdet', backbone=dict(type='ResNet', depth=50),
                 bbox_head=dict(type='RetinaHead', loss_bbox=dict(type='GIoULoss')))
    assert not _found(Config(dict(default_scope='mmrotate', model=model)))
    del model['_scope_']
    assert len(_found(Config(dict(default_scope='mmrotate', model=model)))) == 4


def test_a_default_of_the_owner_does_not_hide_an_unprefixed_name():
    # RetinaHead's own default says FocalLoss too; in mmrotate's scope neither resolves.
    head = dict(type='mmdet.RetinaHead', loss_cls=dict(type='FocalLoss'))
    cfg = Config(dict(default_scope='mmrotate', model=dict(type='mmdet.RetinaNet', bbox_head=head)))
    assert _found(cfg) == ["model.bbox_head.loss_cls: type 'FocalLoss' is not a model or task util "
                           "of scope 'mmrotate', write type='mmdet.FocalLoss'"]


class StrangersHead:
    """A user's class: 'type' has a meaning of its own in its ``mode``."""

    def __init__(self, mode, weights, **options):
        self.mode = 'fast' if mode['type'] == 'special' else 'slow'
        self.scale = weights.pop('rescale_by')


def test_a_strangers_class_may_have_words_of_its_own(retinanet):
    cfg = copy.deepcopy(retinanet)
    cfg.model.neck = dict(type=StrangersHead, mode=dict(type='special'), anything=1,
                          weights=dict(type='Conv2d', in_channels=1, rescale_by=2))
    assert not _found(cfg)
    cfg.model.neck.mode.type = 'un' + 'spoken'  # not quoted anywhere around the class
    problems = check_config(cfg, files=False)
    assert [problem.severity for problem in problems] == ['warning']


def test_problems_as_json():
    problem = Problem('a.b', 'is wrong', 'warning', 'mend it')
    assert problem.to_dict() == dict(path='a.b', message='is wrong', severity='warning',
                                     suggestion='mend it')


def test_two_ranges_of_angles():
    cfg = load_config('mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py')
    cfg.model.bbox_head.bbox_coder.angle_version = 'oc'
    assert _found(cfg) == [
        "model.bbox_head.bbox_coder.angle_version: is 'oc' (0, 90], but "
        "model.bbox_head.anchor_generator.angle_version is 'le90' [-90, 90), use one in the whole model"]


def test_classes_that_the_dataset_does_not_have():
    cfg = load_config('mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py')
    cfg.train_dataloader.dataset.metainfo = dict(classes=('road', 'caar'))
    assert ("train_dataloader.dataset.metainfo.classes: 'caar' is not a class of CityscapesDataset, did "
            "you mean 'car'?") in _found(cfg)


# -------------------------------------------------------------------------------- pipelines


def _heir(folder: Path, text: str) -> Config:
    path = folder / 'heir.py'
    path.write_text(f"_base_ = '{RETINANET}'\n{text}")
    return load_config(str(path))


NEW_PIPELINE = "train_pipeline = [dict(type='LoadImageFromFile'), dict(type='PackDetInputs')]\n"


def test_overridden_pipeline_that_reaches_no_dataset(tmp_path):
    assert _found(_heir(tmp_path, NEW_PIPELINE)) == [
        'train_pipeline: is overridden but no longer reaches a dataset: '
        "train_dataloader.dataset.pipeline still has the base config's list, "
        'also set train_dataloader.dataset.pipeline=train_pipeline']


@pytest.mark.parametrize('rest', [
    'train_dataloader = dict(dataset=dict(pipeline=train_pipeline))',
    # another pipeline on purpose: the base's list is nowhere any more
    "train_dataloader = dict(dataset=dict(pipeline=[dict(type='PackDetInputs')]))",
    # used by a hook
    "custom_hooks = [dict(type='PipelineSwitchHook', switch_epoch=1, "
    'switch_pipeline=train_pipeline)]',
])
def test_overridden_pipeline_that_is_used(tmp_path, rest):
    assert not _found(_heir(tmp_path, NEW_PIPELINE + rest))


# ------------------------------------------------------------------------------------ files


@pytest.fixture
def with_data(tmp_path, monkeypatch):
    """A config whose training and validation data are in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ('coco/annotations', 'coco/train2017', 'coco/val2017'):
        (tmp_path / 'data' / name).mkdir(parents=True)
    for split in ('train', 'val'):
        (tmp_path / f'data/coco/annotations/instances_{split}2017.json').touch()
    cfg = load_config(RETINANET)
    assert not check_config(cfg)
    return cfg


@pytest.mark.parametrize('key, value, expected', [
    ('train_dataloader.dataset.data_root', 'data/cocoo/',
     "train_dataloader.dataset.data_root: the folder 'data/cocoo/' does not exist, did you mean "
     "'data/coco'?"),
    ('train_dataloader.dataset.ann_file', 'annotations/instances_trian2017.json',
     "train_dataloader.dataset.ann_file: the annotation file "
     "'data/coco/annotations/instances_trian2017.json' does not exist, did you mean "
     "'data/coco/annotations/instances_train2017.json'"),
    ('val_dataloader.dataset.data_prefix.img', 'val/',
     "val_dataloader.dataset.data_prefix.img: the folder 'data/coco/val/' does not exist"),
    ('val_evaluator.ann_file', 'data/val.json',
     "val_evaluator.ann_file: the annotation file 'data/val.json' does not exist"),
    ('load_from', 'epoch_3.pth', "load_from: the checkpoint 'epoch_3.pth' does not exist"),
    ('model.backbone.init_cfg.checkpoint', 'resnet.pth',
     "model.backbone.init_cfg.checkpoint: the checkpoint 'resnet.pth' does not exist"),
])
def test_missing_files(with_data, key, value, expected):
    with_data.merge_from_dict({key: value})
    found = [str(problem) for problem in check_config(with_data)]
    assert len(found) == 1 and found[0].startswith(expected), found


def test_files_elsewhere_are_not_asked_for(with_data):
    with_data.train_dataloader.dataset.update(
        data_root='s3://bucket/coco/', backend_args=dict(backend='petrel'))
    with_data.load_from = 'https://example.org/weights.pth'
    assert not check_config(with_data)


def test_files_behind_wrappers(with_data):
    inner = with_data.train_dataloader.dataset
    inner.ann_file = 'gone.json'
    with_data.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=[inner]))
    assert [problem.path for problem in check_config(with_data)] == [
        'train_dataloader.dataset.dataset.datasets.0.ann_file']


# ---------------------------------------------------------------------- and nothing else


@pytest.mark.parametrize('name', host_configs.SAMPLE)
def test_nothing_found_in_the_hosts_own_configs(name):
    if name.startswith(('mmpretrain::blip', 'mmpretrain::flamingo')):
        pytest.importorskip('transformers')  # without it mmpretrain has no such types
    assert not _found(load_config(name))


@pytest.mark.slow
@pytest.mark.parametrize('host', ['mmdet', 'mmseg', 'mmpretrain', 'mmrotate'])
def test_nothing_but_real_bugs_in_all_the_hosts_configs(host):
    pytest.importorskip('transformers')
    folder = find_config(f'{host}::_base_/default_runtime.py').parents[1]
    found, checked = {}, 0
    for file in sorted(folder.rglob('*.py')):
        name = f'{host}::{file.relative_to(folder).as_posix()}'
        if '_base_' in file.parts or name in host_configs.DO_NOT_LOAD:
            continue
        cfg = Config.fromfile(file, import_custom_modules=False)
        if not host_configs.is_runnable(cfg):
            continue
        checked += 1
        paths = {problem.path for problem in check_config(cfg, files=False)}
        if paths:
            found[name] = paths
    assert checked > 90
    expected = {name: paths for name, paths in host_configs.BUGS.items()
                if name.startswith(f'{host}::')}
    assert found == expected


@pytest.mark.parametrize('path', sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/*.py')
    if path.parent.name != '_base_'))
def test_nothing_found_in_our_own_configs(path):
    assert not _found(load_config(str(ROOT / path)))


# ------------------------------------------------------------------------------ robustness

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False)
    | st.sampled_from(['', 'x', 'ResNet', 'mmdet.FocalLoss', 'a.b.c', 'mmext.Nothing']),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(['type', '_scope_', 'dataset', 'pipeline', 'metrics', 'x']),
                      inner, max_size=3), max_leaves=6)


def _places(tree, path=()):
    children = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from _places(child, (*path, key))


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_config_gives_problems_not_exceptions(retinanet, data):
    tree = retinanet.to_dict()
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(list(_places(tree))))
        node = tree
        for key in parents:
            node = node[key]
        node[last] = data.draw(JUNK)
    for problem in check_config(tree):
        assert problem.path and problem.message and problem.severity in ('error', 'warning')


def test_a_distillation_that_waits_for_epochs_in_a_loop_of_iterations() -> None:
    losses = dict(loss_kd=dict(schedule=dict(kind='linear', end=5, by_epoch=True)),
                  loss_feat=dict(schedule=dict(kind='linear', end=500)))
    by_iterations, by_epochs = ([str(one.path) for one in check_schedule(dict(
        model=dict(losses=losses), train_cfg=loop))] for loop in (dict(max_iters=100), dict(max_epochs=10)))
    assert by_iterations == ['model.losses.loss_kd.schedule.by_epoch'] and not by_epochs


def test_what_another_type_left_behind_is_said_once(retinanet: Config) -> None:
    """The commonest mistake with a backbone that replaces a host's: _delete_=True is forgotten."""
    cfg = copy.deepcopy(retinanet)
    cfg.model.backbone.update(type='mmext.EMOv2', arch='5M')
    assert [one for one in _found(cfg) if one.startswith('model.backbone')] == [
        "model.backbone: EMOv2 has no arguments 'depth', 'num_stages', 'norm_cfg', 'style', if they are of "
        'another type in a _base_ config, add _delete_=True beside type']


@pytest.mark.parametrize(('config', 'change', 'problem'), [
    ('metr/metr_emov2_toy', {'model.classes': ('triangle', 'star', 'ring', 'disc', 'bar')},
     "model.classes: calls label 0 'triangle', but train_dataloader.dataset calls it 'bar' and 'triangle' is "
     'its label 4, give both the same names in the same order'),
    ('lmseg/lmseg_clip-resnet_toy', {'model.taxonomies.grounds.classes': ['brick', 'sand', 'grass', 'water']},
     "model.taxonomies.grounds.classes: calls label 1 'sand', but "
     "train_dataloader.dataset.datasets.1.dataset calls it 'grass' and "
     "'sand' is its label 2, give both the same names in the same order"),
    ('cgg/cgg_r18_toy', {'model.panoptic_head.base_classes': ('disc', 'bar', 'triangle')},
     "model.panoptic_head.base_classes: calls label 0 'disc', but train_dataloader.dataset calls it 'bar' "
     "and 'disc' is its label 1, give both the same names in the same order"),
    ('lmseg/lmseg_clip-resnet_toy', {'model.taxonomies.grounds.classes': ['wall', 'lawn', 'sand', 'sea']},
     None),  # other words for the same things
])
def test_names_that_the_model_reads_follow_the_labels(config: str, change: dict, problem: str | None) -> None:
    cfg = load_config(str(ROOT / f'configs/{config}.py'))
    assert not _found(cfg)
    cfg.merge_from_dict(change)
    found = _found(cfg)
    assert (problem in found) if problem else not found


def test_files_of_teachers_and_of_load_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = load_config(str(ROOT / 'configs/kd_ci_cam/kd-ci-cam_toy.py'))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'page.pth').write_text('<html>404</html>')
    (tmp_path / 'page.safetensors').write_text('<html>404</html>')
    cfg.load_from = 'page.pth'
    cfg.model.teachers.cls.update(model='configs/cls.py', checkpoint='page.safetensors')
    found = [str(one) for one in check_config(cfg)]
    for expected in ("load_from: 'page.pth' is no checkpoint",
                     'model.teachers.loc.checkpoint: the checkpoint',
                     "model.teachers.cls.checkpoint: 'page.safetensors' is no checkpoint",
                     "model.teachers.cls.model: the config 'configs/cls.py' does not exist"):
        assert any(one.startswith(expected) for one in found), expected
    cfg.model.student.init_cfg = dict(type='Pretrained', checkpoint='start.pth')
    assert any('start.pth' in str(one) for one in check_config(cfg))
    tested = [str(one) for one in check_config(cfg, ('test', ))]
    assert tested and not any('model.' in one for one in tested)  # a test asks none of them
    del cfg.model.student.init_cfg
    import torch
    from safetensors.torch import save_file
    torch.save({'a': torch.zeros(1)}, 'page.pth')
    torch.save({'a': torch.zeros(1)}, 'old.pth', _use_new_zipfile_serialization=False)
    save_file({'a': torch.zeros(1)}, 'page.safetensors')
    cfg.model.teachers.loc.checkpoint = 'old.pth'
    assert not any('checkpoint' in str(one) for one in check_config(cfg))
