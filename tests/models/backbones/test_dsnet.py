"""DS-Net beyond parity: sizes, options, files, the alignment layer, errors."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmext.converters import ConversionReport, convert
from mmext.errors import UserError
from mmext.models.backbones.dsnet import ARCHITECTURES, DSBlock, DSNet, InterScaleAlignment
from mmext.registry import MODELS

# Published, with the classifier of 1000 classes.
PARAMETERS = {'T': 10_534_312, 'S': 23_004_552, 'B': 49_343_752}
HEAD = 512 * 1000 + 1000
TINY: dict[str, Any] = dict(embed_dim=(8, 12, 16, 24), depth=(1, 2, 1, 1), num_heads=(1, 2, 2, 3))


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_published_parameter_counts(arch: str) -> None:
    with torch.device('meta'):
        assert _count(DSNet(arch, out_indices=(3, ))) + HEAD == PARAMETERS[arch]


def test_names_of_sizes() -> None:
    with torch.device('meta'):
        assert _count(DSNet('small')) == _count(DSNet('S'))


def test_only_what_is_needed_is_built() -> None:
    """So that DDP finds no unused parameter."""
    whole, part = DSNet(**TINY), DSNet(**TINY, out_indices=(1, ))
    assert not [name for name, _ in part.named_parameters() if '3' in name.split('.')[0]]
    part.load_state_dict(whole.state_dict(), strict=False)
    image = torch.rand(1, 3, 48, 40)
    torch.testing.assert_close(part.eval()(image)[0], whole.eval()(image)[1])


@pytest.mark.parametrize(('arch', 'published'), [('T', 1.84e9), ('S', 3.56e9), ('B', 8.32e9)])
def test_published_flops(arch: str, published: float) -> None:
    """At 224 px; activations, norms and resizing are under 1%."""
    with torch.device('meta'):
        model = DSNet(arch).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.rand(1, 3, 224, 224))
    assert counter.get_total_flops() / 2 == pytest.approx(published, rel=0.01)


def _rates(model: DSNet) -> list[float]:
    return [block.drop_path.drop_prob for i in range(4)
            for block in getattr(model, f'blocks{i + 1}')]


def test_drop_path_counts_blocks_anew_in_each_stage() -> None:
    step = 0.1 / 8
    official = DSNet('T', drop_path_rate=0.1)
    assert _rates(official) == pytest.approx([step * i for i in (0, 1, 0, 1, 0, 1, 2, 3, 0)])
    rising = DSNet('T', drop_path_rate=0.1, drop_path_mode='global')
    assert _rates(rising) == pytest.approx([step * i for i in range(9)])


@pytest.mark.parametrize('options', [dict(), dict(overlap_embed=True), dict(conv_ffn=True),
                                     dict(out_norm=None),
                                     dict(out_norm=dict(type='GN', num_groups=2)),
                                     dict(mlp_ratio=(1, 2, 3, 4)),
                                     dict(downsamples=3), dict(drop_rate=0.1, drop_path_rate=0.2)])
def test_options_train(options: dict) -> None:
    model = DSNet(**TINY, **options).train()
    maps = model(torch.rand(2, 3, 65, 71))
    assert [x.shape[1] for x in maps] == list(model.out_channels)
    sum(x.square().mean() for x in maps).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), overlap=st.booleans())
def test_any_size_or_a_clear_error(height: int, width: int, overlap: bool) -> None:
    model = DSNet(**TINY, overlap_embed=overlap).eval()
    image = torch.rand(1, 3, height, width)
    if min(height, width) < model.min_size:
        with pytest.raises(ValueError, match=f'an image of {height} x {width} pixels is too small'):
            model(image)
        return
    for i, x in enumerate(model(image)):
        stride = 4 * 2**i
        for side, length in zip(x.shape[-2:], (height, width)):
            assert side == (-(-length // stride) if overlap else length // stride)
        assert torch.isfinite(x).all()


def test_min_size_is_that_of_the_last_stage_built() -> None:
    model = DSNet(**TINY, out_indices=(0, 1)).eval()
    assert model.min_size == 8
    assert model(torch.rand(1, 3, 8, 9))[-1].shape == (1, 12, 1, 1)


def test_the_official_dropout_acts_in_training_alone() -> None:
    torch.manual_seed(0)
    block, x = DSBlock(16, 2), torch.rand(1, 16, 8, 8)
    for norm in (m for m in block.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.
    assert torch.equal(block.eval()(x), block(x))
    assert not torch.equal(block.train()(x), block(x))
    still = DSBlock(16, 2, attn_drop=0.).train()
    assert torch.equal(still(x), still(x))


def _attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Attention by its definition, ``(B, N, C)`` each."""
    outputs = []
    for q, k, v in zip(*(t.chunk(heads, dim=-1) for t in (queries, keys, values))):
        scores = q @ k.transpose(1, 2) / q.shape[-1]**0.5
        outputs.append(scores.softmax(-1) @ v)
    return torch.cat(outputs, dim=-1)


