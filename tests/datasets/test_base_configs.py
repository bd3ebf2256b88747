"""``configs/_base_/datasets``: load in the hosts' own classes, say what the files say."""
from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from pycocotools.coco import COCO

from mmext import hosts
from mmext.datasets import toy

from .conftest import NUM_TRAIN, NUM_VAL

FOLDER = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
TOY = [name for name in NAMES if name.startswith('toy') and 'panoptic' not in name]
SPLITS = {'train': NUM_TRAIN, 'val': NUM_VAL}


@pytest.fixture(autouse=True)
def where(toy_root, monkeypatch):
    hosts.repair()
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))


def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


def nodes(tree, path=''):
    """Every dict of a config with its path."""
    if isinstance(tree, dict):
        yield path, tree
        for key, value in tree.items():
            yield from nodes(value, f'{path}.{key}')
    elif isinstance(tree, (list, tuple)):
        for number, value in enumerate(tree):
            yield from nodes(value, f'{path}.{number}')


@pytest.mark.parametrize('name', NAMES)
def test_types_do_not_depend_on_the_default_scope(name):
    """Unprefixed are only names that mmengine's own (root) registries have."""
    for path, node in nodes(load(name).to_dict()):
        for key in ('type', 'resize_type'):
            kind = node.get(key, 'DefaultSampler')
            assert '.' in kind or kind in (
                'LoadImageFromFile', 'DefaultSampler', 'InfiniteSampler', 'RandomResize', 'TestTimeAug'), (
                    f'{path}.{key}', kind)


@pytest.mark.parametrize('name', NAMES)
def test_fields_are_those_of_the_hosts(name):
    cfg = load(name)
    for field in ('dataset_type', 'data_root', 'train_pipeline', 'test_pipeline',
                  'train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator',
                  'test_evaluator'):
        assert field in cfg
    assert cfg.test_dataloader == cfg.val_dataloader
    assert set(cfg) & {'default_scope', 'model', 'os'} == set()
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        assert loader.persistent_workers == (loader.num_workers > 0)
        assert loader.dataset.data_root == cfg.data_root


@pytest.mark.parametrize('name', [name for name in NAMES if name.startswith('toy')])
def test_class_names_and_colours_are_the_generators(name):
    metainfo = load(name).train_dataloader.dataset.metainfo
    assert metainfo == load(name).val_dataloader.dataset.metainfo
    everything = 'ade20k' in name or 'panoptic' in name
    classes = toy.CLASSES + toy.STUFF if everything else toy.CLASSES
    assert tuple(metainfo.classes) == classes
    if 'imagenet' in name:
        assert load(name).data_preprocessor.num_classes == len(classes)
    else:
        assert tuple(map(tuple, metainfo.palette)) == toy.PALETTE[:len(classes)]
    if 'panoptic' in name:
        assert metainfo.thing_classes == toy.CLASSES and metainfo.stuff_classes == toy.STUFF


@pytest.mark.parametrize('scope', ['mmdet', 'mmrotate', 'mmseg', 'mmpretrain'])
@pytest.mark.parametrize('name', TOY)
def test_loads_under_any_default_scope(name, scope):
    cfg = load(name)
    with DefaultScope.overwrite_default_scope(scope):
        for split, count in SPLITS.items():
            dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            assert len(dataset) == count
            sample = dataset[0]
            channels, *sides = sample['inputs'].shape
            # a crop of a picture that was made smaller at random may be smaller, too
            most = 32 if name.endswith('32px') else 128
            least = most * 3 // 4 if split == 'train' else most
            assert channels == 3 and all(least <= side <= most for side in sides)


