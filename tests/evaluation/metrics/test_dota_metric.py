"""mmext.DOTAMetric gives mmrotate's figures, and DOTA_devkit's for merged pictures."""
from __future__ import annotations

import multiprocessing.dummy
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmrotate.evaluation import DOTAMetric as HostMetric

from mmext.errors import UserError
from mmext.evaluation.metrics.dota_metric import DOTAMetric
from mmext.registry import METRICS
from tests.evaluation.dota_data import corners, random_boxes, random_samples

CLASSES = ('ship', 'plane', 'harbor')
COCO_THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    logger = MMLogger.get_instance('dota metric', log_level='ERROR')
    # mmrotate would start four processes for each figure; threads call the same function
    from mmrotate.evaluation.functional import mean_ap
    threads = SimpleNamespace(Pool=multiprocessing.dummy.Pool)
    monkeypatch.setattr(mean_ap, 'get_context', lambda method: threads)
    yield
    logger.handlers.clear()


def run(cls: type, samples: list[dict], classes: tuple[str, ...] = CLASSES, **arguments) -> dict:
    """The figures of one evaluation."""
    metric = cls(**arguments)
    metric.dataset_meta = dict(classes=classes)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


# ------------------------------------------------------------------------------------ image by image


@pytest.mark.parametrize('ties', [False, True], ids=['', 'ties'])
@pytest.mark.parametrize('arguments', [
    dict(), dict(iou_thrs=COCO_THRESHOLDS), dict(iou_thrs=[0.3, 0.75], eval_mode='area'),
    dict(predict_box_type='qbox', iou_thrs=[0.5, 0.75], iou_kernel='mmcv'),
], ids=['default', '50:95', 'area', 'qbox'])
def test_figures_are_mmrotates(arguments: dict, ties: bool) -> None:
    for seed in range(4):
        samples = random_samples(np.random.default_rng(seed), images=8, classes=3, objects=12, found=60,
                                 ties=ties, kind=arguments.get('predict_box_type', 'rbox'))
        host = {key: value for key, value in arguments.items() if key != 'iou_kernel'}
        ours, theirs = run(DOTAMetric, samples, **arguments), run(HostMetric, samples, **host)
        assert 0 < theirs['dota/mAP'] < 1
        assert ours == theirs


def test_quadrilaterals_that_almost_agree() -> None:
    """Objects found to a pixel are found; mmcv's kernel loses a third of them."""
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 200, 4000)
    boxes[:, 2:4] += 20
    truth = corners(boxes).astype(np.float32)
    found = truth + rng.normal(0, 0.5, truth.shape).astype(np.float32)
    labels = torch.zeros(200, dtype=torch.int64)
    sample = dict(
        img_id='P1', ignored_instances={}, gt_instances=dict(bboxes=torch.from_numpy(truth), labels=labels),
        pred_instances=dict(bboxes=torch.from_numpy(found), labels=labels, scores=torch.ones(200)))
    assert run(DOTAMetric, [sample], ('ship', ), predict_box_type='qbox')['dota/mAP'] == 1
    assert run(DOTAMetric, [sample], ('ship', ), predict_box_type='qbox', iou_kernel='mmcv')['dota/mAP'] < 0.9


def test_classes_and_images_without_objects() -> None:
    samples = random_samples(np.random.default_rng(0), images=6, classes=2, objects=3, found=20)
    assert any(not len(one['gt_instances']['labels']) for one in samples)
    assert run(DOTAMetric, samples) == run(HostMetric, samples)  # no harbor at all


def test_values_of_each_class() -> None:
    samples = random_samples(np.random.default_rng(1), images=8, classes=3, objects=12, found=60)
    figures = run(DOTAMetric, samples, iou_thrs=[0.5, 0.75], classwise=True)
    for label in ('AP50', 'AP75', 'mAP'):
        own = [figures[f'dota/{name}_{label}'] for name in CLASSES]
        assert figures[f'dota/{label}'] == pytest.approx(np.mean(own), abs=1e-3)


def _sample(name: str, found: list, truth: list, difficult: list = ()) -> dict:
    """Boxes as (x, y, w, h, angle), all of class 0; detections have a score at the end."""

    def columns(rows: list) -> dict:
        boxes = torch.tensor([row[:5] for row in rows], dtype=torch.float32).reshape(-1, 5)
        return dict(bboxes=boxes, labels=torch.zeros(len(rows), dtype=torch.int64))

    return dict(img_id=name, gt_instances=columns(truth), ignored_instances=columns(list(difficult)),
                pred_instances=dict(columns(found), scores=torch.tensor([row[5] for row in found])))