@settings(max_examples=15, deadline=None)
@given(heads=st.integers(1, 3), dim=st.integers(1, 4), height=st.integers(1, 5),
       width=st.integers(1, 5), count=st.integers(1, 6), channels_last=st.booleans())
def test_alignment_by_its_definition(heads, dim, height, width, count, channels_last) -> None:
    torch.manual_seed(0)
    channels = heads * dim
    layer = InterScaleAlignment(channels, heads).double().eval()
    x = torch.rand(2, channels, height, width, dtype=torch.double)
    tokens = torch.rand(2, count, channels, dtype=torch.double)
    pixels = x.flatten(2).transpose(1, 2)
    local = layer.cross_channel_up_conv(layer.norm_conv2(x)).flatten(2).transpose(1, 2)
    q_l, k_l, v_l = local.chunk(3, dim=-1)
    q_g, k_g, v_g = layer.cross_channel_up_sa(layer.norm_sa2(tokens)).chunk(3, dim=-1)
    expected_x = pixels + layer.fuse_channel_conv(_attend(q_l, k_g, v_g, heads))
    expected_tokens = tokens + layer.fuse_channel_sa(_attend(q_g, k_l, v_l, heads))
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    actual_x, actual_tokens = layer(x, tokens)
    torch.testing.assert_close(actual_x.flatten(2).transpose(1, 2), expected_x)
    torch.testing.assert_close(actual_tokens, expected_tokens)


def _official_file() -> dict[str, Tensor]:
    """What the authors of the first implementation save: a whole classifier."""
    torch.manual_seed(1)
    source = DSNet(**TINY, out_indices=(3, ))
    nn.init.uniform_(source.norm.running_mean)
    return {**source.state_dict(), 'head.weight': torch.rand(5, 24), 'head.bias': torch.rand(5)}


@pytest.mark.parametrize('wrap', [
    lambda state: state,
    lambda state: dict(model=state, epoch=299),
    lambda state: dict(state_dict={f'backbone.{key}': value for key, value in state.items()}),
])
def test_files_load_as_they_are(wrap, tmp_path: Path) -> None:
    state = _official_file()
    path = tmp_path / 'official.pth'
    torch.save(wrap(state), path)
    target = DSNet(**TINY, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    target.init_weights()
    loaded = target.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items()
               if not key.startswith('head'))


