"""``mmext test``: metrics, outputs, augmentation, refusals."""
from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from mmext.cli.test import METRICS_FILE, main
from mmext.cli.tta import flip_pipeline

QUIET = ['--smoke', '--work-dir', 'run', '--cfg-options', 'log_level=ERROR']


def _metrics() -> dict:
    return json.loads((Path('run') / METRICS_FILE).read_text())['metrics']


def test_checkpoint_gives_metrics_table_and_file(configs, capsys, fresh_host):
    from mmext.cli.train import main as train
    assert train([str(configs['segmentation']), *QUIET]) == 0
    fresh_host()
    capsys.readouterr()
    assert main([str(configs['segmentation']), 'run/iter_2.pth', '--out', 'metrics.json',
                 *QUIET]) == 0
    metrics = _metrics()
    assert set(metrics) == {'aAcc', 'mIoU', 'mAcc'}
    assert json.loads(Path('metrics.json').read_text()) == metrics
    out = capsys.readouterr().out
    assert all(f'{value:.4f}' in out for value in metrics.values())


@pytest.mark.parametrize('name', ['detection', 'segmentation', 'classification', 'rotated'])
def test_predictions_into_a_pickle(configs, name):
    if name == 'rotated':  # mmrotate's metric starts four processes; the dump needs none
        config = configs[name]
        config.write_text(config.read_text() + "test_evaluator = dict(\n    _delete_=True, type="
                          "'mmdet.DumpProposals', num_max_proposals=5, output_dir='proposals')\n")
    assert main([str(configs[name]), 'none', '--out', 'p.pkl', *QUIET]) == 0
    predictions = pickle.loads(Path('p.pkl').read_bytes())
    assert len(predictions) == 4
    assert not list(Path.cwd().glob('.p*')), 'a temporary file stays behind'
    if name == 'detection':
        assert {'bboxes', 'labels', 'scores'} <= set(predictions[0]['pred_instances'])


def test_label_maps_into_a_folder(configs):
    assert main([str(configs['segmentation']), 'none', '--out', 'maps', *QUIET]) == 0
    assert len(list(Path('maps').glob('*.png'))) == 4


@pytest.mark.parametrize('name', ['detection', 'classification'])
def test_pictures(configs, name):
    assert main([str(configs[name]), 'none', '--show-dir', 'vis', *QUIET]) == 0
    assert len([path for path in Path.cwd().rglob('vis/*') if path.is_file()]) == 4


@pytest.mark.parametrize('name', ['detection', 'segmentation', 'classification'])
def test_augmentation_by_default_is_flips(configs, capsys, name):
    assert main([str(configs[name]), 'none', '--tta', *QUIET]) == 0
    out = capsys.readouterr().out
    # mmseg's runtime has a tta_model, our ADE20K data a pipeline; the other hosts' have neither.
    assert ('no tta_pipeline in the config, taking horizontal flips' in out) == (name != 'segmentation')
    assert ('no tta_model in the config, taking' in out) == (name != 'segmentation')


def test_augmented_pipeline_never_flips_annotations():
    pipeline = [dict(type='LoadImageFromFile'), dict(type='mmseg.Resize'),
                dict(type='mmseg.LoadAnnotations'), dict(type='mmseg.PackSegInputs')]
    steps = flip_pipeline(pipeline, 'mmseg')
    assert [step['type'] for step in steps] == ['LoadImageFromFile', 'mmseg.Resize', 'TestTimeAug']
    flips, load, pack = steps[-1]['transforms']
    assert [flip['prob'] for flip in flips] == [0., 1.]
    assert [load[0]['type'], pack[0]['type']] == ['mmseg.LoadAnnotations', 'mmseg.PackSegInputs']
    assert 'TestTimeAug' not in str(pipeline), 'the pipeline given is changed'


REFUSED = {
    'missing checkpoint': (
        ['{detection}', 'epoch_2.pth'], "no checkpoint 'epoch_2.pth'", 'epoch_12.pth'),
    'missing folder': (
        ['{detection}', 'nowhere/epoch_2.pth'], "no checkpoint", "no folder 'nowhere'"),
    'output of unknown kind': (
        ['{detection}', 'none', '--out', 'p.csv'], "'p.csv' must end in .pkl", ''),
    'output without folder': (
        ['{detection}', 'none', '--out', 'nowhere/p.pkl'], "there is no folder 'nowhere'", ''),
    'label maps of boxes': (
        ['{classification}', 'none', '--out', 'maps'], 'cannot write per-image results', ''),
    'no augmentation in mmrotate': (
        ['{rotated}', 'none', '--tta'], 'no tta_model and mmrotate has none', ''),
    'item without output': (
        ['{detection}', 'none', '--out-item', 'pred'], '--out-item needs --out', ''),
    'no checkpoint at all': (
        ['{detection}'], 'arguments are required: checkpoint', '--help'),
    'a checkpoint that is text': (
        ['{detection}', '{detection}'], 'detection.py', ''),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused_with_one_clear_message(configs, capsys, case):
    argv, *messages = REFUSED[case]
    Path('epoch_12.pth').touch()
    names = {name: str(path) for name, path in configs.items()}
    assert main([word.format(**names) for word in argv]) == 2
    err = capsys.readouterr().err
    assert all(message in err for message in messages), err
    assert 'Traceback' not in err
