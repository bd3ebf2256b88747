"""``mmext check``."""
from __future__ import annotations

import json

from mmext.cli.check import main


def test_nothing_wrong(configs, capsys):
    for path in configs.values():
        assert main([str(path), '--cfg-options', 'model.backbone.init_cfg=None']) == 0
        assert 'nothing wrong found' in capsys.readouterr().out


def test_problems_as_text(configs, capsys):
    assert main([str(configs['detection']), '--cfg-options', 'model.bbox_head.loss_cls.gama=2',
                 'train_cfg.max_epochs=9']) == 2
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "  1. error: model.bbox_head.loss_cls: FocalLoss has no argument 'gama', did you mean "
        "'gamma'?",
        '  2. warning: param_scheduler.1.milestones: [11] not within the 9 epochs of training: '
        'never reached',
        '1 errors, 1 warnings']


def test_problems_as_json(configs, capsys):
    assert main([str(configs['detection']), '--json', '--cfg-options', 'model.neck.typo=1']) == 2
    assert json.loads(capsys.readouterr().out) == [
        dict(path='model.neck', message="FPN has no argument 'typo'", severity='error',
             suggestion='')]


def test_warnings_alone_are_no_failure(configs, capsys):
    assert main([str(configs['detection']), '--cfg-options', 'train_cfg.max_epochs=9']) == 0


def test_phases_and_files(configs, monkeypatch, capsys):
    monkeypatch.setenv('MMEXT_TOY_DATA', 'gone')
    detection = str(configs['detection'])
    assert main([detection]) == 2
    out = capsys.readouterr().out
    assert "train_dataloader.dataset.data_root: the folder 'gone/coco/' does not exist" in out
    assert main([detection, '--no-files']) == 0
    assert main([detection, '--phase', 'test']) == 2
    assert 'train_dataloader' not in capsys.readouterr().out.split('nothing wrong')[-1]
