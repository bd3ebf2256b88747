"""``mmext leaderboard``, and what train and test leave in it."""
from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmext.cli import main as mmext
from mmext.cli.test import main
from mmext.engine.hooks.leaderboard_hook import UNRECORDED
from mmext.leaderboard.record import file_digest
from mmext.leaderboard.store import Store

from ..leaderboard.samples import record
from ..leaderboard.test_submit import _coco

# a worker's start costs more than reading six pictures
QUICK = ['--cfg-options', 'log_level=ERROR', 'test_dataloader.num_workers=0',
         'test_dataloader.persistent_workers=False']
TINY = ['--work-dir', 'run', *QUICK]
HOSTS = ('detection', 'segmentation', 'classification', 'rotated')


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMEXT_LEADERBOARD', 'leaderboard.sqlite')
    return Store()


def _refused(capsys, argv: list[str], *messages: str) -> None:
    capsys.readouterr()
    assert mmext(['leaderboard', *argv]) == 2
    err = capsys.readouterr().err
    assert all(message in err for message in messages), err
    assert 'Traceback' not in err


# --------------------------------------------------------------------------------------- the tables


def test_useful_before_anybody_has_trained(store, capsys):
    assert mmext(['leaderboard']) == 0
    out = capsys.readouterr().out
    assert 'Object Detection, COCO: box AP' in out and 'emov2' in out and 'No evaluations in' in out
    assert not store.path.exists()


def test_our_row_beside_the_published_ones(store, capsys):
    store.add(record())
    assert mmext(['leaderboard', '--dataset', 'coco', '--method', 'emov2']) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if 'emov2#1' in line)
    assert re.search(r'15 M .*158 G .*31\.5 .*41\.5 .*38\.10 .*-3\.40 \(below ±0\.3\).*ours', row)
    assert 'retinanet_emov2-20m' in out and 'biformer' not in out and 'ADE20K' not in out
    assert mmext(['leaderboard', 'show', '--ours']) == 0
    assert 'retinanet' not in capsys.readouterr().out


def test_compare(store, capsys):
    store.add(record('a', config_text='lr = 1\nsame = 2\n'))
    store.add(record('a', config_text='lr = 2\nsame = 2\n', metrics={'coco/bbox_mAP': 0.4}))
    store.add(record('b', metrics={'coco/bbox_mAP': 0.41}, latency_ms=63.))
    assert mmext(['leaderboard', 'compare', 'a', 'b']) == 0
    out = capsys.readouterr().out
    assert "2 evaluations are called 'a'; taking a#2, the newest test" in out
    assert re.search(r'box AP +40\.00 +41\.00 +\+1\.00', out) and '+100.0 %' in out
    assert mmext(['leaderboard', 'compare', 'a#1', 'a#2']) == 0
    out = capsys.readouterr().out
    assert '-lr = 1' in out and '+lr = 2' in out and 'same = 2' not in out
    _refused(capsys, ['compare', 'a', 'bb'], "no run 'bb'")
    _refused(capsys, ['compare', 'a#9', 'b'], "no run 'a#9'", 'did you mean a#')


@pytest.mark.parametrize('name, content', [
    ('t.md', '| emov2#1 | EMOv2 |'), ('t.csv', 'Object Detection,COCO,emov2,EMOv2,'),
    ('t.html', '<title>mmext leaderboard'), ('t.json', '"run": "emov2"')])
def test_export(store, capsys, name, content):
    store.add(record())
    assert mmext(['leaderboard', 'export', name]) == 0
    assert content in Path(name).read_text()
    assert not [path for path in Path.cwd().iterdir() if path.name not in (name, 'leaderboard.sqlite')]


def test_export_and_import(store, capsys):
    store.add(record())
    assert mmext(['leaderboard', 'export', 'all.json']) == 0
    for source in ('all.json', 'leaderboard.sqlite'):
        assert mmext(['leaderboard', 'import', source, '--store', 'other.sqlite']) == 0
    out = capsys.readouterr().out
    assert '1 records added' in out and '0 records added' in out and '1 were there already' in out
    assert Store('other.sqlite').records() == store.records()


def test_submit_keeps_the_answer(store, capsys, tmp_path):
    store.add(record())
    results, images = _coco(tmp_path)
    Path('answer.txt').write_bytes(b'AP \xff 0.38\r\n')
    argv = ['leaderboard', 'submit', 'emov2', '--server', 'coco-test-dev']
    assert mmext([*argv, '--results', str(results), '--images', str(images)]) == 0
    assert mmext([*argv, '--answer', 'answer.txt']) == 0
    sent, answered = store.records()[0].submissions
    assert sent.digest == file_digest(Path(sent.archive)) and not sent.answer
    assert answered.answer == b'AP \xff 0.38\r\n' and answered.answer_name == 'answer.txt'


