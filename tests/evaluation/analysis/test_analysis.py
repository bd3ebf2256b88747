"""Kinds of errors, curves and confusion, against hand-made cases and pycocotools."""
from __future__ import annotations

import csv
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmext import hosts
from mmext.datasets import toy
from mmext.errors import UserError
from mmext.evaluation.analysis import KINDS, box_confusion, error_types, precision_recall, read_boxes
from mmext.evaluation.analysis.errors import RIGHT, UNCOUNTED
from mmext.evaluation.coco import evaluate
from mmext.evaluation.coco.columns import collect_detections, make_truth
from mmext.evaluation.rotated.matching import Found, Objects
from mmext.evaluation.rotated.polygons import corners_of
from tests.apis.tools import run_tool
from tests.evaluation.coco_data import data_sets

TOOL = 'analysis_tools/error_types.py'
CONFIGS = Path(__file__).parents[3] / 'configs/_base_/datasets'


def columns(objects: list, found: list) -> tuple[Objects, Found]:
    """Objects (x1, y1, x2, y2, label, difficult), detections (..., label, score), in one image."""
    truth, answer = np.array(objects, float).reshape(-1, 6), np.array(found, float).reshape(-1, 6)
    return (Objects(np.zeros(len(truth), int), truth[:, 4].astype(int), truth[:, :4], truth[:, 5] > 0),
            Found(np.zeros(len(answer), int), answer[:, 4].astype(int), answer[:, :4], answer[:, 5]))


def from_coco(data: tuple) -> tuple[Objects, Found, object]:
    """The columns of a random COCO data set, and what pycocotools says of it."""
    truth = make_truth(data[0], 'random', None)
    found = collect_detections(data[1], truth)
    tables = evaluate(truth, found, 'bbox', [0.5, 0.75], (1, 10, 1000), 'pycocotools')

    def xyxy(boxes: np.ndarray) -> np.ndarray:
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)

    order = np.argsort(found.image, kind='stable')  # COCO goes image by image, which decides between ties
    return (Objects(truth.image, truth.category, xyxy(truth.boxes), truth.crowd),
            Found(found.image[order], found.category[order], xyxy(found.boxes[order]), found.scores[order]),
            tables)


BOX, FAR = (0, 0, 10, 10), (50, 50, 60, 60)
HALF = (0, 0, 10, 4)  # IoU 0.4 with BOX
CASES = {  # objects, detections, kinds of the detections, objects missed
    'right': ([(*BOX, 0, 0)], [(*BOX, 0, .9)], [RIGHT], 0),
    'classification': ([(*BOX, 0, 0)], [(*BOX, 1, .9)], ['classification'], 0),
    'localisation': ([(*BOX, 0, 0)], [(*HALF, 0, .9)], ['localisation'], 0),
    'both': ([(*BOX, 0, 0)], [(*HALF, 1, .9)], ['both'], 1),
    'duplicate': ([(*BOX, 0, 0)], [(*BOX, 0, .9), (*BOX, 0, .8)], [RIGHT, 'duplicate'], 0),
    'background': ([(*BOX, 0, 0)], [(*FAR, 0, .9)], ['background'], 1),
    'missed': ([(*BOX, 0, 0), (*FAR, 0, 0)], [(*BOX, 0, .9)], [RIGHT], 1),
    'on a difficult object': ([(*BOX, 0, 1)], [(*BOX, 0, .9)], [UNCOUNTED], 0),
    'a misplaced one beside the right one':
        ([(*BOX, 0, 0)], [(*BOX, 0, .9), (*HALF, 0, .8)], [RIGHT, 'localisation'], 0),
    'nothing at all': ([], [], [], 0),
    'an image without objects': ([], [(*BOX, 0, .9)], ['background'], 0),
}


@pytest.mark.parametrize('name', CASES)
def test_kinds(name: str) -> None:
    objects, found, kinds, missed = CASES[name]
    expected = [KINDS.index(one) if isinstance(one, str) else one for one in kinds]
    report = error_types(*columns(objects, found), classes=2)
    assert report.kind.tolist() == expected
    assert report.missed.sum() == missed
    counts = report.counts.sum(axis=0).tolist()
    assert counts == [expected.count(one) for one in range(5)] + [missed]


@pytest.mark.parametrize('name, gain', [
    ('classification', 1), ('localisation', 1), ('both', 0), ('background', 0), ('missed', None)])