BOX, FAR = (50, 50, 40, 20, 0.3), (150, 150, 30, 30, 0)
RULES = {  # name -> detections, objects, difficult objects, AP at 0.5
    'found': ([(*BOX, 0.9)], [BOX], [], 1),
    'the second of one object is wrong, but comes after it': ([(*BOX, 0.9), (*BOX, 0.8)], [BOX], [], 1),
    'the second of one object before another object':
        ([(*BOX, 0.9), (*BOX, 0.8), (*FAR, 0.7)], [BOX, FAR], [], (6 * 1 + 5 * 2 / 3) / 11),
    'a difficult object is neither missed nor wrong to find': ([(*FAR, 0.9), (*BOX, 0.8)], [BOX], [FAR], 1),
    'finding a difficult object twice neither': ([(*FAR, 0.9), (*FAR, 0.8), (*BOX, 0.7)], [BOX], [FAR], 1),
    'a quarter turn of an oblong is another box': ([(50, 50, 40, 10, np.pi / 2, 0.9)], [(50, 50, 40, 10, 0)],
                                                    [], 0),
    'a half turn is the same box': ([(50, 50, 40, 20, 0.3 - np.pi, 0.9)], [BOX], [], 1),
    'sides exchanged and a quarter turn is the same box':
        ([(50, 50, 20, 40, 0.3 + np.pi / 2, 0.9)], [BOX], [], 1),
    'one of two found': ([(*BOX, 0.9)], [BOX, FAR], [], 6 / 11),
    'a wrong one comes first': ([(*FAR, 0.9), (*BOX, 0.8)], [BOX], [], 0.5),
    'the best object is taken, the second best does not count':
        ([(50, 50, 40, 20, 0, 0.9), (52, 50, 40, 20, 0, 0.8)], [(50, 50, 40, 20, 0), (70, 50, 40, 20, 0)],
         [], 6 / 11),
}


@pytest.mark.parametrize('name', RULES)
def test_rules_of_the_development_kit(name: str, tmp_path: Path) -> None:
    """By hand, image by image; and as whole pictures in one tile."""
    found, truth, difficult, value = RULES[name]
    sample = _sample('P1', found, truth, difficult)
    alone = run(DOTAMetric, [sample], ('ship', ), iou_kernel='exact')
    assert alone['dota/mAP'] == pytest.approx(value, abs=1e-6)
    _write_labels(tmp_path / 'P1.txt', [(box, 'ship', 0) for box in truth]
                  + [(box, 'ship', 1) for box in difficult])
    whole = run(DOTAMetric, [sample], ('ship', ), merge_patches=True, ann_file=str(tmp_path), iou_thr=1.0)
    if 'twice' not in name and 'second of' not in name:  # NMS takes copies away
        assert whole['dota/mAP'] == pytest.approx(value, abs=1e-6)


def _write_labels(path: Path, rows: list, header: bool = True) -> None:
    lines = ['imagesource:GoogleEarth', 'gsd:0.15'] if header else []
    for box, name, difficulty in rows:
        points = corners(np.array([box]))[0]
        lines.append(' '.join([*(f'{value:.4f}' for value in points), name, str(difficulty)]))
    path.write_text('\n'.join(lines) + '\n')


# ---------------------------------------------------------------------------------- whole pictures


@pytest.fixture
def tiles(tmp_path: Path) -> Callable[..., list[dict]]:
    """``tiles(kind)``: two pictures in overlapping tiles of 300; every object found in every tile
    that has its centre, a bit worse where it is not whole. Label files in ``tmp_path/labels``."""

    def cut(kind: str = 'rbox', scale: float | None = None) -> list[dict]:
        rng = np.random.default_rng(0)
        folder = tmp_path / 'labels'
        folder.mkdir(exist_ok=True)
        samples = []
        for picture in ('P1', 'P2'):
            # on a grid, so that no two objects of a class overlap
            grid = np.stack(np.meshgrid(*[np.arange(40, 460, 80)] * 2), axis=-1).reshape(-1, 2)
            boxes = random_boxes(rng, len(grid))
            boxes[:, :2], boxes[:, 2:4] = grid, boxes[:, 2:4].clip(10, 40)
            labels = rng.integers(0, 3, len(boxes))
            _write_labels(folder / f'{picture}.txt',
                          [(box, CLASSES[label], 0) for box, label in zip(boxes, labels)])
            for x in (0, 200):
                for y in (0, 200):
                    here = ((boxes[:, :2] >= [x, y]) & (boxes[:, :2] < [x + 300, y + 300])).all(axis=1)
                    own = boxes[here] - np.array([x, y, 0, 0, 0], np.float32)
                    edge = np.minimum(own[:, :2], 300 - own[:, :2]).min(axis=1) < 30
                    own[edge, 0] += 2
                    scores = np.where(edge, 0.5, 0.9) + rng.random(len(own)) * 0.01
                    if scale is not None:
                        own[:, :4] *= scale
                    size = 300 if scale is None else scale
                    offset = (x, y) if scale is None else (int(x * scale), int(y * scale))
                    samples.append(dict(
                        img_id=f'{picture}__{size}__{offset[0]}___{offset[1]}',
                        pred_instances=dict(
                            bboxes=torch.from_numpy(
                                corners(own).astype(np.float32) if kind == 'qbox' else own),
                            labels=torch.from_numpy(labels[here]), scores=torch.from_numpy(scores).float())))
        return samples

    return cut


