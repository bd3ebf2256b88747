"""mmext.IoUMetric gives mmseg's figures, and stops at labels that mmseg passes over."""
from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, DefaultScope
from mmseg.evaluation import IoUMetric as HostMetric
from PIL import Image

from mmext import hosts
from mmext.datasets import toy
from mmext.errors import UserError
from mmext.evaluation.metrics.iou_metric import IoUMetric

CLASSES = ('sky', 'road', 'tree', 'car')
CONFIGS = Path(__file__).parents[3] / 'configs/_base_/datasets'


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = MMLogger.get_instance('iou metric', log_level='ERROR')
    yield
    logger.handlers.clear()


def make_samples(count: int = 3, reduce_zero_label: bool = False) -> list[dict]:
    rng = np.random.default_rng(0)
    samples = []
    for i in range(count):
        truth = rng.integers(0, 4, (1, 20, 30))
        predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 3, truth.shape))
        truth[:, :3] = 255
        samples.append(dict(
            img_path=f'images/{i}.jpg', seg_map_path=f'labels/{i}.png', reduce_zero_label=reduce_zero_label,
            gt_sem_seg=dict(data=torch.from_numpy(truth)),
            pred_sem_seg=dict(data=torch.from_numpy(predicted))))
    return samples


def run(cls: type, samples: list[dict], classes: tuple[str, ...] = CLASSES, **arguments) -> dict:
    metric = cls(**arguments)
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('arguments', [
    dict(), dict(iou_metrics=['mIoU', 'mDice', 'mFscore']), dict(nan_to_num=0)], ids=str)
def test_figures_are_mmsegs(arguments: dict) -> None:
    ours, theirs = (run(cls, make_samples(), **arguments) for cls in (IoUMetric, HostMetric))
    assert ours == theirs and 0 < theirs['mIoU'] < 100


def test_values_of_each_class() -> None:
    samples = make_samples()
    figures = run(IoUMetric, samples, (*CLASSES, 'boat'), classwise=True)
    truth, predicted = (np.concatenate([one[key]['data'].numpy().ravel() for one in samples])
                        for key in ('gt_sem_seg', 'pred_sem_seg'))
    predicted = predicted[truth != 255]
    truth = truth[truth != 255]
    for label, name in enumerate(CLASSES):
        union = ((truth == label) | (predicted == label)).sum()
        expected = 100 * ((truth == label) & (predicted == label)).sum() / union
        assert figures[f'IoU.{name}'] == pytest.approx(expected, abs=0.01)
    assert math.isnan(figures['IoU.boat']) and not math.isnan(figures['mIoU'])
    assert figures['Acc.sky'] > 0


def test_labels_from_1_without_reduce_zero_label() -> None:
    samples = make_samples()
    for one in samples:
        labels = one['gt_sem_seg']['data']
        labels[labels < 4] += 1
    with pytest.raises(UserError, match='labels/0.png: label 4.*0 to 3.*need reduce_zero_label=True'):
        run(IoUMetric, samples)
    samples[0]['gt_sem_seg']['data'][:, 5] = 100
    with pytest.raises(UserError, match='label 100.*of another data set'):
        run(IoUMetric, samples)


def test_labels_from_0_with_reduce_zero_label(caplog: pytest.LogCaptureFixture) -> None:
    """Label 0 has become 'ignored', the last class is never seen: worth a warning, no error."""
    samples = make_samples(reduce_zero_label=True)
    for one in samples:
        labels = one['gt_sem_seg']['data']
        labels[labels == 0] = 256
        labels[labels < 5] -= 1
        labels[labels >= 5] = 255
    warnings: list[str] = []
    logger = MMLogger.get_current_instance()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logger, 'warning', warnings.append)
        run(IoUMetric, samples)
    assert len(warnings) == 1 and "'car'; if the labels start at 0, reduce_zero_label" in warnings[0]


def test_other_wrong_input() -> None:
    samples = make_samples()
    samples[0]['pred_sem_seg']['data'][:, 0] = 4
    with pytest.raises(UserError, match='predicted label 4, but the data set has 4 classes'):
        run(IoUMetric, samples)
    samples = make_samples()
    samples[0].pop('gt_sem_seg')
    with pytest.raises(UserError, match='no ground truth; is LoadAnnotations missing'):
        run(IoUMetric, samples)
    with pytest.raises(UserError, match='archive=True needs output_dir'):
        IoUMetric(archive=True)
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(UserError, match='has no results'):
        metric.compute_metrics([])


def test_submission(tmp_path: Path) -> None:
    """8-bit pictures with labels from 1, in one archive, without any ground truth."""
    samples = make_samples(reduce_zero_label=True)
    for one in samples:
        one.pop('gt_sem_seg')
    figures = run(IoUMetric, samples, format_only=True, output_dir=str(tmp_path / 'out'), archive=True)
    assert figures == {}
    with zipfile.ZipFile(tmp_path / 'out.zip') as archive:
        assert archive.namelist() == ['0.png', '1.png', '2.png']
        with archive.open('1.png') as file:
            picture = np.asarray(Image.open(file))
    np.testing.assert_array_equal(picture, samples[1]['pred_sem_seg']['data'][0].numpy() + 1)


@pytest.mark.parametrize('name', ['toy_ade20k', 'ade20k_sample'])
def test_multi_scale_and_flip(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six scales, plain and flipped; the ground truth of each view is that of the picture."""
    hosts.repair()
    if name == 'toy_ade20k':
        toy.make(tmp_path, num_train=1, num_val=1)
        monkeypatch.setenv(toy.ROOT_VARIABLE, str(tmp_path))
    else:
        data = Path(__file__).parents[4] / 'shared/data'
        if not data.is_dir():
            pytest.skip('the small real sets are not here')
        monkeypatch.setenv('MMEXT_REAL_DATA', str(data))
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    dataset = cfg.test_dataloader.dataset
    plain = DATASETS.build(dataset)[0]['data_samples']
    dataset.pipeline = cfg.tta_pipeline
    with DefaultScope.overwrite_default_scope('mmseg'):
        views = DATASETS.build(dataset)[0]
    assert len(views['inputs']) == 12 and len({tuple(one.shape) for one in views['inputs']}) == 6
    assert [one.metainfo['flip'] for one in views['data_samples']] == [False, True] * 6
    for one in views['data_samples']:
        assert torch.equal(one.gt_sem_seg.data, plain.gt_sem_seg.data)