def test_bad_input(store, capsys):
    _refused(capsys, ['sho'], "cannot be 'sho'; did you mean show")
    _refused(capsys, ['--dataset', 'COCOO'], "nothing of 'COCOO'; did you mean COCO")
    _refused(capsys, ['--method', 'EMOv3'], 'did you mean EMOv2')
    _refused(capsys, ['export', 't.pdf'], "'t.pdf' must end in .md, .csv, .html, .json")
    _refused(capsys, ['import', 'missing.json'], "no file 'missing.json'")
    _refused(capsys, ['submit', 'a', '--server', 'coco'], "cannot be 'coco'", 'choose from coco-test-dev')
    _refused(capsys, ['submit', 'a', '--server', 'ade20k'], 'needs --results')
    _refused(capsys, ['compare', 'a', 'b'], "no run 'a' in leaderboard.sqlite", 'no records yet')
    store.path.write_bytes(b'nonsense' * 100)
    for argv in ([], ['compare', 'a', 'b'], ['export', 't.html'],
                 ['import', 'leaderboard.sqlite', '--store', 'x.sqlite']):
        _refused(capsys, argv, "'leaderboard.sqlite'" if argv[:1] != ['import'] else 'neither')
    assert not Path('t.html').exists() and store.path.read_bytes() == b'nonsense' * 100


def test_starts_without_torch(store):
    code = ("import sys\nfrom mmext.cli import main\nmain(['leaderboard', 'export', sys.argv[1]])\n"
            "assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)")
    done = subprocess.run([sys.executable, '-c', code, 'page.html'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------------------ what runs leave


@pytest.mark.parametrize('name', HOSTS)
def test_a_test_leaves_a_record_and_a_report(configs, store, name):
    began = time.monotonic()
    assert main([str(configs[name]), 'none', *TINY, '--run-name', f'my-{name}']) == 0
    seconds = time.monotonic() - began
    one, = store.records()
    metrics = json.loads(Path('run/test_metrics.json').read_text())['metrics']
    assert one.run == f'my-{name}' and one.phase == 'test' and one.images == 6
    assert set(one.metrics) == set(metrics)
    assert one.dataset == {'detection': 'toy COCO', 'segmentation': 'toy ADE20K', 'rotated': 'toy DOTA',
                           'classification': 'toy ImageNet'}[name]
    assert one.config_text == Path(f'run/{name}.py').read_text()
    assert one.checkpoint == one.checkpoint_digest == ''
    assert one.parameters and one.flops and one.input_size and one.memory_mb and one.latency_ms
    assert 0 < one.latency_ms * 6 / 1000 < one.seconds < seconds
    assert {'torch', 'mmengine', 'device', 'mmext'} <= set(one.environment)
    if name == 'segmentation':
        assert [row['class'] for row in one.per_class][:2] == ['bar', 'disc'] and 'IoU' in one.per_class[0]
    report = Path('run/report.html').read_text()
    assert one.config_digest in report and 'my-' + name in report
    assert report.count('data:image/jpeg') == len(one.pictures)


def test_a_record_names_its_checkpoint_and_training_is_recorded(configs, store, fresh_host):
    from mmext.cli.train import main as train
    short = [*QUICK, 'train_cfg.max_epochs=1', 'model.backbone.init_cfg=None',
             'train_dataloader.batch_size=4']
    short += [f'{phase}_dataloader.{key}' for phase in ('train', 'val')
              for key in ('num_workers=0', 'persistent_workers=False')]
    assert train([str(configs['detection']), '--work-dir', 'run', *short]) == 0
    fresh_host()
    assert main([str(configs['detection']), 'run/epoch_1.pth', '--work-dir', 'run', *short]) == 0
    validated, tested = store.records()
    digest = file_digest(Path('run/epoch_1.pth'))
    assert (validated.phase, validated.epoch, validated.checkpoint_digest) == ('val', 1, digest)
    assert (tested.phase, tested.checkpoint, tested.checkpoint_digest) == ('test', 'run/epoch_1.pth', digest)
    assert validated.run == tested.run == 'run' and validated.flops is None
    assert [row['class'] for row in tested.per_class][:2] == ['bar', 'disc']


def test_opting_out(configs, store, fresh_host):
    argv = [str(configs['classification']), 'none', *TINY]
    assert main([*argv, '--no-leaderboard', '--no-report']) == 0
    assert not store.path.exists() and not Path('run/report.html').exists()
    fresh_host()
    assert main([*argv, '--smoke']) == 0
    assert not store.path.exists(), 'four images are no result'


def test_store_that_cannot_be_is_said_before_the_test(configs, store, capsys):
    store.path.write_bytes(b'nonsense' * 100)
    assert main([str(configs['classification']), 'none', *TINY]) == 2
    assert 'is damaged' in capsys.readouterr().err
    assert not Path('run').exists() and store.path.read_bytes() == b'nonsense' * 100


def test_store_that_breaks_during_the_test_loses_nothing(configs, store, monkeypatch, capsys):
    add = Store.add

    def broken(self, one):
        self.path.write_bytes(b'nonsense' * 100)
        return add(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(Store, 'add', broken)
        assert main([str(configs['classification']), 'none', *TINY]) == 0
    assert Path('run/test_metrics.json').exists()
    assert mmext(['leaderboard', 'import', f'run/{UNRECORDED}', '--store', 'new.sqlite']) == 0
    assert Store('new.sqlite').records()[0].run == 'run'


def test_hook_of_the_config_is_taken(configs, store):
    config = configs['classification']
    config.write_text(config.read_text() + "custom_hooks = [dict(type='mmext.LeaderboardHook', run='mine', "
                      "dataset='my data', store='mine.sqlite', report=False)]\n")
    assert main([str(config), 'none', *TINY]) == 0
    assert not store.path.exists() and not Path('run/report.html').exists()
    assert [(one.run, one.dataset) for one in Store('mine.sqlite').records()] == [('mine', 'my data')]
