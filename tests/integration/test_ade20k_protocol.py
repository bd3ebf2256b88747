"""ADE20K's protocol with LMSeg on real pictures: one scale, several scales with flips, a submission."""
from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmext.cli import test
from mmext.errors import UserError
from mmext.models.segmentors.tta import SegTTAModel

from ..mmengine_state import forget_runs

CONFIG = Path(__file__).parents[2] / 'configs/lmseg/lmseg_clip-r50_8xb2-160k_4-semantic-sets_ade20k-val.py'
SMALL = """
_base_ = '{config}'
model = dict(
    backbone=dict(depth=(1, 1, 1, 1), base_channels=8, init_cfg=None),
    decode_head=dict(
        in_channels=[32, 64, 128, 256], feat_channels=32, out_channels=32, num_queries=10,
        pixel_decoder=dict(norm_cfg=dict(num_groups=4)), decoder=dict(layers=2, heads=4)),
    text_encoder=dict(embed_dim=24, width=16, heads=2, layers=1, init_cfg=None))
real = dict(data_root='{root}', data_prefix=dict(img_path='images', seg_map_path='annotations'))
test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=real)
"""


def test_single_scale_multi_scale_and_submission(real_data: Path, tmp_path: Path) -> None:
    config = tmp_path / 'config.py'
    config.write_text(SMALL.format(config=CONFIG, root=real_data / 'ade20k_sample'))
    figures = []
    for name, arguments, pictures in (('one', [], 3), ('many', ['--tta'], 1)):
        forget_runs()
        folder = tmp_path / name
        assert test.main([str(config), 'none', '--work-dir', str(folder), '--no-report', *arguments,
                          '--out', str(tmp_path / f'{name}.json'), '--cfg-options',
                          f'test_evaluator.output_dir={folder / "submission"}', 'randomness.seed=0',
                          'test_evaluator.archive=True',
                          f'test_dataloader.dataset.indices={pictures}']) == 0
        figures.append(json.loads((tmp_path / f'{name}.json').read_text()))
        with zipfile.ZipFile(folder / 'submission.zip') as archive:
            assert len(archive.namelist()) == pictures
        for path in (folder / 'submission').glob('*.png'):
            picture = Image.open(path)
            truth = Image.open(real_data / 'ade20k_sample/annotations' / path.name)
            assert picture.size == truth.size, 'not in the size of the original'
            labels = np.asarray(picture)
            assert labels.min() >= 1 and labels.max() <= 150, 'the server counts from 1'
    for one in figures:
        assert 0 <= one['mIoU'] <= 100


def _results() -> list[SegDataSample]:
    """One sure of class 0, two of class 1 by less: their mean is for 0, that of the softmax for 1."""
    scores = torch.tensor([[10., 0., 0.], [0., 4.5, 0.], [0., 4.5, 0.]])
    return [SegDataSample(metainfo=dict(img_path='a.jpg'),
                          seg_logits=PixelData(data=one[:, None, None].repeat(1, 4, 5))) for one in scores]


class _Model(torch.nn.Module):
    """What the wrapper asks of a model."""

    out_channels = 3

    def test_step(self, data: dict) -> list[SegDataSample]:
        return []


def test_scores_are_averaged_as_they_are() -> None:
    for merge, expected in (('mean', 0), ('softmax', 1)):
        merged, = SegTTAModel(merge=merge, module=_Model()).merge_preds([_results()])
        assert (merged.pred_sem_seg.data == expected).all(), merge
    with pytest.raises(UserError, match="merge='max'"):
        SegTTAModel(merge='max', module=_Model())
