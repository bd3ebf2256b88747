"""Panoptic data sets: labels in the order of the config, Cityscapes' files, no panopticapi; LMSeg on them."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from PIL import Image

from mmext.datasets.panoptic import PanopticDataset
from mmext.errors import UserError
from mmext.registry import DATASETS, METRICS, MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
#: Stuff and things mixed, as in ADE20K.
CLASSES = ('grass', 'star', 'brick', 'bar', 'disc', 'sand', 'ring', 'triangle', 'water')
THINGS = ('bar', 'disc', 'ring', 'star', 'triangle')
MEANT = dict(classes=CLASSES, thing_classes=THINGS, stuff_classes=('grass', 'brick', 'sand', 'water'))
KEYS = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')


def _toy(folder: Path, **changes: Any) -> PanopticDataset:
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(dict(dict(
            type='mmext.PanopticDataset', data_root=str(folder / 'coco'), metainfo=MEANT, test_mode=True,
            ann_file='annotations/panoptic_val.json',
            data_prefix=dict(img='val/', seg='annotations/panoptic_val/'),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='mmext.LoadPanoptic'),
                      dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True),
                      dict(type='mmdet.PackDetInputs', meta_keys=KEYS)]), **changes))


def _codes(sample: Any, folder: Path) -> np.ndarray:
    """The truth of a sample as a prediction, from its file."""
    content = json.loads((folder / 'coco/annotations/panoptic_val.json').read_text())
    names = {one['id']: one['name'] for one in content['categories']}
    truth = next(one for one in content['annotations'] if one['image_id'] == sample.img_id)
    path = folder / 'coco/annotations/panoptic_val' / truth['file_name']
    picture = np.asarray(Image.open(path)).astype(int)
    codes = np.full(picture.shape[:2], len(CLASSES))
    for number, one in enumerate(truth['segments_info']):
        name = names[one['category_id']]
        mask = picture @ [1, 256, 65536] == one['id']
        codes[mask] = CLASSES.index(name) + 1000 * number * (name in THINGS)
    return codes


def test_labels_in_the_order_of_the_classes(toy_root: Path) -> None:
    dataset = _toy(toy_root)
    metric = METRICS.build(dict(type='mmext.PanopticMetric', **{
        'ann_file': str(toy_root / 'coco/annotations/panoptic_val.json'),
        'seg_prefix': str(toy_root / 'coco/annotations/panoptic_val')}))
    metric.dataset_meta = dataset.metainfo
    for index in range(2):
        sample = dataset[index]['data_samples']
        seg = sample.gt_sem_seg.sem_seg[0]
        assert seg.shape == (64, 64) and seg.dtype == torch.uint8
        for label, mask in zip(sample.gt_instances.labels.tolist(), sample.gt_instances.masks.masks):
            assert CLASSES[label] in THINGS
            assert (seg[torch.as_tensor(mask.astype(bool))] == label).all()
        codes = _codes(sample, toy_root)
        assert set(seg.unique().tolist()) - {255} <= set((np.unique(codes) % 1000).tolist())
        metric.process({}, [dict(img_id=sample.img_id, pred_panoptic_seg=dict(sem_seg=codes))])
    assert metric.evaluate(2)['panoptic/PQ'] == 100.


def test_cityscapes_files(tmp_path: Path) -> None:
    names = ('road', 'car')
    (tmp_path / 'train.json').write_text(json.dumps(dict(
        images=[dict(id='ulm_000001_000019', file_name='ulm_000001_000019_gtFine_leftImg8bit.png', width=8,
                     height=4)],
        categories=[dict(id=0, name='road', isthing=0), dict(id=13, name='car', isthing=1),
                    dict(id=14, name='truck', isthing=1)],
        annotations=[dict(
            image_id='ulm_000001_000019', file_name='ulm_000001_000019_gtFine_panoptic.png',
            segments_info=[dict(id=0, category_id=0, area=16, bbox=[0, 0, 4, 4]),
                           dict(id=13001, category_id=13, area=16, bbox=[4, 0, 4, 4]),
                           dict(id=14001, category_id=14, area=2, bbox=[4, 0, 2, 1])])])))
    dataset = PanopticDataset(
        layout='cityscapes', ann_file='train.json', data_root=str(tmp_path), metainfo=dict(classes=names),
        data_prefix=dict(img='leftImg8bit/train', seg='gtFine/panoptic'))
    info = dataset.get_data_info(0)
    assert info['img_path'].endswith('leftImg8bit/train/ulm/ulm_000001_000019_leftImg8bit.png')
    assert info['seg_map_path'].endswith('gtFine/panoptic/ulm_000001_000019_gtFine_panoptic.png')
    assert [one['category'] for one in info['segments_info']] == [0, 1]
    with pytest.raises(UserError, match="no category 'cars'; did you mean car"):
        PanopticDataset(ann_file='train.json', data_root=str(tmp_path), metainfo=dict(classes=('cars', )),
                        data_prefix=dict(img='', seg=''))
    with pytest.raises(UserError, match="layout='city'"):
        PanopticDataset(layout='city')


def test_panoptic_lmseg_trains_and_is_evaluated(toy_root: Path) -> None:
    """The published config, made small, on toy scenes with things and stuff mixed."""
    cfg = Config.fromfile(CONFIGS / 'lmseg/lmseg_clip-r50_8xb2-160k_3-panoptic-sets.py').model
    cfg.backbone.update(depth=(1, 1, 1, 1), base_channels=16, init_cfg=None)
    head = cfg.panoptic_head
    head.update(in_channels=[64, 128, 256, 512], feat_channels=64, out_channels=64, num_queries=20)
    head.decoder.update(layers=2, heads=4)
    head.pixel_decoder.positional_encoding.num_feats = 32
    layer = head.pixel_decoder.encoder
    layer.num_layers = 1
    layer.layer_cfg.self_attn_cfg.update(embed_dims=64, num_heads=4)
    layer.layer_cfg.ffn_cfg.update(embed_dims=64, feedforward_channels=64)
    cfg.text_encoder = dict(type='mmext.TextTable',
                            path=str(CONFIGS / 'lmseg/toy_names_minilm.safetensors'))
    cfg.update(taxonomies=dict(toy=dict(classes=CLASSES, things=THINGS)), default_taxonomy='toy')
    cfg.test_cfg.object_mask_thr = dict(toy=0.)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model: Any = MODELS.build(cfg)
        model.init_weights()
        dataset = _toy(toy_root)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    batch = pseudo_collate([dataset[0], dataset[1]])
    losses = []
    for _ in range(12):
        data = model.train().data_preprocessor(batch, True)
        loss = sum(model.loss(data['inputs'], data['data_samples']).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]
    metric = METRICS.build(dict(
        type='mmext.PanopticMetric', ann_file=str(toy_root / 'coco/annotations/panoptic_val.json'),
        seg_prefix=str(toy_root / 'coco/annotations/panoptic_val')))
    metric.dataset_meta = dataset.metainfo
    with torch.no_grad():
        metric.process({}, [one.to_dict() for one in model.eval().test_step(batch)])
    assert 0 <= metric.evaluate(2)['panoptic/PQ'] <= 100


@pytest.mark.parametrize('name', ['ade20k', 'cityscapes', 'coco'])
def test_the_three_data_sets(name: str) -> None:
    """Names, things and labels of the published config agree with each other and with the authors'."""
    cfg = Config.fromfile(CONFIGS / 'lmseg/lmseg_clip-r50_8xb2-160k_3-panoptic-sets.py')
    goldens = json.loads((Path(__file__).parents[1] / 'goldens/lmseg/tokens.json').read_text())
    theirs = goldens['names'][f'{name}_panoptic']
    ours = cfg.model.taxonomies[name]
    assert [one.split(',')[0].strip() for one in ours.classes] == [one.strip() for one in theirs['used'][:-1]]
    assert [ours.classes.index(one) for one in ours.things] == theirs['thing_ids']
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        meta = next(one for one in loader.dataset.datasets if one.name == name).dataset.metainfo
        assert len(meta.classes) == len(ours.classes)
        assert set(meta.thing_classes) | set(meta.stuff_classes) == set(meta.classes)
        assert [meta.classes.index(one) for one in meta.thing_classes] == theirs['thing_ids']
