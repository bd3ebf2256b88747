"""EMOv2 beyond parity: sizes, options, windows, errors."""
from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmext.engine.analysis.flops import count_module
from mmext.errors import UserError
from mmext.models.backbones.emov2 import ARCHITECTURES, EMOv2, SpanningAttention
from mmext.models.backbones.emov2.windows import SMALL_WINDOW, from_windows, to_windows, window_attention

# Published: whole classifier, backbone alone.
PARAMETERS = {
    '1M': (1_460_844, 1_279_484),
    '2M': (2_384_312, 2_182_912),
    '5M': (5_126_440, 4_836_864),
    '20M': (20_195_208, 19_745_312),
    '50M': (49_815_560, 49_301_536),
    'emo1-1M': (1_454_316, None),
    'emo1-2M': (2_374_840, None),
    'emo1-5M': (5_110_312, None),
    'emo1-20M': (20_170_632, None),
}


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_published_parameter_counts(arch: str) -> None:
    classifier, backbone = PARAMETERS[arch]
    with torch.device('meta'):
        assert _count(EMOv2(arch, num_classes=1000)) == classifier
        if backbone:
            assert _count(EMOv2(arch)) == backbone


@pytest.mark.parametrize(('arch', 'published'), [
    ('1M', 0.2848e9), ('2M', 0.4875e9), ('5M', 1.0355e9), ('20M', 4.017e9), ('50M', 8.804e9),
    ('emo1-1M', 0.249e9), ('emo1-2M', 0.432e9), ('emo1-5M', 0.944e9), ('emo1-20M', 3.788e9)])
def test_published_flops(arch: str, published: float) -> None:
    """At 224 px, counted as the authors do."""
    flops = count_module(EMOv2(arch, out_indices=(4, ), final_norm=True), torch.rand(1, 3, 224, 224))[0]
    if not arch.startswith('emo1'):
        # Their stage 4, of one window, attends to the same tokens twice, and ours once.
        sizes = ARCHITECTURES[arch]
        channels = sizes['embed_dims'][-1] * (1 + sizes['exp_ratios'][-1])
        flops += (sizes['depths'][-1] - 1) * 49**2 * channels
    assert flops == pytest.approx(published, rel=0.01)


def test_published_drop_path_rises_linearly() -> None:
    model = EMOv2('5M')
    rates = [block.drop_path.drop_prob for i in range(1, 5) for block in getattr(model, f'stage{i}')]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0.05)
    steps = [b - a for a, b in pairwise(rates)]
    assert steps == pytest.approx([steps[0]] * len(steps))


_GRIDS = dict(rows=st.integers(1, 3), cols=st.integers(1, 3), high=st.integers(1, 3),
              wide=st.integers(1, 3), heads=st.integers(1, 2),
              spans=st.lists(st.sampled_from(['close', 'remote']), min_size=1, max_size=2))


@settings(max_examples=30, deadline=None)
@given(**_GRIDS)
def test_windows_partition_the_map(rows, cols, high, wide, heads, spans) -> None:
    size = height, width = rows * high, cols * wide
    x = torch.arange(2. * 2 * heads * height * width).view(2, 2 * heads, height, width)
    windows = to_windows(x, heads, rows, cols, spans)
    assert windows.shape == (len(spans) * 2 * rows * cols, heads, high * wide, 2)
    assert torch.equal(from_windows(windows, rows, cols, size, spans), len(spans) * x)
    for first, span in zip(windows.unflatten(0, (len(spans), -1))[:, 0, 0, :, 0], spans):
        expected = x[0, 0, :high, :wide] if span == 'close' else x[0, 0, ::rows, ::cols]
        assert torch.equal(first, expected.flatten())


@settings(max_examples=30, deadline=None)
@given(**_GRIDS, channels_last=st.booleans())
def test_gradients_of_windows(rows, cols, high, wide, heads, spans, channels_last) -> None:
    """Either way is the adjoint of the other."""
    size = rows * high, cols * wide
    x = torch.rand(2, 2 * heads, *size, dtype=torch.double)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    windows = to_windows(x.requires_grad_(), heads, rows, cols, spans)
    weights = torch.rand_like(windows).requires_grad_()
    (windows * weights).sum().backward()
    put_back = from_windows(weights, rows, cols, size, spans)
    torch.testing.assert_close(x.grad, put_back)
    put_back.backward(x.detach())
    torch.testing.assert_close(weights.grad, 2 * windows)  # of both passes


