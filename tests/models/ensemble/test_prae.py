"""PRAE: the fast path against brute force, the file, the choice between raw and calibrated, errors."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.errors import UserError
from mmext.evaluation.rotated.matching import Objects
from mmext.models.ensemble import Detections, PRAECalibrator, PRAEFusion
from mmext.models.ensemble.plots import calibration_error, draw_reliability
from tests.models.ensemble import brute_force
from tests.models.ensemble.random_scenes import CLASSES, DETECTORS, random_scenes

SETTINGS = st.fixed_dictionaries(dict(
    num_bins=st.sampled_from([1, 2, 7, 10]),
    iou_thrs=st.sampled_from([(0.5, ), (0.3, 0.5, 0.75)]),
    area_edges=st.sampled_from([(), (200., ), (100., 600.)]),
    assign=st.sampled_from(['independent', 'greedy']),
    bandit=st.sampled_from(['none', 'ucb', 'lcb', 'wilson']),
    alpha=st.sampled_from([0., 0.1, 1.]),
    min_count=st.integers(1, 4),
    monotone=st.booleans(),
    keep_raw=st.sampled_from([0., 1e-3, 1.]),
    interpolate=st.booleans()))


@pytest.mark.filterwarnings('ignore:PRAE')
@settings(deadline=None, max_examples=20)
@given(SETTINGS, st.integers(0, 10**6), st.sampled_from([4, 5, 8]), st.booleans(),
       st.sampled_from([0., 0.3]), st.sampled_from([0.3, 0.5, 0.7]))
def test_is_the_definition(options, seed, width, ties, ignored, iou_threshold) -> None:
    found, objects = random_scenes(seed, images=4, width=width, ties=ties, ignored=ignored)
    shape = (len(DETECTORS), len(CLASSES), len(options['area_edges']) + 1, options['num_bins'])
    count, reward, table = brute_force.fitted(options, found, objects, shape)
    calibrator = PRAECalibrator(**options).fit(found, objects, DETECTORS, CLASSES)
    assert np.array_equal(calibrator.count, count)
    np.testing.assert_allclose(calibrator.reward, reward, atol=1e-9)
    if (calibrator.class_objects > 0).all():  # else the definition has no answer, see the test below
        np.testing.assert_allclose(calibrator.table, table, atol=1e-9)
    test, _ = random_scenes(seed + 1, images=4, width=width, ties=ties)
    refined = calibrator.refine(test)
    np.testing.assert_allclose(refined, brute_force.refined(calibrator, calibrator.table, test), atol=1e-12)
    fused, source = PRAEFusion(dict(iou_threshold=iou_threshold))(test, calibrator)
    assert source.tolist() == brute_force.p_nms(test, refined, iou_threshold)
    assert np.array_equal(fused.scores, refined[source])
    assert np.array_equal(fused.boxes, test.boxes[source])


def test_a_class_without_objects_takes_the_detectors_curve() -> None:
    found, objects = random_scenes(0)
    seen = objects.label != 2
    objects = Objects(objects.image[seen], objects.label[seen], objects.boxes[seen], objects.difficult[seen])
    with pytest.warns(UserWarning, match='no object of ring'):
        calibrator = PRAECalibrator(bandit='none', num_bins=2).fit(found, objects, DETECTORS, CLASSES)
    whole = calibrator.reward.sum((1, 2)) / calibrator.count.sum((1, 2))
    np.testing.assert_allclose(calibrator.table[:, 2, 0], whole)
    assert (calibrator.table[:, 2] > 0).any()
    with pytest.warns(UserWarning, match='no object of ring') as warned:
        PRAECalibrator(num_bins=2).select(found, objects, DETECTORS, CLASSES, folds=2)
    assert len([one for one in warned if 'no object' in str(one.message)]) == 1, 'a fold is no reason to warn'


def test_an_overconfident_detector_no_longer_wins() -> None:
    """One detector is sure of everything and right half the time, one careful and right."""
    rng = np.random.default_rng(0)
    count = 400
    low = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([low, low + 30], axis=1)
    careful = np.concatenate([low + 2, low + 32], axis=1)
    wrong = np.where(rng.random((count, 1)) < 0.5, boxes + 12, boxes)
    image = np.tile(np.arange(count), 2)
    scores = np.concatenate([rng.uniform(0.8, 1, count), rng.uniform(0.3, 0.5, count)])
    found = Detections.of(image, np.repeat([0, 1], count), np.zeros(2 * count),
                          np.concatenate([wrong, careful]), scores)
    objects = Objects(np.arange(count), np.zeros(count, np.int64), boxes, np.zeros(count, bool))
    calibrator = PRAECalibrator().fit(found, objects, ('loud', 'careful'), ('thing', ))
    assert calibration_error(calibrator, 0) > 0.3
    fused = PRAEFusion(dict(iou_threshold=0.2))(found, calibrator).detections
    raw = PRAEFusion(dict(type='nms', iou_threshold=0.2))(found).detections
    assert (fused.detector == 1).mean() > 0.9
    assert (raw.detector == 0).all()


def test_cross_validation_keeps_good_scores_raw() -> None:
    """Scores that rank perfectly cannot be improved on a small split; distorted ones can."""
    found, objects = random_scenes(1, images=30)
    worth, _ = PRAECalibrator().rewards_of(found, objects, DETECTORS, CLASSES)
    jitter = np.random.default_rng(0).uniform(0, 0.4, len(found))
    perfect = Detections(found.image, found.detector, found.label, found.boxes, 0.5 * worth + jitter)
    chosen = PRAECalibrator().select(perfect, objects, DETECTORS, CLASSES)
    assert set(chosen.selection) == {'raw', 'none', 'ucb'}
    assert chosen.bandit == 'raw' and np.array_equal(chosen.refine(perfect), perfect.scores)
    reverse = Detections(found.image, found.detector, found.label, found.boxes, 1 - perfect.scores)
    chosen = PRAECalibrator().select(reverse, objects, DETECTORS, CLASSES)
    assert chosen.bandit != 'raw'
    assert chosen.selection[chosen.bandit] > chosen.selection['raw'] + 0.05


def test_saved_and_loaded(tmp_path: Path) -> None:
    found, objects = random_scenes(2)
    path = tmp_path / 'new' / 'calibration.json'
    one = PRAECalibrator(area_edges=(300., ), monotone=True)
    one.select(found, objects, DETECTORS, CLASSES, folds=2)
    one.save(path)
    two = PRAECalibrator.load(path)
    assert two.config == one.config and two.selection == one.selection
    assert np.array_equal(one.table, two.table) and np.array_equal(one.refine(found), two.refine(found))
    assert list(path.parent.iterdir()) == [path]
    draw_reliability(two, tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 10_000


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'calibration.json'
    calibrator = PRAECalibrator().fit(*random_scenes(2), DETECTORS, CLASSES)
    calibrator.save(path)
    before = path.read_bytes()
    monkeypatch.setattr('os.replace', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        PRAECalibrator(bandit='none').fit(*random_scenes(3), DETECTORS, CLASSES).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('stopped_at', [1, 3, 5])
def test_an_interrupted_fit_leaves_the_last_one(stopped_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at any of the tables that a cross-validation makes."""
    from mmext.models.ensemble import calibrator as module
    calibrator = PRAECalibrator(bandit='lcb').fit(*random_scenes(2), DETECTORS, CLASSES)
    before, corrected, calls = dict(vars(calibrator)), module.corrected, []

    def stop(*args: object) -> np.ndarray:
        calls.append(args)
        if len(calls) == stopped_at:
            raise KeyboardInterrupt
        return corrected(*args)

    monkeypatch.setattr(module, 'corrected', stop)
    with pytest.raises(KeyboardInterrupt):
        calibrator.select(*random_scenes(3), DETECTORS, CLASSES, folds=2)
    assert all(vars(calibrator)[key] is value for key, value in before.items())
    calls[:] = [None] * (stopped_at - 1)
    with pytest.raises(KeyboardInterrupt):
        calibrator.fit(*random_scenes(3), DETECTORS, CLASSES)
    assert all(vars(calibrator)[key] is value for key, value in before.items())


