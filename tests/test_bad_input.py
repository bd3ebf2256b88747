"""Bad input of every kind: one message that names it, exit code 2, no traceback.

The tables hold what is typed and what is answered, word for word; HERE stands for the folder, and a
message that ends in ``...`` goes on with something that changes (a list of all plug-ins).
"""
from __future__ import annotations

import os

import pytest

from mmext import hosts
from mmext.cli import main
from mmext.cli.check import check_data_before_run
from mmext.cli.config import load_config
from mmext.errors import UserError

from . import bad_files

COMMAND = {
    'chekc x': (
        "mmext has no command 'chekc'; did you mean check?\nCommands: train, test, infer, ..."),
    'train': (
        'mmext train: the following arguments are required: config\nTry: mmext train --help'),
    'train detection.py --rsume': (
        "mmext train: unknown argument '--rsume'; did you mean --resume, --smoke or --seed?\nTry: mmext "
        'train --help'),
    'train detection.py --seed eleven': (
        "mmext train: argument --seed: invalid int value: 'eleven'\nTry: mmext train --help"),
    'train detection.py --launcher pytroch': (
        "mmext train: --launcher cannot be 'pytroch'; did you mean pytorch? (choose from none, "
        'pytorch, slurm, mpi)\nTry: mmext train --help'),
    'train detection.py --work-dir file/x': (
        "cannot make the work directory 'file/x': Not a directory; choose another with --work-dir"),
    'train detection.py --resume gone.pth': (
        "--resume: no checkpoint 'gone.pth'\nIn .:\n  good.pth\n  code.pth\n  nostate.pth"),
    'test detection.py': (
        'mmext test: the following arguments are required: checkpoint\nTry: mmext test --help'),
    'test detection.py good.pth --out x.txt': (
        "--out: 'x.txt' must end in .pkl (predictions) or .json (metrics), or be a folder (label maps)"),
    'test detection.py good.pth --out gone/x.pkl': (
        "--out: there is no folder 'gone'"),
    'test detection.py good.pth --out-item pred': (
        '--out-item needs --out'),
    'test detection.py good.pth --out x.json --out-item pred': (
        '--out: predictions go into a .pkl; a .json takes the metrics'),
    'infer detection.py good.pth folder --score-thr 2': (
        '--score-thr 2.0: expected a number from 0 to 1'),
    'infer detection.py good.pth folder --batch-size 0': (
        '--batch-size 0: expected 1 or more'),
    'infer detection.py good.pth folder --no-vis --no-json': (
        '--no-vis and --no-json together leave nothing to write'),
    'infer detection.py good.pth folder --out-dir file': (
        '--out-dir file is a file'),
    'list --kind bakbone': (
        "no kind 'bakbone' in the catalogue; did you mean backbone? It has: ..."),
    'list EMOv22': (
        "no plug-in called 'EMOv22'; did you mean EMOv2 or EMO2?"),
    'new emo --kind backbone': (
        "'emo': a class name starts with a capital letter; perhaps 'Emo'"),
    'new EMOv2 --kind backbone': (
        "'EMOv2': there is a backbone EMOv2 already (mmext.models.backbones.emov2)"),
    'new Net --kind bakcbone': (
        "mmext new: --kind cannot be 'bakcbone'; did you mean backbone? (choose from backbone, neck, "
        'detector, dense_head, segmentor, decode_head)\nTry: mmext new --help'),
    'print-config detection.py --save-path x.txt': (
        "--save-path: 'x.txt' must end in .py, .json or .yml"),
    'browse detection.py --show-number 0': (
        '--show-number 0: expected 1 or more'),
    'leaderboard export x.doc': (
        "export: 'x.doc' must end in .md, .csv, .html, .json"),
    'leaderboard shwo': (
        "mmext leaderboard: ACTION cannot be 'shwo'; did you mean show? (choose from show, compare, "
        'export, import, submit)\nTry: mmext leaderboard --help'),
    'check detection.py --full': (
        '--full goes with --data'),
    'check detection.py --phase training': (
        "mmext check: --phase cannot be 'training'; did you mean train? (choose from train, val, "
        'test)\nTry: mmext check --help'),

    'convert emov2 good.pth good.pth': (
        'good.pth exists; --force overwrites it'),
    'convert emov2 good.pth o.txt': (
        'o.txt: write to a .pth or .safetensors file'),
    'convert emov2 good.pth o.pth --args [1]': (
        '--args: expected a JSON object, got list'),
    'publish good.pth o.onnx': (
        'o.onnx: write to a .pth or .safetensors file'),
}