@pytest.mark.parametrize('tokens', [5, SMALL_WINDOW + 1])
def test_attention_in_windows(tokens: int) -> None:
    """However large a window is."""
    torch.manual_seed(0)
    query, key = torch.rand(2, 2, 3, tokens, 4)
    value = torch.rand(2, 3, tokens, 6)
    torch.testing.assert_close(window_attention(query, key, value, 0.),
                               F.scaled_dot_product_attention(query, key, value))


def test_a_map_of_one_window_is_attended_to_once() -> None:
    """Remote and close are then the same; both spans give twice one of them."""
    torch.manual_seed(0)
    both = SpanningAttention(16, 32, head_dim=8, window_size=6)
    close = SpanningAttention(16, 32, head_dim=8, window_size=6, spans=('close', ))
    close.load_state_dict(both.state_dict())
    x = torch.rand(2, 16, 6, 6)
    torch.testing.assert_close(both(x), 2 * close(x))


def test_window_of_the_whole_map_equals_its_size() -> None:
    torch.manual_seed(0)
    sized = SpanningAttention(16, 32, head_dim=8, window_size=6)
    whole = SpanningAttention(16, 32, head_dim=8, window_size=0)
    whole.load_state_dict(sized.state_dict())
    x = torch.rand(1, 16, 6, 6)
    torch.testing.assert_close(whole(x), sized(x))


@pytest.mark.parametrize('window_size', [7, (8, 8, 4, 2), 0])
def test_weights_load_with_any_window(window_size) -> None:
    state = EMOv2('1M').state_dict()
    model = EMOv2('1M', window_size=window_size)
    model.load_state_dict(state, strict=True)
    assert all(torch.isfinite(x).all() for x in model.eval()(torch.rand(1, 3, 64, 64)))


@pytest.mark.parametrize(('options', 'message'), [
    (dict(arch='3M'), r"unknown architecture '3M', expected one of 1M, 2M"),
    (dict(arch=dict(depths=(1, 1, 1, 1))), r"arch lacks 'embed_dims'"),
    (dict(arch=dict(ARCHITECTURES['1M'], depth=(1, ))), r"unknown key of arch 'depth'.*depths"),
    (dict(arch=dict(ARCHITECTURES['1M'], embed_dims=(16, 24, 32))), r"arch\['embed_dims'\] has 3"),
    (dict(arch=dict(ARCHITECTURES['1M'], head_dims=(16, 16, 24, 20))),
     r'stage 3 of EMOv2: 80 .*heads of 24'),
    (dict(arch=dict(ARCHITECTURES['1M'], operators=('conv', 'conv', 'hybrib', 'conv'))),
     r"unknown operator 'hybrib'.*hybrid"),
    (dict(arch=dict(ARCHITECTURES['1M'], norm_layers=('bn', 'BN', 'BN', 'BN'))), r"unknown norm"),
    (dict(out_indices=(5, )), r'out_indices=\(5,\): expected one or more of 0'),
    (dict(frozen_stages=7), r'frozen_stages=7: expected -1 to 4'),
    (dict(window_size=(7, 7)), r'window_size has 2 values for 4 stages'),
])
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EMOv2(**options)


def test_classifier_needs_classes() -> None:
    x = torch.rand(2, 3, 64, 64)
    assert EMOv2('1M', num_classes=7).eval().classify(x).shape == (2, 7)
    with pytest.raises(AttributeError):
        EMOv2('1M').classify(x)


def test_operators_are_summed() -> None:
    arch = dict(ARCHITECTURES['1M'], operators=('conv', 'conv', ('conv', 'close'), 'hybrid'))
    model = EMOv2(arch, out_indices=(3, ))
    assert len(model.stage3[1].eops) == 2
    assert model(torch.rand(1, 3, 64, 64))[0].shape == (1, 80, 4, 4)


@pytest.mark.parametrize('wrap', [lambda state: state, lambda state: dict(model=state, epoch=299)])
def test_files_load_as_the_authors_wrap_them(wrap, tmp_path: Path) -> None:
    state = EMOv2('1M', num_classes=10).state_dict()
    torch.save(wrap(state), tmp_path / 'official.pth')
    model = EMOv2('1M', init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'official.pth')))
    model.init_weights()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_weights_of_another_variant_are_refused() -> None:
    state = EMOv2('2M').state_dict()
    with pytest.raises(UserError, match=r'depth \[3, 3, 9, 3\], embed_dim \[32, 48, 120, 200\] in the '
                                        r'file, depth \[2, 2, 8, 3\]'):
        EMOv2('1M').load_state_dict(state, strict=False)
    with pytest.raises(UserError, match=r'conv_local\.conv\.weight is \(\d+, 1, 5, 5\) in the file'):
        EMOv2('emo1-2M').load_state_dict(state, strict=False)
