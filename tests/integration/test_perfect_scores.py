"""Predictions equal to the ground truth score exactly 1 (or 100 %) through the hosts' own path.

Config -> host dataset and pipeline -> data loader -> data preprocessor -> a "model" that answers
with the annotations it was given -> host evaluator, all by :meth:`mmengine.runner.Runner.test`.
The toy data always; the small real sets where they are there.
"""
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData

from mmext import hosts
from mmext.datasets import toy

REPOSITORY = Path(__file__).parents[2]
CONFIGS = REPOSITORY / 'configs' / '_base_' / 'datasets'

DETECTION = dict(type='mmdet.DetDataPreprocessor', boxtype2tensor=True)
SCOPES = {  # part of a config's name -> default scope and data preprocessor
    'coco': ('mmdet', DETECTION),
    'dota': ('mmrotate', DETECTION),
    'ade20k': ('mmseg', dict(type='mmseg.SegDataPreProcessor')),
    'imagenet': ('mmpretrain', dict(type='mmpretrain.ClsDataPreprocessor')),
}
BOX_KEYS = ['coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75']
MASK_KEYS = ['coco/segm_mAP', 'coco/segm_mAP_50', 'coco/segm_mAP_75']
PERFECT = {  # config -> the metrics that must be there and perfect
    'toy_coco_detection': dict.fromkeys(BOX_KEYS, 1.0),
    'toy_coco_instance': dict.fromkeys(BOX_KEYS + MASK_KEYS, 1.0),
    'toy_dota': {'dota/mAP': 1.0, 'dota/AP50': 1.0},
    'toy_ade20k': {'aAcc': 100.0, 'mIoU': 100.0, 'mAcc': 100.0},
    'toy_imagenet': {'accuracy/top1': 100.0},
    'tiny_coco_detection': dict.fromkeys(BOX_KEYS, 1.0),
    'tiny_coco_instance': dict.fromkeys(BOX_KEYS + MASK_KEYS, 1.0),
    'dota_sample': {'dota/mAP': 1.0, 'dota/AP50': 1.0},
    'ade20k_sample': {'aAcc': 100.0, 'mIoU': 100.0, 'mAcc': 100.0},
}
TOY = [name for name in PERFECT if name.startswith('toy')]
REAL = [name for name in PERFECT if not name.startswith('toy')]


class Oracle(BaseModel):
    """Answers with the ground truth of its input, as a model of the same host would write it.

    Args:
        data_preprocessor: The host's.
        manner: 'truth'; 'wrong': spoils a part of every answer; 'eager': also answers with what
            evaluation has to ignore (crowds, difficult objects).
    """

    def __init__(self, data_preprocessor: dict, manner: str) -> None:
        super().__init__(data_preprocessor)
        self.manner = manner

    def forward(self, inputs, data_samples=None, mode='predict'):
        assert mode == 'predict'
        wrong = self.manner == 'wrong'
        for sample in data_samples:
            if 'gt_label' in sample:
                sample.set_pred_label((sample.gt_label + wrong) % len(toy.CLASSES))
            elif 'gt_sem_seg' in sample:
                answer = sample.gt_sem_seg.data.clone()
                answer[answer >= 255] = 0  # unlabelled: any answer must do
                answer[..., :8, :] = (answer[..., :8, :] + wrong) % (answer.max() + 1)
                sample.pred_sem_seg = PixelData(data=answer)
            else:
                answer = as_predictions(sample.gt_instances)
                if self.manner == 'eager':
                    answer = InstanceData.cat([answer, as_predictions(sample.ignored_instances)])
                sample.pred_instances = answer[1:] if wrong else answer
        return data_samples


def as_predictions(truth: InstanceData) -> InstanceData:
    """Annotations in the form of a detector's answer, all with score 1."""
    answer = InstanceData(
        bboxes=truth.bboxes.clone(), labels=truth.labels.clone(), scores=torch.ones(len(truth)))
    if 'masks' in truth:
        answer.masks = truth.masks.to_tensor(torch.bool, 'cpu')
    return answer


@pytest.fixture(scope='module', autouse=True)
def toy_root(tmp_path_factory):
    """A small toy set, with a crowd and difficult objects to evaluate on."""
    hosts.repair()
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=1, num_val=16)
    instances = json.loads((root / 'coco/annotations/instances_val.json').read_text())
    assert any(one['iscrowd'] for one in instances['annotations'])
    assert any(isinstance(one['segmentation'], list) for one in instances['annotations'])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(toy.ROOT_VARIABLE, str(root))
        yield root


@pytest.fixture(scope='module')
def real_root():
    """The folder of the small real sets."""
    places = [os.environ.get('MMEXT_REAL_DATA'), REPOSITORY.parent / 'shared' / 'data']
    for place in filter(None, places):
        if Path(place).is_dir():
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv('MMEXT_REAL_DATA', str(place))
                yield Path(place)
            return
    pytest.skip('the small real data sets are not here; MMEXT_REAL_DATA names their folder')


@pytest.fixture
def evaluate(tmp_path):
    """``evaluate(name, manner)``: the oracle's metrics on a config of configs/_base_/datasets."""

    def run(name: str, manner: str = 'truth') -> dict:
        scope, preprocessor = next(value for part, value in SCOPES.items() if part in name)
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        loader = cfg.test_dataloader
        loader.update(num_workers=0, persistent_workers=False)
        runner = Runner(
            model=Oracle(preprocessor, manner),
            work_dir=str(tmp_path),
            test_dataloader=loader,
            test_cfg=dict(),
            test_evaluator=cfg.test_evaluator,
            default_scope=scope,
            log_level='ERROR',
            experiment_name=f'{name}_{manner}_{tmp_path.name}')
        return runner.test()

    return run


def assert_perfect(name: str, metrics: dict) -> None:
    """All of them, exactly; COCO says -1 for sizes of which there is no object."""
    for key, value in PERFECT[name].items():
        assert metrics[key] == value, (key, metrics)
    best = max(PERFECT[name].values())
    assert set(metrics.values()) <= {best, -1.0}, metrics


@pytest.mark.parametrize('name', TOY)
def test_truth_is_perfect_on_toy_data(evaluate, name):
    assert_perfect(name, evaluate(name))


@pytest.mark.parametrize('name', REAL)
def test_truth_is_perfect_on_real_data(real_root, evaluate, name):
    assert_perfect(name, evaluate(name))


@pytest.mark.parametrize('name', ['toy_coco_instance', 'toy_dota'])
def test_crowds_and_difficult_objects_cost_nothing(evaluate, name):
    """Finding what evaluation ignores is neither right nor wrong."""
    assert_perfect(name, evaluate(name, 'eager'))


@pytest.mark.parametrize('name', TOY)
def test_wrong_answers_cost_something(evaluate, name):
    metrics = evaluate(name, 'wrong')
    for key, value in PERFECT[name].items():
        assert 0 <= metrics[key] < value, (key, metrics)


def test_ade20k_is_evaluated_on_all_its_classes(real_root):
    cfg = Config.fromfile(CONFIGS / 'ade20k_sample.py')
    from mmseg.registry import DATASETS
    assert len(DATASETS.build(cfg.test_dataloader.dataset).metainfo['classes']) == 150