CONFIG = {
    'train detction.py': (
        "no config file 'detction.py'\nNearest:\n  detection.py\n  segmentation.py\n  folder_count.py"),
    'train folder': (
        "'folder' is a folder; choose one of its configs: (it has no configs)"),
    'train notes.txt': (
        "'notes.txt' is not a config: expected .py, .json, .yml, .yaml"),
    'train syntax.py': (
        "cannot load the config HERE/syntax.py, line 1: syntax error: '(' was never closed"),
    'train name.py': (
        "cannot load the config HERE/name.py, line 1: NameError: name 'RetinaNet' is not defined"),
    'train zero.py': (
        'cannot load the config HERE/zero.py, line 1: ZeroDivisionError: division by zero'),
    'train broken.json': (
        'cannot load the config HERE/broken.json: JSONDecodeError: Expecting value: line 1 column 11 '
        '(char 10)'),
    'train mmdett::atss/atss_r50_fpn_1x_coco.py': (
        "no package 'mmdett' to take a config from; did you mean mmdet or mmext? (have: mmdet, mmseg, "
        'mmpretrain, mmrotate, mmext)'),
    'train mmdet::atss/atss_r50_fpn_1x_cocco.py': (
        "no config file 'mmdet::atss/atss_r50_fpn_1x_cocco.py'\nNearest:\n  "
        'mmdet::atss/atss_r50_fpn_1x_coco.py\n  mmdet::atss/atss_r101_fpn_1x_coco.py\n  '
        'mmdet::htc/htc_r50_fpn_1x_coco.py'),
    'train mmcls::a.py': (
        "no package 'mmcls' to take a config from; did you mean mmseg? (have: mmdet, mmseg, "
        'mmpretrain, mmrotate, mmext)'),
    'train part.py': (
        'HERE/part.py: nothing to train, the config has no train_dataloader'),
    'train notrain.py': (
        'HERE/notrain.py: nothing to train, the config has no train_dataloader'),
    'test notest.py good.pth': (
        'HERE/notest.py: nothing to test, the config has no test_dataloader'),
    'check nomodel.py': (
        '  1. error: model: is missing: this is a part of a config, not a whole one'),
    'check number.py': (
        "  1. error: model.backbone: 'type' is 3, neither a name nor a class"),
    'check pipeline.py': (
        '  1. error: train_pipeline: is overridden but no longer reaches a dataset: '
        "train_dataloader.dataset.pipeline still has the base config's list, also set "
        'train_dataloader.dataset.pipeline=train_pipeline'),

}