@pytest.mark.parametrize('name', TOY)
def test_batches_come_out_of_the_loader(name):
    cfg = load(name)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=4)
    scope = cfg.dataset_type.partition('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        batch = next(iter(loader))
    assert len(batch['inputs']) == len(batch['data_samples']) == 4


@pytest.mark.parametrize('split', SPLITS)
def test_hosts_agree_on_the_objects_of_a_scene(toy_root, split):
    """mmdet's boxes and masks, mmrotate's boxes and mmseg's labels are of the same objects."""
    def samples(name):
        loader = load(name)[f'{split}_dataloader']
        loader.dataset.update(pipeline=load(name).val_dataloader.dataset.pipeline, test_mode=True)
        with DefaultScope.overwrite_default_scope(load(name).dataset_type.partition('.')[0]):
            dataset = DATASETS.build(loader.dataset)
        return {Path(info['img_path']).stem[-6:].lstrip('P0'): info['sample'] for info in (
            dict(img_path=dataset.get_data_info(i)['img_path'], sample=dataset[i]['data_samples'])
            for i in range(len(dataset)))}

    offset = 500_000 if split == 'val' else 0
    horizontal, rotated, semantic = map(samples, ('toy_coco_instance', 'toy_dota', 'toy_ade20k'))
    assert len(horizontal) == len(rotated) == len(semantic) == SPLITS[split]
    for key, rotated_sample in rotated.items():
        sample = horizontal[str(int(key) + offset)]
        labels = semantic[key].gt_sem_seg.data[0].numpy()
        quads, truth = rotated_sample.gt_instances, sample.gt_instances
        hard = rotated_sample.ignored_instances
        # every object that is not a crowd is one oriented box, easy or difficult
        for label in range(len(toy.CLASSES)):
            masks = truth.masks.masks[truth.labels.numpy() == label]
            crowd = (sample.ignored_instances.labels == label).any()
            boxes = (quads.labels == label).sum() + (hard.labels == label).sum()
            assert boxes >= len(masks) if crowd else boxes == len(masks)
            assert (quads.labels == label).sum() <= len(masks)
            if not crowd:
                assert np.array_equal(labels == label, masks.any(0))
        # mmdet's boxes bound its masks
        for box, mask in zip(truth.bboxes.tensor.numpy(), truth.masks.masks):
            rows, columns = np.nonzero(mask)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        # zero in the files is ignored, everything else is a class
        assert set(np.unique(labels).tolist()) <= {255, *range(len(toy.CLASSES + toy.STUFF))}


def test_imagenet_class_of_every_picture(toy_root):
    from mmpretrain.datasets import ImageNet
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        cfg = load('toy_imagenet').train_dataloader.dataset
        ours = DATASETS.build({**cfg, 'pipeline': []})
        host = ImageNet(data_root=str(toy_root / 'imagenet'), split='train',
                        metainfo=dict(classes=toy.CLASSES))
    for dataset in (ours, host):
        assert len(dataset) == NUM_TRAIN
        assert dataset.CLASSES == toy.CLASSES
        for index in range(NUM_TRAIN):
            info = dataset.get_data_info(index)
            assert Path(info['img_path']).parent.name == toy.CLASSES[info['gt_label']]


def test_panoptic_segments_load(toy_root, monkeypatch):
    """With a stand-in for the one function of panopticapi that the loading transform calls."""
    colours = SimpleNamespace(rgb2id=lambda rgb: rgb.astype(int) @ [1, 256, 65536])
    module = ModuleType('panopticapi')
    module.utils = colours
    monkeypatch.setitem(sys.modules, 'panopticapi', module)
    monkeypatch.setitem(sys.modules, 'panopticapi.utils', colours)
    panoptic, instance = load('toy_coco_panoptic'), load('toy_coco_instance')
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(panoptic.val_dataloader.dataset)
        plain = DATASETS.build(instance.val_dataloader.dataset)
        assert len(dataset) == NUM_VAL
        for index in range(NUM_VAL):
            sample, same = (one[index]['data_samples'] for one in (dataset, plain))
            ours, others = sample.gt_instances, same.gt_instances
            assert len(ours) == len(others)
            assert {mask.tobytes() for mask in ours.masks.masks} == {
                mask.tobytes() for mask in others.masks.masks}
            labels = sample.gt_sem_seg.sem_seg[0].numpy()
            for mask, label in zip(ours.masks.masks, ours.labels.numpy()):
                assert (labels[mask.astype(bool)] == label).all()
        assert pseudo_collate([dataset[0], dataset[1]])['inputs'][1].shape == (3, 128, 128)


def test_pycocotools_reads_the_captions(toy_root):
    captions = COCO(str(toy_root / 'coco/annotations/captions_val.json'))
    for image in captions.getImgIds():
        sentences = captions.loadAnns(captions.getAnnIds(imgIds=[image]))
        assert len(sentences) == 3 and all(one['caption'].endswith('.') for one in sentences)
