"""AP50 of base and novel classes against COCOeval on the same subsets; bad input."""
from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmext.errors import UserError
from mmext.evaluation.metrics.open_vocabulary_metric import OpenVocabularyMetric

#: The order of labels is neither that of the file nor that of the base classes.
CLASSES, BASE = ('dog', 'bus', 'cat', 'kite'), ('kite', 'dog')
NUMBERS = dict(cat=3, bus=7, dog=11, kite=12, ignored=20)
SIZE = 24


def _mask(generator: np.random.Generator) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool, order='F')
    x, y = generator.integers(0, SIZE - 10, 2)
    w, h = generator.integers(5, 11, 2)
    mask[y:y + h, x:x + w] = True
    return mask


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]


def _coded(mask: np.ndarray) -> dict:
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(code, counts=code['counts'].decode())


def _scene(folder: Path) -> tuple[str, list[dict]]:
    """A file of 8 images, and results that are often right."""
    generator = np.random.default_rng(0)
    annotations: list[dict] = []
    samples = []
    for image in range(8):
        present = generator.choice(list(NUMBERS), 3)
        if image == 0:
            present = np.array(['ignored'])  # an image without anything of any part
        masks = [_mask(generator) for _ in present]
        annotations += [dict(id=len(annotations) + n + 1, image_id=image, category_id=NUMBERS[name],
                             iscrowd=0, area=int(mask.sum()), bbox=_box(mask), segmentation=_coded(mask))
                        for n, (name, mask) in enumerate(zip(present, masks))]
        sample: dict[str, Any] = dict(img_id=image, ori_shape=(SIZE, SIZE))
        for field, names in (('pred_instances', CLASSES), ('base_instances', BASE),
                             ('novel_instances', ('bus', 'cat'))):
            guesses = []
            for name, mask in zip(present, masks):
                right = name in names and generator.random() < 0.7
                guesses.append((name if right else generator.choice(names),
                                mask if generator.random() < 0.6 else _mask(generator)))
            found = np.array([mask for _, mask in guesses])
            boxes = np.array([_box(mask) for mask in found], dtype=float)
            boxes[:, 2:] += boxes[:, :2]
            sample[field] = dict(labels=np.array([CLASSES.index(name) for name, _ in guesses]), bboxes=boxes,
                                 scores=generator.random(len(guesses)), masks=found)
        samples.append(sample)
    path = folder / 'truth.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=image, width=SIZE, height=SIZE) for image in range(8)], annotations=annotations,
        categories=[dict(id=number, name=name) for name, number in NUMBERS.items()])))
    return str(path), samples


