"""Several data sets as one: names, taxonomies, mixing, exact resume, evaluation of each."""
from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.evaluation.metrics import CocoMetric
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData, PixelData
from mmseg.evaluation import IoUMetric
from torch.utils.data import DataLoader

from mmext.cli.smoke import FirstBatches
from mmext.datasets.multi_dataset import MultiDataset
from mmext.datasets.samplers import MultiDatasetSampler
from mmext.datasets.toy.classes import CLASSES, STUFF
from mmext.engine.draws import position
from mmext.errors import UserError
from mmext.registry import DATA_SAMPLERS, DATASETS, METRICS


def _coco(root: Path, classes: tuple[str, ...] = CLASSES, **kwargs: Any) -> dict:
    return dict(
        type='mmdet.CocoDataset', data_root=f'{root}/coco/', ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'), metainfo=dict(classes=classes), test_mode=True,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmdet.LoadAnnotations', with_bbox=True),
                  dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape'))], **kwargs)


def _ade(root: Path) -> dict:
    return dict(
        type='mmseg.BaseSegDataset', data_root=f'{root}/ade20k/', img_suffix='.png', seg_map_suffix='.png',
        reduce_zero_label=True, metainfo=dict(classes=CLASSES + STUFF),
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='mmseg.LoadAnnotations'),
                  dict(type='mmseg.PackSegInputs')])


def _build(*entries: dict) -> MultiDataset:
    return DATASETS.build(dict(type='mmext.MultiDataset', datasets=list(entries)))


class _Numbers:
    """A data set of nothing but a length."""

    def __init__(self, size: int) -> None:
        self.metainfo = dict(classes=('thing', ))
        self.size = size

    def full_init(self) -> None:
        pass

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.tensor(index))


def _numbers(*sizes: int) -> MultiDataset:
    return _build(*(dict(name=f'd{index}', dataset=_Numbers(size), taxonomy='all')
                    for index, size in enumerate(sizes)))


def _sampler(dataset: Any, **kwargs: Any) -> MultiDatasetSampler:
    return DATA_SAMPLERS.build(dict(type='mmext.MultiDatasetSampler', dataset=dataset,
                                    **{'batch_size': 1, 'seed': 0, **kwargs}))


def test_samples_carry_names_and_taxonomies(toy_root: Path) -> None:
    dataset = _build(dict(name='shapes', dataset=_coco(toy_root)),
                     dict(name='scenes', dataset=_ade(toy_root)),
                     dict(name='more', dataset=_coco(toy_root, indices=3), taxonomy='shapes'))
    meta = dataset.metainfo
    assert meta['taxonomies'] == {'shapes': CLASSES, 'scenes': CLASSES + STUFF}
    assert meta['dataset_taxonomies'] == {'shapes': 'shapes', 'scenes': 'scenes', 'more': 'shapes'}
    assert meta['classes'] == CLASSES + STUFF
    assert len(dataset) == 8 + 8 + 3
    for index, name, taxonomy in ((0, 'shapes', 'shapes'), (8, 'scenes', 'scenes'), (-1, 'more', 'shapes')):
        sample = dataset[index]['data_samples']
        assert (sample.dataset_name, sample.taxonomy) == (name, taxonomy)
    assert 'gt_sem_seg' in dataset[8]['data_samples'] and 'gt_instances' in dataset[0]['data_samples']


def test_dataset_errors(toy_root: Path) -> None:
    coco = _coco(toy_root)
    for entries, message in (
            ([dict(name='a', dataset=coco), dict(name='a', dataset=coco)], "two data sets are called 'a'"),
            ([dict(name='a', dataset=coco), dict(name='b', dataset=_ade(toy_root), taxonomy='a')],
             "'b' and 'a' share the taxonomy 'a', but their classes differ: 9"),
            ([dict(name='a', data_set=coco)], "unknown key 'data_set'; did you mean dataset"),
            ([dict(name='a/b', dataset=coco)], 'without a slash'),
            ([dict(name='a')], 'has no dataset=dict'),
            ([coco], "unknown key 'type'"),
            ([], 'at least one')):
        with pytest.raises(UserError, match=message):
            _build(*entries)


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4), data=st.data(),
       batch_size=st.integers(1, 4), whole=st.booleans())