@pytest.mark.parametrize('kind, scale', [('rbox', None), ('qbox', None), ('rbox', 0.5)])
def test_tiles_are_evaluated_as_pictures(tiles: Callable, tmp_path: Path, kind: str, scale: float | None
                                         ) -> None:
    samples = tiles(kind, scale)
    arguments = dict(merge_patches=True, ann_file=str(tmp_path / 'labels'), predict_box_type=kind)
    figures = run(DOTAMetric, samples, iou_thrs=[0.5, 0.75], **arguments)
    assert figures == {'dota/mAP': 1.0, 'dota/AP50': 1.0, 'dota/AP75': 1.0}
    # without the tile of the upper left corner, what only it shows is missed
    assert run(DOTAMetric, samples[1:], **arguments)['dota/mAP'] < 1


def test_merged_tiles_are_mmrotates(tiles: Callable, tmp_path: Path) -> None:
    """The same boxes in the submission; scores with all their digits."""
    samples = tiles()
    for sample in samples:
        sample.update(gt_instances={}, ignored_instances={})
    for cls in (DOTAMetric, HostMetric):
        assert run(cls, samples, merge_patches=True, outfile_prefix=str(tmp_path / cls.__module__)) == {}
    ours, theirs = ({path.name: [line.split() for line in path.read_text().splitlines()]
                     for path in (tmp_path / cls.__module__).glob('*.txt')}
                    for cls in (DOTAMetric, HostMetric))
    assert set(ours) == {f'Task1_{name}.txt' for name in CLASSES} and ours.keys() == theirs.keys()
    written = [row for name in ours for row in ours[name]]
    assert len(written) == 72
    for name in ours:
        assert [row[:1] + row[2:] for row in ours[name]] == [row[:1] + row[2:] for row in theirs[name]]
        assert [round(float(row[1]), 2) for row in ours[name]] == [float(row[1]) for row in theirs[name]]
    scores = np.concatenate([one['pred_instances']['scores'].numpy() for one in samples])
    assert {np.float32(row[1]) for row in written} <= set(scores)
    archive = tmp_path / DOTAMetric.__module__ / f'{DOTAMetric.__module__}.zip'
    with zipfile.ZipFile(archive) as file:
        assert set(file.namelist()) == set(ours)


