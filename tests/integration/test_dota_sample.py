"""Two real DOTA pictures, from tiles to the server's files, by the full-size configs of rotated DETRs."""
from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import pytest

from mmext.cli import infer, test, train
from mmext.leaderboard.submit import write_submission
from tests.apis.tools import run_tool

from ..mmengine_state import forget_runs

ROOT = Path(__file__).parents[2]
#: Edge of a tile and its overlap with the next one, in pixels.
TILE, GAP = 512, 128
SIZES = {'P0706': (1111, 1182), 'P1888': (712, 557)}

# The published configs with less of everything; what is special in them stays.
CONFIG = """
_base_ = '{config}'
scale = ({side}, {side})
model = dict(
    num_queries=60,
    backbone=dict(_delete_=True, type='mmext.EMOv2', arch='1M', window_size=8, out_indices=(2, 3, 4)),
    neck=dict(in_channels=[48, 80, 180]),
    encoder=dict(num_layers=1),
    decoder=dict(num_layers=2),
    test_cfg=dict(max_per_img=60))
train_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
    dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes='rbox')),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))
]
tiles = dict(data_root='{tiles}/', ann_file='annfiles/', data_prefix=dict(img_path='images/'))
here = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline, **tiles), **here)
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=test_pipeline, **tiles), **here)
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=1))
"""
CONFIGS = [
    'rotated_detr/rotated-dino_r50_8xb1-12e_dota',
    *(pytest.param(name, marks=pytest.mark.slow) for name in (
        'o2detr/o2detr_r50_8xb2-50e_dota',
        'rotated_detr/rotated-deformable-detr-refine-twostage_r50_8xb2-50e_dota',
        'rotated_detr/rotated-relation-dino_r50_8xb1-12e_dota',
        'rotated_detr/rhino_r50_8xb1-36e_dota',
        'o2detr/o2detr-finetuned_r50_8xb2-12e_dota'))
]


@pytest.fixture(scope='module')
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two pictures in tiles."""
    from .conftest import REAL_DATA
    sample = REAL_DATA / 'dota_sample'
    if not sample.is_dir():
        pytest.skip('the DOTA sample is not here (MMEXT_REAL_DATA)')
    folder = tmp_path_factory.mktemp('dota') / 'tiles'
    assert run_tool('dataset_converters/dota_tiles.py', '--preset', 'ss', '--sizes', TILE, '--gaps', GAP,
                    '--nproc', 1, '--img-dirs', sample / 'images', '--ann-dirs', sample / 'labelTxt',
                    '--save-dir', folder) == 0
    assert {path.stem.split('__')[0] for path in (folder / 'images').iterdir()} == set(SIZES)
    return folder


@pytest.mark.parametrize('name', CONFIGS)
def test_from_tiles_to_the_servers_files(name: str, tiles: Path, real_data: Path, tmp_path: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(config=ROOT / 'configs' / f'{name}.py', tiles=tiles, side=TILE // 2))
    run = tmp_path / 'run'
    options = ['--cfg-options', 'load_from=None']
    assert train.main([str(config), '--work-dir', str(run), '--seed', '0', '--no-leaderboard', *options]) == 0
    rows = [json.loads(line) for path in run.glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == math.ceil(len(list((tiles / 'images').iterdir())) / 2)
    assert all(0 < loss < 1e4 for loss in losses)
    validated = [row for row in rows if 'dota/AP75' in row]
    assert validated and all(0 <= row['dota/AP75'] <= row['dota/AP50'] <= 1 for row in validated)

    forget_runs()
    checkpoint, out, labels = run / 'epoch_1.pth', tmp_path / 'merged', real_data / 'dota_sample/labelTxt'
    assert test.main([
        str(config), str(checkpoint), '--work-dir', str(run), '--no-leaderboard',
        '--out', str(tmp_path / 'metrics.json'), *options, 'test_evaluator.merge_patches=True',
        f'test_evaluator.ann_file={labels}', f'test_evaluator.outfile_prefix={out}']) == 0
    figures = json.loads((tmp_path / 'metrics.json').read_text())
    assert 0 <= figures['dota/AP75'] <= figures['dota/AP50'] <= 1
    with zipfile.ZipFile(out / 'merged.zip') as archive:
        files = archive.namelist()
        found = [line.split() for one in files for line in archive.read(one).decode().splitlines()]
    assert len(files) == 15 and {line[0] for line in found} == set(SIZES)
    for picture, score, *corners in found:
        assert 0 <= float(score) <= 1
        # A box has its centre in a tile, wherever its corners are.
        for at, side in enumerate(SIZES[picture]):
            assert -1 <= sum(map(float, corners[at::2])) / 4 <= max(side, TILE) + 1

    images = real_data / 'dota_sample/images'
    archive, _ = write_submission('dota-task1', out, images, tmp_path / 'server', 'run')
    assert zipfile.is_zipfile(archive)

    forget_runs()
    pictures = tmp_path / 'pictures'
    assert infer.main([str(config), str(checkpoint), str(images), '--out-dir',
                       str(pictures), '--score-thr', '0', *options]) == 0
    predictions = json.loads((pictures / 'predictions.json').read_text())
    drawn = {path.stem for path in pictures.rglob('*') if path.suffix in ('.jpg', '.png')}
    assert drawn == {Path(one['file']).stem for one in predictions['images']} == set(SIZES)
