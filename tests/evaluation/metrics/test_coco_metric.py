"""mmext.CocoMetric gives mmdet's numbers, whichever backend computes them."""
from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mmdet.evaluation import CocoMetric as HostMetric
from mmengine.logging import MMLogger

from mmext.errors import UserError
from mmext.evaluation.coco import BACKENDS, evaluate
from mmext.evaluation.coco.columns import collect_detections, make_truth, without_categories
from mmext.evaluation.metrics.coco_metric import CocoMetric
from mmext.registry import METRICS
from tests.evaluation.coco_data import SIDE, data_sets, random_data_set

FAST = [name for name in BACKENDS if name != 'pycocotools']
LIMITS = [(1, 5, 20), (100, 300, 1000), (1, 10, 100)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = MMLogger.get_instance('coco metric', log_level='ERROR')
    yield
    logger.handlers.clear()


def installed(backend: str) -> str:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f'{backend} is not installed')
    return backend


def samples(results: list[dict], masks: bool = True) -> list[dict]:
    """Results in the form in which the evaluator hands them to a metric."""
    out = []
    for one in results:
        found = {key: torch.from_numpy(one[key]) for key in ('bboxes', 'scores', 'labels')}
        if masks:
            found['masks'] = [dict(mask) for mask in one['masks']]
        out.append(dict(img_id=one['img_id'], ori_shape=(SIDE, SIDE), pred_instances=found))
    return out


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict]:
    """``run(metric class, content, results, **arguments)``: the figures."""

    def figures(cls: type, content: dict, results: list[dict], masks: bool = True, **kwargs) -> dict:
        path = tmp_path / 'truth.json'
        path.write_text(json.dumps(content))
        metric = cls(ann_file=str(path), **kwargs)
        metric.dataset_meta = dict(classes=[one['name'] for one in content['categories']])
        metric.process({}, samples(results, masks))
        return metric.evaluate(len(results))

    return figures


@pytest.mark.parametrize('iou_type', ['bbox', 'segm', 'proposal'])
@pytest.mark.parametrize('backend', FAST)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=data_sets())
def test_backends_give_the_arrays_of_pycocotools(backend: str, iou_type: str, data: tuple) -> None:
    content, results = data
    truth = make_truth(content, 'random', None)
    found = collect_detections(results, truth)
    if iou_type == 'proposal':
        truth, found = without_categories(truth, found)
    elif iou_type == 'segm':
        if truth.segmentations is None:
            return
        truth = truth.with_rles()
    kind = 'segm' if iou_type == 'segm' else 'bbox'
    one, other = (evaluate(truth, found, kind, np.linspace(0.5, 0.95, 10), (1, 5, 20), name)
                  for name in ('pycocotools', installed(backend)))
    for key in ('precision', 'recall', 'scores'):
        np.testing.assert_allclose(getattr(other, key), getattr(one, key), rtol=0, atol=1e-15, err_msg=key)


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('backend', BACKENDS)
def test_figures_are_mmdets(run: Callable, backend: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    content, results = random_data_set(rng, images=5, classes=4, objects=6, found=30)
    # mmdet gives the values of one class to another unless the file is sorted
    content['categories'].sort(key=lambda one: one['id'])
    content['annotations'][0]['category_id'] = content['categories'][0]['id']
    arguments = dict(metric=['bbox', 'segm', 'proposal'], classwise=True,
                     proposal_nums=LIMITS[seed % 2 + 1])
    ours = run(CocoMetric, content, results, backend=installed(backend), **arguments)
    theirs = run(HostMetric, content, results, **arguments)
    assert list(ours) == list(theirs)
    np.testing.assert_array_equal(list(ours.values()), list(theirs.values()))


class _OldNumpy:
    """numpy, but arrays of different lengths make an array of objects, as before numpy 1.24."""

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)

    def array(self, values: object, **kwargs) -> np.ndarray:
        try:
            return np.array(values, **kwargs)
        except ValueError:
            out = np.empty(len(values), object)
            out[:] = values
            return out


def test_more_masks_than_eight_bits_count(run: Callable) -> None:
    data = random_data_set(np.random.default_rng(4), images=1, classes=1, objects=6, found=600)
    ours, theirs = (run(cls, *data, metric='segm') for cls in (CocoMetric, HostMetric))
    assert ours == theirs


@pytest.mark.parametrize('arguments', [
    dict(iou_thrs=[0.5]), dict(iou_thrs=[0.3, 0.75]),
    dict(metric='proposal', metric_items=['AR@1000', 'AR_l@1000']),
    dict(metric_items=['mAP_50', 'AR_s@1000']), dict(prefix='mine'), dict(metric='proposal_fast'),
], ids=str)
def test_options_are_mmdets(run: Callable, arguments: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    content, results = random_data_set(np.random.default_rng(1), 5, 3, 6, 30)
    if arguments.get('metric') == 'proposal_fast':  # mmdet goes by the order of the file
        content['images'].sort(key=lambda one: one['id'])
        for one in results:
            order = np.argsort(-one['scores'], kind='stable')
            one.update({key: one[key][order] for key in ('bboxes', 'scores', 'labels')})
        results.sort(key=lambda one: one['img_id'])
        from mmdet.evaluation.functional import recall
        monkeypatch.setattr(recall, 'np', _OldNumpy())
    host = dict(arguments)
    if 'iou_thrs' in host:  # mmdet's summary compares with an array
        host['iou_thrs'] = np.array(host['iou_thrs'])
    ours, theirs = run(CocoMetric, content, results, **arguments), run(HostMetric, content, results, **host)
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=0, atol=1e-12)