def test_gains(name: str, gain: float | None) -> None:
    """What mending the one error of a case brings."""
    objects, found, *_ = CASES[name]
    report = error_types(*columns(objects, found), classes=2)
    if name == 'missed':  # one of two objects: 51 of the 101 recalls
        assert report.ap == pytest.approx(51 / 101) and report.gain[-1] == pytest.approx(50 / 101)
        assert report.gain_false_negatives == pytest.approx(50 / 101)
        return
    assert report.ap == 0 and report.gain[KINDS.index(name)] == pytest.approx(gain)


def test_a_duplicate_before_another_object_costs() -> None:
    objects = [(*BOX, 0, 0), (*FAR, 0, 0)]
    found = [(*BOX, 0, .9), (*BOX, 0, .8), (*FAR, 0, .7)]
    report = error_types(*columns(objects, found), classes=1)
    assert report.ap == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert report.gain[KINDS.index('duplicate')] == pytest.approx(1 - report.ap)
    assert report.gain_false_positives == pytest.approx(1 - report.ap)


@settings(max_examples=60, deadline=None)
@given(data=data_sets())
def test_average_precision_is_cocos_and_every_error_has_one_kind(data: tuple) -> None:
    objects, found, tables = from_coco(data)
    classes = len(tables.names)
    report = error_types(objects, found, classes)
    for threshold in (0.5, 0.75):
        aps = [one.ap if one.objects else -1 for one in precision_recall(objects, found, classes, threshold)]
        assert aps == pytest.approx([tables.ap(threshold, category=i) for i in range(classes)], abs=1e-12)
    if len(objects.image) and not objects.difficult.all():
        assert report.ap == pytest.approx(tables.ap(0.5), abs=1e-12)
        assert report.gain_false_positives >= -1e-12 and report.gain_false_negatives >= -1e-12
        assert (report.gain[2:] >= -1e-12).all()
    wrong = (report.kind >= 0).sum()
    assert report.counts[:, :5].sum() == wrong
    assert wrong + (report.kind == RIGHT).sum() + (report.kind == UNCOUNTED).sum() == len(found)


@settings(max_examples=30, deadline=None)
@given(data=data_sets())
def test_upright_boxes_as_corners_give_the_same(data: tuple) -> None:
    """Oriented boxes go through polygons; crowds have another overlap there and are left out."""
    objects, found, tables = from_coco(data)
    easy = ~objects.difficult
    objects = Objects(objects.image[easy], objects.label[easy], objects.boxes[easy], objects.difficult[easy])
    # away from round numbers, where the last digit of an IoU decides
    shift = np.random.default_rng(0).uniform(-0.3, 0.3, found.boxes.shape)
    found = Found(found.image, found.label, found.boxes + shift, found.scores)

    def turned(boxes: np.ndarray) -> np.ndarray:
        size = boxes[:, 2:] - boxes[:, :2]
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        return corners_of(np.concatenate([centre, size, np.zeros((len(boxes), 1))], axis=1)).reshape(-1, 8)

    other = (Objects(objects.image, objects.label, turned(objects.boxes), objects.difficult),
             Found(found.image, found.label, turned(found.boxes), found.scores))
    classes = len(tables.names)
    one, two = (error_types(*sides, classes) for sides in ((objects, found), other))
    np.testing.assert_array_equal(one.kind, two.kind)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_array_equal(*(box_confusion(*sides, classes) for sides in ((objects, found), other)))


def test_truth_as_prediction_has_no_errors() -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 100, (40, 2)).repeat(2, axis=0).reshape(40, 4) + [0, 0, 20, 30]
    image, label = rng.integers(0, 4, 40), rng.integers(0, 3, 40)
    sides = (Objects(image, label, boxes, np.zeros(40, bool)), Found(image, label, boxes, np.ones(40)))
    report = error_types(*sides, classes=3)
    assert report.ap == 1 and report.counts.sum() == 0 and not report.gain.any()
    assert all(one.ap == 1 for one in precision_recall(*sides, classes=3))
    matrix = box_confusion(*sides, classes=3)
    assert matrix.trace() == matrix.sum() == 40


def test_confusion() -> None:
    objects = [(*BOX, 0, 0), (*FAR, 1, 0), (100, 100, 120, 120, 1, 0), (200, 0, 220, 20, 0, 1)]
    found = [(*BOX, 1, .9), (*FAR, 1, .8), (*FAR, 1, .7), (300, 300, 310, 310, 0, .6),
             (200, 0, 220, 20, 1, .9), (100, 100, 120, 120, 1, .2)]
    matrix = box_confusion(*columns(objects, found), classes=2, score=0.3)
    assert matrix.tolist() == [[0, 1, 0],   # class 0 was taken for class 1
                               [0, 1, 1],   # one found; one only with a score below 0.3
                               [1, 1, 0]]   # something on nothing, and a second one on FAR