def test_a_metric_replaces_its_own_submission_only(tiles: Callable, tmp_path: Path) -> None:
    samples = tiles()
    arguments = dict(merge_patches=True, outfile_prefix=str(tmp_path / 'out'))
    metric = DOTAMetric(**arguments)
    metric.dataset_meta = dict(classes=CLASSES)
    for part in (samples, samples[:1]):  # two validations of one training run
        metric.process({}, part)
        metric.evaluate(len(part))
    assert len((tmp_path / 'out/Task1_ship.txt').read_text().splitlines()) < 10
    with pytest.raises(UserError, match='is there already'):
        DOTAMetric(**arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['labels', 'out']


def test_tiles_of_the_real_sample() -> None:
    """DOTA's own labels, cut into tiles as mmrotate's img_split does it, are found in the pictures."""
    folder = Path(__file__).parents[4] / 'shared/data/dota_sample/labelTxt'
    if not folder.is_dir():
        pytest.skip('the real DOTA sample is not here')
    from mmrotate.datasets import DOTADataset
    classes = DOTADataset.METAINFO['classes']
    samples, written = [], 0
    for path in sorted(folder.glob('*.txt')):
        rows = [line.split() for line in path.read_text().splitlines() if len(line.split()) >= 9]
        boxes = np.array([row[:8] for row in rows], np.float32)
        labels = torch.tensor([classes.index(row[8]) for row in rows])
        for x, y in ((0, 0), (87, 0), (0, 158), (87, 158)) if path.stem == 'P0706' else ((0, 0), ):
            own = boxes - np.tile([x, y], 4).astype(np.float32)
            whole = ((own >= 0) & (own < 1024)).all(axis=1)
            written += whole.sum()
            samples.append(dict(img_id=f'{path.stem}__1024__{x}___{y}', pred_instances=dict(
                bboxes=torch.from_numpy(own[whole]), labels=labels[whole],
                scores=torch.ones(int(whole.sum())))))
    assert written > 3 * 594  # most objects are in four tiles
    metric = DOTAMetric(merge_patches=True, ann_file=str(folder), predict_box_type='qbox',
                        iou_thrs=COCO_THRESHOLDS)
    metric.dataset_meta = dict(classes=classes)
    metric.process({}, samples)
    figures = metric.evaluate(len(samples))
    assert set(figures.values()) == {1.0}
    assert sum(one.objects for one in metric.class_results) == 594


# ---------------------------------------------------------------------------------------- bad input


def test_nothing_found_scores_0() -> None:
    samples = random_samples(np.random.default_rng(0), images=3, classes=3, objects=5, found=0)
    assert run(DOTAMetric, samples) == {'dota/mAP': 0.0, 'dota/AP50': 0.0}


def _spoil(side: str, key: str, value: float) -> Callable[[dict], None]:
    def spoil(sample: dict) -> None:
        sample[side][key][0] = value
    return spoil


@pytest.mark.parametrize('spoil, message', [
    (_spoil('pred_instances', 'scores', float('nan')), "image 'P0001': scores that are not finite"),
    (_spoil('pred_instances', 'bboxes', float('inf')), "image 'P0001': bboxes that are not finite"),
    (_spoil('pred_instances', 'labels', 3), 'labels . to 3, but the data set has 3 classes'),
    (lambda sample: sample.update(img_id='P0000'), "two results of one image, 'P0000'"),
    (lambda sample: sample['pred_instances'].update(bboxes=torch.zeros(20, 8)), 'means .n, 5.'),
    (lambda sample: sample['gt_instances'].update(bboxes=torch.zeros(2, 8), labels=torch.zeros(2)),
     'ground truth of shape .2, 8.'),
])
def test_what_cannot_be_is_one_error(spoil: Callable, message: str, tmp_path: Path) -> None:
    samples = random_samples(np.random.default_rng(3), images=3, classes=3, objects=5, found=20)
    spoil(samples[1])
    with pytest.raises(UserError, match=message):
        run(DOTAMetric, samples, outfile_prefix=str(tmp_path / 'out'))
    assert not list(tmp_path.iterdir())


def test_no_ground_truth() -> None:
    samples = random_samples(np.random.default_rng(3), images=2, classes=3, objects=5, found=20)
    for sample in samples:
        sample['gt_instances'] = {}
    with pytest.raises(UserError, match='no ground truth: is LoadAnnotations missing'):
        run(DOTAMetric, samples)


def test_format_only_needs_no_ground_truth(tmp_path: Path) -> None:
    samples = [dict(one, gt_instances={}) for one in
               random_samples(np.random.default_rng(3), images=2, classes=3, objects=5, found=20)]
    assert run(DOTAMetric, samples, format_only=True, outfile_prefix=str(tmp_path / 'out')) == {}
    assert (tmp_path / 'out.bbox.json').stat().st_size > 1000


def test_pictures_and_labels_that_do_not_fit(tiles: Callable, tmp_path: Path) -> None:
    samples = tiles()
    arguments = dict(merge_patches=True, ann_file=str(tmp_path / 'labels'))
    with pytest.raises(UserError, match=r"labels/P1.txt:\d+: class 'ship' is none of the data set's; did"):
        run(DOTAMetric, samples, ('ships', *CLASSES[1:]), **arguments)
    (tmp_path / 'labels/P2.txt').unlink()
    with pytest.raises(UserError, match="has no labels of 1 of 2 pictures, the first is 'P2'"):
        run(DOTAMetric, samples, **arguments)
    samples[0]['img_id'] = 'P1__0___0'
    with pytest.raises(UserError, match="'P1__0___0' is not the name of a tile"):
        run(DOTAMetric, samples, **arguments)
    (tmp_path / 'labels/P1.txt').write_text('1 2 3 4 5 6 7 x ship 0\n')
    with pytest.raises(UserError, match='P1.txt:1: expected eight numbers'):
        run(DOTAMetric, samples[1:4], **arguments)


@pytest.mark.parametrize('arguments, message', [
    (dict(metric='map'), "'map' is not mAP; did you mean mAP"),
    (dict(predict_box_type='rbbox'), 'did you mean'),
    (dict(eval_mode='11point'), 'did you mean 11points'),
    (dict(iou_thrs=[0.5, 50]), '50.0 is not from'),
    (dict(scale_ranges=[(0, 32)]), 'scale_ranges'),
    (dict(format_only=True), 'needs outfile_prefix'),
    (dict(ann_file='.'), 'needs merge_patches=True'),
    (dict(merge_patches=True), 'merge_patches=True needs ann_file'),
    (dict(merge_patches=True, ann_file='nowhere'), "no folder 'nowhere'"),
])
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        METRICS.build(dict(type='mmext.DOTAMetric', **arguments))
