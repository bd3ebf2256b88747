"""Relation-DETR beyond parity: sizes, options, bad input, mmdet's detectors with the relation."""
from __future__ import annotations

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.layers import coordinate_to_encoding
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from mmext import hosts
from mmext.cli.convert import detect
from mmext.converters import ConversionReport, convert, converter_for
from mmext.errors import UserError
from mmext.models.detectors.relation_detr import PARAMETERS
from mmext.models.layers.relation_transformer import RelationTransformerDecoder
from mmext.registry import MODELS
from tests.registry_wide.meta import build_on_meta, count

CONFIGS = Path(__file__).parents[3] / 'configs' / 'relation_detr'
TOY = CONFIGS / 'relation-detr_emov2_toy.py'


def _build(cfg: ConfigDict, seed: int = 0) -> nn.Module:
    hosts.repair()
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(copy.deepcopy(cfg))
        model.init_weights()
    return model


def _toy(**changes: Any) -> nn.Module:
    cfg = Config.fromfile(TOY)
    cfg.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    return _build(cfg.model)


def _data(model: nn.Module, boxes: int | None = None, size: int = 96) -> dict[str, Any]:
    """Two images, one padded."""
    torch.manual_seed(0)
    data = demo_mm_inputs(2, [[3, size, size], [3, size, size - 20]], num_classes=5,
                          num_items=None if boxes is None else [boxes, boxes])
    return model.data_preprocessor(data, True)