@pytest.mark.parametrize(('options', 'message'), [
    (dict(depth=(2, 2, 1, 1)), r'depth \[1, 2, 1, 1\].*in the file, depth \[2, 2, 1, 1\].*blocks1.1'),
    (dict(depth=(1, 1, 1, 1)), r'blocks2\.1\.\S+ is only in the file'),
    (dict(embed_dim=(8, 12, 16, 36)), r'embed_dim \[8, 12, 16, 24\] in the file'),
    (dict(conv_ffn=True), r'blocks1\.0\.mlp\.dwconv\.dwconv\.weight is absent in the file'),
    (dict(overlap_embed=True), r'patch_embed1\.proj\.weight is \(8, 4, 4\) in the file'),
])
def test_weights_of_another_variant_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DSNet(**{**TINY, **options}).load_state_dict(_official_file(), strict=False)


def test_images_may_have_other_channels(tmp_path: Path) -> None:
    model = DSNet(**TINY, in_chans=4)
    assert model(torch.rand(2, 4, 64, 64))[0].shape == (2, 8, 16, 16)
    model.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth'))
    official = _official_file()
    torch.save(official, tmp_path / 'rgb.pth')
    model.init_weights()  # mmengine reports what does not fit
    assert torch.equal(model.blocks1[0].conv1.weight, official['blocks1.0.conv1.weight'])


def test_weights_of_paddle() -> None:
    """PaddlePaddle has linear weights transposed, other names of statistics and no counter."""
    official = _official_file()
    paddle = {
        key.replace('running_mean', '_mean').replace('running_var', '_variance'):
        value.t() if value.ndim == 2 else value
        for key, value in official.items() if not key.endswith('num_batches_tracked')
    }
    args = {**TINY, 'class_num': 5, 'mlp_ratio': 4}
    report = ConversionReport()
    cfg, state = convert('dsnet', args, paddle, report=report)
    assert {old for old, _ in report.renamed} >= set(paddle)
    MODELS.build(cfg).load_state_dict(state, strict=True)
    _, expected = convert('dsnet', args, official)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)


@pytest.mark.parametrize(('constructor', 'arch'), [
    ('ds_net_tiny', 'T'), ('ds_net_small', 'S'), ('DSNet_tiny', 'T'), ('DSNet_small', 'S'),
    ('DSNet_base', 'B')])
def test_published_constructors(constructor: str, arch: str) -> None:
    cfg, _ = convert('dsnet', {}, {}, constructor)
    with torch.device('meta'):
        assert _count(MODELS.build(cfg)) == PARAMETERS[arch]


@pytest.mark.parametrize(('args', 'constructor', 'message'), [
    (dict(embed_dims=[8, 8, 8, 8]), None, "no argument 'embed_dims'; did you mean embed_dim"),
    (dict(depth=[1, 1, 1, 1]), 'ds_net_tiny', "ds_net_tiny has no argument 'depth'"),
    (dict(representation_size=64), None, 'representation_size=64 cannot be converted'),
    (dict(dim=8, num_heads=1, act_layer='GLU'), 'MixBlock', "unknown activation 'GLU'; did you mean"),
])
def test_bad_official_arguments_are_named(args: dict, constructor: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        convert('dsnet', args, {}, constructor)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(arch='tinny'), r"unknown architecture 'tinny', expected one of T, S, B.*did you mean tiny"),
    (dict(depth=(1, 1, 1)), r'depth=\(1, 1, 1\) has 3 values, embed_dim has 4'),
    (dict(num_heads=(1, 2, 7, 8)), r'stage 2 of DSNet: num_heads=7 does not divide the 160 channels'),
    (dict(embed_dim=(64, 127, 320, 512)), r'stage 1 of DSNet: dim=127 is odd'),
    (dict(downsamples=(8, 4, 2, 0)), r'stage 3 of DSNet: downsample=0: expected 1 or more'),
    (dict(out_indices=(0, 4)), r'out_indices=\(0, 4\): expected one or more of 0 to 3'),
    (dict(out_indices=()), r'out_indices=\(\)'),
    (dict(frozen_stages=5), r'frozen_stages=5: expected -1 to 4'),
    (dict(drop_path_mode='linear'), r"drop_path_mode='linear': expected 'official' or 'global'"),
])
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DSNet(**options)
