"""Ensembles of detectors that only hosts' configs describe, through mmext test and the tool's files."""
from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope

from mmext import hosts
from mmext.cli import ensemble, test
from mmext.errors import UserError
from mmext.models.ensemble import PRAECalibrator
from mmext.registry import MODELS
from tests.models.ensemble.random_scenes import random_scenes

CONFIGS = Path(__file__).parents[2] / 'configs'
CLASSES = ('bar', 'disc', 'ring', 'star', 'triangle')


def _host_model(config: str, **test_cfg: Any) -> Any:
    """A host's detector, made small."""
    hosts.repair()
    model = Config.fromfile(_path(config)).model
    model.backbone = dict(type='mmdet.ResNet', depth=18, base_channels=8, num_stages=4,
                          out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN'), style='pytorch')
    model.neck.in_channels = [8, 16, 32, 64]
    model.neck.out_channels = 16
    head = model.get('bbox_head') or model.roi_head.bbox_head
    head.num_classes = 5
    if 'bbox_head' in model:
        head.update(in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=dict(type='BN'))
        model.test_cfg.update(score_thr=0., nms_pre=200, max_per_img=15, **test_cfg)
    else:
        model.rpn_head.update(in_channels=16, feat_channels=16)
        model.roi_head.bbox_roi_extractor.out_channels = 16
        head.update(in_channels=16, fc_out_channels=32)
        if 'mask_head' in model.roi_head:
            model.roi_head.mask_roi_extractor.out_channels = 16
            model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16, num_convs=1, num_classes=5)
        model.test_cfg.rpn.update(nms_pre=50, max_per_img=20)
        model.test_cfg.rcnn.update(score_thr=0., max_per_img=15, **test_cfg)
    return model


def _path(config: str) -> Path:
    from mmext.cli.config import find_config
    return find_config(config)


def _batch(data: str, count: int = 2) -> dict[str, Any]:
    cfg = Config.fromfile(CONFIGS / '_base_' / 'datasets' / f'{data}.py')
    with DefaultScope.overwrite_default_scope('mmrotate' if 'dota' in data else 'mmdet'):
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
    return pseudo_collate([dataset[index] for index in range(count)])


def _ensemble(models: dict[str, dict], **settings: Any) -> Any:
    torch.manual_seed(0)
    model = MODELS.build(dict(type='mmext.EnsembleDetector', detectors=[
        dict(name=name, model=one) for name, one in models.items()], **settings))
    return model


