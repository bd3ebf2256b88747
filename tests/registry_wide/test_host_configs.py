"""Every backbone inside configs that nobody here wrote: trains some steps, then infers."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmext import hosts
from mmext.datasets import toy
from tests.registry_wide.backbones import BACKBONES, ROOT, each_backbone, toy_config

# Host's config, our toy dataset config, changes that fit the one to the other.
CONFIGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    'faster-rcnn': ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'toy_coco_detection.py',
                    {'roi_head.bbox_head.num_classes': 5}),
    'fcos': ('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', 'toy_coco_detection.py',
             {'bbox_head.num_classes': 5}),
    'upernet': ('mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py', 'toy_ade20k.py',
                {'decode_head.num_classes': 9, 'auxiliary_head.num_classes': 9,
                 'data_preprocessor.size': (128, 128)}),
    'oriented-rcnn': ('mmrotate::oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota.py',
                      'toy_dota.py', {'roi_head.bbox_head.num_classes': 5}),
    'resnet': ('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'toy_imagenet.py',
               {'head.num_classes': 5, 'head.topk': (1, )}),
}


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=10, num_val=5, size=128)
    return root


def _plain_norms(node: Any) -> None:
    """SyncBN needs a process group; one process trains with BN."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        for value in node.values():
            _plain_norms(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _plain_norms(value)


def _model_config(cfg: Config, method: str, changes: dict[str, Any]) -> Config:
    classifier = cfg.default_scope == 'mmpretrain'
    backbone = dict(toy_config(method))
    backbone.pop('out_indices', None)  # all four maps
    whole = MODELS.build(dict(backbone))
    channels = list(whole.out_channels)
    if classifier:
        backbone['out_indices'] = tuple(whole.out_indices)[-1:]
        backbone.pop('init_cfg', None)
    wrapped = Config(dict(model=cfg.model))
    wrapped.model.backbone = backbone
    wrapped.model.pop('pretrained', None)
    options = {f'model.{key}': value for key, value in changes.items()}
    if classifier:
        options['model.head.in_channels'] = channels[-1]
    elif 'neck' in wrapped.model:
        options['model.neck.in_channels'] = channels
    else:
        options.update({'model.decode_head.in_channels': channels,
                        'model.auxiliary_head.in_channels': channels[2]})
    wrapped.merge_from_dict(options)
    _plain_norms(wrapped.model)
    return wrapped.model


@pytest.mark.parametrize('name', CONFIGS)
@each_backbone()
def test_trains_and_infers_in_a_hosts_config(method: str, name: str, data: Path, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    base, dataset_file, changes = CONFIGS[name]
    entry = next(entry for entry in BACKBONES if entry.method == method)
    if base.split('::')[0] not in entry.hosts:
        pytest.skip(f'{entry.name} is not for {base.split("::")[0]}')
    hosts.repair()
    monkeypatch.setenv('MMEXT_TOY_DATA', str(data))
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{base}'\n")
    cfg = Config.fromfile(child)
    samples = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / dataset_file)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(_model_config(cfg, method, changes))
        dataset = DATASETS.build(samples.train_dataloader.dataset)
        batch = pseudo_collate([dataset[0], dataset[1]])
        preprocess = cfg.get('data_preprocessor')
        if preprocess and 'mean' in preprocess and not hasattr(model.data_preprocessor, 'mean'):
            preprocess = {**preprocess, 'num_classes': 5}
            preprocess.setdefault('type', 'mmpretrain.ClsDataPreprocessor')
            model.data_preprocessor = MODELS.build(preprocess)
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-3))
        model.train()
        before = {key: value.clone() for key, value in model.backbone.named_parameters()}
        for _ in range(2):
            losses = model.train_step(batch, wrapper)
            assert all(torch.isfinite(value).all() for value in losses.values())
        assert any(not torch.equal(value, before[key])
                   for key, value in model.backbone.named_parameters())
        model.eval()
        with torch.no_grad():
            results = [model.test_step(pseudo_collate([dataset[i]]))[0] for i in range(2)]
    for result in results:
        assert 'pred' in ' '.join(result.keys())