def test_one_threshold_as_a_number(run: Callable) -> None:
    data = random_data_set(np.random.default_rng(1), 5, 3, 6, 30)
    figures = run(CocoMetric, *data, iou_thrs=0.5)
    assert figures['coco/bbox_mAP'] == run(CocoMetric, *data)['coco/bbox_mAP_50']
    assert figures['coco/bbox_mAP_75'] == -1


def test_result_files_are_mmdets(run: Callable, tmp_path: Path) -> None:
    data = random_data_set(np.random.default_rng(2), 4, 3, 4, 10)
    files = {}
    for cls in (CocoMetric, HostMetric):
        prefix = tmp_path / cls.__module__.split('.')[0] / 'result'
        prefix.parent.mkdir()
        assert run(cls, *data, format_only=True, outfile_prefix=str(prefix)) == {}
        files[cls] = [json.loads(Path(f'{prefix}.{kind}.json').read_text()) for kind in ('bbox', 'segm')]
    assert files[CocoMetric] == files[HostMetric]
    assert files[CocoMetric][1][0]['segmentation']['counts']


def test_ground_truth_of_the_samples(run: Callable) -> None:
    """Without ann_file, the figures are those of a file with the same objects."""
    content, results = random_data_set(np.random.default_rng(3), 4, 3, 5, 10)
    content['categories'].sort(key=lambda one: one['id'])
    labels = {one['id']: i for i, one in enumerate(content['categories'])}
    for one in content['annotations']:
        one['area'] = one['bbox'][2] * one['bbox'][3]  # instances have none
    metric = CocoMetric(metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=[one['name'] for one in content['categories']])
    data = samples(results)
    for sample in data:
        sample['instances'] = [
            dict(bbox=[x, y, x + width, y + height], bbox_label=labels[one['category_id']],
                 ignore_flag=one['iscrowd'], mask=one['segmentation'])
            for one in content['annotations'] if one['image_id'] == sample['img_id']
            for x, y, width, height in [one['bbox']]
        ]
    metric.process({}, data)
    assert metric.evaluate(len(data)) == run(CocoMetric, content, results, metric=['bbox', 'segm'])


