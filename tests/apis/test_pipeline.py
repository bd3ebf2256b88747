"""The test pipeline without its annotations, and the class names without the data."""
from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmext import hosts
from mmext.apis.pipeline import TestPipeline as Pipeline
from mmext.apis.pipeline import UnreadableImage, dataset_meta
from mmext.apis.pipeline import test_dataset as find_test_dataset
from mmext.errors import UserError

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackDetInputs')


@pytest.fixture(autouse=True)
def _in_mmdet():
    hosts.repair()
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def _cfg(pipeline, wrap=lambda dataset: dataset, **dataset):
    dataset = dict(type='CocoDataset', ann_file='nowhere.json', pipeline=pipeline, **dataset)
    return Config(dict(test_dataloader=dict(dataset=wrap(dataset))))


def test_annotation_steps_are_left_out():
    pipeline = Pipeline(_cfg([
        LOAD,
        dict(type='Resize', scale=(32, 16), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='LoadPanopticAnnotations'),
        dict(type='mmrotate.ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
        dict(type='FilterAnnotations'),
        PACK,
    ]))
    image, packed = pipeline(np.zeros((20, 40, 3), np.uint8), index=7)
    assert image.shape == (20, 40, 3)
    assert packed['inputs'].shape == (3, 16, 32)
    assert packed['data_samples'].img_id == 7
    assert packed['data_samples'].ori_shape == (20, 40)


@pytest.mark.parametrize('wrap', [
    lambda dataset: dict(type='RepeatDataset', times=2, dataset=dataset),
    lambda dataset: dict(type='ConcatDataset', datasets=[dataset, dataset]),
    lambda dataset: dict(type='MultiImageMixDataset', dataset=dataset, pipeline=[PACK]),
    lambda dataset: dict(type='RepeatDataset', dataset=dict(type='ConcatDataset',
                                                            datasets=[dataset])),
])
def test_wrappers_are_taken_off(wrap):
    dataset, _ = find_test_dataset(_cfg([LOAD, PACK], wrap))
    assert dataset['type'] == 'CocoDataset'


def test_the_scope_of_an_inherited_dataset_reaches_its_steps():
    # what `_base_ = 'mmdet::...'` leaves on the outermost dictionary
    cfg = _cfg([LOAD, PACK], lambda dataset: dict(_scope_='mmdet', **dataset))
    with DefaultScope.overwrite_default_scope('mmseg'):
        _, packed = Pipeline(cfg)(np.zeros((8, 8, 3), np.uint8))
        assert dataset_meta(cfg)['classes'][0] == 'person'
    assert type(packed['data_samples']).__name__ == 'DetDataSample'


def test_class_names_need_no_files():
    assert len(dataset_meta(_cfg([LOAD, PACK]))['classes']) == 80
    stated = _cfg([LOAD, PACK], metainfo=dict(classes=('a', 'b')))
    assert dataset_meta(stated)['classes'] == ('a', 'b')


def test_models_that_read_class_names_get_them():
    cfg = _cfg([LOAD, dict(PACK, meta_keys=('text', 'custom_entities'))], return_classes=True)
    _, packed = Pipeline(cfg, ('cat', 'dog'))(np.zeros((8, 8, 3), np.uint8))
    assert packed['data_samples'].text == ('cat', 'dog')


def test_the_original_picture_is_kept_from_steps_that_write_into_it():
    source = np.full((8, 8, 3), 9, np.uint8)
    image, packed = Pipeline(_cfg([LOAD, PACK]))(source)
    packed['inputs'].zero_()
    assert (image == 9).all() and (source == 9).all()


def test_what_users_get_wrong(tmp_path):
    with pytest.raises(UserError, match='reads no image'):
        Pipeline(_cfg([dict(type='LoadAnnotations'), PACK]))
    with pytest.raises(UserError, match='has no pipeline'):
        find_test_dataset(Config(dict(test_dataloader=dict(dataset=dict(type='CocoDataset')))))
    with pytest.raises(UnreadableImage, match='is a folder'):
        Pipeline(_cfg([LOAD, PACK]))(tmp_path)