UPRIGHT = {'retinanet': 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
           'fcos': 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'}


def _calibration(path: Path, names: tuple[str, ...], classes: tuple[str, ...] = CLASSES) -> str:
    found, objects = random_scenes(0)
    found = found[found.detector < len(names)]
    with pytest.warns(UserWarning, match='PRAE'):  # the scenes have three classes
        PRAECalibrator().fit(found, objects, names, classes).save(path)
    return str(path)


def test_detectors_of_host_configs(toy_data: Path, tmp_path: Path) -> None:
    """Sequential equals resident; what comes out is the detectors' own boxes, ranked by refined scores."""
    models = {name: _host_model(config) for name, config in UPRIGHT.items()}
    calibrator = _calibration(tmp_path / 'c.json', tuple(UPRIGHT))
    data = _batch('toy_coco_detection')
    resident = _ensemble(models, calibrator=calibrator)
    expected = resident.test_step(copy.deepcopy(data))
    assert not resident.training and len(resident.state_dict())
    single = [detector.test_step(copy.deepcopy(data)) for detector in resident.detectors]
    for at, sample in enumerate(expected):
        result = sample.pred_instances
        assert len(result) and (result.scores[:-1] >= result.scores[1:]).all()
        for box, label, owner in zip(result.bboxes, result.labels, result.detectors):
            own = single[owner][at].pred_instances
            assert ((own.bboxes - box).abs().max(dim=1)[0][own.labels == label] < 1e-4).any()
    sequential = _ensemble(models, calibrator=calibrator, mode='sequential')
    assert not sequential.state_dict()
    for one, other in zip(sequential.detectors, resident.detectors):
        one.load_state_dict(other.state_dict())
    for one, other in zip(sequential.test_step(copy.deepcopy(data)), expected):
        assert torch.equal(one.pred_instances.bboxes, other.pred_instances.bboxes)
        assert torch.equal(one.pred_instances.scores, other.pred_instances.scores)
    with pytest.raises(UserError, match='trains nothing'):
        resident.loss(None, None)


def test_masks_are_those_of_the_boxes(toy_data: Path) -> None:
    config = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
    models = {name: _host_model(config) for name in ('one', 'two')}
    data = _batch('toy_coco_instance')
    model = _ensemble(models)
    single = [detector.test_step(copy.deepcopy(data)) for detector in model.detectors]
    for at, sample in enumerate(model.test_step(copy.deepcopy(data))):
        result = sample.pred_instances
        assert len(result.masks) == len(result) > 0
        for row in range(len(result)):
            own = single[result.detectors[row]][at].pred_instances
            same = ((own.bboxes - result.bboxes[row]).abs().amax(1) < 1e-4) & \
                (own.labels == result.labels[row])
            assert any(torch.equal(own.masks[index], result.masks[row]) for index in same.nonzero().flatten())
    mixed = _ensemble({'with': models['one'], 'without': _host_model(UPRIGHT['retinanet'])})
    with pytest.raises(UserError, match='without predicts no masks'):
        mixed.test_step(data)


def test_oriented_boxes(toy_data: Path) -> None:
    config = 'mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py'
    models = {name: dict(_host_model(config), _scope_='mmrotate') for name in ('one', 'two')}
    model = _ensemble(models, fusion=dict(nms=dict(type='p_nms', iou_threshold=0.1), max_per_img=20))
    for sample in model.test_step(_batch('toy_dota')):
        boxes = sample.pred_instances.bboxes
        assert len(boxes) and getattr(boxes, 'tensor', boxes).shape[1] == 5


@pytest.mark.parametrize(('config', 'data'), [
    (UPRIGHT['retinanet'], 'toy_coco_detection'),
    ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'toy_coco_detection'),
    ('mmrotate::rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py', 'toy_dota')])
def test_p_nms_of_a_single_host_detector(toy_data: Path, tmp_path: Path, config: str, data: str) -> None:
    """Its scores are the calibrated ones, the best first; with raw scores it is the usual NMS."""
    scope = config.partition('::')[0]
    found, objects = random_scenes(0)
    objects = dataclasses.replace(objects, label=objects.label * 0)
    one = found[found.detector == 0]
    files = {}
    for bandit in ('ucb', 'raw'):
        files[bandit] = str(tmp_path / f'{bandit}.json')
        with pytest.warns(UserWarning, match='PRAE'):
            PRAECalibrator(bandit=bandit).fit(one, objects, ('single', ), CLASSES).save(files[bandit])
    kinds = {name: dict(type='p_nms(idxs)', iou_threshold=0.5, calibration=file)
             for name, file in files.items()}
    kinds['nms'] = dict(type='nms_rotated' if scope == 'mmrotate' else 'nms', iou_threshold=0.5)
    hosts.repair()
    results = {}
    for name, nms in kinds.items():
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope(scope):
            model = MODELS.build(_host_model(config, nms=nms)).eval()
        results[name] = [sample.pred_instances for sample in model.test_step(_batch(data))]
    for refined, raw, usual in zip(results['ucb'], results['raw'], results['nms']):
        assert len(refined) and (refined.scores[:-1] >= refined.scores[1:]).all()
        assert not torch.equal(refined.scores, usual.scores)
        torch.testing.assert_close(raw.scores, usual.scores)
        assert torch.equal(raw.labels, usual.labels)