def test_shares_hold_in_every_epoch(sizes: list[int], data: st.DataObject, batch_size: int,
                                    whole: bool) -> None:
    ratios = data.draw(st.lists(st.integers(0, 5), min_size=len(sizes), max_size=len(sizes)).filter(any))
    dataset = _numbers(*sizes)
    sampler = _sampler(dataset, batch_size=batch_size, ratios=ratios, one_dataset_per_batch=whole)
    seen: list[list[int]] = [[] for _ in sizes]
    samples = 0
    for epoch in range(3):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert len(indices) == len(sampler)
        places = [dataset._get_ori_dataset_idx(index) for index in indices]
        for which, index in places:
            seen[which].append(index)
        if whole:
            for start in range(0, len(places), batch_size):
                assert len({which for which, _ in places[start:start + batch_size]}) == 1
        samples += len(indices)
        unit = batch_size if whole else 1
        for ratio, of_dataset in zip(ratios, seen):
            assert abs(len(of_dataset) - ratio / sum(ratios) * samples) <= unit + 1e-6
    for size, of_dataset in zip(sizes, seen):  # everything once before anything twice
        times = Counter(of_dataset)
        assert max(times.values(), default=0) - min((times[index] for index in range(size)), default=0) <= 1


def test_order_is_random_but_seeded() -> None:
    dataset = _numbers(20, 20)
    first, again, other = (list(_sampler(dataset, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert first != sorted(first)
    assert list(_sampler(dataset, ratios=dict(d0=1, d1=0))) != list(range(40))
    assert max(_sampler(dataset, ratios=dict(d1=0, d0=1))) < 20
    assert len(list(_sampler(dataset, epoch_length=7, batch_size=2))) == 8


def test_processes_share_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmext.datasets.samplers import multi_dataset_sampler as module
    dataset, parts = _numbers(12, 4), []
    for rank in range(2):
        monkeypatch.setattr(module, 'get_dist_info', lambda rank=rank: (rank, 2))
        parts.append(list(_sampler(dataset, batch_size=2)))
    assert len(parts[0]) == len(parts[1]) == 8
    assert sorted(parts[0] + parts[1]) == list(range(16))


def test_resume_goes_on_where_it_stopped() -> None:
    def loader() -> DataLoader:
        dataset = _numbers(9, 5)
        made = DataLoader(dataset, batch_size=3, sampler=_sampler(dataset, batch_size=3), drop_last=True,
                          collate_fn=lambda samples: [int(sample['inputs']) for sample in samples])
        assert position(made, 0, 0, 1)
        return made

    undisturbed = loader()
    whole = []
    for epoch in range(2):
        undisturbed.batch_sampler.set_epoch(epoch)
        whole += list(undisturbed)
    resumed = loader()
    resumed.batch_sampler.set_epoch(1)
    resumed.batch_sampler.skip_batches(2)
    assert list(resumed) == whole[len(undisturbed) + 2:]


def test_sampler_errors(toy_root: Path) -> None:
    dataset = _numbers(3, 0)
    for kwargs, message in ((dict(ratios=dict(d0=1, D1_=1)), "no data set 'D1_'; did you mean d1"),
                            (dict(ratios=dict(d0=1)), 'lack d1'),
                            (dict(ratios=[1, -1]), 'expected 0 or more'),
                            (dict(ratios=[1, 1]), 'has no samples'), (dict(ratios=[0, 0]), 'all are 0'),
                            (dict(ratios=[1]), '1 for the 2'), (dict(batch_size=0), 'batch_size=0')):
        with pytest.raises(UserError, match=message):
            _sampler(dataset, **kwargs)
    with pytest.raises(UserError, match='needs an mmext.MultiDataset, got CocoDataset'):
        _sampler(DATASETS.build(_coco(toy_root)))


def _predicted(sample: Any) -> Any:
    """What a fair model would say of a sample."""
    rng = np.random.default_rng(len(sample.img_path))
    if 'gt_sem_seg' in sample:
        labels = sample.gt_sem_seg.data.clone()
        labels[labels == 255] = 0
        labels[:, :40] = 1
        sample.pred_sem_seg = PixelData(data=labels)
    else:
        truth = sample.gt_instances
        sample.pred_instances = InstanceData(
            bboxes=truth.bboxes.tensor + torch.tensor([0., 2., 0., 3.]), labels=truth.labels,
            scores=torch.tensor(rng.random(len(truth.labels)), dtype=torch.float32))
    return sample


def _evaluate(dataset: Any, metric: Any) -> dict:
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo
    for start in range(0, len(dataset), 3):
        batch = pseudo_collate([dataset[i] for i in range(start, min(start + 3, len(dataset)))])
        evaluator.process([_predicted(sample) for sample in batch['data_samples']], batch)
    return evaluator.evaluate(len(dataset))


def test_each_data_set_by_its_own_metrics(toy_root: Path) -> None:
    annotations = f'{toy_root}/coco/annotations/instances_val.json'
    configs = dict(shapes=dict(type='mmext.CocoMetric', ann_file=annotations, metric='bbox'),
                   scenes=[dict(type='mmext.IoUMetric', iou_metrics=['mIoU'])])
    shapes, scenes = DATASETS.build(_coco(toy_root)), DATASETS.build(_ade(toy_root))
    dataset = _build(dict(name='scenes', dataset=scenes), dict(name='shapes', dataset=shapes))
    figures = _evaluate(dataset, METRICS.build(dict(type='mmext.MultiDatasetMetric', by_dataset=configs)))
    expected = {f'shapes/{key}': value for key, value in
                _evaluate(shapes, CocoMetric(ann_file=annotations, metric='bbox')).items()}
    expected.update((f'scenes/{key}', value) for key, value in
                    _evaluate(scenes, IoUMetric(iou_metrics=['mIoU'])).items())
    assert figures == pytest.approx(expected, abs=1e-3)
    assert 0 < figures['shapes/coco/bbox_mAP'] < 1 and 0 < figures['scenes/mIoU'] < 100


def test_metric_errors(toy_root: Path) -> None:
    iou = dict(type='mmext.IoUMetric', iou_metrics=['mIoU'])
    dataset = _build(dict(name='scenes', dataset=_ade(toy_root)), dict(name='more', dataset=_ade(toy_root)))

    def metric(**metrics: Any) -> Any:
        return METRICS.build(dict(type='mmext.MultiDatasetMetric', by_dataset=metrics))

    with pytest.raises(UserError, match="no data set 'scene'; did you mean scenes"):
        _evaluate(dataset, metric(scene=iou))
    with pytest.raises(UserError, match="no metrics for the data set 'more'"):
        _evaluate(dataset, metric(scenes=iou))
    with pytest.raises(UserError, match='needs an mmext.MultiDataset'):
        _evaluate(dataset.datasets[0], metric(scenes=iou))
    with pytest.raises(UserError, match="two metrics of 'scenes' give"):
        _evaluate(dataset, metric(scenes=[iou, iou], more=iou))
    with pytest.raises(UserError, match='needs by_dataset'):
        metric()


def test_a_smoke_run_validates_on_every_data_set(toy_root: Path) -> None:
    one, two = DATASETS.build(_coco(toy_root)), DATASETS.build(_coco(toy_root))
    joined = _build(dict(name='one', dataset=one), dict(name='two', dataset=two))
    sampler = DefaultSampler(joined, shuffle=False)
    for number, expected in ((4, [0, 1, len(one), len(one) + 1]), (1, [0, len(one)])):
        batches = FirstBatches(sampler, batch_size=1, number=number, of_each=True)
        assert [index for batch in batches for index in batch] == expected
        assert len(batches) == len(expected)
    plain = FirstBatches(sampler, batch_size=1, number=4)
    assert [index for batch in plain for index in batch] == [0, 1, 2, 3]