def _coco_eval(path: str, samples: list[dict], field: str, names: tuple[str, ...],
               metric: str) -> dict[str, float]:
    """AP50 of each class on the images that have one of ``names``, by COCOeval itself."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        ids = sorted(NUMBERS[name] for name in names)
        images = sorted({one['image_id'] for one in truth.dataset['annotations']
                         if one['category_id'] in ids})
        rows = []
        for sample in samples:
            found = sample[field]
            for label, score, mask in zip(found['labels'], found['scores'], found['masks']):
                rows.append(dict(image_id=sample['img_id'], category_id=NUMBERS[CLASSES[label]],
                                 score=float(score), segmentation=_coded(mask), bbox=_box(mask)))
        if metric == 'segm':
            for row in rows:
                del row['bbox']
        evaluation = COCOeval(truth, truth.loadRes(rows), metric)
        evaluation.params.imgIds, evaluation.params.catIds = images, ids
        evaluation.params.maxDets = [100, 300, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    found_ids = list(evaluation.params.catIds)
    figures = {}
    for name in names:
        precision = evaluation.eval['precision'][0, :, found_ids.index(NUMBERS[name]), 0, -1]
        valid = precision[precision > -1]
        figures[name] = float(valid.mean()) if len(valid) else float('nan')
    return figures


@pytest.mark.parametrize('metric', ['segm', 'bbox'])
def test_the_parts_are_those_of_cocoeval(tmp_path: Path, metric: str) -> None:
    path, samples = _scene(tmp_path)
    ours = OpenVocabularyMetric(path, BASE, metric=metric, classwise=True)
    ours.dataset_meta = dict(classes=CLASSES)
    for start in range(0, 8, 3):
        ours.process({}, samples[start:start + 3])
    figures = ours.evaluate(8)
    theirs = _coco_eval(path, samples, 'pred_instances', CLASSES, metric)
    expected = dict(generalised_all=np.nanmean(list(theirs.values())),
                    generalised_base=np.nanmean([theirs[name] for name in BASE]),
                    generalised_novel=np.nanmean([theirs['bus'], theirs['cat']]),
                    **{f'{name}_AP50': value for name, value in theirs.items()})
    for part, names in (('base', BASE), ('novel', ('bus', 'cat'))):
        expected[f'constrained_{part}'] = np.nanmean(
            list(_coco_eval(path, samples, f'{part}_instances', names, metric).values()))
    assert 0.1 < expected['generalised_novel'] < 0.9
    assert len({round(value, 3) for value in expected.values()}) > 5
    assert figures.keys() == {f'open/{name}' for name in expected}
    for name, value in expected.items():
        assert figures[f'open/{name}'] == pytest.approx(value, abs=6e-4), name  # three digits are kept


def test_a_model_without_parts_has_generalised_figures_only(tmp_path: Path) -> None:
    path, samples = _scene(tmp_path)
    metric = OpenVocabularyMetric(path, BASE)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process({}, [{key: sample[key] for key in ('img_id', 'ori_shape', 'pred_instances')}
                        for sample in samples])
    assert metric.evaluate(8).keys() == {'open/generalised_all', 'open/generalised_base',
                                         'open/generalised_novel'}


def test_processes_gather_images_not_results(tmp_path: Path) -> None:
    """Three processes have nine of the eight images: the last one twice, which is cut off by position."""
    path, samples = _scene(tmp_path)

    def metric() -> OpenVocabularyMetric:
        made = OpenVocabularyMetric(path, BASE)
        made.dataset_meta = dict(classes=CLASSES)
        return made

    alone, gathered = metric(), metric()
    alone.process({}, samples)
    parts = []
    for rank in range(3):
        one = metric()
        one.process({}, (samples + samples[:1])[rank::3])
        parts.append(one.results)
    in_order = [result for group in zip(*parts) for result in group][:len(samples)]
    figures = alone.evaluate(8)
    assert gathered.compute_metrics(in_order) == {key.removeprefix('open/'): value
                                                  for key, value in figures.items()}
    # inside mmext.MultiDatasetMetric it is compute_metrics that is asked
    assert len(in_order) == 8 and 'open/constrained_novel' in figures


def test_results_may_be_tensors_and_masks_coded(tmp_path: Path) -> None:
    path, samples = _scene(tmp_path)
    arrays, tensors = (OpenVocabularyMetric(path, BASE) for _ in range(2))
    for metric in (arrays, tensors):
        metric.dataset_meta = dict(classes=CLASSES)
    arrays.process({}, samples)
    fields = ('pred_instances', 'base_instances', 'novel_instances')
    tensors.process({}, [{**sample, **{field: {
        key: [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in value]
        if key == 'masks' else torch.from_numpy(value) for key, value in sample[field].items()}
        for field in fields}} for sample in samples])
    assert arrays.evaluate(8) == tensors.evaluate(8)


def test_bad_input(tmp_path: Path) -> None:
    path, samples = _scene(tmp_path)
    with pytest.raises(UserError, match="metric='mask'"):
        OpenVocabularyMetric(path, BASE, metric='mask')
    with pytest.raises(UserError, match='no file'):
        OpenVocabularyMetric(str(tmp_path / 'none.json'), BASE)
    for classes, base, message in ((CLASSES, ('kites', ), "'kites' is none .*did you mean kite"),
                                   ((*CLASSES, 'cats'), BASE, "no category 'cats'; did you mean cat")):
        metric = OpenVocabularyMetric(path, base)
        metric.dataset_meta = dict(classes=classes)
        with pytest.raises(UserError, match=message):
            metric.process({}, samples[:1])
    Path(path).write_text('{}')
    metric = OpenVocabularyMetric(path, BASE)
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(UserError, match='no COCO annotation file'):
        metric.process({}, samples[:1])
