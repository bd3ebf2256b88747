"""``mmext search-student``: from a config to the config of the best student."""
from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.cli import main
from mmext.engine.student_search.state import FILE

TOY = Path(__file__).parents[2] / 'configs' / 'diswot' / 'search_cifar-resnet_toy.py'
SMALL = ['search.population=3', 'search.tournament=2', 'search.evaluations=5', 'search.batch_size=4',
         'search.teacher.backbone.depths="[2,1,1]"', 'train_dataloader.dataset.indices=8']


@pytest.fixture
def here(toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_host) -> Path:
    monkeypatch.setenv('MMEXT_TOY_DATA', str(toy_root))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(folder: str, *arguments: str, config: Path = TOY) -> int:
    return main(['search-student', str(config), '--work-dir', folder, '--device', 'cpu',
                 *(one for one in arguments if one.startswith('--')),
                 '--cfg-options', *SMALL, *(one for one in arguments if not one.startswith('--'))])


def test_search_resume_and_results(here: Path, capsys) -> None:
    assert search('whole') == 0
    out = capsys.readouterr().out
    assert '5/5 scored' in out and 'best: model.backbone.depths.0 = ' in out
    rows = list(csv.DictReader((here / 'whole/candidates.csv').open()))
    values = [float(row['diswot']) for row in rows]
    assert len(rows) == 5 and values == sorted(values, reverse=True)
    assert (here / 'whole/search.png').stat().st_size > 1000
    student = Config.fromfile(here / 'whole/student.py')
    assert student.model.backbone.depths == [int(rows[0][f'model.backbone.depths.{i}']) for i in range(3)]
    assert 'search' not in student and 'data_preprocessor' in student
    assert main(['check', str(here / 'whole/student.py'), '--no-files']) == 0

    # In two parts: the same candidates with the same scores, in the same order.
    assert search('halves', 'search.evaluations=3') == 0
    assert search('halves', '--resume') == 0
    whole, halves = (json.loads((here / name / FILE).read_text()) for name in ('whole', 'halves'))
    assert whole == halves

    assert search('whole') == 2
    assert 'has a search already: --resume' in capsys.readouterr().err
    assert search('whole', '--resume', 'search.seed=1') == 2
    assert 'belongs to another search: search.seed was 0, now it is 1' in capsys.readouterr().err


def test_a_distiller_brings_its_own_teacher(here: Path, capsys) -> None:
    path = here / 'distil.py'
    path.write_text(f'''
_base_ = '{TOY}'
model = dict(
    _delete_=True, type='mmext.Distiller', student=_base_.model, data_preprocessor=_base_.data_preprocessor,
    teachers=dict(big=dict(model=_base_.search.teacher, checkpoint='not there yet.pth')),
    records=dict(s=dict(net='student', module='head.fc'), t=dict(net='big', module='head.fc')),
    losses=dict(loss_kd=dict(loss=dict(type='mmext.KLDistillLoss', tau=4.0), pred='s', target='t')))
search = dict(_delete_=True, space={{'model.student.backbone.depths.1': [1, 2]}}, batch_size=4)
''')
    assert main(['search-student', str(path), '--work-dir', 'out', '--device', 'cpu', '--cfg-options',
                 'model.teachers.big.model.backbone.depths="[1,1,1]"']) == 0
    cfg = Config.fromfile('out/student.py')
    assert cfg.model.type == 'mmext.Distiller' and cfg.model.student.backbone.depths[1] in (1, 2)


@pytest.mark.parametrize('option, message', [
    ('search.evaluation=3', "search has the unknown key 'evaluation'"),
    ('search.teacher=nowhere.py', "no config file 'nowhere.py'"),
    ('search.teacher.backbone.type=mmext.CIFARResNt', 'search.teacher does not work'),
    ('search.teacher.head.num_classes=3', 'the teacher has 3 classes, but the batch has the label'),
    ('train_dataloader.dataset.data_prefix=nowhere', 'no training image can be read'),
    ('search.max_params=10', 'within the caps: the smallest have'),
])
def test_wrong_input_ends_with_one_message(here: Path, option: str, message: str, capsys) -> None:
    assert search('out', option) == 2
    error = capsys.readouterr().err
    assert message in error and 'Traceback' not in error


def test_a_config_without_a_search_is_refused(here: Path, configs: dict[str, Path], capsys) -> None:
    assert main(['search-student', str(configs['classification'])]) == 2
    assert 'has no search=dict(space=' in capsys.readouterr().err
