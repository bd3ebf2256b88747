"""What CGG is for: classes that no mask is of are found where captions name them."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmext.cli import train

from ...mmengine_state import forget_runs

CONFIG = Path(__file__).parents[3] / 'configs/cgg/cgg_r18_toy.py'
WITHOUT = ['model.panoptic_head.loss_grounding=None', 'model.panoptic_head.caption_generator=None']
EPOCHS = 12


def _figures(work: Path, *more: str) -> dict[str, float]:
    """AP50 of masks after half of the toy config's schedule."""
    forget_runs()
    options = [f'train_cfg.max_epochs={EPOCHS}', f'train_cfg.val_interval={EPOCHS}',
               f'param_scheduler.1.T_max={EPOCHS}', f'param_scheduler.1.end={EPOCHS}',
               f'default_hooks.checkpoint.interval={EPOCHS}', 'model.test_cfg.caption=False']
    assert train.main([str(CONFIG), '--work-dir', str(work), '--seed', '0', '--no-leaderboard',
                       '--cfg-options', *options, *more]) == 0
    rows = [json.loads(line) for file in work.glob('*/vis_data/scalars.json')
            for line in file.read_text().splitlines()]
    return next(row for row in rows if 'open/generalised_novel' in row)


@pytest.mark.slow
def test_captions_bring_novel_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of chance are the figures without captions: a star is found when its region is called a bar's."""
    from mmext.datasets import toy
    toy.make(tmp_path / 'data', formats=('coco', ))
    monkeypatch.setenv('MMEXT_TOY_DATA', str(tmp_path / 'data'))
    captions, masks = _figures(tmp_path / 'with'), _figures(tmp_path / 'without', *WITHOUT)
    for protocol in ('generalised', 'constrained'):
        assert captions[f'open/{protocol}_novel'] > masks[f'open/{protocol}_novel'] + 0.04, protocol
        assert abs(captions[f'open/{protocol}_base'] - masks[f'open/{protocol}_base']) < 0.1, protocol
