"""``nms=dict(type='p_nms(idxs)')``: through mmcv's batched_nms and a host's detector."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms

import mmext  # noqa: F401  makes p_nms known to mmcv
from mmext.errors import UserError
from mmext.models.ensemble import PRAECalibrator, PRAEFusion
from tests.models.ensemble.random_scenes import CLASSES, DETECTORS, random_scenes


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    """Fitted on random upright boxes."""
    return PRAECalibrator(area_edges=(300., )).fit(
        *random_scenes(0), DETECTORS, CLASSES).save(tmp_path / 'calibration.json')


@pytest.mark.parametrize('split', [10000, 5], ids=['at once', 'class by class'])
@pytest.mark.parametrize('width', [4, 5])
def test_is_p_nms(calibration: Path, width: int, split: int) -> None:
    found, _ = random_scenes(5, images=1, found=60, width=width)
    found = found[found.detector == 1]
    expected, source = PRAEFusion(dict(iou_threshold=0.4))(found, PRAECalibrator.load(calibration))
    dets, keep = batched_nms(
        torch.from_numpy(found.boxes).float(), torch.from_numpy(found.scores).float(),
        torch.from_numpy(found.label),
        dict(type='p_nms(idxs)', iou_threshold=0.4, calibration=str(calibration), detector='two',
             split_thr=split))
    assert sorted(keep.tolist()) == sorted(source.tolist())
    np.testing.assert_allclose(dets[:, -1], expected.scores, atol=1e-6)
    np.testing.assert_allclose(dets[:, :-1], found.boxes[keep.numpy()], atol=1e-4)


def test_wrong_settings(calibration: Path, tmp_path: Path) -> None:
    def call(kind: str = 'p_nms(idxs)', **options: str) -> None:
        batched_nms(torch.rand(3, 4).cumsum(1), torch.rand(3), torch.zeros(3, dtype=torch.long),
                    dict(type=kind, iou_threshold=0.5, **options))

    with pytest.raises(UserError, match=r"write type='p_nms\(idxs\)'"):
        call('p_nms', calibration=str(calibration))
    with pytest.raises(UserError, match="detector='ona' is none of .*; did you mean one"):
        call(calibration=str(calibration), detector='ona')
    with pytest.raises(UserError, match='no calibration'):
        call(calibration=str(tmp_path / 'none.json'))