def _losses(model: nn.Module, data: dict[str, Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return model.train()(**data, mode='loss')


def test_published_size() -> None:
    cfg = Config.fromfile(CONFIGS / 'relation-detr_r50_8xb2-12e_coco.py')
    cfg.model.bbox_head.num_classes = 91
    assert count(build_on_meta(cfg)) == PARAMETERS['resnet50'] == 48_869_312


def test_initialisation() -> None:
    model = _toy()
    head = model.bbox_head
    bias = torch.full((5, ), -4.59512)
    for branch in (*head.cls_branches, head.hybrid_cls_branch):
        torch.testing.assert_close(branch.bias.data, bias)
    for branch in (*head.reg_branches, head.hybrid_reg_branch):
        assert not branch[-1].weight.any() and not branch[-1].bias.any()
        assert not branch[0].bias.any()
    # A convolution's own: at most 1 / sqrt(64).
    assert model.decoder.position_relation.proj.weight.abs().max() <= 0.125
    assert 0.9 < model.query_embedding.weight.std() < 1.1


def test_initialisation_leaves_a_checkpoint_alone(tmp_path: Path) -> None:
    source = _toy()
    torch.save(source.state_dict(), tmp_path / 'weights.pth')
    cfg = Config.fromfile(TOY).model
    cfg.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'))
    target = _build(cfg, seed=1)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


def test_losses_of_all_branches() -> None:
    model = _toy()
    losses = _losses(model, _data(model))
    # Three losses of three layers and of the encoder, twice, and of three layers' denoising queries.
    assert len(losses) == 3 * (4 + 4 + 3)
    assert sum(name.startswith('hybrid.') for name in losses) == 12


def test_switches() -> None:
    model = _toy(hybrid_cfg=None, **{'encoder.memory_fusion': False, 'decoder.query_scale': False,
                                     'decoder.position_relation': None})
    names = ' '.join(model.state_dict())
    assert not any(part in names for part in ('hybrid', 'memory_fusion', 'query_scale', 'relation'))
    assert len(_losses(model, _data(model))) == 3 * (4 + 3)


def test_the_relation_counts() -> None:
    model = _toy()
    data = _data(model)
    before = _losses(model, data)
    model.decoder.position_relation.proj.weight.data.mul_(3)
    after = _losses(model, data)
    assert after['loss_cls'] != before['loss_cls']
    for name in ('d0.loss_cls', 'hybrid.loss_cls', 'enc_loss_cls'):  # neither first layer nor hybrid pass
        assert after[name] == before[name]


def test_inference_takes_neither_ground_truth_nor_hybrid_queries() -> None:
    model = _toy().eval()
    del model.hybrid_embedding, model.bbox_head.hybrid_cls_branch, model.bbox_head.hybrid_reg_branch
    results = model(**_data(model, 0), mode='predict')
    assert all(len(one.pred_instances) == 100 for one in results)


def test_boxes_are_cut_at_the_border_on_request() -> None:
    model = _toy().eval()
    model.bbox_head.reg_branches[2][-1].bias.data[2:] = 5.  # wide and high
    data = _data(model)
    free = model(**copy.deepcopy(data), mode='predict')
    model.bbox_head.test_cfg.clip_border = True
    for one, other in zip(free, model(**data, mode='predict')):
        (height, width), (x_scale, y_scale) = one.img_shape, one.scale_factor
        boxes = one.pred_instances.bboxes.detach()
        assert boxes.min() < 0
        boxes[:, 0::2].clamp_(0, width / x_scale)
        boxes[:, 1::2].clamp_(0, height / y_scale)
        torch.testing.assert_close(other.pred_instances.bboxes.detach(), boxes)


def test_more_boxes_than_queries_are_counted() -> None:
    model = _toy(num_queries=4)
    data = _data(model, 9)
    with pytest.warns(UserWarning, match='9 boxes and the model 4 queries: 5 boxes are not learned from'):
        losses = _losses(model, data)
    assert all(torch.isfinite(value).all() for value in losses.values())
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*are not learned from')
        _losses(_toy(), data)


@pytest.mark.parametrize(('name', 'changes'), [
    ('num_queries', {'num_queries': 500}), ('hybrid_cfg.num_queries', {'hybrid_cfg.num_queries': 500})])
def test_fewer_tokens_than_queries_is_said(name: str, changes: dict[str, int]) -> None:
    model = _toy(**changes)
    with pytest.raises(ValueError, match=rf'{name}=500, but .* only 189 tokens'):
        _losses(model, _data(model))


@pytest.mark.parametrize(('changes', 'message'), [
    ({'hybrid_cfg.num_query': 3}, 'hybrid_cfg has no num_query'),
    ({'decoder.query_pos': 'first'}, "query_pos='first': expected 'layer' or 'initial'"),
    ({'positional_encoding.num_feats': 16}, 'num_feats=16: expected 32'),
])
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        _toy(**changes)


# Converter ------------------------------------------------------------------------------------------


def _official_rows(rows: int) -> dict[str, torch.Tensor]:
    numbers = torch.arange(float(rows))
    return {'transformer.decoder.class_head.0.bias': numbers,
            'transformer.encoder_class_head.weight': numbers[:, None].expand(-1, 4),
            'transformer.hybrid_class_head.bias': numbers,
            'denoising_generator.label_encoder.weight': numbers[:, None].expand(-1, 4),
            '_classes_': torch.zeros(3, dtype=torch.uint8)}


# Ours, the authors'; what stays the same is not listed.
NAMES = (
    (r'neck\.convs\.(\d)\.conv', r'neck.convs.\1.0'), (r'neck\.convs\.(\d)\.gn', r'neck.convs.\1.1'),
    (r'neck\.extra_convs\.0\.conv', 'neck.convs.3.0'), (r'neck\.extra_convs\.0\.gn', 'neck.convs.3.1'),
    ('level_embed', 'transformer.level_embeds'), ('memory_trans_fc', 'transformer.enc_output'),
    ('memory_trans_norm', 'transformer.enc_output_norm'), ('query_embedding', 'transformer.tgt_embed'),
    ('hybrid_embedding', 'transformer.hybrid_tgt_embed'),
    (r'decoder\.position_relation\.proj', 'transformer.decoder.position_relation_embedding.pos_proj.0'),
    (r'decoder\.(norm|ref_point_head|query_scale)\.', r'transformer.decoder.\1.'),
    (r'((?:en|de)coder)\.layers\.(\d)\.ffn\.layers\.0\.0', r'transformer.\1.layers.\2.linear1'),
    (r'((?:en|de)coder)\.layers\.(\d)\.ffn\.layers\.1', r'transformer.\1.layers.\2.linear2'),
    (r'encoder\.layers\.(\d)\.norms\.0', r'transformer.encoder.layers.\1.norm1'),
    (r'encoder\.layers\.(\d)\.norms\.1', r'transformer.encoder.layers.\1.norm2'),
    (r'decoder\.layers\.(\d)\.norms\.0', r'transformer.decoder.layers.\1.norm2'),
    (r'decoder\.layers\.(\d)\.norms\.1', r'transformer.decoder.layers.\1.norm1'),
    (r'decoder\.layers\.(\d)\.norms\.2', r'transformer.decoder.layers.\1.norm3'),
    (r'decoder\.layers\.(\d)\.self_attn\.attn', r'transformer.decoder.layers.\1.self_attn'),
    (r'(encoder\.memory_fusion|(?:en|de)coder\.layers)', r'transformer.\1'),
    (r'bbox_head\.cls_branches\.6', 'transformer.encoder_class_head'),
    (r'bbox_head\.cls_branches', 'transformer.decoder.class_head'),
    (r'bbox_head\.reg_branches\.6\.(\d)', r'transformer.encoder_bbox_head.layers.<\1>'),
    (r'bbox_head\.reg_branches\.(\d)\.(\d)', r'transformer.decoder.bbox_head.\1.layers.<\2>'),
    (r'bbox_head\.hybrid_cls_branch', 'transformer.hybrid_class_head'),
    (r'bbox_head\.hybrid_reg_branch\.(\d)', r'transformer.hybrid_bbox_head.layers.<\1>'),
    (r'dn_query_generator\.label_embedding', 'denoising_generator.label_encoder'),
)


def _official_name(key: str) -> str:
    for ours, theirs in NAMES:
        if re.match(ours, key):
            key = re.sub(f'^{ours}', theirs, key)
            break
    return re.sub('<(.)>', lambda found: str(int(found[1]) // 2), key)


@pytest.mark.parametrize(('config', 'constructor'), [
    ('relation-detr_r50_8xb2-12e_coco', 'relation_detr_resnet50_800_1333'),
    ('dino-pp_r50_8xb2-12e_coco', 'dino_pp_resnet50_800_1333')])
def test_a_released_file_is_recognised(config: str, constructor: str) -> None:
    """Full size, from names and shapes alone; what it becomes loads into the config of that name."""
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    wanted = build_on_meta(copy.deepcopy(cfg)).state_dict()
    cfg.model.bbox_head.num_classes = 91
    ours = build_on_meta(cfg).state_dict()
    official = {_official_name(key): value for key, value in ours.items()}
    assert len(official) == len(ours)
    converter = converter_for('relation_detr')
    assert detect(converter, official, None)[0] == constructor
    _, state = converter.convert({}, official, constructor)
    assert {key: value.shape for key, value in state.items()} == {
        key: value.shape for key, value in wanted.items()}


def test_raw_ids_become_categories() -> None:
    report = ConversionReport()
    cfg, state = convert('relation_detr', {}, _official_rows(91), 'relation_detr_resnet50_800_1333',
                         report=report)
    assert cfg['bbox_head']['num_classes'] == 80
    rows = state['bbox_head.cls_branches.0.bias']
    assert rows[[0, 1, 79]].tolist() == [1, 2, 90] and len(rows) == 80
    for name in ('bbox_head.cls_branches.6.weight', 'dn_query_generator.label_embedding.weight'):
        assert torch.equal(state[name][:, 0], rows)
    assert torch.equal(state['bbox_head.hybrid_cls_branch.bias'], rows)
    assert ('transformer.encoder_class_head.weight', 'bbox_head.cls_branches.6.weight') in report.renamed


def test_raw_ids_may_stay() -> None:
    cfg, state = convert('relation_detr', {}, _official_rows(91), target='raw_ids')
    assert cfg['bbox_head']['num_classes'] == 91 and len(state['bbox_head.cls_branches.0.bias']) == 91


def test_contiguous_rows_stay() -> None:
    cfg, state = convert('relation_detr', dict(num_classes=80), _official_rows(80))
    assert cfg['bbox_head']['num_classes'] == 80
    assert state['bbox_head.cls_branches.0.bias'].tolist() == list(range(80))


def test_swin_backbone_computes_what_torchvisions_does() -> None:
    """Whose names and patch merging the authors have."""
    from torchvision.models.swin_transformer import SwinTransformer
    torch.manual_seed(0)
    official = SwinTransformer([4, 4], 24, [2, 2, 2, 2], [2, 2, 4, 4], [7, 7], stochastic_depth_prob=0.)
    official.eval()
    state = {f'backbone.{key}': value for key, value in official.state_dict().items()
             if key.startswith('features')}
    cfg, converted = convert('relation_detr', {}, state, 'relation_detr_swin_l_800_1333')
    arch = dict(embed_dims=24, depths=[2, 2, 2, 2], num_heads=[2, 2, 4, 4])
    backbone = MODELS.build({**cfg['backbone'], 'arch': arch})
    backbone.load_state_dict({key.removeprefix('backbone.'): value for key, value in converted.items()})
    backbone.eval()
    x = torch.rand(1, 3, 320, 352)
    maps, expected = backbone(x), []
    for index, part in enumerate(official.features):
        x = part(x)
        if index in (3, 5, 7):
            expected.append(x.permute(0, 3, 1, 2))
    torch.testing.assert_close(list(maps), expected, atol=1e-4, rtol=1e-4)


def test_unknown_backbone_is_named() -> None:
    with pytest.raises(UserError, match="unknown backbone 'resnet5'; did you mean resnet50"):
        convert('relation_detr', dict(backbone='resnet5'), {})


# mmdet's detectors ----------------------------------------------------------------------------------

DINO = 'dino-pp-mmdet_r50_8xb2-12e_coco'
HOSTS = (DINO, 'ddq-detr-pp_r50_8xb2-12e_coco', 'dab-detr-pp_r50_8xb2-50e_coco',
         'deformable-detr-pp-refine-twostage_r50_16xb2-50e_coco')


def _host(name: str, plain: bool = False, **changes: Any) -> nn.Module:
    """A host's config with the relation, made shallow; ``plain``: the host's own detector."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    channels = [512] if 'dab' in name else [128, 256, 512]
    cfg.merge_from_dict({
        'model.backbone.depth': 18, 'model.backbone.init_cfg': None, 'model.neck.in_channels': channels,
        'model.encoder.num_layers': 1, 'model.decoder.num_layers': 3, 'model.num_queries': 20,
        **{f'model.{key}': value for key, value in changes.items()}})
    if plain:
        del cfg.model['position_relation']
        cfg.model.type = cfg.model.type.removeprefix('mmext.').removesuffix('PP')
    return _build(cfg.model)


@pytest.mark.parametrize('name', HOSTS)
def test_hosts_detectors_learn_the_relation(name: str) -> None:
    model = _host(name)
    data = _data(model)
    losses = _losses(model, data)
    model.parse_losses(losses)[0].backward()
    assert model.position_relation.proj.weight.grad.abs().sum() > 0
    assert not [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
    twin = copy.deepcopy(model)
    twin.position_relation.proj.weight.data.mul_(3)
    other = _losses(twin, data)
    assert other['loss_cls'] != losses['loss_cls'] and other['d0.loss_cls'] == losses['d0.loss_cls']
    with torch.no_grad():
        assert len(model.eval()(**data, mode='predict')) == 2


def test_hosts_checkpoints_load() -> None:
    missing = _host(DINO).load_state_dict(_host(DINO, plain=True).state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert missing.missing_keys == ['position_relation.proj.weight', 'position_relation.proj.bias']


@pytest.mark.parametrize('changes', [dict(position_relation=None), dict(relation_in_attention=False)])
def test_without_the_relation_it_is_the_hosts(changes: dict[str, Any]) -> None:
    model, host = _host(DINO, **changes), _host(DINO, plain=True)
    host.load_state_dict(model.state_dict(), strict=False)
    data = _data(model)
    ours, theirs = _losses(model, data), _losses(host, data)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_relation_of_a_host_is_the_same_function() -> None:
    """The hooks give mmdet's decoder what ours computes inside."""
    model = _host(DINO).eval()
    decoder = model.decoder
    layer_cfg = Config.fromfile(CONFIGS / f'{DINO}.py').model.decoder.layer_cfg
    ours = RelationTransformerDecoder(num_layers=3, layer_cfg=layer_cfg, post_norm_cfg=None,
                                      query_scale=False)
    for part in ('layers', 'norm'):
        setattr(ours, part, getattr(decoder, part))
    ours.position_relation = model.position_relation
    # mmdet encodes positions in twice as many features.
    encode = decoder.ref_point_head
    ours._encode = lambda boxes: encode(coordinate_to_encoding(boxes, num_feats=256))
    nn.init.normal_(model.bbox_head.reg_branches[0][-1].weight, std=0.05)
    inputs = dict(
        query=torch.randn(2, 7, 256), value=torch.randn(2, 80, 256), key_padding_mask=None,
        self_attn_mask=None, reference_points=torch.rand(2, 7, 4) * 0.5 + 0.2,
        spatial_shapes=torch.tensor([[8, 8], [4, 2], [2, 2], [2, 2]]),
        level_start_index=torch.tensor([0, 64, 72, 76]), valid_ratios=torch.ones(2, 4, 2),
        reg_branches=model.bbox_head.reg_branches)
    theirs = decoder(**inputs)[0]
    for layer in decoder.layers:  # our decoder needs no hooks
        layer._forward_pre_hooks.clear()
        layer._forward_pre_hooks_with_kwargs.clear()
        layer._forward_hooks.clear()
    torch.testing.assert_close(ours(**inputs)[0], theirs, atol=1e-4, rtol=1e-4)
