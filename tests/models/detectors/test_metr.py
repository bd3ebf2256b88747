"""METR beyond parity: batches, taxonomies, bad input, sizes, and a run over two data sets."""
from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from mmext import hosts
from mmext.datasets import toy
from mmext.errors import UserError
from mmext.models.detectors.metr import PARAMETERS
from mmext.models.language import write_table
from mmext.models.layers.category_extraction import SimilarityClassifier
from mmext.registry import MODELS
from tests.mmengine_state import forget_runs
from tests.registry_wide.meta import build_on_meta

CONFIGS = Path(__file__).parents[3] / 'configs' / 'metr'
TOY = CONFIGS / 'metr_emov2_toy.py'
TAXONOMIES = dict(shapes=('bar', 'disc', 'ring', 'star', 'triangle'), round=('ring', 'disc'))


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('toy')
    toy.make(root, num_train=6, num_val=4, size=128, formats=('coco', ))
    return root


@pytest.fixture(autouse=True)
def _here(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MMEXT_TOY_DATA', str(data))


def _model(seed: int = 0, **changes: Any) -> nn.Module:
    hosts.repair()
    cfg = Config.fromfile(TOY)
    model = copy.deepcopy(cfg.model)
    model.update(changes)
    from mmengine.registry import DefaultScope
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = MODELS.build(model)
        built.init_weights()
        # Initial box heads are zero and would hide differences.
        for branch in built.bbox_head.reg_branches:
            nn.init.normal_(branch[-1].weight, std=0.1)
    return built


def _batch(count: int, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """Toy images of equal size; with the names of their taxonomies."""
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import DATASETS, DefaultScope
    cfg = Config.fromfile(TOY)
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    torch.manual_seed(0)
    batch = pseudo_collate([dataset[index] for index in range(count)])
    for sample, name in zip(batch['data_samples'], names):
        sample.set_metainfo(dict(taxonomy=name))
        labels = sample.gt_instances.labels
        if name == 'round':
            keep = (labels == 1) | (labels == 2)
            sample.gt_instances = sample.gt_instances[keep]
            sample.gt_instances.labels = 2 - sample.gt_instances.labels
    return batch


def _one(batch: dict[str, Any], index: int) -> dict[str, Any]:
    return copy.deepcopy({key: value[index:index + 1] for key, value in batch.items()})


@torch.no_grad()
def _found(model: nn.Module, batch: dict[str, Any]) -> list[Tensor]:
    return [torch.cat((found.bboxes, found.scores[:, None], found.labels[:, None]), dim=1) for found in
            (sample.pred_instances for sample in model.test_step(copy.deepcopy(batch)))]


@torch.no_grad()
def _raw(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, boxes and kept categories."""
    given = model.data_preprocessor(copy.deepcopy(batch), False)
    inputs = model.forward_transformer(model.extract_feat(given['inputs']), given['data_samples'])
    return *model.bbox_head(**inputs), inputs['kept']


@pytest.mark.parametrize('names', [(), ('shapes', 'round', 'shapes')], ids=['one', 'several'])
def test_a_batch_equals_its_images(names: tuple[str, ...]) -> None:
    model = _model(**(dict(classes=TAXONOMIES) if names else {})).eval()
    batch = _batch(3, names)
    logits, boxes, kept = _raw(model, batch)
    for index in range(3):
        alone = _raw(model, _one(batch, index))
        count = alone[2].shape[1]  # an image with few categories has no slots to fill when it is alone
        valid = [slot for slot in range(kept.shape[1]) if not names or names[index] == 'shapes'
                 or int(kept[index, slot]) in (1, 2)]
        assert len(valid) == count
        assert torch.equal(alone[2][0], kept[index, valid])
        torch.testing.assert_close(alone[0][:, 0], logits[:, index, valid], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone[1][:, 0], boxes[:, index, valid], atol=1e-5, rtol=1e-5)


def test_loss_of_a_batch_is_that_of_its_images() -> None:
    model = _model().train()
    model.backbone.eval()  # statistics of a batch are not those of its images
    batch = _batch(2)
    counts = [len(sample.gt_instances) for sample in batch['data_samples']]

    def loss(part: dict[str, Any]) -> dict[str, Tensor]:
        given = model.data_preprocessor(copy.deepcopy(part), True)
        return model(**given, mode='loss')

    together = loss(batch)
    alone = [loss(_one(batch, index)) for index in range(2)]
    for name in together:
        if 'dn' not in name:  # denoising draws random numbers
            weights = [0.5, 0.5] if 'cem' in name else [count / sum(counts) for count in counts]
            expected = sum(weight * one[name] for weight, one in zip(weights, alone))
            torch.testing.assert_close(together[name], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('normalizer', ['boxes', 'queries', 'none'])
def test_what_losses_are_divided_by(normalizer: str) -> None:
    """The encoder's are always divided by the number of boxes."""
    batch = _batch(1)

    def losses(kind: str) -> tuple[dict[str, Tensor], Any]:
        model = _model(bbox_head=dict(copy.deepcopy(Config.fromfile(TOY).model.bbox_head), normalizer=kind))
        torch.manual_seed(0)  # of the denoising
        given = model.train().data_preprocessor(copy.deepcopy(batch), True)
        return model(**given, mode='loss'), (model, given['data_samples'])

    found, (model, samples) = losses(normalizer)
    reference, _ = losses('boxes')
    count = len(samples[0].gt_instances)
    factor = dict(boxes=1, queries=count / model.num_queries, none=count)[normalizer]
    torch.testing.assert_close(found['loss_bbox'], reference['loss_bbox'] * factor)
    torch.testing.assert_close(found['d0.loss_cls'], reference['d0.loss_cls'] * factor)
    torch.testing.assert_close(found['enc_loss_bbox'], reference['enc_loss_bbox'])


def test_a_classifier_without_layers_skips_nothing() -> None:
    features, vectors = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    plain, skip = (SimilarityClassifier(8, 0, skip) for skip in (False, True))
    torch.testing.assert_close(plain(features, vectors), skip(features, vectors))


def test_labels_are_of_the_images_own_taxonomy() -> None:
    model = _model(classes=TAXONOMIES).eval()
    shapes, few = _found(model, _batch(2, ('shapes', 'round')))
    assert set(few[:, -1].long().tolist()) == {0, 1} and len(few) == 2 * model.num_queries
    assert set(shapes[:, -1].long().tolist()) <= set(range(5))
    # The same image, asked for ring and disc only: the same boxes, labels 1 and 0 for 1 and 2.
    batch = _batch(1, ('shapes', ))
    as_shapes, as_round = copy.deepcopy(batch), copy.deepcopy(batch)
    as_round['data_samples'][0].set_metainfo(dict(taxonomy='round'))
    logits, _, kept = _raw(model, as_shapes)
    other_logits, _, other_kept = _raw(model, as_round)
    assert kept.shape[1] == 4 and other_kept.tolist() == [[1, 2]]
    assert logits.shape[2:] == (4, 20) and other_logits.shape[2:] == (2, 20)


def test_an_image_without_a_taxonomy_is_asked_for_everything() -> None:
    model = _model(classes=dict(round=('disc', 'ring'), angular=('star', 'bar'))).eval()
    batch = model.data_preprocessor(_batch(2), False)
    batch['data_samples'][1].set_metainfo(dict(taxonomy='angular'))
    with torch.no_grad():
        joint, own = (sample.pred_instances for sample in model(**batch, mode='predict'))
    names = ('disc', 'ring', 'star', 'bar')
    assert joint.label_names == [names[label] for label in joint.labels]
    assert set(joint.label_names) == set(names)
    # What is drawn is the name, not the joint name of the image's own label.
    assert own.label_names == [names[2:][label] for label in own.labels] and len(own) == 2 * model.num_queries


def test_only_the_own_taxonomy_is_trained() -> None:
    model = _model(classes=TAXONOMIES).train()
    given = model.data_preprocessor(_batch(2, ('round', 'round')), True)
    total, _ = model.parse_losses(model(**given, mode='loss'))
    total.backward()
    gradient = model.category_extraction.class_prompts.grad.abs().sum(dim=1)
    assert (gradient[[1, 2]] > 0).all() and not gradient[[0, 3, 4]].any()


def test_denoising_is_positive_in_its_own_category() -> None:
    from mmext.models.dense_heads.metr_head import Truth
    model = _model().train()
    head = model.bbox_head
    truth = Truth(image=torch.tensor([0, 0, 1]), label=torch.tensor([3, 1, 4]),
                  box=torch.rand(3, 4) * 0.3 + 0.2, pixels=torch.full((3, 4), 100.),
                  place=torch.tensor([0, 1, 0]), slot=torch.tensor([1, 0, 1]))
    meta = dict(num_denoising_queries=8, num_denoising_groups=2)  # 2 boxes, positive and negative, twice
    own = [(0, 1, 0), (0, 0, 1), (0, 1, 4), (0, 0, 5), (1, 1, 0), (1, 1, 4)]
    first = [(0, 0, 0), (0, 0, 1), (0, 0, 4), (0, 0, 5), (1, 0, 0), (1, 0, 4)]
    for mode, positive in (('per_category', own), ('official', first)):
        head.dn_mode = mode
        logits = torch.zeros(2, 2, 8, requires_grad=True)
        head._denoising_loss(logits, torch.rand(2, 2, 8, 4), truth, None, meta, 1.)[0].backward()
        assert sorted(map(tuple, (logits.grad < 0).nonzero().tolist())) == sorted(positive)
        # The second image has one box: its places for a second one mean nothing.
        assert not logits.grad[1, :, [1, 3, 5, 7]].any()


def test_lost_boxes_are_counted() -> None:
    model = _model(num_queries=2).train()
    batch = _batch(1)
    sample = batch['data_samples'][0]
    sample.gt_instances = sample.gt_instances[[0] * 5]
    given = model.data_preprocessor(batch, True)
    with pytest.warns(UserWarning, match='3 of 5 boxes of this batch are not learned from'):
        losses = model(**given, mode='loss')
    assert all(value.isfinite().all() for value in losses.values())


def test_errors(tmp_path: Path) -> None:
    write_table(tmp_path / 'few.safetensors', ['bar', 'disc', 'rings', 'star'], torch.randn(4, 384))
    table = dict(type='mmext.TextTable', path=str(tmp_path / 'few.safetensors'))
    with pytest.raises(UserError, match="lacks 2 of 5 texts: 'ring'; did you mean rings, 'triangle'"):
        _model(text_embed=table)
    extraction = dict(Config.fromfile(TOY).model.category_extraction, text_dims=512)
    with pytest.raises(UserError, match='text_dims=512, but .* have 384'):
        _model(category_extraction=extraction)
    with pytest.raises(ValueError, match='num_classes=7, but classes has 5'):
        _model(bbox_head=dict(type='mmext.METRHead', embed_dims=64, num_classes=7))
    with pytest.raises(ValueError, match='needs classes'):
        _model(classes=None)
    with pytest.raises(ValueError, match="has 'bar' more than once"):
        _model(classes=['bar', 'bar'])
    with pytest.raises(UserError, match="CocoDatset"):
        _model(classes='mmdet.CocoDatset')
    with pytest.raises(ValueError, match="dn_mode='x'"):
        _model(bbox_head=dict(type='mmext.METRHead', embed_dims=64, dn_mode='x'))
    model = _model(classes=TAXONOMIES)
    with pytest.raises(UserError, match="taxonomy 'shape'; did you mean shapes"):
        _found(model, _batch(1, ('shape', )))
    with pytest.raises(UserError, match="has taxonomy 'None'"):
        model(**model.train().data_preprocessor(_batch(1), True), mode='loss')
    given = model.data_preprocessor(_batch(1, ('shapes', )), True)
    given['data_samples'][0].set_metainfo(dict(taxonomy='round'))
    given['data_samples'][0].gt_instances.labels[:] = 4
    with pytest.raises(UserError, match='has the label 4, but METR was built with 2 classes'):
        model(**given, mode='loss')


def test_published_size() -> None:
    model = build_on_meta(Config.fromfile(CONFIGS / 'metr_r50_2xb1-12e_coco.py'))
    ours = sum(parameter.numel() for parameter in model.parameters())
    assert ours + model.embed_dims == PARAMETERS['resnet50']


def test_two_data_sets_in_one_run_and_then_another_detector(tmp_path: Path) -> None:
    hosts.repair()
    cfg = Config.fromfile(TOY)

    def sets(dataset: Any) -> dict:
        dataset, two = copy.deepcopy(dataset), copy.deepcopy(dataset)
        two.metainfo = dict(classes=TAXONOMIES['round'])
        return dict(type='mmext.MultiDataset',
                    datasets=[dict(name='shapes', dataset=dataset), dict(name='round', dataset=two)])

    cfg.model.classes = TAXONOMIES
    loader = cfg.train_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.dataset = sets(loader.dataset)
    loader.sampler = dict(type='mmext.MultiDatasetSampler', batch_size=2, one_dataset_per_batch=False,
                          ratios=dict(shapes=1, round=1))
    loader.pop('batch_sampler')
    metric = cfg.val_evaluator
    cfg.val_dataloader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.val_dataloader.dataset = sets(cfg.val_dataloader.dataset)
    cfg.val_evaluator = dict(type='mmext.MultiDatasetMetric', by_dataset=dict(shapes=metric, round=metric))
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1, val_interval=1)
    cfg.work_dir, cfg.param_scheduler = str(tmp_path), []
    forget_runs()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        runner = Runner.from_cfg(cfg)
        runner.train()
        figures = runner.val()
    forget_runs()
    assert {'shapes/coco/bbox_mAP', 'round/coco/bbox_mAP'} <= set(figures)
    # What is learned goes into Relation-DETR by name.
    relation = Config.fromfile(CONFIGS.parent / 'relation_detr' / 'relation-detr_emov2_toy.py').model
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        target = MODELS.build(relation)
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    shapes = {name: value.shape for name, value in target.state_dict().items()}
    fits = {name for name, value in state.items() if shapes.get(name) == value.shape}
    for part in ('backbone', 'neck', 'encoder', 'memory_trans_fc', 'level_embed', 'bbox_head.reg_branches'):
        wanted = {name for name in shapes if name.startswith(part) and 'memory_fusion' not in name}
        assert wanted <= fits, part
    assert {name for name in shapes if name.startswith('decoder')} - fits == {
        name for name in shapes if name.startswith(('decoder.position_relation', 'decoder.query_scale'))}