OVERRIDE = {
    'train detection.py --cfg-options lr': (
        "--cfg-options: 'lr' is not KEY=VALUE, for example optim_wrapper.optimizer.lr=0.01"),
    'train detection.py --cfg-options modl.neck=1': (
        "--cfg-options modl.neck: the config has no key 'modl'; did you mean model or tta_model?"),
    'train detection.py --cfg-options model.nekc.type=FPN': (
        "--cfg-options model.nekc.type: 'model' has no key 'nekc'; did you mean neck?"),
    'train detection.py --cfg-options param_scheduler.9.end=3': (
        "--cfg-options param_scheduler.9.end: 'param_scheduler' is a list of 2; '9' is not one of its "
        'indices'),
    'train detection.py --cfg-options model.neck.type.x=3': (
        "--cfg-options model.neck.type.x: 'model.neck.type' is 'FPN', which has no keys"),
    'train detection.py --cfg-options x=[1,2': (
        "--cfg-options: cannot read 'x=[1,2': Imbalanced brackets exist in [1,2"),
    'train detection.py --cfg-options auto_scale_lr=None --auto-scale-lr': (
        '--auto-scale-lr: the config has no auto_scale_lr.base_batch_size, the batch size its learning '
        'rate was chosen for; add it: --cfg-options auto_scale_lr.base_batch_size=16'),
    'train detection.py --cfg-options model.bbox_head.loss_cls.gama=2': (
        'HERE/detection.py: 1 error in the config\n  1. error: model.bbox_head.loss_cls: FocalLoss has '
        "no argument 'gama', did you mean 'gamma'?\nNothing was run. --no-check runs it as it is."),
    'train detection.py --cfg-options train_dataloader.batch_size=0': (
        'HERE/detection.py: 1 error in the config\n  1. error: train_dataloader.batch_size: is 0, '
        'expected a whole number of 1 or more\nNothing was run. --no-check runs it as it is.'),
    'check detection.py --cfg-options model.neck.type=FPM': (
        "  1. error: model.neck: type 'FPM' is not a model or task util of scope 'mmdet', did you mean 'RFP' "
        "or 'FPN' or 'FPG'?"),
    'check detection.py --cfg-options model.backbone=3': (
        "  1. error: model.backbone: is 3, expected a dict with a 'type'"),
    'check detection.py --cfg-options model.backbone.type=EMOv2': (
        "  1. error: model.backbone: type 'EMOv2' is not a model or task util of scope 'mmdet', "
        "write type='mmext.EMOv2'"),
    'check detection.py --cfg-options model.bbox_head.num_classes=3': (
        '  1. error: model.bbox_head.num_classes: is 3, but the training data (CocoDataset) has 5 '
        'classes, set it to 5'),
    'check detection.py --cfg-options train_cfg.max_epochs=0': (
        '  1. error: train_cfg.max_epochs: is 0, expected a whole number of 1 or more'),
    'check detection.py --cfg-options train_dataloader.dataset.ann_file=gone.json': (
        '  1. error: train_dataloader.dataset.ann_file: the annotation file '
        "'HERE/toy/coco/gone.json' does not exist, did you mean 'HERE/toy/coco/manifest.json'?"),
    'check detection.py --cfg-options load_from=goood.pth': (
        "  1. error: load_from: the checkpoint 'goood.pth' does not exist, did you mean 'good.pth' "
        "or 'code.pth'?"),
    'check detection.py --cfg-options val_evaluator.type=CocoMetrik': (
        "  1. error: val_evaluator: type 'CocoMetrik' is not a metric of scope 'mmdet', did you "
        "mean 'CocoMetric' or 'OVCocoMetric' or 'DODCocoMetric'?"),
    'check detection.py --cfg-options optim_wrapper.optimizer.lrr=1': (
        "  1. error: optim_wrapper.optimizer: SGD has no argument 'lrr', did you mean 'lr'?"),
    'check detection.py --cfg-options train_dataloader.num_workers=0': (
        '  1. error: train_dataloader.persistent_workers: needs num_workers above 0, set it to '
        'False'),
}

