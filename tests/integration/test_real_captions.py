"""Captions and masks of real COCO pictures, end to end: trained, evaluated, asked for other things."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmext.cli import infer, train
from mmext.datasets.captions import read_captions
from mmext.models.language.text_table import write_table
from mmext.models.language.word_embeddings import SPECIAL

ROOT = Path(__file__).parents[2]
CLASSES, BASE = ('person', 'dog', 'chair', 'car', 'cat'), ('person', 'chair', 'car')
CONFIG = """
_base_ = '{root}/configs/cgg/cgg_r18_toy.py'
classes, base_classes, words = {classes}, {base}, '{words}'
model = dict(
    panoptic_head=dict(
        classes=classes, base_classes=base_classes, num_tokens={tokens},
        language=dict(path=words)))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmext.LoadCaption', words=words, max_length=24),
    dict(type='mmdet.Resize', scale=(160, 160), keep_ratio=True),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'caption_ids',
                    'noun_ids'))
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{data}', ann_file='annotations/instances_train2017.json',
        caption_file='annotations/captions_train2017.json', data_prefix=dict(img='train2017/'),
        metainfo=dict(_delete_=True, classes=base_classes), nouns=classes, indices=8,
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{data}', ann_file='annotations/instances_val2017.json', data_prefix=dict(img='val2017/'),
        metainfo=dict(_delete_=True, classes=classes), indices=4))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='{data}/annotations/instances_val2017.json', base_classes=base_classes)
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=1)
"""


def test_real_captions(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = real_data / 'tiny_coco'
    captions = read_captions(data / 'annotations/captions_train2017.json', nouns=False)
    words = sorted({word for some in captions.values() for one in some
                    for word in ''.join(c if c.isalnum() else ' ' for c in one['caption'].lower()).split()})
    tokens = [*SPECIAL, *dict.fromkeys((*CLASSES, 'umbrella', '.', ',', *words))]
    torch.manual_seed(0)
    write_table(tmp_path / 'words.safetensors', tokens, torch.randn(len(tokens), 384))
    config = tmp_path / 'config.py'
    config.write_text(CONFIG.format(root=ROOT, data=data, classes=CLASSES, base=BASE, tokens=len(tokens),
                                    words=tmp_path / 'words.safetensors'))
    run = tmp_path / 'run'
    assert train.main([str(config), '--work-dir', str(run), '--seed', '0', '--cfg-options',
                       'default_hooks.checkpoint.interval=1', 'default_hooks.logger.interval=1']) == 0
    rows = [json.loads(line) for path in run.glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()]
    losses = [row for row in rows if 'loss' in row]
    assert losses and all(row['loss_grounding'] > 0 and row['loss_caption'] > 0 for row in losses)
    assert any('open/generalised_all' in row for row in rows)
    picture = sorted((data / 'val2017').glob('*.jpg'))[0]
    assert infer.main([str(config), str(run / 'epoch_1.pth'), str(picture), '--out-dir',
                       str(tmp_path / 'out'), '--classes', 'umbrella, dog', '--score-thr', '0']) == 0
    assert list((tmp_path / 'out').rglob('*.jpg'))
    for names, message in (('zxqv, dog', "no word 'zxqv'"), (' , ', 'classes'), ('dog, dog', "'dog'")):
        capsys.readouterr()
        assert infer.main([str(config), str(run / 'epoch_1.pth'), str(picture), '--out-dir',
                           str(tmp_path / 'bad'), '--classes', names]) == 2
        assert message in capsys.readouterr().err