@pytest.mark.parametrize(('change', 'message'), [
    (dict(version=99), 'version 99'),
    (dict(format='something'), 'not a calibration file'),
    (dict(table=[[1.]]), 'table has shape'),
    (dict(count='x'), 'count is not a table'),
    (dict(config=dict(bins=3)), "does not know: \\['bins'\\]"),
    (dict(class_names=None), 'incomplete, it has no class_names'),
])
def test_a_wrong_file(change, message, tmp_path: Path) -> None:
    path = tmp_path / 'c.json'
    PRAECalibrator().fit(*random_scenes(2), DETECTORS, CLASSES).save(path)
    content = json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    with pytest.raises(UserError, match=f'c.json: .*{message}'):
        PRAECalibrator.load(path)


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(assign='greedyy'), 'did you mean greedy'),
    (dict(bandit='ubc'), 'did you mean ucb'),
    (dict(num_bins=0), 'num_bins: 0 must be 1 or more'),
    (dict(iou_thrs=(0., )), 'iou_thrs'),
    (dict(area_edges=(5., 1.)), 'area_edges.*ascending'),
    (dict(keep_raw=2), 'keep_raw'),
])
def test_wrong_arguments(arguments, message) -> None:
    with pytest.raises(UserError, match=message):
        PRAECalibrator(**arguments)


def _changed(found: Detections, **columns: np.ndarray) -> Detections:
    return Detections(**{**vars(found), **columns})


def test_wrong_detections() -> None:
    found, objects = random_scenes(4)
    calibrator = PRAECalibrator()
    high, nan = found.scores.copy(), found.boxes.copy()
    high[5], nan[5] = 1.5, np.nan
    for wrong, message in (
            (_changed(found, scores=high), r'one has a score of 1.5, 1 outside \[0, 1\]'),
            (_changed(found, boxes=nan), 'box that is not finite'),
            (_changed(found, label=found.label + 2), 'but there are 3 classes'),
            (_changed(found, detector=found.detector * 0), 'two has no detection')):
        with pytest.raises(UserError, match=message):
            calibrator.fit(wrong, objects, DETECTORS, CLASSES)
    none = Objects(objects.image, objects.label, objects.boxes, np.ones(len(objects.image), bool))
    with pytest.raises(UserError, match='has no object'):
        calibrator.fit(found, none, DETECTORS, CLASSES)
    with pytest.raises(UserError, match='nothing has been fitted'):
        calibrator.refine(found)
    with pytest.raises(UserError, match='folds: 99'):
        calibrator.select(found, objects, DETECTORS, CLASSES, folds=99)
    calibrator.fit(found, objects, DETECTORS, CLASSES)
    with pytest.raises(UserError, match='in another order than those of the calibration'):
        calibrator.require(DETECTORS[::-1], CLASSES, 'results')
    with pytest.raises(UserError, match='classes are .* not those'):
        calibrator.require(DETECTORS, ('a', 'b'), 'results')
