"""Records of predictions that are known beforehand."""
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mmengine.structures import InstanceData, PixelData

from mmext import hosts
from mmext.apis import Prediction
from mmext.apis.writers import label_picture

hosts.repair()

from mmdet.structures import DetDataSample  # noqa: E402  after the repair
from mmpretrain.structures import DataSample  # noqa: E402
from mmseg.structures import SegDataSample  # noqa: E402

NAMES = ('ship', 'plane')
IMAGE = np.zeros((10, 20, 3), np.uint8)


def _prediction(sample, names=NAMES):
    return Prediction('x.png', 0, IMAGE, sample, classes=names)


def _instances(**fields):
    return DetDataSample(pred_instances=InstanceData(**fields))


def test_detections_from_a_score_on():
    sample = _instances(bboxes=torch.tensor([[1., 2, 3, 4], [5, 6, 7, 8.12345]]),
                        labels=torch.tensor([1, 0]), scores=torch.tensor([0.25, 0.5]))
    prediction = _prediction(sample)
    assert prediction.to_dict(0.5)['detections'] == [
        dict(label=0, name='ship', score=0.5, bbox=[5, 6, 7, 8.123])]
    assert len(prediction.to_dict(0.25)['detections']) == 2
    assert len(sample.pred_instances) == 2  # the sample itself is left alone


@pytest.mark.parametrize('names', [(), ('only one', )])
def test_labels_without_a_name(names):
    sample = _instances(bboxes=torch.zeros(1, 4), labels=torch.tensor([1]),
                        scores=torch.ones(1))
    assert _prediction(sample, names).to_dict()['detections'][0]['name'] == 'class 1'


def test_rotated_boxes_as_rbox_quadrilateral_and_bbox():
    angle = math.pi / 6
    sample = _instances(bboxes=torch.tensor([[10., 5, 4, 2, angle]]), labels=torch.tensor([0]),
                        scores=torch.ones(1))
    prediction = _prediction(sample)
    record = prediction.to_dict()['detections'][0]
    assert prediction.task == 'rotated detection'
    assert record['rbox'] == [10, 5, 4, 2, round(angle, 5)]
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    expected = {tuple(np.round(np.array([10, 5]) + a * 2 * along + b * across, 2))
                for a in (-1, 1) for b in (-1, 1)}
    corners = np.array(record['quadrilateral']).reshape(4, 2)
    assert {tuple(np.round(corner, 2)) for corner in corners} == expected
    assert record['bbox'] == pytest.approx([*corners.min(0), *corners.max(0)])


def test_masks_survive_their_run_lengths():
    from pycocotools import mask as coco
    masks = torch.from_numpy(np.random.default_rng(0).random((3, 10, 20)) > 0.6)
    sample = _instances(bboxes=torch.zeros(3, 4), labels=torch.zeros(3, dtype=torch.long),
                        scores=torch.ones(3), masks=masks)
    prediction = _prediction(sample)
    assert prediction.task == 'instance segmentation'
    for record, mask in zip(prediction.to_dict()['detections'], masks, strict=True):
        assert (coco.decode(record['mask']) == mask.numpy()).all()


@pytest.mark.parametrize('sample, key', [(SegDataSample, 'data'), (DetDataSample, 'sem_seg')])
def test_semantic_shares(sample, key):
    labels = torch.zeros(1, 10, 20, dtype=torch.long)
    labels[0, :, :5] = 1
    prediction = _prediction(sample(pred_sem_seg=PixelData(**{key: labels})))
    assert prediction.to_dict()['classes'] == [dict(label=0, name='ship', share=0.75),
                                               dict(label=1, name='plane', share=0.25)]
    assert (prediction.label_map() == labels[0].numpy()).all()


def test_panoptic_segments_leave_void_out():
    ids = torch.full((1, 10, 20), 2)  # void: the number of classes
    ids[0, :, :10] = 1
    ids[0, :2, :10] = 3001  # the third instance of class 1
    prediction = _prediction(DetDataSample(pred_panoptic_seg=PixelData(sem_seg=ids)))
    assert prediction.to_dict()['segments'] == [
        dict(id=1, label=1, name='plane', area=80, share=0.4),
        dict(id=3001, label=1, name='plane', area=20, share=0.1),
    ]


def test_classification_is_the_five_best():
    sample = DataSample().set_pred_score(torch.tensor([.05, .3, .1, .2, .15, .2]))
    top = _prediction(sample).to_dict()['top5']
    assert [one['label'] for one in top] == [1, 3, 5, 4, 2]
    assert top[0] == dict(label=1, name='plane', score=0.3)


def test_an_unknown_kind_of_prediction():
    with pytest.raises(ValueError, match='predicts none of boxes'):
        _prediction(DetDataSample()).to_dict()


@given(arrays(np.int64, (4, 5), elements=st.integers(0, 2**24 - 1)))
def test_panoptic_ids_survive_their_colours(ids):
    blue, green, red = np.moveaxis(label_picture(ids, panoptic=True).astype(np.int64), -1, 0)
    assert (red + 256 * green + 65536 * blue == ids).all()


@given(arrays(np.int64, (4, 5), elements=st.integers(0, 2**16 - 1)))
def test_labels_survive_their_grey_values(labels):
    picture = label_picture(labels, panoptic=False)
    assert (picture == labels).all()
    assert picture.dtype == (np.uint8 if labels.max() < 256 else np.uint16)
