"""PRAE against float64 brute force of its definition, and the comparators against ensemble-boxes.

The authors have released neither code nor weights: the cases hold what the definition gives, and there is
nothing to convert.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmext.evaluation.rotated.matching import Objects
from mmext.models.ensemble import Detections
from mmext.registry import TASK_UTILS
from tests.parity.cases import Case, cases

#: How ensemble-boxes was called for the outputs ``cmp_*``; None is the case's threshold.
COMPARATORS: dict[str, dict[str, Any]] = {
    'nms': dict(type='nms'),
    'soft_nms_linear': dict(type='soft_nms', method='linear'),
    'soft_nms_gaussian': dict(type='soft_nms', method='gaussian'),
    'nmw': dict(type='nmw'),
    'wbf': dict(type='wbf', iou_threshold=0.55),
}
SETTINGS = ('num_bins', 'iou_thrs', 'area_edges', 'assign', 'bandit', 'alpha', 'min_count', 'monotone',
            'keep_raw', 'interpolate')


def _detections(case: Case, split: str) -> Detections:
    columns = (case.inputs[f'{split}_{name}'].numpy()
               for name in ('image', 'detector', 'labels', 'boxes', 'scores'))
    return Detections.of(*columns)


def _objects(case: Case, split: str) -> Objects:
    image, label, boxes = (case.inputs[f'{split}_gt_{name}'].numpy() for name in ('image', 'labels', 'boxes'))
    return Objects(image, label, boxes, np.zeros(len(image), bool))


def _close(actual: np.ndarray, expected: Tensor, tolerance: float, what: str) -> None:
    assert actual.shape == expected.shape, what
    error = np.abs(actual - expected.numpy()).max(initial=0)
    assert error <= tolerance, f'{what} is off by {error:.3g}'


@pytest.mark.parametrize('case', cases('prae'))
def test_parity(case: Case) -> None:
    args, tolerance, expected = case.args, case.spec['tolerance'], case.outputs
    detectors = [f'detector {i}' for i in range(args['num_detectors'])]
    classes = [f'class {i}' for i in range(args['num_classes'])]
    calibrator = TASK_UTILS.build(dict(type='mmext.PRAECalibrator', **{key: args[key] for key in SETTINGS}))
    calibrator.fit(_detections(case, 'val'), _objects(case, 'val'), detectors, classes)
    _close(calibrator.count, expected['count'], 0, 'count')
    _close(calibrator.reward, expected['reward'], tolerance['table'], 'reward')
    _close(calibrator.table, expected['table'], tolerance['table'], 'table')
    test = _detections(case, 'test')
    _close(calibrator.refine(test), expected['refined_scores'], tolerance['refined'], 'refined scores')
    fusion = TASK_UTILS.build(dict(
        type='mmext.PRAEFusion', nms=dict(type='p_nms', iou_threshold=args['nms_iou_thr'])))
    fused = fusion(test, calibrator)
    assert torch.equal(torch.from_numpy(fused.source), expected['pnms_keep'])
    _close(fused.detections.scores, expected['refined_scores'][expected['pnms_keep']], tolerance['refined'],
           'scores of P-NMS')
    compared = {name.split('.')[0] for name in expected if name.startswith('cmp_')}
    assert compared <= {f'cmp_{name}' for name in COMPARATORS}


def _sorted(columns: list[np.ndarray]) -> np.ndarray:
    """Rows in an order that does not depend on that of the detections."""
    table = np.column_stack(columns)
    return table[np.lexsort(np.round(table, 2).T[::-1])]


@pytest.mark.parametrize('name', COMPARATORS)
@pytest.mark.parametrize('case', cases('prae'))
def test_comparators(case: Case, name: str) -> None:
    """As sets: ensemble-boxes returns one class after the other. It works in single precision."""
    if f'cmp_{name}.boxes' not in case.outputs:
        pytest.skip(f'{case} has no outputs of {name}')
    test = _detections(case, 'test')
    if not name.startswith('soft'):
        test = test[::-1]  # of equal scores ensemble-boxes takes the last first
    settings = dict(dict(iou_threshold=case.args['nms_iou_thr']), **COMPARATORS[name])
    fused = TASK_UTILS.build(dict(type='mmext.PRAEFusion', nms=settings))(
        test, detectors=case.args['num_detectors'])
    found = fused.detections
    scores = found.scores
    if name.startswith('soft'):
        assert (scores <= test.scores[fused.source]).all()
        scores = test.scores[fused.source]  # ensemble-boxes gives the scores before their decay
    expected = {key.rpartition('.')[2]: value.numpy() for key, value in case.outputs.items()
                if key.startswith(f'cmp_{name}.')}
    actual = _sorted([found.image, found.label, scores, found.boxes])
    reference = _sorted([expected[key] for key in ('image', 'labels', 'scores', 'boxes')])
    assert actual.shape == reference.shape
    np.testing.assert_allclose(actual, reference, atol=1e-4, rtol=1e-6)
