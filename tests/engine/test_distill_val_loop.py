"""Teachers are evaluated beside the student, once, with the metrics that they have alone."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmext.cli import test, train

from ..mmengine_state import forget_runs

PLAIN = """
_base_ = 'segmentation.py'
model = dict(pretrained=None)
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.01))
"""
DISTIL = """
_base_ = 'plain.py'
model = dict(
    _delete_=True, type='mmext.Distiller', student=_base_.model,
    teachers=dict(big=dict(model='plain.py', checkpoint='{checkpoint}')),
    records=dict(own=dict(net='student', module='decode_head.conv_seg'),
                 taught=dict(net='big', module='decode_head.conv_seg')),
    losses=dict(loss_cwd=dict(loss=dict(type='mmext.ChannelWiseDistillLoss'), pred='own', target='taught')))
val_cfg = dict(type='mmext.DistillValLoop', evaluate={members})
"""
OPTIONS = ['train_cfg.max_iters=4', 'train_cfg.val_interval=2',
           'default_hooks.logger.interval=1']


@pytest.fixture
def plain(configs: dict[str, Path]) -> str:
    """A segmentor from random weights."""
    path = configs['segmentation'].with_name('plain.py')
    path.write_text(PLAIN)
    return str(path)


def _config(folder: Path, members: tuple[str, ...]) -> str:
    path = folder / 'distil.py'
    path.write_text(DISTIL.format(checkpoint=folder / 'teacher/iter_4.pth', members=members))
    return str(path)


def _validations(work: str) -> list[dict]:
    rows = [json.loads(line) for file in Path(work).glob('*/vis_data/scalars.json')
            for line in file.read_text().splitlines()]
    return [row for row in rows if any(name.endswith('mIoU') for name in row)]


def test_a_teacher_beside_the_student(plain: str, tmp_path: Path) -> None:
    assert train.main([plain, '--work-dir', 'teacher', '--seed', '1', '--cfg-options', *OPTIONS]) == 0
    assert test.main([plain, 'teacher/iter_4.pth', '--out', 'alone.json']) == 0
    alone = json.loads(Path('alone.json').read_text())
    config = _config(tmp_path, ('student', 'big'))
    forget_runs()
    assert train.main([config, '--work-dir', 'both', '--seed', '2', '--cfg-options', *OPTIONS]) == 0
    first, second = _validations('both')
    for row in (first, second):
        assert row['big/mIoU'] == pytest.approx(alone['mIoU'], abs=0.01)
    assert first['mIoU'] != first['big/mIoU'], 'the student has another seed'
    # The student's figure is its own: the one of a test of the checkpoint.
    assert test.main([config, 'both/iter_4.pth', '--out', 'student.json']) == 0
    assert second['mIoU'] == pytest.approx(json.loads(Path('student.json').read_text())['mIoU'], abs=0.01)


def test_a_wrong_name_stops_before_training(plain: str, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main([plain, '--work-dir', 'teacher', '--cfg-options', *OPTIONS]) == 0
    capsys.readouterr()
    assert train.main([_config(tmp_path, ('student', 'bog')), '--work-dir', 'wrong', '--cfg-options',
                       *OPTIONS]) == 2
    error = capsys.readouterr().err
    assert "nothing called 'bog' to evaluate; did you mean big" in error.replace("'big'", 'big')
    assert not list(Path('wrong').glob('**/*.pth'))