def test_masks_as_tensors_with_their_own_scores(tmp_path: Path) -> None:
    content, _ = random_data_set(np.random.default_rng(0), 1, 1, 0, 0)
    mask = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    mask[0, 10:60, 20:80] = True
    content['annotations'] = [dict(
        id=1, image_id=7, category_id=5, bbox=[20, 10, 60, 50], area=3000, iscrowd=0,
        segmentation=[[20, 10, 80, 10, 80, 60, 20, 60]])]
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    metric = CocoMetric(str(tmp_path / 'truth.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = dict(classes=['class 5'])
    metric.process({}, [dict(img_id=7, ori_shape=(SIDE, SIDE), pred_instances=dict(
        bboxes=torch.tensor([[20., 10, 80, 60], [0, 0, 5, 5]]), scores=torch.tensor([0.1, 0.9]),
        labels=torch.zeros(2, dtype=torch.int64), masks=mask, mask_scores=torch.tensor([0.9, 0.1])))])
    figures = metric.evaluate(1)
    assert figures['coco/bbox_mAP'] == 0.5  # the wrong one comes first
    assert figures['coco/segm_mAP'] == 1


def test_a_class_of_an_unsorted_file_keeps_its_value(run: Callable) -> None:
    content, results = random_data_set(np.random.default_rng(5), 5, 2, 0, 0)
    assert [one['name'] for one in content['categories']] == ['class 5', 'class 2']
    content['annotations'] = [
        dict(id=i, image_id=7, category_id=key, bbox=[0, 0, 50, 50], area=2500, iscrowd=0)
        for i, key in enumerate((2, 5), 1)
    ]
    results[0].update(bboxes=np.array([[0, 0, 50, 50]], np.float32), scores=np.ones(1, np.float32),
                      labels=np.array([0]))  # the first of the file: class 5
    figures = run(CocoMetric, content, results, masks=False, classwise=True)
    assert figures['coco/class 5_precision'] == 1
    assert figures['coco/class 2_precision'] == 0


def test_a_class_without_objects_counts_in_no_average(run: Callable) -> None:
    content, results = random_data_set(np.random.default_rng(6), 1, 2, 0, 0)
    content['annotations'] = [
        dict(id=0, image_id=7, category_id=2, bbox=[0, 0, 50, 50])]  # no area, no iscrowd, id 0
    results[0].update(bboxes=np.array([[0, 0, 50, 50], [200, 200, 300, 300]], np.float32),
                      scores=np.array([1, 0.9], np.float32), labels=np.array([1, 0]))
    figures = run(CocoMetric, content, results, masks=False, classwise=True)
    assert figures['coco/bbox_mAP'] == 1
    assert math.isnan(figures['coco/class 5_precision'])


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('metric', ['bbox', 'segm', 'proposal', 'proposal_fast'])
def test_nothing_found_scores_0(run: Callable, metric: str, backend: str) -> None:
    content, results = random_data_set(np.random.default_rng(7), 3, 2, 5, 0)
    figures = run(CocoMetric, content, results, metric=metric, masks=False, backend=installed(backend))
    assert figures and set(figures.values()) <= {0.0, -1.0} and 0.0 in figures.values()


def test_images_without_result_count_as_missed(run: Callable) -> None:
    content, results = random_data_set(np.random.default_rng(8), 3, 2, 5, 10)
    some = run(CocoMetric, content, results[:1])
    emptied = [dict(one, bboxes=one['bboxes'][:0], scores=one['scores'][:0], labels=one['labels'][:0],
                    masks=[]) for one in results[1:]]
    assert some == run(CocoMetric, content, results[:1] + emptied)


def _spoil(key: str, value: object) -> Callable[[dict, list], None]:
    def spoil(content: dict, results: list) -> None:
        results[1][key] = value(results[1][key]) if callable(value) else value
    return spoil


def _first(array: np.ndarray, value: float) -> np.ndarray:
    return np.concatenate([np.full_like(array[:1], value), array[1:]])


def _truth(change: Callable[[dict], object]) -> Callable[[dict, list], None]:
    return lambda content, results: change(content) and None


@pytest.mark.parametrize('spoil, message', [
    (_spoil('scores', lambda one: _first(one, np.nan)), 'image 3: scores that are not finite'),
    (_spoil('bboxes', lambda one: _first(one, np.inf)), 'image 3: bboxes that are not finite'),
    (_spoil('labels', lambda one: _first(one, 2)), 'labels . to 2, but the data set has 2 classes'),
    (_spoil('scores', lambda one: one[1:]), 'columns of different lengths'),
    (_spoil('img_id', 99), '1 of 3 results are of images that it does not have, the first is 99'),
    (_spoil('img_id', 7), 'two results of one image, 7'),
    (_truth(lambda one: one['annotations'][0].pop('category_id')), 'annotation 1 has no category_id'),
    (_truth(lambda one: one['annotations'][0].update(category_id=77)), 'annotation 1 is of category 77'),
    (_truth(lambda one: one['annotations'][0].pop('bbox')), 'annotation 1 has no bbox'),
    (_truth(lambda one: one.pop('images')), 'it has no images'),
])
def test_what_cannot_be_is_one_error(run: Callable, tmp_path: Path, spoil: Callable, message: str) -> None:
    content, results = random_data_set(np.random.default_rng(9), 3, 2, 5, 10)
    spoil(content, results)
    old = tmp_path / 'out.bbox.json'
    old.write_text('earlier')
    with pytest.raises(UserError, match=message):
        run(CocoMetric, content, results, outfile_prefix=str(tmp_path / 'out'))
    assert old.read_text() == 'earlier'


def test_classes_that_the_file_does_not_have(tmp_path: Path) -> None:
    content, results = random_data_set(np.random.default_rng(9), 1, 1, 5, 5)
    (tmp_path / 'truth.json').write_text(json.dumps(content))
    metric = CocoMetric(str(tmp_path / 'truth.json'))
    metric.dataset_meta = dict(classes=['clas 5'])
    metric.process({}, samples(results))
    with pytest.raises(UserError, match="no category 'clas 5'.*did you mean class 5"):
        metric.evaluate(1)


@pytest.mark.parametrize('arguments, message', [
    (dict(metric='box'), "'box' is none of bbox, segm.*did you mean bbox"),
    (dict(metric_items=['mAP_60']), "'mAP_60' is none of"),
    (dict(backend='hotcocoa'), 'did you mean hotcoco'),
    (dict(format_only=True), 'needs outfile_prefix'),
    (dict(proposal_nums=(100, )), 'three numbers'),
    (dict(ann_file='nowhere.json'), "no file 'nowhere.json'"),
])
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        METRICS.build(dict(type='mmext.CocoMetric', **arguments))


def test_masks_that_are_missing(run: Callable) -> None:
    content, results = random_data_set(np.random.default_rng(9), 3, 2, 5, 10)
    with pytest.raises(UserError, match='the predictions have no masks'):
        run(CocoMetric, content, results, masks=False, metric='segm')


def test_the_first_installed_backend_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {'hotcoco'}
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name in missing else real(name))
    assert CocoMetric().backend == 'faster_coco_eval'
    missing.add('faster_coco_eval')
    assert CocoMetric().backend == 'pycocotools'
    with pytest.raises(UserError, match="'hotcoco' is not installed: pip install hotcoco"):
        CocoMetric(backend='hotcoco')
