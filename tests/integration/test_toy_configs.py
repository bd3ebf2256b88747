"""Every toy config, through the tools: trains, validates, saves, resumes exactly, is tested, infers."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmext.cli import infer, test, train

from ..cli.test_resume import same_training
from ..mmengine_state import forget_runs

ROOT = Path(__file__).parents[2]


def _always(path: Path) -> bool:
    """The first plug-in on every host, of the others their only own or a detector; the rest with -m slow.

    Classifiers go the way of the first plug-in's.
    """
    method = path.parent.name
    names = [one.stem.replace('-', '_') for one in path.parent.glob('*_toy.py')]
    own = [one for one in names if one.startswith(f'{method}_')] or names
    only = own == [path.stem.replace('-', '_')] and (
        len(names) == 1 or Config.fromfile(path).default_scope != 'mmpretrain')
    common = path.stem == f'{method.replace("_", "-")}_emov2_toy'
    return (only or common or method == 'emov2' or f'atss_{method}' in path.name
            or f'{method}_atss' in path.name)


TOYS = [pytest.param(path, id=path.stem, marks=[] if _always(path) else [pytest.mark.slow])
        for path in sorted((ROOT / 'configs').glob('*/*_toy.py'))
        if path.parent.name != 'prae']  # ensembles train nothing, see test_ensemble.py
IMAGES = {'mmdet': 'coco/val', 'mmrotate': 'dota/val/images', 'mmseg': 'ade20k/images/validation',
          'mmpretrain': 'imagenet/val'}
# The small data have ten training images.
_SEMI = ['train_dataloader.dataset.datasets.0.indices=[0,1,2,3]',
         'train_dataloader.dataset.datasets.1.indices=[4,5,6,7,8,9]', 'train_dataloader.sampler.batch_size=4',
         'model.semi_train_cfg.cls_pseudo_thr=0.001']
_CST = [*_SEMI, 'model.semi_train_cfg.burn_in_iters=2',
        'model.semi_train_cfg.pseudo_label_initial_score_thr=0.001']
_HALVES = ['train_dataloader.sampler.batch_size=4',
           'train_dataloader.dataset.datasets.0.dataset.indices=[0,1,2,3,4]',
           'train_dataloader.dataset.datasets.1.dataset.indices=[5,6,7,8,9]',
           *(f'{phase}_dataloader.dataset.datasets.{index}.dataset.indices=[{index}]'
             for phase in ('val', 'test') for index in range(3))]
OWN = {'cst_atss_emov2_toy': _CST, 'cst_relation-detr_emov2_toy': _CST,
       'cst-unweighted_atss_emov2_toy': _CST, 'two-pairs_atss_emov2_toy': _CST,
       'mean-teacher_atss_emov2_toy': _SEMI,
       'lmseg_clip-resnet_toy': _HALVES, 'lmseg-panoptic_clip-resnet_toy': _HALVES,
       'metr_emov2_two-taxonomies_toy': [
           'train_dataloader.sampler.batch_size=4', 'train_dataloader.sampler.epoch_length=8'],
       'supervised_atss_emov2_toy': ['train_dataloader.dataset.indices=[0,1,2,3,4,5,6,7,8,9]'],
       'mgd_r18_toy': [f'model.teachers.{name}.{field}' for name in ('wide', 'deep')
                       for field in ('checkpoint=None', 'random=True')] + [
                           'train_dataloader.dataset.labelled.indices=4'],
       **{f'{name}_toy': ['model.teachers.big.checkpoint=None', 'model.teachers.big.random=True']
          for name in ('kd_emov2-resnet18', 'pkd_atss_emov2-resnet18', 'cwd_fpn_emov2-resnet18',
                       'pkd_rotated-retinanet_emov2-resnet18')},
       'kd-ci-cam_toy': [f'model.teachers.{name}.{field}' for name in ('cls', 'loc')
                         for field in ('checkpoint=None', 'random=True')],
       'dmt_vit_toy': [f'model.teachers.{name}.{field}' for name in ('mae', 'mocov3', 'maskfeat')
                       for field in ('checkpoint=None', 'random=True')],
       **{f'{name}_toy': ['model.teacher.checkpoint=None', 'model.teacher.random=True']
          for name in ('h_gkd_resnet18', 'g2sd_vit')},
       **{f'{name}_toy': ['model.backbone.init_cfg=None'] for name in ('vit_dmt', 'resnet18_h_gkd')},
       **{f'g2sd_{name}_toy': ['model.teachers.base.checkpoint=None', 'model.teachers.base.random=True']
          for name in ('upernet_vit', 'faster-rcnn_vit')},
       'vit_g2sd_toy': ['model.teachers.base.checkpoint=None', 'model.teachers.base.random=True',
                        'model.student.backbone.init_cfg=None'],
       **{f'{name}_toy': ['train_dataloader.dataset.indices=10']
          for name in ('supervised_r18', 'teacher-wide', 'teacher-deep')}}
SMALL = ['train_dataloader.batch_size=4', 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
         'val_dataloader.persistent_workers=False', 'test_dataloader.num_workers=0',
         'test_dataloader.persistent_workers=False', 'default_hooks.logger.interval=1']


def _schedule(by_epoch: bool, length: int) -> list[str]:
    unit = 'epochs' if by_epoch else 'iters'
    return [f'train_cfg.max_{unit}={length}', 'train_cfg.val_interval=2',
            'default_hooks.checkpoint.interval=2']


def _steps(work_dir: Path) -> list[dict]:
    """What the training logged, in order; validation rows have no loss."""
    rows = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
            for line in path.read_text().splitlines()]
    return [row for row in rows if 'loss' in row]


@pytest.mark.parametrize('config', TOYS)
def test_the_whole_path(config: Path, toy_data: Path, tmp_path: Path, capsys) -> None:
    cfg = Config.fromfile(config)
    by_epoch = 'max_epochs' in cfg.train_cfg
    work_dir, halves = tmp_path / 'run', tmp_path / 'halves'
    name = 'epoch' if by_epoch else 'iter'

    pretrains = cfg.get('test_dataloader') is None  # without labels: there is nothing to test or to draw
    small = [one for one in SMALL if not (pretrains and one.startswith(('val_', 'test_')))]

    def run(folder: Path, *arguments: str) -> None:
        options = ['--cfg-options', *small, *OWN.get(config.stem, ()), *_schedule(by_epoch, 4)]
        assert train.main([str(config), '--work-dir', str(folder), '--seed', '0', *arguments, *options]) == 0

    run(work_dir)
    whole = _steps(work_dir)
    assert whole and all(row['loss'] > 0 for row in whole)
    forget_runs()
    run(halves, '--resume', str(work_dir / f'{name}_2.pth'))
    assert len(_steps(halves)) == len(whole) // 2, 'did not go on'
    checkpoint = work_dir / f'{name}_4.pth'
    same_training(checkpoint, halves / f'{name}_4.pth')
    if pretrains:
        return
    options = [*SMALL, *(one for one in OWN.get(config.stem, ())
                         if one.startswith(('val_', 'test_')))]
    if cfg.default_scope in ('mmdet', 'mmrotate'):
        # After four steps nothing scores high.
        model = next((f'model.{part}' for part in ('detector', 'student') if part in cfg.model), 'model')
        options += [f'{model}.test_cfg.score_thr=0.0', f'{model}.test_cfg.max_per_img=20']

    assert test.main([str(config), str(checkpoint), '--work-dir', str(work_dir / 'test'),
                      '--out', str(work_dir / 'metrics.json'), '--cfg-options', *options]) == 0
    metrics = json.loads((work_dir / 'metrics.json').read_text())
    assert metrics and all(isinstance(value, (int, float)) for value in metrics.values())

    pictures = work_dir / 'pictures'
    images = toy_data / IMAGES[cfg.default_scope]
    assert infer.main([str(config), str(checkpoint), str(images), '--out-dir', str(pictures),
                       '--score-thr', '0', '--cfg-options', *options]) == 0
    predictions = json.loads((pictures / 'predictions.json').read_text())
    assert predictions and list(pictures.rglob('*.png')) + list(pictures.rglob('*.jpg'))