# ------------------------------------------------------------------------------------------ the tool


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hosts.repair()
    toy.make(tmp_path / 'toy', num_train=1, num_val=6)
    monkeypatch.setenv(toy.ROOT_VARIABLE, str(tmp_path / 'toy'))
    return tmp_path


def write_case(work: Path, kind: str, spoil: bool) -> Path:
    """A config and its truth as predictions in a .pkl, some of it spoiled."""
    scope = dict(coco_detection='mmdet', dota='mmrotate')[kind]
    base = CONFIGS / f'toy_{kind}.py'
    (work / 'config.py').write_text(f"_base_ = '{base}'\ndefault_scope = '{scope}'\n")
    cfg = Config.fromfile(base)
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    records = []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        boxes = np.array([one['bbox'] for one in info['instances'] if not one['ignore_flag']], np.float32)
        labels = [one['bbox_label'] for one in info['instances'] if not one['ignore_flag']]
        if spoil and i % 2:
            boxes, labels = boxes[1:], [(one + 1) % 5 for one in labels[1:]]
        records.append(dict(img_id=info['img_id'], pred_instances=dict(
            bboxes=torch.from_numpy(boxes.reshape(len(labels), -1)), labels=torch.tensor(labels),
            scores=torch.full((len(labels), ), 0.9))))
    (work / 'results.pkl').write_bytes(pickle.dumps(records))
    return work / 'config.py'


@pytest.mark.parametrize('kind', ['coco_detection', 'dota'])
def test_tool(work: Path, kind: str, capsys: pytest.CaptureFixture) -> None:
    config = write_case(work, kind, spoil=False)
    assert run_tool(TOOL, config, work / 'results.pkl', work / 'out') == 0
    assert 'AP50 1.000; without wrong detections 1.000' in capsys.readouterr().out
    config = write_case(work, kind, spoil=True)
    assert run_tool(TOOL, config, work / 'results.pkl', work / 'out') == 0
    rows = {row[0]: row[1:] for row in csv.reader((work / 'out/errors.csv').open())}
    assert int(rows['all'][KINDS.index('classification')]) > 3 and int(rows['all'][-1]) > 3
    assert float(rows['AP lost'][0]) > 0.1
    classes = list(csv.DictReader((work / 'out/classes.csv').open()))
    assert [row['class'] for row in classes] == list(toy.CLASSES[:5])
    for name in ('errors', 'curves', 'instances', 'confusion'):
        assert cv2.imread(str(work / f'out/{name}.png')).std() > 1
    assert not list((work / 'out').glob('.*'))


def test_tool_says_what_is_wrong(work: Path, capsys: pytest.CaptureFixture) -> None:
    config = write_case(work, 'coco_detection', spoil=False)
    records = pickle.loads((work / 'results.pkl').read_bytes())
    cases = [
        ('no predictions at', [config, work / 'none.pkl', work / 'out']),
        ('background-thr <= iou-thr', [config, work / 'results.pkl', work / 'out', '--iou-thr', '0.05']),
    ]
    found = records[0]['pred_instances']
    for change, message in ((dict(img_id=99), 'image 99, which the data set does not have'),
                            (dict(img_id=records[1]['img_id']), 'two results of one image'),
                            (dict(pred_instances=dict(found, scores=found['scores'] * np.nan)),
                             'not finite')):
        path = work / f'{len(cases)}.pkl'
        path.write_bytes(pickle.dumps([{**records[0], **change}, *records[1:]]))
        cases.append((message, [config, path, work / 'out']))
    for message, arguments in cases:
        assert run_tool(TOOL, *arguments) == 2
        assert message in capsys.readouterr().err
    assert not (work / 'out').exists()


def test_predictions_of_other_classes() -> None:
    class Data:
        metainfo = dict(classes=('a', 'b'))

        def __len__(self) -> int:
            return 1

        def get_data_info(self, index: int) -> dict:
            return dict(img_id=0, instances=[dict(bbox=[0, 0, 5, 5], bbox_label=0, ignore_flag=0)])

    found = dict(bboxes=np.zeros((1, 4)), labels=np.array([2]), scores=np.ones(1))
    with pytest.raises(UserError, match='labels 2 to 2, but the data set has 2 classes'):
        read_boxes(Data(), [dict(img_id=0, pred_instances=found)])
    with pytest.raises(UserError, match='no pred_instances'):
        read_boxes(Data(), [dict(img_id=0)])
