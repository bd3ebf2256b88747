"""Finding, loading and overriding configs."""
from __future__ import annotations

import pytest

from mmext.cli.config import default_work_dir, find_config, load_config, parse_cfg_options
from mmext.errors import UserError

ATSS = 'mmdet::atss/atss_r50_fpn_1x_coco.py'


@pytest.mark.parametrize('name', [
    ATSS, 'mmdet::atss/atss_r50_fpn_1x_coco', 'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py',
    'mmpretrain::resnet/resnet18_8xb32_in1k.py',
    'mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py',
])
def test_package_configs(name):
    assert load_config(name).model.type


@pytest.mark.parametrize('name, message', [
    ('mmdet::atss/atss_r50_fpn_1x_cocoo.py', ATSS),
    ('mmdet::atss_r50_fpn_1x_coco.py', ATSS),
    ('mmdett::atss/atss_r50_fpn_1x_coco.py', 'did you mean mmdet'),
    ('mmdet::atss', 'is a folder; choose one of its configs'),
    ('nowhere/at_all.py', "no config file 'nowhere/at_all.py'"),
])
def test_missing_config_names_the_nearest(name, message):
    with pytest.raises(UserError) as error:
        find_config(name)
    assert message in str(error.value)


def test_not_a_config(tmp_path):
    (tmp_path / 'weights.pth').touch()
    with pytest.raises(UserError, match=r'is not a config: expected \.py'):
        find_config(str(tmp_path / 'weights.pth'))


@pytest.mark.parametrize('text, message', [
    ("x = 1\nmodel = dict(type='A'\n", 'syntax error'),
    ("x = 1\ny = undefined_name\n", 'line 2: NameError: name'),
    ("_base_ = 'missing_base.py'\n", 'a _base_ config does not exist'),
    ("_base_ = ['mmdet::atss/atss_r50_fpn_1x_coco.py']\nmodel = dict(neck=[dict()], "
     "backbone=dict(depth=dict(a=1)))\n", '_delete_=True'),
    ("custom_imports = dict(imports=['no_such_module_x'])\n", 'no_such_module_x'),
])
def test_broken_config_is_named_with_its_mistake(tmp_path, text, message):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load_config(str(path))
    assert message in str(error.value)
    assert 'broken.py' in str(error.value)


def test_overrides():
    cfg = load_config(ATSS, ['optim_wrapper.optimizer.lr=0.5', 'param_scheduler.1.milestones=[3,5]',
                             'load_from=x.pth', 'randomness.seed=4', 'model.neck.new_key=1'])
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert list(cfg.param_scheduler[1].milestones) == [3, 5]
    assert (cfg.load_from, cfg.randomness.seed, cfg.model.neck.new_key) == ('x.pth', 4, 1)


@pytest.mark.parametrize('option, message', [
    ('optim_wraper.optimizer.lr=1', "no key 'optim_wraper'; did you mean optim_wrapper?"),
    ('model.backbnoe.depth=18', "'model' has no key 'backbnoe'; did you mean backbone?"),
    ('my_own.key=1', "the config has no key 'my_own'"),
    ('trian_cfg=1', "did you mean train_cfg, "),
    ('model.neck.num_outs.x=1', "'model.neck.num_outs' is 5, which has no keys"),
    ('param_scheduler.2.end=1', "is a list of 2; '2' is not one of its indices"),
    ('lr', "'lr' is not KEY=VALUE"),
    ('=3', "'=3' is not KEY=VALUE"),
])
def test_overrides_without_a_place_are_refused(option, message):
    with pytest.raises(UserError) as error:
        load_config(ATSS, [option])
    assert message in str(error.value)


def test_values_of_overrides():
    assert parse_cfg_options(['a=1', 'b=[(1,2),(3,4)]', 'c=x,y', 'd=None', 'e=a=b']) == {
        'a': 1, 'b': [(1, 2), (3, 4)], 'c': ['x', 'y'], 'd': None, 'e': 'a=b'}


def test_work_directory_comes_from_the_command_line_then_the_config_then_the_name():
    cfg = load_config(ATSS)
    assert default_work_dir(cfg, None) == 'work_dirs/atss_r50_fpn_1x_coco'
    cfg.work_dir = 'mine'
    assert default_work_dir(cfg, None) == 'mine'
    assert default_work_dir(cfg, 'other') == 'other'
