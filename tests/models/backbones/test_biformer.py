"""BiFormer beyond parity: sizes, options, files, errors; and its attention as a layer."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mmext import hosts
from mmext.errors import UserError
from mmext.models.backbones.biformer import (
    BRA,
    BiFormer,
    BiFormerSTL,
    BiLevelRoutingAttention,
    Routing,
    record_routing,
)
from mmext.models.backbones.biformer.drawing import draw_routing, region_at
from mmext.ops.bra import routed_attention_reference
from mmext.registry import MODELS

SMALL = dict(depth=(1, 1, 2, 1), embed_dim=(16, 24, 32, 48), head_dim=8, n_win=4, topks=(1, 4, 8, -2))
SMALL_STL = dict(depth=(1, 1, 2, 1), embed_dim=(16, 24, 32, 48), head_dim=8, n_wins=(4, 4, 2, 2))
CLASSIFIER = dict(num_classes=1000, extra_norms=False)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(('arch', 'classifier', 'dense'), [
    ('tiny', 13_142_760, 12_628_736), ('small', 25_536_232, 25_022_208),
    ('base', 56_804_968, 56_034_432)])
def test_published_parameter_counts(arch: str, classifier: int, dense: int) -> None:
    with torch.device('meta'):
        assert _count(BiFormer(arch, **CLASSIFIER)) == classifier
        backbone = BiFormer(arch)
        assert _count(backbone) == dense + 2 * sum(backbone.out_channels)


@pytest.mark.parametrize('layout', ['nhwc', 'nchw'])
def test_published_parameter_counts_of_stl(layout: str) -> None:
    with torch.device('meta'):
        assert _count(BiFormerSTL(layout, **CLASSIFIER)) == 28_372_552


@pytest.mark.parametrize(('arch', 'flops'), [('tiny', 2.23e9), ('small', 4.49e9), ('base', 9.79e9)])
def test_published_flops(arch: str, flops: float) -> None:
    """Multiply-adds of convolutions and matrix products at 224 px; norms are under 1%."""
    from torch.utils.flop_counter import FlopCounterMode
    with torch.device('meta'):
        model = BiFormer(arch, **CLASSIFIER)
        for layer in model.modules():
            if isinstance(layer, BiLevelRoutingAttention):
                layer.attend = routed_attention_reference
            elif hasattr(layer, 'attend'):
                layer.attend = lambda q, k, v, dropout_p, scale: (q @ k.transpose(-2, -1)) @ v
        with FlopCounterMode(display=False) as counter:
            model.eval().classify(torch.rand(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 == pytest.approx(flops, rel=0.01)


def test_drop_path_rises_linearly_over_the_whole_net() -> None:
    rates = [block.drop_path.drop_prob for stage in BiFormer(drop_path_rate=0.1, **SMALL).stages
             for block in stage]
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])


def _seeded(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, std=0.5 if p.ndim < 2 else (p.shape[0] / p.numel())**0.5)
    return module.eval()


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12), n_win=st.integers(2, 4))
def test_masked_padding_has_no_influence(height: int, width: int, n_win: int) -> None:
    """Routed to all regions, every grid gives attention over the whole map."""
    whole = _seeded(BiLevelRoutingAttention(8, num_heads=2, n_win=1, topk=1)).double()
    cut = BiLevelRoutingAttention(8, num_heads=2, n_win=n_win, topk=n_win * n_win,
                                  mask_padding=True).double()
    cut.load_state_dict(whole.state_dict())
    x = torch.rand(2, height, width, 8, dtype=torch.double)
    torch.testing.assert_close(cut(x), whole(x))


@pytest.mark.parametrize('topk', [1, 3, 12])
def test_masked_padding_is_routed_to_last(topk: int) -> None:
    layer = _seeded(BiLevelRoutingAttention(8, num_heads=2, n_win=4, topk=topk, mask_padding=True))
    out, routing = layer(torch.rand(2, 5, 9, 8), return_routing=True)  # 3 x 3 regions hold tokens
    assert routing.region_size == (2, 3) and torch.isfinite(out).all()
    held = {0, 1, 2, 4, 5, 6, 8, 9, 10}
    assert set(routing.indices[..., :min(topk, 9)].flatten().tolist()) <= held


def test_mask_and_no_padding_are_the_same() -> None:
    x = torch.rand(2, 8, 12, 16)
    layers = [_seeded(BiLevelRoutingAttention(16, num_heads=2, n_win=4, topk=3, mask_padding=mask))
              for mask in (False, True)]
    torch.testing.assert_close(layers[0](x), layers[1](x))


@pytest.mark.parametrize('mode', ['ada_avgpool', 'ada_maxpool', 'avgpool', 'maxpool'])
def test_pooled_keys_of_masked_padding(mode: str) -> None:
    """One region of 4 x 4 of which 2 x 2 are tokens: the same as a region of 2 x 2."""
    x = torch.rand(1, 2, 2, 8)
    options = dict(num_heads=2, n_win=1, topk=1, kv_downsample_mode=mode, kv_per_win=2)
    padded = _seeded(BiLevelRoutingAttention(8, region_size=4, mask_padding=True,
                                             kv_downsample_ratio=2, **options))
    exact = _seeded(BiLevelRoutingAttention(
        8, **{**options, 'kv_per_win': 1, 'kv_downsample_ratio': 2}))
    torch.testing.assert_close(padded(x), exact(x))


def test_region_size_and_count_agree_where_they_mean_the_same() -> None:
    x = torch.rand(1, 12, 20, 16)
    count = _seeded(BiLevelRoutingAttention(16, num_heads=2, n_win=4, topk=3))
    size = _seeded(BiLevelRoutingAttention(16, num_heads=2, region_size=(3, 5), topk=3))
    torch.testing.assert_close(count(x), size(x))


def test_both_versions_agree_on_whole_regions() -> None:
    legacy = _seeded(BiLevelRoutingAttention(16, num_heads=2, n_win=4, topk=3))
    twin = BRA(16, num_heads=2, n_win=4, topk=3)
    state = {key.replace('qkv.qkv', 'qkv_linear').replace('wo.', 'output_linear.'): value
             for key, value in legacy.state_dict().items()}
    twin.load_state_dict({key: value[:, :, None, None] if key.endswith('linear.weight') else value
                          for key, value in state.items()})
    x = torch.rand(2, 16, 8, 12)
    torch.testing.assert_close(twin(x), legacy(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (5, 6)])
def test_maps_smaller_than_the_grid(size: tuple[int, int]) -> None:
    assert BRA(8, num_heads=2, n_win=7, topk=16)(torch.rand(1, 8, *size)).shape == (1, 8, *size)
    layer = BiLevelRoutingAttention(8, num_heads=2, n_win=7, topk=16)
    assert layer(torch.rand(1, *size, 8)).shape == (1, *size, 8)
    clipped = BiLevelRoutingAttention(8, num_heads=2, region_size=4, topk=16, clip_topk=True)
    assert clipped(torch.rand(1, *size, 8)).shape == (1, *size, 8)


@pytest.mark.parametrize('build', [
    lambda **changes: BiFormer(**{**SMALL, **changes}),
    lambda **changes: BiFormerSTL('nhwc', topks=(1, 4, 3, -2), **{**SMALL_STL, **changes}),
    lambda **changes: BiFormerSTL('nchw', topks=(1, 4, 3, -1), **{**SMALL_STL, **changes}),
])
@pytest.mark.parametrize('options', [
    {}, dict(mask_padding=True), dict(region_size=3, clip_topk=True), dict(use_checkpoint_stages=(0, 2)),
    dict(out_indices=(1, )), dict(frozen_stages=2), dict(disable_bn_grad=True)])
def test_trains_with_any_option(build, options: dict) -> None:
    model = build(**options).train()
    maps = model(torch.rand(2, 3, 65, 90))
    sum(one.square().mean() for one in maps).backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
    assert [one.shape[1] for one in maps] == list(model.out_channels)


def test_routing_is_recorded_by_layer() -> None:
    model = BiFormer(**SMALL).eval()
    with record_routing(model) as routings:
        model(torch.rand(2, 3, 64, 96))
    assert list(routings) == ['stages.0.0.attn', 'stages.1.0.attn', 'stages.2.0.attn',
                              'stages.2.1.attn']
    last = routings['stages.2.1.attn']
    assert last.indices.shape == (2, 16, 8) and last.map_size == (4, 6)
    assert last.grid == (4, 4) and last.region_size == (1, 2)
    torch.testing.assert_close(last.weights.sum(-1), torch.ones(2, 16))
    model(torch.rand(1, 3, 64, 64))
    assert routings['stages.2.1.attn'] is last


@pytest.mark.parametrize('wrap', [
    lambda state: {'model': state, 'epoch': 3}, lambda state: state,
    lambda state: {'state_dict': {f'backbone.{key}': value for key, value in state.items()}}])
def test_files_of_the_authors_and_ours_load(wrap, tmp_path: Path) -> None:
    hosts.repair()
    classifier = BiFormer(num_classes=5, extra_norms=False, **SMALL)
    torch.save(wrap(classifier.state_dict()), tmp_path / 'official.pth')
    model = MODELS.build(dict(type='mmext.BiFormer', init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'official.pth')), **SMALL))
    model.init_weights()
    ours, theirs = model.state_dict(), classifier.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if 'extra' not in key)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(depth=(1, 2, 2, 1)), r'depth \[1, 1, 2, 1\].*in the file.*depth \[1, 2, 2, 1\].*here'),
    (dict(embed_dim=(16, 32, 32, 48)), r'embed_dim \[16, 24, 32, 48\] in the file'),
    (dict(mlp_dwconv=True), r'mlp\.1\.dwconv\.weight .* "?absent"? in the file'),
])
def test_files_of_another_variant_are_refused(change: dict, message: str) -> None:
    state = BiFormer(**SMALL).state_dict()
    model = BiFormer(**{**SMALL, **change})
    with pytest.raises(UserError, match=message):
        model.load_state_dict(state, strict=False)


def test_files_of_the_other_layout_are_refused() -> None:
    nhwc = BiFormerSTL('nhwc', topks=(1, 4, 3, -2), **SMALL_STL)
    nchw = BiFormerSTL('nchw', topks=(1, 4, 3, -1), **SMALL_STL)
    with pytest.raises(UserError, match='another variant'):
        nchw.load_state_dict(nhwc.state_dict(), strict=False)
    with pytest.raises(UserError, match='stl, depth'):
        BiFormer(**SMALL).load_state_dict(nhwc.state_dict(), strict=False)


def test_other_image_channels_and_fewer_stages_load() -> None:
    state = BiFormer(**SMALL).state_dict()
    fewer = BiFormer(out_indices=(0, 1), **SMALL)
    assert not fewer.load_state_dict(state, strict=False).missing_keys
    state.pop('downsample_layers.0.0.weight')
    other = BiFormer(in_chans=4, **SMALL)
    missing = other.load_state_dict(state, strict=False).missing_keys
    assert missing == ['downsample_layers.0.0.weight']


@pytest.mark.parametrize(('options', 'message'), [
    (dict(arch='smal'), r"unknown architecture 'smal'.*did you mean small"),
    (dict(head_dim=7), r'head_dim=7 does not divide 64, one of qk_dims'),
    (dict(n_win=2, clip_topk=False), r'topk=16 is more than the 4 regions of n_win=2'),
    (dict(depth=(2, 2, 6)), r'depth has 3 values, expected 4'),
    (dict(topks=(1, 4, 16, -2, 1)), r'topks has 5 values, expected 4'),
    (dict(mlp_ratios=3), r'mlp_ratios has 3, expected 4'),
    (dict(topks=(1, 4, 16, -3)), r'topk=-3: expected a number of regions'),
    (dict(embed_dim=(64, 128, 256, 510), qk_dims=(64, 128, 256, 512)), r'num_heads=8 .* dim=510'),
    (dict(kv_downsample_mode='avgpol'), r"kv_downsample_mode='avgpol'.*did you mean avgpool"),
    (dict(kv_downsample_mode='ada_avgpool'), r"kv_per_win=-1.*'ada_avgpool' needs 1 or more"),
    (dict(diff_routing=True), r'diff_routing=True needs soft_routing=True'),
    (dict(param_routing=True), r'param_routing=True needs diff_routing=True'),
    (dict(param_attention='none'), r"param_attention='none': expected 'qkvo' or 'qkv'"),
    (dict(side_dwconv=4), r'side_dwconv=4: expected an odd kernel'),
    (dict(before_attn_dwconv=5), r'before_attn_dwconv=5: expected 3'),
    (dict(pe='sin'), r"pe='sin': expected None"),
    (dict(out_indices=(4, )), r'out_indices=\(4,\): expected one or more of 0'),
    (dict(frozen_stages=5), r'frozen_stages=5: expected -1 to 4'),
    (dict(use_checkpoint_stages=(4, )), r'use_checkpoint_stages=\(4,\)'),
    (dict(final_norm=True), r'extra_norms and final_norm exclude each other'),
])
def test_bad_options_are_named(options: dict, message: str) -> None:
    with torch.device('meta'), pytest.raises(ValueError, match=message):
        BiFormer(**options)


def test_bad_images_are_named() -> None:
    with pytest.raises(ValueError, match='3 x 64 pixels is too small for BiFormer with.*: 4 a side'):
        BiFormer(**SMALL)(torch.rand(1, 3, 3, 64))
    with pytest.raises(ValueError, match='too small for BiFormerSTL with.*: 32 a side'):
        BiFormerSTL(topks=(1, 4, 3, -2), **SMALL_STL)(torch.rand(1, 3, 64, 31))
    with pytest.raises(ValueError, match='16 x 25 cannot be cut into 4 x 4.*auto_pad=True'):
        BiFormer(auto_pad=False, **SMALL)(torch.rand(1, 3, 64, 100))
    with pytest.raises(ValueError, match=r'topk=4 is more than the 2 regions.*clip_topk=True'):
        BiFormer(region_size=8, **SMALL)(torch.rand(1, 3, 64, 96))


def test_drawn_regions_are_the_routed_ones() -> None:
    """On a white picture of 60 x 40: a map of 4 x 6 tokens, padded to 4 x 4 regions of 1 x 2."""
    indices = torch.tensor([[[5, 0]] * 16])
    routing = Routing(indices, torch.tensor([[[0.8, 0.2]] * 16]), (4, 4), (1, 2), (4, 6))
    assert region_at(routing, (0., 0.)) == 0
    assert region_at(routing, (0.99, 0.99)) == 14 and region_at(routing, (1., 1.)) == 14
    picture = draw_routing(np.full((40, 60, 3), 255, np.uint8), routing, region=6)
    light = picture[5::10, 10::20, 0]  # the middle of each region
    assert light[1, 1] == 255 and light[0, 0] == 178  # 0.6 + 0.4 * 0.2 / 0.8
    assert (np.delete(light.flatten(), [0, 4]) == 63).all()
    assert picture[10, 45].tolist() == [0, 215, 255]
    with pytest.raises(ValueError, match='region 16: expected 0 to 15'):
        draw_routing(picture, routing, region=16)