CHECKPOINT = {
    'test detection.py gone.pth': (
        "checkpoint: no checkpoint 'gone.pth'\nIn .:\n  good.pth\n  code.pth\n  nostate.pth"),
    'publish goood.pth o.pth': (
        'checkpoint not found: goood.pth; did you mean good.pth, code.pth or words.pth?'),
    'publish empty.pth o.pth': (
        'empty.pth: not a readable checkpoint (EOFError())'),
    'publish text.pth o.pth': (
        'text.pth: not a readable checkpoint (not what torch.save writes)'),
    'publish cut.pth o.pth': (
        'cut.pth: not a readable checkpoint (...'),
    'publish code.pth o.pth': (
        'code.pth: refused, reading it would run code (posix.mkdir). If you know where the file comes '
        'from, pass --trust-checkpoint, or save its tensors as safetensors.'),
    'publish pickled.pth o.pth': (
        'pickled.pth: refused, reading it would run code (posix.mkdir). If you know where the file '
        'comes from, pass --trust-checkpoint, or save its tensors as safetensors.'),
    'publish list.pth o.pth': (
        'list.pth: no weights found; expected a state dict, alone or under one of state_dict, model, '
        'state_dict_ema, model_ema, net, module'),
    'publish words.pth o.pth': (
        'words.pth: no weights found; expected a state dict, alone or under one of state_dict, model, '
        'state_dict_ema, model_ema, net, module'),
    'publish nostate.pth o.pth': (
        'nostate.pth: no weights found; expected a state dict, alone or under one of state_dict, '
        'model, state_dict_ema, model_ema, net, module'),
    'publish good.pth o.pth --ema': (
        'good.pth has no averaged weights: it was trained without an EMAHook'),
    'convert emov3 good.pth o.pth': (
        "no converter for 'emov3'; did you mean emov2? There are: ..."),
    'convert emov2 code.pth o.pth': (
        'code.pth: refused, reading it would run code (posix.mkdir). If you know where the file comes '
        'from, pass --trust-checkpoint, or save its tensors as safetensors.'),
    'infer detection.py good.pth folder': (
        "nothing to predict on: 'folder' has no image or video; expected files, folders or globs of ..."),
}

DATA = {
    'coco_nan': (
        '  1. error: train_dataloader.dataset: 1 of 6 boxes NaN or infinite (1.png, annotation 10)'),
    'coco_category': (
        '  1. error: train_dataloader.dataset: 1 annotation of a category_id that categories do not '
        'have: 77'),
    'coco_name': (
        "  1. error: train_dataloader.dataset: class 'cat' of the metainfo is not a category of the "
        "file, did you mean 'caat'?"),
    'coco_image': (
        '  1. error: train_dataloader.dataset: 1 of 3 images not there '
        "(HERE/data/coco_image/img/none.png), did you mean '1.png'?"),
    'coco_size': (
        '  1. error: train_dataloader.dataset: 1 of 3 images of another size than stated '
        '(HERE/data/coco_size/img/1.png is 40 x 30, stated 40 x 31)'),
    'coco_ids': (
        '  1. error: train_dataloader.dataset: 1 id of annotations used more than once: 11; the later '
        'entry hides the earlier, give every entry an id of its own'),
    'coco_area': (
        "  1. error: train_dataloader.dataset: 1 entry of annotations has no 'area' (annotations[0])"),
    'coco_keys': (
        "  1. error: train_dataloader.dataset: 'HERE/data/coco_keys/a.json' has no list 'categories', "
        'expected the keys images, annotations and categories'),
    'dota_fields': (
        '  1. error: train_dataloader.dataset: 1 line without the ten fields x1 y1 x2 y2 x3 y3 x4 y4 '
        'class difficulty (HERE/data/dota_fields/labels/P1.txt, line 1)'),
    'dota_class': (
        "  1. error: train_dataloader.dataset: 1 object of class 'shp', which the metainfo does not "
        "have (HERE/data/dota_class/labels/P1.txt, line 1), did you mean 'ship'?"),
    'dota_words': (
        '  1. error: train_dataloader.dataset: 1 line with a corner that is not a number '
        '(HERE/data/dota_words/labels/P1.txt, line 1)'),
    'dota_angle': (
        '  1. error: train_dataloader.dataset: 1 line of the form x y width height angle (angles up to '
        '30, so in degrees); DOTA has eight corners (HERE/data/dota_angle/labels/P1.txt, line 1), '
        'write the four corners'),
    'dota_headers': (
        '  1. error: train_dataloader.dataset: 1 label file with header lines (imagesource, gsd), '
        'which mmrotate.DOTADataset does not read (HERE/data/dota_headers/labels/P1.txt), write '
        "type='mmext.RawDOTADataset', or cut the data with mmrotate's img_split.py"),
    'ade_zero': (
        '  1. error: train_dataloader.dataset: labels 3 are none of the 3 classes (0 to 2 with '
        'reduce_zero_label=False) (HERE/data/ade_zero/labels/a.png; HERE/data/ade_zero/labels/b.png), '
        'set reduce_zero_label=True, if 0 means unlabelled'),
    'ade_range': (
        '  1. error: train_dataloader.dataset: labels 8 are none of the 3 classes (0 to 2 with '
        'reduce_zero_label=False) (HERE/data/ade_range/labels/a.png; HERE/data/ade_range/labels/b.png)'),
    'folder_count': (
        "  1. error: train_dataloader.dataset: 'HERE/data/folder_count' has 2 folders, the metainfo 1 "
        "class, 'dog' is no class"),
    'folder_image': (
        '  1. error: train_dataloader.dataset: 1 of 4 images not readable as images '
        '(HERE/data/folder_image/cat/1.png)'),
    'coco_json': (
        "  1. error: train_dataloader.dataset: 'HERE/data/coco_json/a.json' is not JSON: Expecting "
        'value: line 1 column 13 (char 12)'),
}


