"""PQ against the published rules pixel by pixel, groups, and what is said about bad input."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmext.errors import UserError
from mmext.evaluation.metrics.panoptic_metric import PanopticMetric, compare

CLASSES = ('cat', 'dog', 'grass')


def _plain(truth: np.ndarray, labels: dict[int, tuple[int, bool]], codes: np.ndarray) -> np.ndarray:
    """The rules of panopticapi, one pair of segments at a time."""
    result = np.zeros((len(CLASSES), 4))
    void = ~np.isin(truth, list(labels))
    predicted = [code for code in np.unique(codes) if code % 1000 < len(CLASSES)]
    matched = set()
    for segment, (label, crowd) in labels.items():
        if crowd:
            continue
        here = truth == segment
        for code in predicted:
            there = codes == code
            union = (here | (there & ~void)).sum()
            if code % 1000 == label and (here & there).sum() / max(union, 1) > 0.5:
                result[label, :2] += (here & there).sum() / union, 1
                matched |= {segment, ('code', code)}
        if segment not in matched:
            result[label, 3] += 1
    for code in predicted:
        if ('code', code) in matched:
            continue
        there, label = codes == code, code % 1000
        free = void | np.isin(truth, [one for one, (own, crowd) in labels.items() if crowd and own == label])
        result[label, 2] += (there & free).sum() / there.sum() <= 0.5
    return result


@st.composite
def _pictures(draw: Any) -> tuple[np.ndarray, dict[int, tuple[int, bool]], np.ndarray]:
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    ids = [5, 300, 70_000, 9, 12]
    labels = {one: (int(generator.integers(3)), bool(generator.random() < 0.2)) for one in ids[:4]}
    truth = np.repeat(np.repeat(generator.choice(ids, (3, 3)), 3, 0), 3, 1)
    table = {one: generator.integers(3) + 1000 * number for number, one in enumerate(ids)}
    codes = np.vectorize(table.get)(truth)
    for label, crowd in labels.items():  # most predictions are right
        if generator.random() < 0.8:
            codes[truth == label] = crowd[0] + 1000 * (label % 7)
    noise = generator.random(codes.shape) < 0.2
    codes[noise] = generator.choice([3, 0, 1001, 2], noise.sum())
    return truth, labels, codes


@given(_pictures())
def test_the_rules(pictures: tuple[np.ndarray, dict[int, tuple[int, bool]], np.ndarray]) -> None:
    truth, labels, codes = pictures
    ours = compare(truth, list(labels), [-2 - label if crowd else label for label, crowd in labels.values()],
                   codes, len(CLASSES))
    np.testing.assert_allclose(ours, _plain(truth, labels, codes))


def _files(folder: Path) -> dict[str, str]:
    truth = np.full((6, 6), 1)
    truth[:3, :3], truth[:3, 3:] = 2, 300
    picture = np.stack([truth % 256, truth // 256, 0 * truth], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(folder / 'a.png')
    (folder / 'truth.json').write_text(json.dumps(dict(
        images=[dict(id=7)],
        categories=[dict(id=4, name='grass', isthing=0), dict(id=8, name='cat', isthing=1),
                    dict(id=9, name='dog', isthing=1)],
        annotations=[dict(image_id=7, file_name='a.png', segments_info=[
            dict(id=1, category_id=4), dict(id=2, category_id=8), dict(id=300, category_id=9)])])))
    return dict(ann_file=str(folder / 'truth.json'), seg_prefix=str(folder))


def _sample(codes: np.ndarray, **changes: Any) -> dict:
    return dict(dict(img_id=7, pred_panoptic_seg=dict(sem_seg=codes[None])), **changes)


def _codes() -> np.ndarray:
    codes = np.full((6, 6), 2)
    codes[:3, :3], codes[:3, 3:] = 1000, 2001
    return codes


def _evaluate(folder: Path, codes: np.ndarray, **options: Any) -> dict[str, float]:
    metric = PanopticMetric(**_files(folder), **options)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, [_sample(codes)])
    return metric.evaluate(1)


def test_groups(tmp_path: Path) -> None:
    groups = dict(known=['cat'], unknown=['dog'])
    perfect = _evaluate(tmp_path, _codes(), groups=groups, classwise=True)
    assert set(perfect.values()) == {100.}
    assert {'panoptic/PQ', 'panoptic/PQ_th', 'panoptic/SQ_st', 'panoptic/RQ_unknown',
            'panoptic/dog_PQ'} <= set(perfect)
    codes = _codes()
    codes[codes == 2001] = 3  # the dog is not found
    found = _evaluate(tmp_path, codes, groups=groups)
    assert found['panoptic/PQ_known'] == found['panoptic/PQ_st'] == 100.
    assert found['panoptic/PQ_unknown'] == 0.
    assert found['panoptic/PQ_th'] == pytest.approx(50.)
    assert found['panoptic/PQ'] == pytest.approx(200 / 3)


def test_categories_that_are_no_classes_are_void(tmp_path: Path) -> None:
    metric = PanopticMetric(**_files(tmp_path))
    metric.dataset_meta = dict(classes=('grass', 'cat'))
    codes = np.full((6, 6), 0)
    codes[:3, :3], codes[:3, 3:] = 1001, 2001  # a cat where the dog is: neither right nor wrong
    metric.process({}, [_sample(codes)])
    assert metric.evaluate(1)['panoptic/PQ'] == 100.


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='no file'):
        PanopticMetric(str(tmp_path / 'none.json'), '')
    with pytest.raises(UserError, match=r"'bird' is none"):
        _evaluate(tmp_path, _codes(), groups=dict(unknown=['bird']))
    with pytest.raises(UserError, match='the prediction 5 x 6'):
        _evaluate(tmp_path, _codes()[:, :5])
    files = _files(tmp_path)
    for changes, classes, message in ((dict(seg_prefix='nowhere'), CLASSES, 'seg_prefix'),
                                      ({}, (*CLASSES, 'cats'), "no category 'cats'")):
        metric = PanopticMetric(**dict(files, **changes))
        metric.dataset_meta = dict(classes=classes)
        with pytest.raises(UserError, match=message):
            metric.process({}, [_sample(_codes())])
    metric = PanopticMetric(**files)
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(UserError, match='no image 8'):
        metric.process({}, [_sample(_codes(), img_id=8)])
    (tmp_path / 'truth.json').write_text('[]')
    with pytest.raises(UserError, match='no panoptic annotation file'):
        _evaluate_file(metric, tmp_path)


def _evaluate_file(metric: PanopticMetric, folder: Path) -> None:
    broken = PanopticMetric(str(folder / 'truth.json'), str(folder))
    broken.dataset_meta = metric.dataset_meta
    broken.process({}, [_sample(_codes())])
