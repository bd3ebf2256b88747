"""``mmext print-config`` and its explanations."""
from __future__ import annotations

import pytest

from mmext.cli.print_config import main


@pytest.fixture
def chain(tmp_path):
    """A heir of a local base over a package's config, with changes at every level."""
    (tmp_path / 'base.py').write_text(
        "_base_ = 'mmdet::atss/atss_r50_fpn_1x_coco.py'\n"  # sets lr to 0.01 over 0.02
        'model = dict(\n'
        '    bbox_head=dict(\n'
        '        num_classes=5))\n'
        'optim_wrapper = dict(optimizer=dict(lr=0.5))\n')
    heir = tmp_path / 'heir.py'
    heir.write_text(
        "_base_ = 'base.py'\n"
        'classes = 7\n'
        'model = dict(bbox_head=dict(num_classes=classes), neck=dict(_delete_=True, type="BiFPN"))\n'
        'param_scheduler = [dict(type="MultiStepLR", milestones=[1, 2])]\n')
    return str(heir)


def _explain(capsys, *argv):
    assert main([*argv]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_file_that_had_a_say_in_order(chain, capsys):
    lines = _explain(capsys, chain, '--explain', 'optim_wrapper.optimizer.lr')
    assert lines[0] == 'optim_wrapper.optimizer.lr = 0.5'
    assert [line.split() for line in lines[2:]] == [
        ['1.', 'mmdet::_base_/schedules/schedule_1x.py:22', 'sets', '0.02'],
        ['2.', 'mmdet::atss/atss_r50_fpn_1x_coco.py:71', 'sets', '0.01'],
        ['3.', lines[4].split()[1], 'sets', '0.5', '<-', 'wins']]
    assert lines[4].split()[1].endswith('base.py:5')


def test_line_of_a_value_that_stands_in_a_variable(chain, capsys):
    lines = _explain(capsys, chain, '--explain', 'model.bbox_head.num_classes')
    assert lines[0] == 'model.bbox_head.num_classes = 7'
    assert 'base.py:4' in lines[-2] and 'sets 5' in lines[-2]
    assert 'heir.py:2' in lines[-1] and 'wins' in lines[-1]


def test_list_index_and_variable_in_a_package(chain, capsys):
    lines = _explain(capsys, chain, '--explain', 'train_dataloader.dataset.pipeline.2.scale')
    assert 'mmdet::_base_/datasets/coco_detection.py:23' in lines[-1]
    lines = _explain(capsys, chain, '--explain', 'param_scheduler[0].milestones')
    assert 'heir.py:4' in lines[-1] and '[1, 2]' in lines[-1]


def test_replaced_whole_counts(chain, capsys):
    lines = _explain(capsys, chain, '--explain', 'model.neck.type')
    assert lines[0] == "model.neck.type = 'BiFPN'"
    assert 'heir.py:3' in lines[-1]


def test_a_removed_key_is_unknown(chain, capsys):
    assert main([chain, '--explain', 'model.neck.num_outs']) == 2
    assert "no key 'model.neck.num_outs'" in capsys.readouterr().err


def test_command_line_wins(chain, capsys):
    lines = _explain(capsys, chain, '--explain', 'optim_wrapper.optimizer.lr', '--cfg-options',
                     'optim_wrapper.optimizer.lr=3')
    assert lines[0].endswith('= 3')
    assert '--cfg-options optim_wrapper.optimizer.lr' in lines[-1] and 'wins' in lines[-1]


@pytest.mark.parametrize('key, nearest', [
    ('optim_wrapper.optimiser.lr', 'optim_wrapper.optimizer.lr'),
    ('bbox_head.num_classes', 'model.bbox_head.num_classes'),
    ('milestone', 'param_scheduler.0.milestones'),
])
def test_unknown_key_names_the_nearest(chain, capsys, key, nearest):
    assert main([chain, '--explain', key]) == 2
    assert nearest in capsys.readouterr().err


def test_printed_and_saved_config_loads_again(chain, capsys, tmp_path):
    from mmengine.config import Config
    saved = tmp_path / 'saved.py'
    assert main([chain, '--save-path', str(saved)]) == 0
    printed = Config.fromstring(capsys.readouterr().out, '.py')
    assert printed.to_dict() == Config.fromfile(saved).to_dict()
    assert printed.model.bbox_head.num_classes == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ['base.py', 'heir.py', 'saved.py']


@pytest.mark.parametrize('path, message', [
    ('x.txt', 'must end in .py'), ('no_folder/x.py', "no folder 'no_folder'")])
def test_bad_save_path(chain, capsys, path, message):
    assert main([chain, '--save-path', path]) == 2
    assert message in capsys.readouterr().err


def test_python_style_configs(tmp_path, capsys):
    (tmp_path / 'a.py').write_text('lr = 1\nmodel = dict(type="A", depth=3)\n')
    heir = tmp_path / 'b.py'
    heir.write_text('from mmengine.config import read_base\n\nwith read_base():\n'
                    '    from .a import *\n\nmodel.update(depth=4)\n')
    lines = _explain(capsys, str(heir), '--explain', 'model.depth')
    assert lines[0] == 'model.depth = 4'
    assert 'a.py:2' in lines[2] and 'sets 3' in lines[2]
    assert 'b.py' in lines[3] and 'sets 4' in lines[3]