@pytest.fixture(scope='module')
def here(tmp_path_factory):
    """A folder full of files that are wrong in one way each."""
    hosts.repair()
    folder = tmp_path_factory.mktemp('bad')
    bad_files.write(folder)
    return folder


@pytest.fixture(autouse=True)
def at_work(here, monkeypatch):
    """The shell is in that folder."""
    monkeypatch.chdir(here)
    monkeypatch.setenv('MMEXT_TOY_DATA', str(here / 'toy'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(here / 'cache'))


def _is(text: str, expected: str) -> bool:
    """Whether ``text`` is the message, up to its ``...`` if it has one."""
    return text.startswith(expected[:-3]) if expected.endswith('...') else text == expected


@pytest.mark.parametrize('line', [*COMMAND, *CONFIG, *OVERRIDE, *CHECKPOINT])
def test_command(here, capsys, line):
    expected = {**COMMAND, **CONFIG, **OVERRIDE, **CHECKPOINT}[line]
    before = sorted(os.listdir())
    assert main(line.split()) == 2
    out, err = (text.replace(str(here), 'HERE').strip('\n') for text in capsys.readouterr())
    assert 'Traceback' not in out + err
    # What is wrong with a config is the answer of `check`, not its failure.
    answer = out.splitlines()[0] if line.startswith('check ') and out else err
    assert _is(answer, expected), (out, err)
    assert not {'HACKED', 'o.pth'} & set(os.listdir())
    assert set(os.listdir()) - set(before) <= {'work_dirs', 'cache'}


@pytest.mark.parametrize('name', DATA)
def test_data(here, name):
    with pytest.raises(UserError) as caught:
        check_data_before_run(load_config(f'{name}.py'), ('train', ))
    lines = str(caught.value).replace(str(here), 'HERE').splitlines()
    assert lines[0].startswith(f'HERE/{name}.py: ') and lines[0].endswith(' in the data')
    assert lines[1] == DATA[name]
    assert lines[-1] == ('Nothing was run. mmext check --data draws them, --no-data-check runs on them as '
                         'they are.')


def test_there_are_enough():
    assert len({**COMMAND, **CONFIG, **OVERRIDE, **CHECKPOINT, **DATA}) >= 60
    assert set(DATA) == set(bad_files.DATA)