def test_the_whole_path(toy_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Result files of each detector, a calibration from them, the ensemble tested with it."""
    toy = next((CONFIGS / 'prae').glob('*_toy.py'))
    names = [one.name for one in Config.fromfile(toy).model.detectors]
    small = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']
    files = []
    for name in names:
        config = next((CONFIGS / name).glob('atss_*_toy.py'))
        prefix = tmp_path / name
        assert test.main([str(config), 'none', '--work-dir', str(tmp_path / 'single'), '--no-leaderboard',
                          '--cfg-options', *small, f'test_evaluator.outfile_prefix={prefix}',
                          'model.test_cfg.score_thr=0.0', 'model.test_cfg.max_per_img=20']) == 0
        files.append(f'{name}={prefix}.bbox.json')
    ann = toy_data / 'coco' / 'annotations' / 'instances_val.json'
    calibration = tmp_path / 'calibration.json'
    assert ensemble.main(['fit', '--results', *files, '--ann', str(ann), '--bandit', 'ucb',
                          '--out', str(calibration)]) == 0
    metrics = tmp_path / 'metrics.json'
    assert test.main([str(toy), 'none', '--work-dir', str(tmp_path / 'all'), '--no-leaderboard', '--out',
                      str(metrics), '--cfg-options', *small, f'model.calibrator={calibration}']) == 0
    assert 'coco/bbox_mAP' in json.loads(metrics.read_text())


@pytest.mark.parametrize(('change', 'message'), [
    (dict(detectors=[]), 'needs one at least'),
    (dict(detectors=[dict(name='a', conifg='x')]), "no key 'conifg'; did you mean config"),
    (dict(detectors=[dict(name='a')]), 'give either config or model'),
    (dict(mode='sequentail'), 'did you mean sequential'),
    (dict(detectors=[dict(config=UPRIGHT['fcos'])] * 2), "two are called 'fcos_r50-caffe"),
])
def test_wrong_settings(change: dict, message: str) -> None:
    settings = dict(dict(detectors=[dict(config=UPRIGHT['fcos'])]), **change)
    with pytest.raises(UserError, match=message):
        MODELS.build(dict(type='mmext.EnsembleDetector', **settings))


def test_a_calibration_of_others(tmp_path: Path) -> None:
    models = {name: _host_model(UPRIGHT['retinanet']) for name in ('one', 'two')}
    with pytest.raises(UserError, match='detectors are one, two, not those of the calibration'):
        _ensemble(models, calibrator=_calibration(tmp_path / 'c.json', ('one', 'three')))


def test_checkpoints_must_fit_and_classes_agree(tmp_path: Path) -> None:
    models = {name: _host_model(UPRIGHT['retinanet']) for name in ('one', 'two')}
    model = _ensemble(models)
    checkpoints = {}
    for (name, detector), classes in zip(zip(models, model.detectors), (CLASSES, CLASSES[::-1])):
        checkpoints[name] = str(tmp_path / f'{name}.pth')
        torch.save(dict(state_dict=detector.state_dict(), meta=dict(dataset_meta=dict(classes=classes))),
                   checkpoints[name])

    def build(**files: str) -> Any:
        return MODELS.build(dict(type='mmext.EnsembleDetector', detectors=[
            dict(name=name, model=models[name], checkpoint=file) for name, file in files.items()]))

    loaded = build(one=checkpoints['one'])
    assert loaded.classes == CLASSES
    assert all(torch.equal(a, b) for a, b in zip(loaded.detectors[0].parameters(),
                                                 model.detectors[0].parameters()))
    with pytest.raises(UserError, match='two has classes triangle, .* in another order than one'):
        build(**checkpoints)
    state = dict(list(model.detectors[0].state_dict().items())[3:])
    torch.save(dict(state_dict=state), tmp_path / 'part.pth')
    with pytest.raises(UserError, match=r"part.pth: does not fit detector 'one'"):
        build(one=str(tmp_path / 'part.pth'))
